"""Which BatchNorm receives the output of a convolution, and nothing else does."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, TypeAlias

from torch import Tensor, nn

from lbc.sparsity.model_run import run_once
from lbc.sparsity.role_trace import tensors_in

Norm: TypeAlias = nn.modules.batchnorm._BatchNorm


def following_norms(
    model: nn.Module,
    convolutions: Mapping[str, nn.Module],
    batches: Callable[[int], Iterator[Tensor]],
) -> dict[str, Norm]:
    """The BatchNorm of each convolution, by its name, where there is one.

    It has scale, shift and running statistics. Convolution and BatchNorm are called once, and the
    output of one is the input of the other alone. The model runs once, on the first batch of
    ``batches(1)``, and stays as it was; not where it has no BatchNorm.
    """
    norms = [
        module
        for module in model.modules()
        if isinstance(module, Norm) and module.affine and module.track_running_stats
    ]
    if not convolutions or not norms:
        return {}
    made: list[tuple[str, Tensor]] = []
    read: list[tuple[Norm, Tensor]] = []
    handles = [
        module.register_forward_hook(lambda *call, name=name: made.append((name, call[-1])))
        for name, module in convolutions.items()
    ]
    handles += [
        module.register_forward_pre_hook(lambda norm, given: read.append((norm, *given[:1])))
        for module in norms
    ]
    try:
        output = run_once(model, (next(batches(1)),))
    finally:
        for handle in handles:
            handle.remove()
    readers = _readers(tensors_in(output))
    calls = Counter([name for name, _ in made] + [id(norm) for norm, _ in read])
    return {
        name: norm
        for name, tensor in made
        for norm, given in read
        if given is tensor and calls[name] == calls[id(norm)] == readers[tensor.grad_fn] == 1
    }


def _readers(outputs: Iterable[Tensor]) -> Counter[Any]:
    """How many operations, or outputs of the model, the result of each operation goes to."""
    reached: set[Any] = set()
    left = [tensor.grad_fn for tensor in outputs if tensor.grad_fn is not None]
    counts: Counter[Any] = Counter(left)
    while left:
        node = left.pop()
        if node in reached:
            continue
        reached.add(node)
        following = [at for at, _ in node.next_functions if at is not None]
        counts.update(following)
        left += following
    return counts
