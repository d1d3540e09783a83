"""What the estimates of layers say about a network: its speed-up, and which layers are worth it."""

from __future__ import annotations

from collections.abc import Sequence
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
    dense and as fast as those. It is 1 for cases that are not layers of a network.
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
        text = (
            f"Whole network: about {self.speedup:.2f}× ({self.low:.2f} to {self.high:.2f}), "
            f"{self.best_speedup:.2f}× if layers that 2:4 slows down stay dense."
        )
        if self.share < 1:
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
    share = min(1.0, sum(layer.case.share for layer in layers)) or 1.0
    dense = sum(layer.dense_us for layer in layers)
    rest = dense * (1 - share) / share

    def whole(layer_us: Sequence[float]) -> float:
        return (dense + rest) / (sum(layer_us) + rest)

    sparse = [layer.sparse_us for layer in layers]
    best = [min(layer.dense_us, layer.sparse_us) for layer in layers]
    return NetworkEstimate(
        dense_us=dense + rest,
        sparse_us=sum(sparse) + rest,
        best_us=sum(best) + rest,
        speedup=whole(sparse),
        low=whole([layer.dense_us / layer.low for layer in layers]),
        high=whole([layer.dense_us / layer.high for layer in layers]),
        best_speedup=whole(best),
        share=share,
    )


@dataclass(frozen=True)
class RankedLayer:
    """A layer with the time that 2:4 saves, as a share of all layers' dense time.

    ``weight_share`` is the layer's share of all layers' weights.
    """

    layer: ProductEstimate
    saved_us: float
    saved_share: float
    weight_share: float


def rank_layers(estimated: EstimatedLayers) -> tuple[RankedLayer, ...]:
    """Rank layers by the time that 2:4 saves, the most worthwhile first."""
    layers = estimated.layers
    dense = sum(layer.dense_us for layer in layers)
    weights = sum(layer.case.m * layer.case.k for layer in layers)
    ranked = (
        RankedLayer(
            layer,
            layer.saved_us,
            layer.saved_us / dense,
            layer.case.m * layer.case.k / weights,
        )
        for layer in layers
    )
    return tuple(sorted(ranked, key=lambda row: -row.saved_us))


@dataclass(frozen=True)
class BreakEven:
    """The fewest tokens from which on 2:4 is faster: by the estimate, by its whole interval."""

    likely: int | None
    certain: int | None


def break_even(model: CardModel, case: Case, tokens: Sequence[int]) -> BreakEven:
    """Find from which of ``tokens`` on, in ascending order, 2:4 pays at every greater number too.

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
