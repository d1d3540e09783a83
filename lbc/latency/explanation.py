"""Explanations of small speed-ups, derived from the measurements."""

from __future__ import annotations

from lbc.latency.anchors import find_peak, memory_bytes, weight_bandwidth_bound
from lbc.latency.hardware import describe_support
from lbc.latency.measurement import A_A, Measurement, Ratio, Result
from lbc.sparsity.pattern import Pattern

SLOW = 1.15
"""Speed-up from which no explanation is needed."""

FEW_MICROSECONDS = 15.0
"""Time below which a product is too short to occupy the GPU."""

NEAR_BANDWIDTH = 0.5
"""Fraction of the time spent on memory traffic from which a product is bandwidth-bound."""

HOPPER = (9, 0)
REGRESSED_CUSPARSELT = 800


def explain(result: Result, measurement: Measurement) -> str:
    """Explain why 2:4 gains little in a case; "" if it gains enough or no reason is known."""
    if result.status != "measured":
        return " ".join(filter(None, (result.why, _support(result))))
    sparse = result.sparse()
    ratio = result.ratio_of(sparse)
    if sparse is None or ratio is None:
        wrong = [time.way for time in result.times if not time.right]
        if wrong:
            return f"Incorrect results by {', '.join(wrong)}: no speed-up is reported."
        refused = "; ".join(f"{refused.what}: {refused.why}" for refused in result.refused)
        return refused or "No sparse way was measured."
    if measurement.backend == "cpu":
        reasons = _explain_cpu(result, ratio)
    else:
        reasons = _explain_gpu(result, measurement, sparse.median_us, ratio)
    return " ".join(filter(None, (*reasons, _unfolded(result), _support(result))))


def _unfolded(result: Result) -> str:
    """Give the speed-up of a convolution including the unfolding."""
    ratio = result.ratio_of(result.unfolded_sparse())
    if ratio is None:
        return ""
    return f"Including unfolding: {ratio.ratio:.2f}× over {ratio.over}."


def _support(result: Result) -> str:
    """Describe GPU support for the pattern and the fraction of this mask that complies."""
    try:
        support = describe_support(Pattern.parse(result.pattern))
    except ValueError:
        return ""
    if result.share_valid is None or result.share_valid == 1:
        return support
    complies = f"{result.share_valid:.0%} of this mask's groups of four comply with 2:4."
    return f"{complies} {support}".strip()


def _explain_cpu(result: Result, best: Ratio) -> list[str]:
    if best.ratio >= SLOW and best.low > 1:
        return []
    products = {time.way for time in result.times if not time.unfolded} - {A_A}
    each = ", ".join(f"{r.way} {r.ratio:.2f}×" for r in result.ratios if r.way in products)
    return [f"CPUs have no 2:4 instructions; masks and indices cost extra work ({each})."]


def _explain_gpu(
    result: Result, measurement: Measurement, sparse_us: float, best: Ratio
) -> list[str]:
    reasons, ratio = [], best.ratio
    eager = result.ratio_of(result.sparse("eager"))
    pays = ratio >= SLOW and best.low > 1
    if pays and eager is not None and eager.ratio < min(SLOW, 0.9 * ratio):
        return [
            f"Launch-bound outside a CUDA graph ({eager.ratio:.2f}×): launching the kernels takes "
            "longer than running them."
        ]
    if pays:
        return []
    noise = result.noise()
    if noise is not None and min(noise.low, 1) <= ratio <= max(noise.high, 1):
        reasons.append("Within the noise between two measurements of the same code.")
    elif best.low <= 1 <= best.high:
        reasons.append(
            f"No significant difference: the interval is {best.low:.2f} to {best.high:.2f}."
        )
    if sparse_us < FEW_MICROSECONDS:
        reasons.append(f"Launch-bound: the call takes {sparse_us:.0f} µs, mostly overhead.")
    fraction = _memory_fraction(result, measurement, sparse_us)
    if fraction >= NEAR_BANDWIDTH:
        bound = weight_bandwidth_bound(measurement.dtype)
        reasons.append(
            f"Bandwidth-bound: memory traffic takes {fraction:.0%} of the time, and 2:4 reduces "
            f"only that of the weights, by at most {bound:.2f}×."
        )
    if any(result.padded):
        reasons.append(
            f"Padded: the kernel takes {result.m + result.padded[0]}×{result.k + result.padded[1]} "
            f"for this {result.m}×{result.k} weight."
        )
    ways = {time.way for time in result.times}
    if measurement.backend == "cusparselt" and "cuSPARSELt best" not in ways:
        reasons.append("Default algorithm: the algorithm search was disabled or failed.")
    reasons += _known_regressions(measurement)
    return reasons


THROTTLED = {
    0x4: "power cap",
    0x8: "hardware slowdown",
    0x20: "heat",
    0x40: "heat",
    0x80: "power brake",
}
"""NVML's bits for reduced clocks, without idling and user settings."""


def throttle_reasons(result: Result) -> list[str]:
    """Return why the GPU reduced its clocks while the case was measured."""
    value = result.clocks.get("throttle_reasons")
    try:
        bits = int(value, 16) if isinstance(value, str) else 0
    except ValueError:
        return []
    return list(dict.fromkeys(name for bit, name in THROTTLED.items() if bits & bit))


def _memory_fraction(result: Result, measurement: Measurement, sparse_us: float) -> float:
    peak = find_peak(measurement.device)
    if peak is None:
        return 0.0
    seconds = memory_bytes(result, measurement.dtype, sparse=True) / (peak.memory_tb * 1e12)
    return seconds / (sparse_us * 1e-6)


def _known_regressions(measurement: Measurement) -> list[str]:
    device = measurement.device
    regressed = measurement.backend == "cusparselt" and device.cusparselt == REGRESSED_CUSPARSELT
    if regressed and device.capability == HOPPER:
        return ["cuSPARSELt 0.8.0 has known regressions on this GPU, fixed in 0.8.1."]
    return []
