"""The optimiser and the learning-rate schedule of an experiment."""

from __future__ import annotations

from inspect import unwrap
from math import cos, pi
from typing import TypeVar

import torch
from torch import nn

from lbc import config

NORMS = (nn.modules.batchnorm._NormBase, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm)

WRAPPED = ("add_param_group", "zero_grad", "state_dict", "load_state_dict")
"""Optimiser methods that torch excludes from compilation, besides ``step``."""

Kind = TypeVar("Kind", bound=torch.optim.Optimizer)


def build_optimizer(model: nn.Module, settings: config.Optimizer) -> torch.optim.Optimizer:
    """SGD, Adam or AdamW over the weights, biases and scores of ``model``.

    Weight decay applies to weights and scores alike. It does not apply to biases, to parameters of
    normalisation layers (recognised by module type) or to those named by the model's
    ``no_weight_decay()``, such as position embeddings in the recipes of timm and DeiT.
    """
    method = getattr(model, "no_weight_decay", None)
    named = frozenset(method()) if callable(method) else frozenset()
    seen: set[nn.Parameter] = set()
    decayed: list[nn.Parameter] = []
    plain: list[nn.Parameter] = []
    for path, module in model.named_modules():
        for name, parameter in module.named_parameters(recurse=False):
            if parameter in seen:
                continue  # shared by several modules
            seen.add(parameter)
            full = f"{path}.{name}" if path else name
            exempt = isinstance(module, NORMS) or name.endswith("bias") or full in named
            (plain if exempt else decayed).append(parameter)
    groups = [
        {"params": decayed, "weight_decay": settings.weight_decay},
        {"params": plain, "weight_decay": 0.0},
    ]
    match settings.name:
        case "sgd":
            sgd = _uncompiled(torch.optim.SGD)(
                groups,
                lr=settings.lr,
                momentum=settings.momentum,
                nesterov=settings.nesterov,
                fused=True,
            )
            if settings.momentum:
                # Fused SGD fails if parameters receive their first gradients in different steps.
                for parameter in [*decayed, *plain]:
                    sgd.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)
            return sgd
        case "adam":
            return _uncompiled(torch.optim.Adam)(groups, lr=settings.lr, fused=True)
        case "adamw":
            return _uncompiled(torch.optim.AdamW)(groups, lr=settings.lr, fused=True)


def set_weight_decay(optimizer: torch.optim.Optimizer, weight_decay: float) -> None:
    """Change the weight decay of what decays in an optimiser of ``build_optimizer``."""
    optimizer.param_groups[0]["weight_decay"] = weight_decay


def _uncompiled(kind: type[Kind]) -> type[Kind]:
    """Derive an optimiser that does not load torch's compiler, which takes 2 s and 70 MB (2.13).

    torch wraps some methods to exclude them from compilation, and the wrappers import the
    compiler. No optimiser is compiled here, so the wrappers are removed.
    """
    plain = {name: unwrap(getattr(kind, name)) for name in WRAPPED}
    step = torch.no_grad()(unwrap(kind.step))
    return type(kind.__name__, (kind,), plain | {"step": step})


def learning_rate(settings: config.Optimizer, epoch: float, epochs: int) -> float:
    """Return the learning rate at ``epoch`` ∈ [0, epochs]; within an epoch it is a fraction.

    The cosine schedule (Loshchilov and Hutter, 2017) falls from lr to final_lr over all epochs; the
    step schedule multiplies lr by lr_factor at every milestone. During warm-up (Goyal et al., 2017)
    the rate rises linearly from warmup_lr to the schedule's value at the end of warm-up.
    """
    if epoch >= settings.warmup_epochs:
        return _scheduled(settings, epoch, epochs)
    target = _scheduled(settings, settings.warmup_epochs, epochs)
    fraction = epoch / settings.warmup_epochs
    return settings.warmup_lr + (target - settings.warmup_lr) * fraction


def _scheduled(settings: config.Optimizer, epoch: float, epochs: int) -> float:
    match settings.lr_schedule:
        case "constant":
            return settings.lr
        case "step":
            passed = sum(epoch >= milestone for milestone in settings.lr_milestones)
            return settings.lr * settings.lr_factor**passed
        case "cosine":
            above = settings.lr - settings.final_lr
            return settings.final_lr + above * (1 + cos(pi * epoch / epochs)) / 2
