"""What is known from elsewhere: hardware peaks, published speed-ups, limits by arithmetic."""

from __future__ import annotations

import re
from dataclasses import dataclass

from lbc.latency.measurement import Device, Dtype, Result


@dataclass(frozen=True)
class Peak:
    """A GPU's data sheet: dense 16-bit TFLOP/s (2:4 doubles it, int8 too), memory TB/s."""

    name: str
    dense_tflops: float
    memory_tb: float

    def operations(self, dtype: Dtype, sparse: bool) -> float:
        """Peak operations per second; float32 is not given on a data sheet for tensor cores."""
        return self.dense_tflops * 1e12 * (2 if dtype == "int8" else 1) * (2 if sparse else 1)


PEAKS = (
    Peak("A100 80GB", 312, 2.039),
    Peak("A100-SXM4-80GB", 312, 2.039),
    Peak("A100-PCIE-80GB", 312, 1.935),
    Peak("A100", 312, 1.555),
    Peak("H100 PCIe", 756, 2.0),
    Peak("H100 NVL", 835, 3.9),
    Peak("H100", 989, 3.35),
    Peak("H200", 989, 4.8),
)
"""NVIDIA's data sheets (A100 2020, H100 2023, H200 2024); the first name that fits counts."""


def peak_of(device: Device) -> Peak | None:
    """The data sheet of a GPU, None for others."""
    if device.kind != "cuda":
        return None
    # Whole words: an RTX A1000 is no A100.
    named = (peak for peak in PEAKS if re.search(rf"\b{peak.name}\b", device.name, re.IGNORECASE))
    return next(named, None)


@dataclass(frozen=True)
class Anchor:
    """A published speed-up of 2:4 over dense for the square product of this size."""

    device: str
    dtype: Dtype
    size: int
    ratio: float
    source: str


_SLIDESPARSE = "SlideSparse, arXiv 2603.05232: cuSPARSELt 0.8.1, best algorithm on both sides"
_SIZES = (1024, 2048, 4096, 8192, 16384)
_PUBLISHED: tuple[tuple[str, Dtype, tuple[float, ...]], ...] = (
    ("A100", "float16", (1.24, 1.08, 1.81, 1.52, 1.22)),
    ("A100", "bfloat16", (1.19, 1.18, 1.71, 1.52, 1.22)),
    ("A100", "int8", (1.18, 1.42, 2.06, 2.19, 2.18)),
    ("H100", "bfloat16", (0.75, 0.97, 1.53, 1.59, 1.45)),
    ("H100", "int8", (1.30, 1.58, 1.28, 1.71, 1.79)),
)
ANCHORS = tuple(
    Anchor(device, dtype, size, ratio, _SLIDESPARSE)
    for device, dtype, ratios in _PUBLISHED
    for size, ratio in zip(_SIZES, ratios, strict=True)
)


def weight_bandwidth_bound(dtype: Dtype) -> float:
    """Largest speed-up of a product that only waits for its weights.

    Half the values stay, and each kept one brings two bits of index: 2·b/(b + 2) for b-bit values.
    """
    bits = {"float32": 32, "float16": 16, "bfloat16": 16, "int8": 8}[dtype]
    return 2 * bits / (bits + 2)


MARGIN = 1.05
"""Boost clocks above the data sheet's are worth a few per cent."""

DTYPE_BYTES: dict[Dtype, int] = {"float32": 4, "float16": 2, "bfloat16": 2, "int8": 1}


def impossible(result: Result, device: Device, dtype: Dtype) -> str:
    """Why a result's figures cannot be true on this device; empty where they can."""
    peak = peak_of(device)
    for time in result.times:
        if not time.p10_us <= time.median_us <= time.p90_us:
            return f"{time.way}: the median lies outside its own percentiles"
        if peak is None or (time.dense and time.unfolded):
            continue  # a convolution has algorithms with fewer multiplications
        reached = result.operations / (time.median_us * 1e-6)
        ceiling = peak.operations(dtype, sparse=not time.dense) * MARGIN
        if reached > ceiling:
            return (
                f"{time.way} would reach {reached / 1e12:,.0f} TFLOP/s, and the {peak.name}'s peak "
                f"is {ceiling / MARGIN / 1e12:,.0f}"
            )
    return ""


def memory_bytes(result: Result, dtype: Dtype, sparse: bool) -> float:
    """Bytes that a product must move at least: W once, X once, Y once."""
    size = DTYPE_BYTES[dtype]
    out = 4 if dtype == "int8" else size
    weights = float(result.m * result.k * size)
    if sparse:
        weights /= weight_bandwidth_bound(dtype)
    return weights + result.n * result.k * size + result.n * result.m * out
