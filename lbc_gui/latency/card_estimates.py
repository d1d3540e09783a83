"""What the window shows of estimates: every layer on every chosen card, and courses over tokens."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

import numpy as np

from lbc.latency.cases import Case
from lbc.latency.estimate import (
    Card,
    CardModel,
    EstimatedLayers,
    EstimateError,
    NetworkEstimate,
    ProductEstimate,
    RankedLayer,
    estimate_cases,
    estimate_network,
    find_card,
    rank_layers,
    with_measurements,
)
from lbc.latency.measurement import Measurement, Result
from lbc.sparsity.pattern import Pattern
from lbc_gui.latency.keyed_plot import Floats
from lbc_gui.latency.model_layers import scaled

LEAST_SHARE = 0.995
"""Share of the multiply-adds in estimated layers from which on it rounds to all."""

COURSE_STEPS = 3
"""Points of a course for each factor of two."""

Shape = tuple[int, int, int]


@dataclass(frozen=True)
class LayerEstimate:
    """A layer on a card: an estimate, or the reason why there is none.

    ``rank`` says what 2:4 saves. ``measured`` is the measurement of the same case, if one is open.
    """

    number: int
    card: str
    case: Case
    estimate: ProductEstimate | None
    reason: str
    rank: RankedLayer | None
    measured: Result | None = None

    @property
    def residual(self) -> float | None:
        """How far the estimated speed-up is above the measured one, as a share of it."""
        ratio = self.measured.ratio_of(self.measured.sparse()) if self.measured else None
        if ratio is None or self.estimate is None:
            return None
        return self.estimate.speedup / ratio.ratio - 1


@dataclass(frozen=True)
class CardEstimates:
    """All layers on one card; ``number`` is its place among all cards."""

    number: int
    card: Card
    model: CardModel
    layers: tuple[LayerEstimate, ...]
    network: NetworkEstimate | None
    own: int
    """How many of the open measurements are in the fit."""

    @property
    def estimated(self) -> tuple[LayerEstimate, ...]:
        return tuple(layer for layer in self.layers if layer.estimate is not None)


@dataclass(frozen=True)
class Course:
    """A speed-up over the number of images or tokens, and its interval; nan where it is refused."""

    x: Floats
    speedup: Floats
    low: Floats
    high: Floats

    @property
    def first(self) -> float | None:
        """The least number with an estimate."""
        known = self.x[np.isfinite(self.speedup)]
        return float(known[0]) if len(known) else None

    def pays_from(self, values: Floats) -> float | None:
        """From where on ``values``, one of the three, stay above 1 to the end of the course."""
        known = np.flatnonzero(np.isfinite(values))
        if not len(known) or values[known[-1]] <= 1:
            return None
        losing = [at for at in known if values[at] <= 1]
        if not losing:
            return float(self.x[known[0]])
        before, after = losing[-1], known[list(known).index(losing[-1]) + 1]
        logs = np.log(values[[before, after]])
        share = -logs[0] / (logs[1] - logs[0])
        x = np.log(self.x[[before, after]])
        return float(np.exp(x[0] + share * (x[1] - x[0])))


class OwnMeasurements:
    """The open measurements of GPUs, by card and type; of other devices there are no estimates."""

    def __init__(self, measurements: Sequence[Measurement]) -> None:
        self._by_card: dict[tuple[str, str], list[Measurement]] = {}
        for measurement in measurements:
            card = _card_of(measurement)
            if card is not None:
                self._by_card.setdefault((card, measurement.dtype), []).append(measurement)

    def of(self, model: CardModel) -> tuple[Measurement, ...]:
        return tuple(self._by_card.get((model.card, model.dtype), ()))


def _card_of(measurement: Measurement) -> str | None:
    """The name of the card in the published data; None for a device that is not among them."""
    if measurement.device.kind == "cuda":
        with suppress(EstimateError):
            return find_card(measurement.device.name).name
    return None


def estimate_card(
    number: int,
    card: Card,
    dtype: str,
    cases: Sequence[Case],
    own: OwnMeasurements,
    add_own: bool,
) -> CardEstimates:
    """Estimate every case on one card. Raises EstimateError if it has no such type.

    ``add_own``: the open measurements of card and type are added to the fit, if there are any.
    """
    model = card.model(dtype)
    open_ones = own.of(model)
    measured, added = _by_shape(open_ones), 0
    if add_own and open_ones:
        with suppress(EstimateError):  # if none has both times of a 2:4 case
            model, added = with_measurements(model, open_ones), len(open_ones)
    found = estimate_cases(model, cases)
    ranks = {id(one.layer.case): one for one in rank_layers(found)} if found.layers else {}
    reasons = {id(case): reason for case, reason in found.refused}
    layers = []
    for at, case in enumerate(cases):
        rank = ranks.get(id(case))
        estimate = None if rank is None else rank.layer
        same = measured.get((case.m, case.n, case.k))
        reason = reasons.get(id(case), "")
        layers.append(LayerEstimate(at, card.name, case, estimate, reason, rank, same))
    network = estimate_network(found)
    return CardEstimates(number, card, model, tuple(layers), network, added)


def _by_shape(measurements: Sequence[Measurement]) -> dict[Shape, Result]:
    """Results with a time by outputs, tokens and inputs; the first of several."""
    found = [result for one in measurements for result in one.results]
    return {(at.m, at.n, at.k): at for at in reversed(found) if at.dense() or at.sparse()}


def course_of(model: CardModel, cases: Sequence[Case], most: int) -> Course:
    """The speed-up of ``cases`` of one image or token together, over 1 to ``most`` at a time."""
    octaves = most.bit_length() - 1
    steps = 2.0 ** (np.arange(octaves * COURSE_STEPS + 1) / COURSE_STEPS)
    factors = np.unique(steps.astype(int)).tolist()
    sizes = [scaled(cases, factor) for factor in factors]
    unlike = {_shape(case): case for size in sizes for case in size}
    found = {_shape(at.case): at for at in estimate_cases(model, list(unlike.values())).layers}
    points = []
    for size in sizes:
        kept = tuple(found[_shape(case)] for case in size if _shape(case) in found)
        # Of fewer layers the speed-up would be that of another network.
        whole = estimate_network(EstimatedLayers(kept, ())) if len(kept) == len(size) else None
        points.append((whole.speedup, whole.low, whole.high) if whole else (np.nan,) * 3)
    speedup, low, high = np.array(points).T
    return Course(np.array(factors, np.float64), speedup, low, high)


def _shape(case: Case) -> tuple[int, int, int, Pattern]:
    return case.m, case.n, case.k, case.pattern


def describe_network(one: CardEstimates) -> str:
    """What the estimate of the whole network leaves out, and what else it rests on."""
    said = []
    missing = len(one.layers) - len(one.estimated)
    if missing:
        said.append(f"{missing} of {len(one.layers)} layers have no estimate and are not counted")
    if one.network is not None and not one.network.share:
        said.append("linear layers alone, without the products inside attention")
    elif one.network is not None and one.network.share < LEAST_SHARE:
        said.append(f"{1 - one.network.share:.0%} of the multiply-adds count as dense")
    if one.own:
        said.append(f"with {one.own} of your measurements in the fit")
    return "; ".join([*said, one.model.caveat.rstrip(".")]).removesuffix("; ")
