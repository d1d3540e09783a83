"""Reference figures: hardware peaks, published speed-ups and theoretical bounds."""

from __future__ import annotations

import re
from dataclasses import dataclass

from lbc.latency.measurement import Device, Dtype, Result


@dataclass(frozen=True)
class Peak:
    """A GPU's data sheet: dense 16-bit TFLOP/s, which 2:4 and int8 each double, and memory TB/s."""

    name: str
    dense_tflops: float
    memory_tb: float

    def operations(self, dtype: Dtype, sparse: bool) -> float:
        """Return the peak operations per second; not for float32, which has no tensor cores."""
        return self.dense_tflops * 1e12 * (2 if dtype == "int8" else 1) * (2 if sparse else 1)


PEAKS = (
    Peak("A100-SXM4-80GB", 312, 2.039),
    Peak("A100 80GB PCIe", 312, 1.935),
    Peak("A100", 312, 1.555),
    Peak("H100 PCIe", 756, 2.0),
    Peak("H100 NVL", 835, 3.9),
    Peak("H100", 989, 3.35),
    Peak("H200", 989, 4.8),
)
"""NVIDIA's data sheets (A100 2020, H100 2023, H200 2024); the first matching name applies."""


def find_peak(device: Device) -> Peak | None:
    """Return the data sheet of a device, or None if it is not listed."""
    if device.kind != "cuda":
        return None
    # Match whole words: an RTX A1000 is not an A100.
    named = (peak for peak in PEAKS if re.search(rf"\b{peak.name}\b", device.name, re.IGNORECASE))
    return next(named, None)


@dataclass(frozen=True)
class Anchor:
    """A published speed-up of 2:4 over dense for the square matrix product of this size.

    Only on a ``device`` of the same form: an H100 SXM multiplies about 1.7 times faster than PCIe.
    """

    device: str
    dtype: Dtype
    size: int
    ratio: float
    source: str


_SLIDESPARSE = (
    "SlideSparse, arXiv 2603.05232: cuSPARSELt 0.8.1, best algorithm on both sides, warm L2 cache, "
    "eager"
)
_INT8 = "; int8: dense writes int32, sparse bfloat16, where this program writes int32 on both sides"
_SIZES = (1024, 2048, 4096, 8192, 16384)
_PUBLISHED: tuple[tuple[str, Dtype, tuple[float, ...]], ...] = (
    ("A100 80GB PCIe", "float16", (1.24, 1.08, 1.81, 1.52, 1.22)),
    ("A100 80GB PCIe", "bfloat16", (1.19, 1.18, 1.71, 1.52, 1.22)),
    ("A100 80GB PCIe", "int8", (1.18, 1.42, 2.06, 2.19, 2.18)),
    ("H100 PCIe", "bfloat16", (0.75, 0.97, 1.53, 1.59, 1.45)),
    ("H100 PCIe", "int8", (1.30, 1.58, 1.28, 1.71, 1.79)),
)
ANCHORS = tuple(
    Anchor(device, dtype, size, ratio, _SLIDESPARSE + (_INT8 if dtype == "int8" else ""))
    for device, dtype, ratios in _PUBLISHED
    for size, ratio in zip(_SIZES, ratios, strict=True)
)


def weight_bandwidth_bound(dtype: Dtype) -> float:
    """Return the largest speed-up of a product bound by the bandwidth of loading its weights.

    Half of the values are stored, each with two index bits: 2·b/(b + 2) for b-bit values.
    """
    bits = {"float32": 32, "float16": 16, "bfloat16": 16, "int8": 8}[dtype]
    return 2 * bits / (bits + 2)


MARGIN = 1.05
"""Tolerance for boost clocks above those of the data sheet."""

DTYPE_BYTES: dict[Dtype, int] = {"float32": 4, "float16": 2, "bfloat16": 2, "int8": 1}


def explain_impossible(result: Result, device: Device, dtype: Dtype) -> str:
    """Return why a result's figures are impossible on this device, or "" if they are possible."""
    peak = find_peak(device)
    for time in result.times:
        if not time.p10_us <= time.median_us <= time.p90_us:
            return f"{time.way}: the median is outside its percentiles"
        if peak is None or (time.dense and time.unfolded):
            continue  # some convolution algorithms need fewer multiplications
        achieved = result.operations / (time.median_us * 1e-6)
        ceiling = peak.operations(dtype, sparse=not time.dense) * MARGIN
        if achieved > ceiling:
            return (
                f"{time.way} would reach {achieved / 1e12:,.0f} TFLOP/s, but the {peak.name}'s "
                f"peak is {ceiling / MARGIN / 1e12:,.0f}"
            )
    return ""


def memory_bytes(result: Result, dtype: Dtype, sparse: bool) -> float:
    """Return the minimum memory traffic of a product in bytes: W, X and Y once each."""
    size = DTYPE_BYTES[dtype]
    out = 4 if dtype == "int8" else size
    weights = float(result.m * result.k * size)
    if sparse:
        weights /= weight_bandwidth_bound(dtype)
    return weights + result.n * result.k * size + result.n * result.m * out
