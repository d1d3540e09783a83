"""The products to measure: typed by hand, squares, well-known networks, a model's own layers."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lbc.sparsity.pattern import Pattern

TWO_FOUR = Pattern(2, 4)
LARGEST_SIDE = 1 << 20


@dataclass(frozen=True)
class Convolution:
    """What a k×k convolution needs besides its product: images (pixels), kernel, stride."""

    batch: int
    channels: int
    height: int
    width: int
    kernel: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int]
    dilation: tuple[int, int] = (1, 1)


@dataclass(frozen=True)
class Case:
    """X (n, k) times W (m, k) transposed: m outputs, n tokens or pixels, k inputs.

    ``mask`` holds m·k bits of a trained mask, packed row by row (most significant first); without
    it the worker draws a random one of ``pattern``. ``share`` is this layer's part of the whole
    network's multiply-adds, 0 where there is no network.
    """

    name: str
    m: int
    n: int
    k: int
    pattern: Pattern = TWO_FOUR
    mask: bytes | None = None
    convolution: Convolution | None = None
    share: float = 0.0

    @property
    def named(self) -> dict[str, Any]:
        """What every answer about this case repeats."""
        return {
            "name": self.name,
            "m": self.m,
            "n": self.n,
            "k": self.k,
            "pattern": str(self.pattern),
            "share": self.share,
            "convolution": self.convolution is not None,
        }

    def as_job(self) -> dict[str, Any]:
        """The case as the worker reads it."""
        told = self.named
        if self.mask is not None:
            told["mask"] = base64.b64encode(self.mask).decode()
        if self.convolution is not None:
            told["conv"] = vars(self.convolution)
        return told


def square(size: int) -> Case:
    """m = n = k, as published sweeps have it."""
    return Case(f"square {size}", size, size, size)


def typed(text: str) -> Case:
    """A case written as "MxNxK" (outputs × tokens × inputs) or "square N". Raises ValueError."""
    numbers = [int(number) for number in re.findall(r"\d+", text)]
    form = re.fullmatch(r"\s*(square\s+)?\d{1,7}(\s*[x×*,]\s*\d{1,7}){0,2}\s*", text)
    if form is None or len(numbers) not in (1, 3):
        raise ValueError(
            f"{text!r} is no case: write outputs x tokens x inputs, like 4096x512x4096, or one "
            "number for a square."
        )
    if not all(1 <= number <= LARGEST_SIDE for number in numbers):
        raise ValueError(f"{text!r} is out of range: sides go from 1 to {LARGEST_SIDE:,}.")
    if len(numbers) == 1:
        return square(numbers[0])
    m, n, k = numbers
    if k % 4:
        raise ValueError(f"{text!r} has {k} inputs, which 2:4 cannot divide: take a multiple of 4.")
    return Case(f"{m}×{n}×{k}", m, n, k)


TRANSFORMERS: Mapping[str, tuple[tuple[str, int, int], ...]] = {
    "bert-base": (
        ("query, key, value", 2304, 768),
        ("attention output", 768, 768),
        ("fc1", 3072, 768),
        ("fc2", 768, 3072),
    ),
    "deit-small": (
        ("qkv", 1152, 384),
        ("proj", 384, 384),
        ("fc1", 1536, 384),
        ("fc2", 384, 1536),
    ),
    "vit-large": (
        ("qkv", 3072, 1024),
        ("proj", 1024, 1024),
        ("fc1", 4096, 1024),
        ("fc2", 1024, 4096),
    ),
    "llama-2-7b": (
        ("q, k, v or o", 4096, 4096),
        ("gate or up", 11008, 4096),
        ("down", 4096, 11008),
    ),
}
"""Outputs and inputs of the linear layers of published transformers."""

_RESNET50 = (
    ("layer1 1×1 in", 64, 256, 56, 1),
    ("layer1 3×3", 64, 64, 56, 3),
    ("layer2 1×1 out", 512, 128, 28, 1),
    ("layer2 3×3", 128, 128, 28, 3),
    ("layer3 1×1 out", 1024, 256, 14, 1),
    ("layer3 3×3", 256, 256, 14, 3),
    ("layer4 1×1 out", 2048, 512, 7, 1),
    ("layer4 3×3", 512, 512, 7, 3),
)
"""Name, outputs, inputs, side of the image and of the kernel; ImageNet, 224 pixels."""

SHAPES = (*TRANSFORMERS, "resnet-50", "squares", "default")
DEFAULT_TOKENS = 4096
DEFAULT_BATCH = 64


def named(name: str, tokens: int = DEFAULT_TOKENS, batch: int = DEFAULT_BATCH) -> tuple[Case, ...]:
    """The cases of a well-known network, of the square sweep, or the default dozen.

    ``tokens`` is n of the transformers' layers, ``batch`` the images of ResNet-50's. Raises
    ValueError for a name that is not in ``SHAPES``.
    """
    if name in TRANSFORMERS:
        return tuple(Case(f"{name} {layer}", m, tokens, k) for layer, m, k in TRANSFORMERS[name])
    if name == "resnet-50":
        return tuple(_convolution(batch, *row) for row in _RESNET50)
    if name == "squares":
        return tuple(square(size) for size in (1024, 2048, 4096, 8192))
    if name == "default":
        return (
            *named("squares"),
            *named("llama-2-7b", tokens),
            Case("llama-2-7b q, 16 tokens", 4096, 16, 4096),
            *(_convolution(batch, *row) for row in _RESNET50[2:6]),
        )
    raise ValueError(f"{name!r} is not known: choose {', '.join(SHAPES)}, or write 4096x512x4096.")


def _convolution(batch: int, layer: str, m: int, channels: int, side: int, kernel: int) -> Case:
    k = channels * kernel * kernel
    name = f"resnet-50 {layer}"
    if kernel == 1:
        return Case(name, m, batch * side * side, k)
    pad = kernel // 2
    shape = Convolution(batch, channels, side, side, (kernel, kernel), (1, 1), (pad, pad))
    return Case(name, m, batch * side * side, k, convolution=shape)


def chosen(texts: Sequence[str], tokens: int, batch: int) -> tuple[Case, ...]:
    """The cases that ``texts`` name or write, in their order, each once. Raises ValueError."""
    found: dict[Case, None] = {}
    for text in texts:
        cases = named(text, tokens, batch) if not text[:1].isdigit() else (typed(text),)
        found |= dict.fromkeys(cases)
    return tuple(found)
