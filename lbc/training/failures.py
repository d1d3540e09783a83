"""Training errors, each described by one sentence with a remedy."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from lbc.data import DataError
from lbc.files.os_errors import explain
from lbc.files.printable import SentenceError
from lbc.inspection import PARAMETRIZED


class TrainingError(SentenceError):
    """A run cannot start or continue; the message is one sentence."""


def describe_error(error: Exception, processes: int = 1) -> str:
    """Describe any error of a run in one sentence, and log those that nothing expects."""
    if isinstance(error, TrainingError | DataError | FloatingPointError) or _is_sentence(error):
        return str(error)
    if isinstance(error, OSError) and error.errno and error.filename:
        return explain(error, f"{error.filename} cannot be used")
    if _is_out_of_memory(error):
        return (
            "The device is out of memory: lower training.batch_size, raise training.accumulate "
            "or choose a smaller model."
        )
    logging.getLogger(__name__).error("Training failed", exc_info=error)
    reason = str(error).strip().partition("\n")[0]
    if type(error).__module__.startswith(("torch._dynamo", "torch._inductor")):
        return f"The model could not be compiled ({reason}): set training.compile to false."
    if processes > 1 and any(word in reason.lower() for word in ("connection", "gloo", "nccl")):
        return (
            f"Another process of this run has ended or cannot be reached ({reason}): see its "
            "output, then resume the run with --resume."
        )
    return (
        f"Training stopped on an unexpected error ({type(error).__name__}: {reason.rstrip('.')}): "
        "resume the run; if that fails again, start a new one and report the error, with its "
        "details from lbc.log."
    )


def _is_sentence(error: Exception) -> bool:
    """Whether it is for the user: ValueErrors of torch, Python and methods seldom end like one."""
    return isinstance(error, ValueError) and str(error).endswith(".")


def _is_out_of_memory(error: Exception) -> bool:
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    reason = str(error).lower()  # the CPU allocator, cuDNN and cuBLAS raise a plain RuntimeError
    return any(words in reason for words in ("out of memory", "allocate memory", "alloc_failed"))


def first_nonfinite_layer(model: nn.Module, forward: Callable[[], object]) -> str:
    """Name the first layer, in order of execution, with a non-finite parameter or output.

    ``forward`` runs the model again on the images that failed. Returns "" if all is finite.
    """
    found: list[str] = []
    hooks = [
        module.register_forward_hook(partial(_record_nonfinite, found, name))
        for name, module in model.named_modules()
        if "parametrizations" not in name and _is_layer(module)
    ]
    try:
        with torch.no_grad():
            forward()
    except RuntimeError:
        pass  # the layers executed before the error have been checked
    finally:
        for hook in hooks:
            hook.remove()
    return found[0] if found else _nonfinite_parameter(model, lambda parameter: parameter)


def first_nonfinite_gradient(model: nn.Module) -> str:
    """Name the layer whose non-finite gradient was computed first: the last one in the model."""
    return _nonfinite_parameter(model, lambda parameter: parameter.grad, last=True)


def check_finite(model: nn.Module) -> None:
    """Raise TrainingError, naming the first, if a parameter or buffer is not finite."""
    for name, tensor in model.state_dict().items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise TrainingError(
                f"There are non-finite values in {_describe_parameter(name)}: lower the learning "
                "rate, or clip the gradients. The last good checkpoint is kept."
            )


def _is_layer(module: nn.Module) -> bool:
    return hasattr(module, "parametrizations") or not any(True for _ in module.children())


def _record_nonfinite(
    found: list[str], name: str, module: nn.Module, _inputs: Any, output: Any
) -> None:
    if found:
        return
    for key, parameter in module.named_parameters():
        if not bool(torch.isfinite(parameter).all()):
            found.append(f"in {_describe_parameter(f'{name}.{key}')}")
            return
    if isinstance(output, Tensor) and not bool(torch.isfinite(output).all()):
        found.append(f"in the output of layer {name!r}")


def _nonfinite_parameter(
    model: nn.Module, of: Callable[[nn.Parameter], Tensor | None], last: bool = False
) -> str:
    bad = [
        name
        for name, parameter in model.named_parameters()
        if (tensor := of(parameter)) is not None and not bool(torch.isfinite(tensor).all())
    ]
    return f"in {_describe_parameter(bad[-1 if last else 0])}" if bad else ""


def _describe_parameter(name: str) -> str:
    """For example hidden.1.parametrizations.weight.0.beta: the scores of layer 'hidden.1'."""
    if PARAMETRIZED in name:
        layer, _, key = name.partition(f".{PARAMETRIZED}")
        key = "weight" if key == "original" else "scores"
    else:
        layer, _, key = name.rpartition(".")
    return f"the {key} of layer {layer!r}"
