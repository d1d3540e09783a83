"""All normalised images of a split in one tensor."""

from __future__ import annotations

import torch
from torch import Tensor

from lbc.data import Dataset


def all_trained_on(data: Dataset) -> Tensor:
    """The training images, float32 (B, channels, H, W)."""
    return data.normalise(data.train.read(torch.arange(len(data.train.labels))))


def all_tested_on(data: Dataset) -> Tensor:
    """The test images, float32 (B, channels, H, W)."""
    return data.normalise(data.test.read(torch.arange(len(data.test.labels))))
