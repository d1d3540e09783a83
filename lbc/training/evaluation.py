"""How good a model is on the test split."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import nn

from lbc.data import Loader
from lbc.training.ranks import Ranks
from lbc.training.step import placed


@torch.no_grad()
def evaluate(
    model: nn.Module,
    loader: Loader,
    device: torch.device,
    ranks: Ranks,
    channels_last: bool,
    autocast: Callable[[], torch.autocast],
    look: Callable[[], None],
) -> tuple[float, float]:
    """Mean loss and share of right answers on the test split, shared out among the ranks.

    ``look`` is called after every batch.
    """
    model.eval()
    total, right = 0.0, 0
    for batch in loader.test_batches():
        with autocast():
            logits = model(placed(batch.images, device, channels_last)).float()
        labels = batch.labels.to(device)
        total += F.cross_entropy(logits, labels, reduction="sum").item()
        right += int((logits.argmax(dim=1) == labels).sum())
        look()
    count = loader.test_count
    total_of_all, right_of_all = ranks.sum([total, right], device)
    return total_of_all / count, right_of_all / count
