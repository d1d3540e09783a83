"""The device and memory format of a model."""

from __future__ import annotations

import torch
from torch import nn

from lbc import config
from lbc.training.compiler import check_compiler
from lbc.training.failures import TrainingError


def resolve_device(name: str) -> torch.device:
    """Return the device called ``name``, made the current one if it is a GPU.

    Raises TrainingError if this machine cannot use it.
    """
    try:
        device = torch.empty(0, device=name).device
        if device.type == "cuda":
            torch.cuda.set_device(device)
        return device
    except (RuntimeError, AssertionError) as error:  # AssertionError: torch built without CUDA
        raise TrainingError(
            f"The device {name} cannot be used on this machine: set device to cpu."
        ) from error


def place_model(model: nn.Module, device: torch.device, settings: config.Training) -> nn.Module:
    """Move the model to ``device``, with the memory format and BatchNorm of ``settings``.

    Raises TrainingError if it is to be compiled, which is impossible here.
    """
    if settings.compile:
        check_compiler()
    if settings.sync_batchnorm:
        model = nn.SyncBatchNorm.convert_sync_batchnorm(model)  # type: ignore[no-untyped-call]
    if settings.channels_last:
        return model.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]
    return model.to(device)
