"""A user's own measurements added to the published fit."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from lbc.latency.estimate.adjustment import Adjustment
from lbc.latency.estimate.card import find_card
from lbc.latency.estimate.card_model import CardModel
from lbc.latency.estimate.errors import EstimateError
from lbc.latency.hardware import runs_as_two_four
from lbc.latency.measurement import Measurement
from lbc.sparsity.pattern import Pattern


def with_measurements(model: CardModel, measurements: Sequence[Measurement]) -> CardModel:
    """Return the model adjusted to measurements of the same card and type; others are left out.

    Earlier adjustments are replaced. Raises EstimateError for another card, or if no pair of dense
    and sparse times in this type is among the measurements.
    """
    for measurement in measurements:
        name = measurement.device.name
        if measurement.device.kind != "cuda" or find_card(name).name != model.card:
            raise EstimateError(f"These are measurements of {name}, not of the {model.card}.")
    rows = [row for each in measurements if each.dtype == model.dtype for row in _rows(each)]
    if not rows:
        raise EstimateError(
            f"No dense and 2:4 times of the same case in {model.dtype} are among the measurements "
            f"of the {model.card}."
        )
    shapes, us = np.array([row[0] for row in rows], np.float64), np.array([row[1] for row in rows])
    published = model.model_copy(update={"adjustment": None}).times(shapes, shapes)
    estimated = np.stack([published.dense_us, published.sparse_us], axis=1)
    adjustment = Adjustment(np.log2(shapes), np.log(us / estimated))
    return model.model_copy(update={"adjustment": adjustment})


def _rows(measurement: Measurement) -> Iterator[tuple[tuple[int, int, int], tuple[float, float]]]:
    """Yield tokens, outputs and inputs, and dense and sparse µs, of each measured 2:4 pair."""
    for result in measurement.results:
        dense, sparse = result.dense(), result.sparse()
        if dense is not None and sparse is not None and _runs_as_two_four(result.pattern):
            yield (result.n, result.m, result.k), (dense.median_us, sparse.median_us)


def _runs_as_two_four(pattern: str) -> bool:
    try:
        return runs_as_two_four(Pattern.parse(pattern))
    except ValueError:
        return False
