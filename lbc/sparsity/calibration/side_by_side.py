"""Several batches run through a model side by side, each stopping before every layer in question.

Once all of them have reached a layer its inputs are complete, the layer can be changed, and the
batches continue with the changed layer: one pass in all, however many layers there are. A batch
that waits holds no more than what its own pass still needs.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import nn

from lbc.sparsity.calibration.attention_output import OutputProjection, attended
from lbc.sparsity.model_run import evaluating


@dataclass(frozen=True)
class Call:
    """What a batch is about to call a module with."""

    module: str
    args: tuple[Any, ...]
    kwargs: dict[str, Any]


class _Cancelled(BaseException):
    """Ends a pass that is not continued; no ``except Exception`` of a model catches it."""


class _Pass:
    """One batch on its way through the model, in a thread that runs while ``advance`` waits."""

    def __init__(self, work: Callable[[], object]) -> None:
        self.waiting: Call | None = None
        self._work = work
        self._error: BaseException | None = None
        self._cancelled = False
        self._turn, self._stopped = threading.Semaphore(0), threading.Semaphore(0)
        self.thread = threading.Thread(target=self._run, name="calibration", daemon=True)
        self.thread.start()

    def advance(self) -> None:
        """Run up to the next stop, or to the end. Raises what the model raised."""
        self.waiting = None
        self._turn.release()
        self._stopped.acquire()
        if self._error is not None:
            raise self._error

    def stop(self, call: Call) -> None:
        """Called by the pass itself: wait until the next ``advance``."""
        self.waiting = call
        self._stopped.release()
        self._turn.acquire()
        if self._cancelled:
            raise _Cancelled

    def cancel(self) -> None:
        self._cancelled = True
        self._turn.release()
        self.thread.join()

    def _run(self) -> None:
        self._turn.acquire()
        try:
            if not self._cancelled:
                with torch.no_grad():
                    self._work()
        except _Cancelled:
            pass
        except BaseException as error:  # raised again where the pass was advanced
            self._error = error
        finally:
            self._stopped.release()


def calls_in_order(
    model: nn.Module,
    modules: Mapping[str, nn.Module],
    batches: Sequence[Any],
    advanced: Callable[[], object] = lambda: None,
) -> Generator[tuple[str, list[Call]]]:
    """Yield every module, in the order of execution, with what each batch is about to call it with.

    Whatever is done to the module before the next one is asked for holds for these calls and those
    that follow. A module that is called several times in a pass is yielded once, with the inputs
    of its first calls; one that is never called is not yielded. The model is in evaluation mode
    meanwhile. A batch is the model's only argument. ``advanced`` is called whenever a batch has
    come to the next module, and may raise to cancel the passes.
    """
    passes: list[_Pass] = []
    reached: set[str] = set()

    def stop(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        current = threading.current_thread()
        for one in passes:
            if one.thread is current and name not in reached:
                one.stop(Call(name, args, kwargs))

    def hook(name: str) -> Any:
        module = modules[name]
        if isinstance(module, OutputProjection):
            attention = model.get_submodule(name.rpartition(".")[0])
            return attention.register_forward_pre_hook(
                lambda module, *given: stop_before_projection(name, module, *given),
                with_kwargs=True,
            )
        return module.register_forward_pre_hook(
            lambda _, args, kwargs: stop(name, args, kwargs), with_kwargs=True
        )

    def stop_before_projection(name: str, attention: Any, *given: Any) -> None:
        if name not in reached:
            stop(name, (attended(attention, *given),), {})

    hooks = [hook(name) for name in modules]
    try:
        with evaluating(model):
            passes.extend(_Pass(partial(model, batch)) for batch in batches)
            yield from _rounds(passes, reached, advanced)
    finally:
        for one in passes:
            one.cancel()
        for handle in hooks:
            handle.remove()


def _rounds(
    passes: Sequence[_Pass], reached: set[str], advanced: Callable[[], object]
) -> Iterator[tuple[str, list[Call]]]:
    """Advance every pass to a layer that has not been yielded, and yield that of the first one."""
    moving = list(passes)
    while True:
        for one in moving:
            one.advance()
            advanced()
        first = next((one.waiting for one in passes if one.waiting is not None), None)
        if first is None:
            return
        moving = [one for one in passes if one.waiting and one.waiting.module == first.module]
        yield first.module, [one.waiting for one in moving if one.waiting is not None]
        reached.add(first.module)
