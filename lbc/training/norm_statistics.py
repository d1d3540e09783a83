"""BatchNorm statistics measured anew, for weights that have changed without training."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm


@torch.no_grad()
def renew_statistics(model: nn.Module, batches: Iterable[Tensor]) -> bool:
    """Give every BatchNorm the mean and variance of what reaches it for some images.

    Each is the average over the batches, as all of them are. Everything else, dropout too, computes
    as in evaluation, in which the model is afterwards. Returns False, and does nothing, if the
    model has no BatchNorm with running statistics.
    """
    norms = [at for at in model.modules() if isinstance(at, _BatchNorm) and at.track_running_stats]
    if not norms:
        return False
    momenta = [norm.momentum for norm in norms]
    model.eval()
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # a plain average
        norm.train()
    for images in batches:
        model(images)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    model.eval()
    return True
