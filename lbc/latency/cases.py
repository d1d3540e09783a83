"""Cases: matrix products to measure, given by size or as layers of well-known networks."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from lbc.sparsity.pattern import Pattern

TWO_FOUR = Pattern(2, 4)
MAX_SIDE = 1 << 20


@dataclass(frozen=True)
class Convolution:
    """The geometry of a k×k convolution whose product is a case; sizes in pixels."""

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
    """The product of X (n, k) and W (m, k) transposed: m outputs, n tokens or pixels, k inputs.

    ``mask`` is a trained mask of m·k bits, packed in row-major order, most significant bit first;
    without one the worker draws a random mask of ``pattern``. ``share`` is the fraction of the
    network's multiply-adds in the ``count`` layers of this shape, or 0 without a network.
    """

    name: str
    m: int
    n: int
    k: int
    pattern: Pattern = TWO_FOUR
    mask: bytes | None = None
    convolution: Convolution | None = None
    share: float = 0.0
    count: int = 1

    @property
    def identity(self) -> dict[str, Any]:
        """The values that every answer about this case repeats."""
        return {
            "name": self.name,
            "m": self.m,
            "n": self.n,
            "k": self.k,
            "pattern": str(self.pattern),
            "share": self.share,
            "count": self.count,
            "convolution": self.convolution is not None,
        }

    def as_job(self) -> dict[str, Any]:
        """Return the case as JSON values for the worker."""
        job = self.identity
        if self.mask is not None:
            job["mask"] = base64.b64encode(self.mask).decode()
        if self.convolution is not None:
            job["conv"] = vars(self.convolution)
        return job


def square(size: int) -> Case:
    """Return the case m = n = k, as in published sweeps."""
    return Case(f"square {size}", size, size, size)


def parse_case(text: str) -> Case:
    """Parse "MxNxK" (outputs × tokens × inputs), "square N" or "N". Raises ValueError."""
    numbers = [int(number) for number in re.findall(r"\d+", text)]
    form = re.fullmatch(r"\s*(square\s+)?\d{1,7}(\s*[x×*,]\s*\d{1,7}){0,2}\s*", text)
    if form is None or len(numbers) not in (1, 3):
        raise ValueError(
            f"{text!r} is not a case: write outputs x tokens x inputs, such as 4096x512x4096, or "
            "one number for a square."
        )
    if not all(1 <= number <= MAX_SIDE for number in numbers):
        raise ValueError(f"{text!r} is out of range: sizes must be from 1 to {MAX_SIDE:,}.")
    if len(numbers) == 1:
        return square(numbers[0])
    m, n, k = numbers
    return Case(f"{m}×{n}×{k}", m, n, k)


TRANSFORMERS: Mapping[str, tuple[int, tuple[tuple[str, int, int, int], ...]]] = {
    "bert-base": (
        12,
        (
            ("query, key, value", 1, 2304, 768),
            ("attention output", 1, 768, 768),
            ("fc1", 1, 3072, 768),
            ("fc2", 1, 768, 3072),
        ),
    ),
    "deit-small": (
        12,
        (
            ("qkv", 1, 1152, 384),
            ("proj", 1, 384, 384),
            ("fc1", 1, 1536, 384),
            ("fc2", 1, 384, 1536),
        ),
    ),
    "vit-large": (
        24,
        (
            ("qkv", 1, 3072, 1024),
            ("proj", 1, 1024, 1024),
            ("fc1", 1, 4096, 1024),
            ("fc2", 1, 1024, 4096),
        ),
    ),
    "llama-2-7b": (
        32,
        (
            ("q, k, v or o", 4, 4096, 4096),
            ("gate or up", 2, 11008, 4096),
            ("down", 1, 4096, 11008),
        ),
    ),
}
"""Blocks of published transformers, and of each linear layer: name, how many, outputs, inputs."""

_RESNET50 = (
    ("layer1 1×1 first", 1, 64, 64, 56, 1),
    ("layer1 1×1 in", 2, 64, 256, 56, 1),
    ("layer1 3×3", 3, 64, 64, 56, 3),
    ("layer1 1×1 out", 4, 256, 64, 56, 1),
    ("layer2 1×1 first", 1, 128, 256, 56, 1),
    ("layer2 1×1 in", 3, 128, 512, 28, 1),
    ("layer2 3×3", 4, 128, 128, 28, 3),
    ("layer2 1×1 out", 4, 512, 128, 28, 1),
    ("layer2 downsample", 1, 512, 256, 28, 1),
    ("layer3 1×1 first", 1, 256, 512, 28, 1),
    ("layer3 1×1 in", 5, 256, 1024, 14, 1),
    ("layer3 3×3", 6, 256, 256, 14, 3),
    ("layer3 1×1 out", 6, 1024, 256, 14, 1),
    ("layer3 downsample", 1, 1024, 512, 14, 1),
    ("layer4 1×1 first", 1, 512, 1024, 14, 1),
    ("layer4 1×1 in", 2, 512, 2048, 7, 1),
    ("layer4 3×3", 3, 512, 512, 7, 3),
    ("layer4 1×1 out", 3, 2048, 512, 7, 1),
    ("layer4 downsample", 1, 2048, 1024, 7, 1),
)
"""Name, how many, output and input channels, image and kernel size; ImageNet, 224 pixels.

