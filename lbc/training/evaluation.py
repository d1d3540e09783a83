"""Loss and accuracy of a model on the test split."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F

from lbc.data import Loader
from lbc.training.step import Stepper


@torch.no_grad()
def evaluate(
    stepper: Stepper, loader: Loader, after_batch: Callable[[], None]
) -> tuple[float, float]:
    """Return mean loss and accuracy on the test split, which is divided among the ranks.

    ``after_batch`` is called after every batch.
    """
    stepper.model.eval()
    loss, correct = 0.0, 0
    for batch in loader.test_batches():
        with stepper.autocast():
            logits = stepper.model(stepper.place(batch.images)).float()
        labels = batch.labels.to(stepper.device)
        loss += F.cross_entropy(logits, labels, reduction="sum").item()
        correct += int((logits.argmax(dim=1) == labels).sum())
        after_batch()
    total_loss, total_correct = stepper.ranks.sum([loss, correct], stepper.device)
    return total_loss / loader.test_count, total_correct / loader.test_count
