"""Random numbers that are drawn beside a run in another thread."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

DRAWING = frozenset({
    torch.bernoulli, torch.multinomial, torch.normal, torch.rand, torch.randint, torch.randn,
    torch.randperm, Tensor.bernoulli_, Tensor.cauchy_, Tensor.exponential_, Tensor.geometric_,
    Tensor.log_normal_, Tensor.normal_, Tensor.random_, Tensor.uniform_,
})  # fmt: skip


class PrivateRandom(TorchFunctionMode):
    """Within it, this thread draws from a generator of its own, on the CPU.

    The numbers are those that torch's own generator gives with the same ``seed``. That one is
    shared by all threads: ``torch.random.fork_rng`` sets it back in the end, and a run in another
    thread would draw what it has drawn already.
    """

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        self._generator = torch.Generator().manual_seed(seed)

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        given = kwargs or {}
        draws = func in DRAWING or "generator" in given  # as the functions of torch.nn.init have it
        if draws and given.get("generator") is None and _on_cpu(args, given):
            given = {**given, "generator": self._generator}
        return func(*args, **given)


def _on_cpu(args: tuple[Any, ...], given: dict[str, Any]) -> bool:
    values = (*args, *given.values())
    drawn_into = next((at.device for at in values if isinstance(at, Tensor)), None)
    device = drawn_into or given.get("device") or torch.get_default_device()
    return torch.device(device).type == "cpu"