The downsampling layer of the first stage has the shape of its 1×1 out. One 3×3 of each later stage
has stride 2: its product is the same. Stem and classifier, which stay dense, are left out.
"""

_RESNET50_SAMPLE = ("layer2 1×1 out", "layer2 3×3", "layer3 1×1 out", "layer3 3×3")

_RESNET50_MACS = 4_089_184_256
"""Multiply-adds of the whole network for an image, with stem and classifier (torchvision)."""

SHAPES = (*TRANSFORMERS, "resnet-50", "squares", "default")
DEFAULT_TOKENS = 4096
DEFAULT_BATCH = 64


def named_cases(
    name: str, tokens: int = DEFAULT_TOKENS, batch: int = DEFAULT_BATCH
) -> tuple[Case, ...]:
    """Return the cases of a name in ``SHAPES``: a well-known network, "squares" or "default".

    ``tokens`` is n for transformers, ``batch`` the number of images for ResNet-50. Raises
    ValueError for an unknown name.
    """
    if name in TRANSFORMERS:
        blocks, layers = TRANSFORMERS[name]
        return tuple(
            Case(f"{name} {layer}", m, tokens, k, count=blocks * count)
            for layer, count, m, k in layers
        )
    if name == "resnet-50":
        return tuple(_convolution(batch, *row) for row in _RESNET50)
    if name == "squares":
        return tuple(square(size) for size in (1024, 2048, 4096, 8192))
    if name == "default":
        sample = (
            *named_cases("llama-2-7b", tokens),
            Case("llama-2-7b q, 16 tokens", 4096, 16, 4096),
            *(_convolution(batch, *row) for row in _RESNET50 if row[0] in _RESNET50_SAMPLE),
        )
        return (*named_cases("squares"), *(replace(case, share=0.0, count=1) for case in sample))
    raise ValueError(f"{name!r} is unknown: choose {', '.join(SHAPES)}, or write 4096x512x4096.")


def _convolution(
    batch: int, layer: str, count: int, m: int, channels: int, side: int, kernel: int
) -> Case:
    k, pixels = channels * kernel * kernel, side * side
    share = count * m * k * pixels / _RESNET50_MACS
    case = Case(f"resnet-50 {layer}", m, batch * pixels, k, share=share, count=count)
    if kernel == 1:
        return case
    pad = kernel // 2
    shape = Convolution(batch, channels, side, side, (kernel, kernel), (1, 1), (pad, pad))
    return replace(case, convolution=shape)


def parse_cases(
    texts: Sequence[str], tokens: int, batch: int, pattern: Pattern = TWO_FOUR
) -> tuple[Case, ...]:
    """Parse sizes and names into cases, in order and without duplicates.

    Raises ValueError, also for a size whose inputs are no blocks of ``pattern``, or if none of a
    network's are.
    """
    cases: dict[Case, None] = {}
    for text in texts:
        sized = text[:1].isdigit()
        named = [parse_case(text)] if sized else named_cases(text, tokens, batch)
        if all(case.k % pattern.m for case in named):
            inputs = " or ".join(f"{k:,}" for k in sorted({case.k for case in named}))
            raise ValueError(
                f"{text!r} has {inputs} inputs, but {pattern} needs a multiple of {pattern.m}."
            )
        cases |= dict.fromkeys(replace(case, pattern=pattern) for case in named)
    return tuple(cases)


def at_tokens(cases: Sequence[Case], tokens: int) -> tuple[Case, ...]:
    """Return the cases with ``tokens`` as n. Raises ValueError if theirs differ, as in convnets."""
    if len({case.n for case in cases}) > 1 or any(case.convolution for case in cases):
        raise ValueError(
            "The layers do not all see the same number of tokens, since some are convolutions or "
            "have sizes of their own: give the number of images with --batch, without --tokens."
        )
    return tuple(replace(case, n=tokens) for case in cases)
