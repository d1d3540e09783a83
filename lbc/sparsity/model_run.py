"""Run a model once without changing it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from lbc.sparsity.private_random import PrivateRandom

CPU = torch.device("cpu")


def run_once(
    model: nn.Module,
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any] | None = None,
    on_start: Callable[[Mapping[str, Tensor]], object] = lambda _: None,
) -> object:
    """The output of ``model`` in evaluation mode for one call.

    Parameters on the meta device are zeros during the call. Training flags and buffers are
    afterwards as before, and so is the random state. ``on_start`` receives the parameters that the
    call computes with, by their names in the model. Raises whatever the model raises.
    """
    tensors = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    tensors = {name: tensor for name, tensor in tensors.items() if not is_lazy(tensor)}
    device = next((at.device for at in tensors.values() if not at.is_meta), CPU)
    replaced = {name: at.clone() for name, at in model.named_buffers() if name in tensors}
    replaced |= {name: _zeros(tensor) for name, tensor in tensors.items() if tensor.is_meta}
    used = {id(at): replaced.get(name, at) for name, at in tensors.items()}
    named = model.named_parameters(remove_duplicate=False)
    on_start({name: used[id(at)] for name, at in named if id(at) in used})
    cuda = {at.device for at in tensors.values() if at.is_cuda}
    # With gradients, since torch's fused transformer layers, which hide the calls inside them,
    # need none. The caller's own default device may be meta.
    with (
        torch.random.fork_rng(cuda) if cuda else PrivateRandom(),
        evaluating(model),
        torch.inference_mode(False),
        torch.enable_grad(),
        device,
    ):
        return torch.func.functional_call(model, replaced, args, dict(kwargs or {}))


def _zeros(tensor: Tensor) -> Tensor:
    """Zeros that take no memory. One sample is soon computed, while the meta device, on which
    nothing is, has torch load its compiler first: a few seconds."""
    return torch.zeros((), dtype=tensor.dtype, device=CPU).expand(tensor.shape)


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """In evaluation mode, and afterwards each module in its own again."""
    training = [module for module in model.modules() if module.training]
    model.eval()
    try:
        yield
    finally:
        for module in training:
            module.training = True
