"""The optimiser and learning-rate schedule an experiment asks for."""

from __future__ import annotations

from inspect import unwrap
from math import cos, pi
from typing import TypeVar

import torch
from torch import nn

from lbc import config

NORMS = (nn.modules.batchnorm._NormBase, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm)

WRAPPED = ("add_param_group", "zero_grad", "state_dict", "load_state_dict")
"""Methods of every optimiser that its compiler is kept away from, besides ``step``."""

Kind = TypeVar("Kind", bound=torch.optim.Optimizer)


def build_optimizer(model: nn.Module, settings: config.Optimizer) -> torch.optim.Optimizer:
    """SGD, Adam or AdamW over the weights, biases and scores of ``model``.

    Weight decay applies to weights and scores alike, not to normalisation layers (told by module
    type, wherever they stand) nor to biases, nor to parameters that the model itself names in
    ``no_weight_decay()``, as timm's and DeiT's recipes do with position embeddings.
    """
    named = getattr(model, "no_weight_decay", None)
    exempt = frozenset(named()) if callable(named) else frozenset()
    seen: set[nn.Parameter] = set()
    decayed: list[nn.Parameter] = []
    plain: list[nn.Parameter] = []
    for path, module in model.named_modules():
        for name, parameter in module.named_parameters(recurse=False):
            if parameter in seen:
                continue  # modules may share one
            seen.add(parameter)
            full = f"{path}.{name}" if path else name
            spared = isinstance(module, NORMS) or name.endswith("bias") or full in exempt
            (plain if spared else decayed).append(parameter)
    groups = [
        {"params": decayed, "weight_decay": settings.weight_decay},
        {"params": plain, "weight_decay": 0.0},
    ]
    match settings.name:
        case "sgd":
            sgd = _light(torch.optim.SGD)(
                groups,
                lr=settings.lr,
                momentum=settings.momentum,
                nesterov=settings.nesterov,
                fused=True,
            )
            if settings.momentum:
                # Fused, it fails where parameters get their first gradients in different steps.
                for parameter in [*decayed, *plain]:
                    sgd.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)
            return sgd
        case "adam":
            return _light(torch.optim.Adam)(groups, lr=settings.lr, fused=True)
        case "adamw":
            return _light(torch.optim.AdamW)(groups, lr=settings.lr, fused=True)


def _light(kind: type[Kind]) -> type[Kind]:
    """The same optimiser, but for what makes torch load its compiler: 2 s and 70 MB (torch 2.13).

    Some methods are wrapped so that a compiler, should one come across them, leaves them alone.
    The wrappers load it. Here no optimiser is ever compiled, and the methods go without.
    """
    plain = {name: unwrap(getattr(kind, name)) for name in WRAPPED}
    step = torch.no_grad()(unwrap(kind.step))
    return type(kind.__name__, (kind,), plain | {"step": step})


def learning_rate(settings: config.Optimizer, epoch: float, epochs: int) -> float:
    """The rate at ``epoch`` ∈ [0, epochs], which counts steps as fractions of an epoch.

    Cosine (Loshchilov and Hutter, 2017) spans all epochs, from lr down to final_lr; a step schedule
    multiplies lr by its factor at every milestone. During the warm-up (Goyal et al., 2017) the rate
    rises linearly from warmup_lr to what the schedule says at the warm-up's end.
    """
    if epoch >= settings.warmup_epochs:
        return _scheduled(settings, epoch, epochs)
    target = _scheduled(settings, settings.warmup_epochs, epochs)
    share = epoch / settings.warmup_epochs
    return settings.warmup_lr + (target - settings.warmup_lr) * share


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
