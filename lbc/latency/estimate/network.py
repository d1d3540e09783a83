"""The speed-up of a network from estimates of its layers, and the layers that save the most."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from lbc.latency.cases import Case
from lbc.latency.estimate.card_model import CardModel
from lbc.latency.estimate.errors import EstimateError
from lbc.latency.estimate.product import (
    EstimatedLayers,
    ProductEstimate,
    estimate_cases,
    refusal,
)


@dataclass(frozen=True)
class NetworkEstimate:
    """Estimated times of a network's products in µs, and its speed-up.

    ``low`` and ``high`` are what results if the speed-ups of all layers are at that end of their
    80 % intervals. ``best_us`` and ``best_speedup`` leave layers dense that 2:4 slows down.
    ``share`` is the fraction of the network's multiply-adds in estimated layers; the rest counts as
    dense and as fast as those. It is 0 if the multiply-adds of the rest are unknown, as those of
    attention without a sequence length; then all figures are of the estimated layers alone.
    """

    dense_us: float
    sparse_us: float
    best_us: float
    speedup: float
    low: float
    high: float
    best_speedup: float
    share: float

    def describe(self) -> str:
        """Describe the estimate in words."""
        what = "Whole network" if self.share else "All linear layers together"
        text = (
            f"{what}: about {self.speedup:.2f}× ({self.low:.2f} to {self.high:.2f}), "
            f"{self.best_speedup:.2f}× if layers that 2:4 slows down stay dense."
        )
        if 0 < self.share < 1:
            text += (
                f" The estimated layers have {self.share:.0%} of its multiply-adds; the rest "
                "counts as dense."
            )
        return text


def estimate_network(estimated: EstimatedLayers) -> NetworkEstimate | None:
    """Combine layers by Amdahl's law; None without any."""
    layers = estimated.layers
    if not layers:
        return None
    share = min(1.0, sum(layer.case.share for layer in layers))
    counts = [layer.case.count for layer in layers]

    def total(layer_us: Iterable[float]) -> float:
        return sum(count * us for count, us in zip(counts, layer_us, strict=True))

    dense = total(layer.dense_us for layer in layers)
    rest = dense * (1 - share) / share if share else 0.0

    def whole(layer_us: Iterable[float]) -> float:
        return (dense + rest) / (total(layer_us) + rest)

    sparse = [layer.sparse_us for layer in layers]
    best = [min(layer.dense_us, layer.sparse_us) for layer in layers]
    return NetworkEstimate(
        dense_us=dense + rest,
        sparse_us=total(sparse) + rest,
        best_us=total(best) + rest,
        speedup=whole(sparse),
        low=whole([layer.dense_us / layer.low for layer in layers]),
        high=whole([layer.dense_us / layer.high for layer in layers]),
        best_speedup=whole(best),
        share=share,
    )


@dataclass(frozen=True)
class RankedLayer:
    """The layers of one shape with the time that 2:4 saves, also as a share of all dense time.

    ``weight_share`` is their share of all layers' weights.
    """

    layer: ProductEstimate
    saved_us: float
    saved_share: float
    weight_share: float


def rank_layers(estimated: EstimatedLayers) -> tuple[RankedLayer, ...]:
    """Rank layers by the time that 2:4 saves, the most worthwhile first."""
    layers = estimated.layers
    dense = sum(layer.case.count * layer.dense_us for layer in layers)
    weights = sum(_weights(layer.case) for layer in layers)
    ranked = (
        RankedLayer(
            layer,
            saved_us=layer.case.count * layer.saved_us,
            saved_share=layer.case.count * layer.saved_us / dense,
            weight_share=_weights(layer.case) / weights,
        )
        for layer in layers
    )
    return tuple(sorted(ranked, key=lambda row: -row.saved_us))


def case_values(case: Case) -> dict[str, object]:
    """Return what a case is as values for JSON or a row of a table."""
    return {
        "layer": case.name,
        "count": case.count,
        "outputs": case.m,
        "tokens": case.n,
        "inputs": case.k,
        "pattern": str(case.pattern),
    }


def layer_values(row: RankedLayer) -> dict[str, object]:
    """Return a ranked layer as values for JSON or a row of a table."""
    layer = row.layer
    return case_values(layer.case) | {
        "dense_us": layer.dense_us,
        "sparse_us": layer.sparse_us,
        "speedup": layer.speedup,
        "low": layer.low,
        "high": layer.high,
        "dense_limit": layer.dense_limit,
        "sparse_limit": layer.sparse_limit,
        "saved_us": row.saved_us,
        "saved_share_of_time": row.saved_share,
        "share_of_weights": row.weight_share,
        "note": layer.note,
    }


def _weights(case: Case) -> int:
    return case.count * case.m * case.k


@dataclass(frozen=True)
class BreakEven:
    """The fewest tokens from which on 2:4 is faster: by the estimate, by its whole interval."""

    likely: int | None
    certain: int | None


def break_even(model: CardModel, case: Case, tokens: Sequence[int]) -> BreakEven:
    """Find the least of ``tokens`` from which on 2:4 is faster, at all greater numbers too.

    Numbers outside the data are left out. Raises EstimateError if all are.
    """
    cases = [replace(case, n=count) for count in sorted(set(tokens))]
    layers = estimate_cases(model, cases).layers
    if not layers:
        raise EstimateError(
            refusal(model, cases[0]) if cases else "No numbers of tokens are given."
        )

    def first(faster: list[bool]) -> int | None:
        slower = [at for at, pays in enumerate(faster) if not pays]
        start = slower[-1] + 1 if slower else 0
        return layers[start].case.n if start < len(layers) else None

    return BreakEven(
        likely=first([layer.speedup > 1 for layer in layers]),
        certain=first([layer.low > 1 for layer in layers]),
    )
