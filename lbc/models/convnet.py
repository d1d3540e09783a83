"""A small convolutional network that trains on digits in seconds."""

from __future__ import annotations

from torch import Tensor, nn

MIN_POOLED_SIDE = 4
"""Smaller images are not pooled any further: a 3x3 kernel would cover mostly padding."""

MAX_DOUBLINGS = 3


class Stage(nn.Module):
    """Optional 2x2 max-pooling, 3x3 convolution, BatchNorm, ReLU: (B, I, H, W) → (B, O, H', W')."""

    def __init__(self, in_channels: int, out_channels: int, pool: bool) -> None:
        super().__init__()
        self.pool = nn.MaxPool2d(2) if pool else nn.Identity()
        self.conv = nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(out_channels)
        self.relu = nn.ReLU()

    def forward(self, images: Tensor) -> Tensor:
        result: Tensor = self.relu(self.norm(self.conv(self.pool(images))))
        return result


class ConvNet(nn.Module):
    """``depth`` 3x3 convolutions, global average pooling and a linear head.

    Images (B, ``in_channels``, H, W) → logits (B, ``classes``). ``image_size`` is min(H, W) in
    pixels. Each stage after the first halves the image while its side is at least 4, and doubles
    the channels, from ``width`` up to 8 × ``width``. The input width of every convolution after the
    first is therefore a multiple of ``width``.

    Raises ValueError unless width, depth and image_size are at least 1.
    """

    def __init__(
        self, in_channels: int, image_size: int, classes: int, width: int = 32, depth: int = 3
    ) -> None:
        super().__init__()
        if min(width, depth, image_size) < 1:
            raise ValueError(
                f"A ConvNet needs a width, depth and image size of at least 1, "
                f"not {width}, {depth} and {image_size}."
            )
        stages = [Stage(in_channels, width, pool=False)]
        channels, side = width, image_size
        for _ in range(1, depth):
            pool = side >= MIN_POOLED_SIDE
            doubled = min(channels * 2, width << MAX_DOUBLINGS) if pool else channels
            stages.append(Stage(channels, doubled, pool))
            channels, side = doubled, side // 2 if pool else side
        self.stages = nn.Sequential(*stages)
        self.average = nn.AdaptiveAvgPool2d(1)
        self.flatten = nn.Flatten()
        self.head = nn.Linear(channels, classes)

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.head(self.flatten(self.average(self.stages(images))))
        return logits
