"""All images of a split at once, as training sees them."""

from __future__ import annotations

import torch
from torch import Tensor

from lbc.data import Dataset


def all_trained_on(data: Dataset) -> Tensor:
    """Normalised images, float32 (B, channels, H, W)."""
    return data.normalised(data.train.read(torch.arange(len(data.train.labels))))


def all_tested_on(data: Dataset) -> Tensor:
    """As ``all_trained_on``."""
    return data.normalised(data.test.read(torch.arange(len(data.test.labels))))
