"""Random numbers that are drawn beside a run in another thread."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch._ops import OpOverload
from torch.utils._python_dispatch import TorchDispatchMode


class PrivateRandom(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Within it, this thread draws from a generator of its own, on the CPU.

    The numbers are those that torch's own generator gives with the same ``seed``. That one is
    shared by all threads: ``torch.random.fork_rng`` sets it back in the end, and a run in another
    thread would draw what it has drawn already.
    """

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # else torch loads its compiler, only to hide this class from it

    def __init__(self, seed: int = 0) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._generator = torch.Generator().manual_seed(seed)

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        given = kwargs or {}
        draws = torch.Tag.nondeterministic_seeded in func.tags
        if draws and given.get("generator") is None and _on_cpu(args, given):
            seeded = _with_generator(func)
            if seeded is not None:
                return seeded(*args, **{**given, "generator": self._generator})
        return func(*args, **given)


def _with_generator(op: OpOverload) -> OpOverload | None:
    """The overload of ``op`` that has a generator besides the arguments of ``op``, if any."""
    packet = op.overloadpacket
    overloads = [op, *(getattr(packet, name) for name in packet.overloads())]
    wanted = _arguments(op) | {"generator"}
    return next((at for at in overloads if _arguments(at) == wanted), None)


def _arguments(op: OpOverload) -> set[str]:
    return {argument.name for argument in op._schema.arguments}


def _on_cpu(args: tuple[Any, ...], given: dict[str, Any]) -> bool:
    drawn_into = next((at.device for at in args if isinstance(at, Tensor)), None)
    return torch.device(drawn_into or given.get("device") or "cpu").type == "cpu"
