"""A multi-layer perceptron for flattened images."""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn


class Mlp(nn.Module):
    """``depth`` linear layers; all except the last have ``width`` units and a ReLU.

    Images (B, ...) of ``in_features`` values → logits (B, ``classes``).

    Raises ValueError unless width and depth are at least 1.
    """

    def __init__(self, in_features: int, classes: int, width: int = 256, depth: int = 3) -> None:
        super().__init__()
        if min(width, depth) < 1:
            raise ValueError(
                f"An Mlp needs a width and depth of at least 1, not {width} and {depth}."
            )
        widths = [in_features] + [width] * (depth - 1)
        self.flatten = nn.Flatten()
        self.hidden = nn.ModuleList(
            nn.Linear(inputs, outputs) for inputs, outputs in pairwise(widths)
        )
        self.relu = nn.ReLU()
        self.head = nn.Linear(widths[-1], classes)

    def forward(self, images: Tensor) -> Tensor:
        units: Tensor = self.flatten(images)
        for layer in self.hidden:
            units = self.relu(layer(units))
        logits: Tensor = self.head(units)
        return logits
