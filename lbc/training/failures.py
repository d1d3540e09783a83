"""What can go wrong in a run, in one sentence that says what to do."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from lbc.data import DataError
from lbc.inspection import PARAMETRIZED


class TrainingError(Exception):
    """A run that cannot start or go on, in one sentence."""


def sentence(error: Exception, processes: int = 1) -> str:
    """Any error as one sentence."""
    if isinstance(error, TrainingError | DataError | ValueError | FloatingPointError):
        return str(error)
    if _is_of_memory(error):
        return (
            "The device is out of memory: lower training.batch_size, raise training.accumulate "
            "or choose a smaller model."
        )
    said = str(error).strip().partition("\n")[0]
    if type(error).__module__.startswith(("torch._dynamo", "torch._inductor")):
        return f"The model could not be compiled ({said}): set training.compile to false."
    if processes > 1 and any(word in said.lower() for word in ("connection", "gloo", "nccl")):
        return (
            f"Another process of this run has ended or cannot be reached ({said}): see what it "
            "said, then go on with --resume."
        )
    return f"{type(error).__name__}: {said}"


def _is_of_memory(error: Exception) -> bool:
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    said = str(error).lower()  # by the CPU's allocator, by cuDNN and cuBLAS: a plain RuntimeError
    return any(words in said for words in ("out of memory", "allocate memory", "alloc_failed"))


def first_bad_layer(model: nn.Module, look: Callable[[], object]) -> str:
    """Which layer went first: the one whose parameter, or else whose output, is not finite.

    ``look`` runs the model once more on the images that failed; modules are asked in the order in
    which it reaches them. An empty text where all is finite.
    """
    found: list[str] = []
    hooks = [
        module.register_forward_hook(partial(_note, found, name))
        for name, module in model.named_modules()
        if "parametrizations" not in name and _is_layer(module)
    ]
    try:
        with torch.no_grad():
            look()
    except RuntimeError:
        pass  # what it had reached by then is known
    finally:
        for hook in hooks:
            hook.remove()
    return found[0] if found else _bad_parameter(model, lambda parameter: parameter)


def first_bad_gradient(model: nn.Module) -> str:
    """Which layer's gradient went first: backward begins at the end of the model."""
    return _bad_parameter(model, lambda parameter: parameter.grad, last=True)


def check_finite(model: nn.Module) -> None:
    """Raise TrainingError where a parameter or buffer is not finite, naming the first."""
    for name, tensor in model.state_dict().items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise TrainingError(
                f"There are values that are not finite in {_layer_of(name)}: lower the learning "
                "rate, or clip the gradients. The last good checkpoint is kept."
            )


def _is_layer(module: nn.Module) -> bool:
    return hasattr(module, "parametrizations") or not any(True for _ in module.children())


def _note(found: list[str], name: str, module: nn.Module, _inputs: Any, output: Any) -> None:
    if found:
        return
    for key, parameter in module.named_parameters():
        if not bool(torch.isfinite(parameter).all()):
            found.append(f"in {_layer_of(f'{name}.{key}')}")
            return
    if isinstance(output, Tensor) and not bool(torch.isfinite(output).all()):
        found.append(f"in what layer {name!r} puts out")


def _bad_parameter(
    model: nn.Module, of: Callable[[nn.Parameter], Tensor | None], last: bool = False
) -> str:
    bad = [
        name
        for name, parameter in model.named_parameters()
        if (tensor := of(parameter)) is not None and not bool(torch.isfinite(tensor).all())
    ]
    return f"in {_layer_of(bad[-1 if last else 0])}" if bad else ""


def _layer_of(name: str) -> str:
    """``hidden.1.parametrizations.weight.0.beta`` → the scores of layer 'hidden.1'."""
    if PARAMETRIZED in name:
        layer, _, key = name.partition(f".{PARAMETRIZED}")
        key = "weight" if key == "original" else "scores"
    else:
        layer, _, key = name.rpartition(".")
    return f"the {key} of layer {layer!r}"
