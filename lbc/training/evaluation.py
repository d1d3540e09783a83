"""Loss and accuracy of a model on the test split."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import nn

from lbc.data import Loader
from lbc.training.placement import place_images
from lbc.training.ranks import Ranks


@torch.no_grad()
def evaluate(
    model: nn.Module,
    loader: Loader,
    device: torch.device,
    ranks: Ranks,
    channels_last: bool,
    autocast: Callable[[], torch.autocast],
    after_batch: Callable[[], None],
) -> tuple[float, float]:
    """Return mean loss and accuracy on the test split, which is divided among the ranks.

    ``after_batch`` is called after every batch.
    """
    model.eval()
    loss, correct = 0.0, 0
    for batch in loader.test_batches():
        with autocast():
            logits = model(place_images(batch.images, device, channels_last)).float()
        labels = batch.labels.to(device)
        loss += F.cross_entropy(logits, labels, reduction="sum").item()
        correct += int((logits.argmax(dim=1) == labels).sum())
        after_batch()
    total_loss, total_correct = ranks.sum([loss, correct], device)
    return total_loss / loader.test_count, total_correct / loader.test_count
