"""Why a case gains little: one sentence, from what was measured."""

from __future__ import annotations

from lbc.latency.anchors import memory_bytes, peak_of, weight_bandwidth_bound
from lbc.latency.hardware import hardware_path
from lbc.latency.measurement import A_A, Measurement, Ratio, Result
from lbc.sparsity.pattern import Pattern

SLOW = 1.15
"""Speed-ups from here on need no excuse."""

FEW_MICROSECONDS = 15.0
"""Below this a product is over before the GPU is full."""

NEAR_BANDWIDTH = 0.5
"""Share of the time that moving the operands takes at least, from which memory is the limit."""

HOPPER = (9, 0)
REGRESSED_CUSPARSELT = 800


def why_slow(result: Result, measurement: Measurement) -> str:
    """What holds a case back, empty where 2:4 pays (or nothing is known)."""
    if result.status != "measured":
        return " ".join(filter(None, (result.why, _path(result))))
    sparse = result.sparse()
    ratio = result.ratio_of(sparse)
    if sparse is None or ratio is None:
        wrong = [time.way for time in result.times if not time.right]
        if wrong:
            return f"Wrong results by {', '.join(wrong)}: no speed-up is reported."
        return "; ".join(f"{r.what}: {r.why}" for r in result.refused) or "No sparse way was tried."
    if measurement.backend == "cpu":
        reasons = _on_a_processor(result, ratio)
    else:
        reasons = _reasons(result, measurement, sparse.median_us, ratio)
    return " ".join(filter(None, (*reasons, _unfolded(result), _path(result))))


def _unfolded(result: Result) -> str:
    """What is left of a convolution's gain with the unfolding that its product needs."""
    ratio = result.ratio_of(result.unfolded_sparse())
    if ratio is None:
        return ""
    return f"With the unfolding that it needs: {ratio.ratio:.2f}× over the {ratio.over}."


def _path(result: Result) -> str:
    """What hardware can make of the case's pattern, and of this very mask."""
    try:
        path = hardware_path(Pattern.parse(result.pattern))
    except ValueError:
        return ""
    if result.share_valid is None or result.share_valid == 1:
        return path
    return f"{result.share_valid:.0%} of this mask's groups of four comply with 2:4. {path}".strip()


def _on_a_processor(result: Result, best: Ratio) -> list[str]:
    if best.ratio >= SLOW and best.low > 1:
        return []
    products = {time.way for time in result.times if not time.unfolded} - {A_A}
    each = ", ".join(f"{r.way} {r.ratio:.2f}×" for r in result.ratios if r.way in products)
    return [f"Processors have no 2:4 instructions, masks and indices are extra work ({each})."]


def _reasons(result: Result, measurement: Measurement, sparse_us: float, best: Ratio) -> list[str]:
    reasons, ratio = [], best.ratio
    eager = result.ratio_of(result.sparse("eager"))
    pays = ratio >= SLOW and best.low > 1
    if pays and eager is not None and eager.ratio < min(SLOW, 0.9 * ratio):
        return [
            f"Launch-bound outside a CUDA graph ({eager.ratio:.2f}×): starting the kernels takes "
            "longer than running them."
        ]
    if pays:
        return []
    noise = result.noise()
    if noise is not None and min(noise.low, 1) <= ratio <= max(noise.high, 1):
        reasons.append("Within the noise of measuring the same code twice.")
    elif best.low <= 1 <= best.high:
        reasons.append(
            f"No difference is shown: the interval goes from {best.low:.2f} to {best.high:.2f}."
        )
    if sparse_us < FEW_MICROSECONDS:
        reasons.append(f"Launch-bound: all of it takes {sparse_us:.0f} µs, mostly fixed costs.")
    waiting = _share_of_memory(result, measurement, sparse_us)
    if waiting >= NEAR_BANDWIDTH:
        bound = weight_bandwidth_bound(measurement.dtype)
        reasons.append(
            f"Bandwidth-bound: moving the operands takes {waiting:.0%} of the time; 2:4 shrinks "
            f"only the weights, by {bound:.2f}× at most."
        )
    if any(result.padded):
        reasons.append(
            f"Padded: the kernel takes {result.m + result.padded[0]}×{result.k + result.padded[1]} "
            f"for this {result.m}×{result.k} weight."
        )
    ways = {time.way for time in result.times}
    if measurement.backend == "cusparselt" and "cuSPARSELt best" not in ways:
        reasons.append("Default algorithm: the search for the best one was off or failed.")
    reasons += _known_regressions(measurement)
    return reasons


THROTTLED = {
    0x4: "power cap",
    0x8: "hardware slowdown",
    0x20: "heat",
    0x40: "heat",
    0x80: "power brake",
}
"""NVML's bits for clocks below what was asked for; idling and a user's settings are left out."""


def throttle_reasons(result: Result) -> list[str]:
    """Why the GPU ran below its clocks while the case was measured."""
    told = result.clocks.get("throttle_reasons")
    try:
        bits = int(told, 16) if isinstance(told, str) else 0
    except ValueError:
        return []
    return list(dict.fromkeys(name for bit, name in THROTTLED.items() if bits & bit))


def _share_of_memory(result: Result, measurement: Measurement, sparse_us: float) -> float:
    peak = peak_of(measurement.device)
    if peak is None:
        return 0.0
    seconds = memory_bytes(result, measurement.dtype, sparse=True) / (peak.memory_tb * 1e12)
    return seconds / (sparse_us * 1e-6)


def _known_regressions(measurement: Measurement) -> list[str]:
    device = measurement.device
    regressed = measurement.backend == "cusparselt" and device.cusparselt == REGRESSED_CUSPARSELT
    if regressed and device.capability == HOPPER:
        return ["cuSPARSELt 0.8.0 has known regressions on this GPU, mended in 0.8.1."]
    return []
