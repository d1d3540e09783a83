"""Estimated times of matrix products, dense and 2:4, with the interval of their speed-up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Literal

import numpy as np

from lbc.latency.cases import Case
from lbc.latency.estimate.card_model import CardModel
from lbc.latency.estimate.errors import EstimateError
from lbc.latency.estimate.roofline import Floats, Roofline
from lbc.latency.hardware import SLIDE_SPARSE, describe_support, runs_as_two_four
from lbc.sparsity.pattern import Pattern
from lbc.sparsity.sliding_windows import window_block

Limit = Literal["compute", "weight bandwidth", "activation bandwidth", "launch"]
LIMITS: tuple[Limit, ...] = ("compute", "weight bandwidth", "activation bandwidth", "launch")

REACH = 2
MORE_TOKENS = 8
"""Factors outside the data's sizes up to which there is an estimate.

For more tokens than measured the time grows in proportion: refitted without the largest numbers of
tokens, the intervals contain 97 to 100 % of the speed-ups at up to eight times as many.
"""

OUTSIDE = 0.1
"""Growth of an interval's half width with each octave outside the data's sizes."""

MULTIPLE = {"bfloat16": 16, "float16": 16, "int8": 32, "float8": 32}
"""cuSPARSELt's demands on outputs and inputs (torch.sparse.semi_structured)."""


@dataclass(frozen=True)
class ProductEstimate:
    """The estimate of a case: times in µs, and dense over 2:4 with its 80 % interval.

    ``expansion`` is the factor by which SlideSparse widens the inputs, 1 for other patterns.
    """

    case: Case
    dense_us: float
    sparse_us: float
    speedup: float
    low: float
    high: float
    dense_limit: Limit
    sparse_limit: Limit
    note: str = ""
    expansion: float = 1.0

    @property
    def saved_us(self) -> float:
        """What 2:4 saves; negative where it is slower."""
        return self.dense_us - self.sparse_us


@dataclass(frozen=True)
class EstimatedLayers:
    """The estimates of cases, and those for which there is none, with the reason."""

    layers: tuple[ProductEstimate, ...]
    refused: tuple[tuple[Case, str], ...]


def estimate_product(model: CardModel, case: Case) -> ProductEstimate:
    """Estimate one case. Raises EstimateError if there is no estimate."""
    estimated = estimate_cases(model, (case,))
    if estimated.refused:
        raise EstimateError(f"{case.name}: {estimated.refused[0][1]}")
    return estimated.layers[0]


def estimate_cases(model: CardModel, cases: Sequence[Case]) -> EstimatedLayers:
    """Estimate all cases at once; those without an estimate are in ``refused``."""
    reasons = [(case, refusal(model, case)) for case in cases]
    refused = tuple((case, reason) for case, reason in reasons if reason)
    kept = [case for case, reason in reasons if not reason]
    if not kept:
        return EstimatedLayers((), refused)
    dense = np.array([(case.n, case.m, case.k) for case in kept], np.float64)
    expansions = [expansion(case.pattern) for case in kept]
    sparse = dense * np.stack([np.ones(len(kept)), np.ones(len(kept)), expansions], axis=1)
    times = model.times(dense, sparse)
    outside = _octaves_outside(model, sparse)
    speedups = times.dense_us / times.sparse_us
    margins = np.exp(times.half_width + OUTSIDE * outside)
    columns = zip(
        kept,
        times.dense_us.tolist(),
        times.sparse_us.tolist(),
        speedups.tolist(),
        (speedups / margins).tolist(),
        (speedups * margins).tolist(),
        _limits(model.predictor.dense.roofline, model.dtype, dense, sparse=False),
        _limits(model.predictor.sparse.roofline, model.dtype, sparse, sparse=True),
        map(_note, kept, (outside > 0).tolist()),
        expansions,
        strict=True,
    )
    return EstimatedLayers(tuple(ProductEstimate(*column) for column in columns), refused)


def refusal(model: CardModel, case: Case) -> str:
    """Return a sentence why there is no estimate, or ""."""
    factor, sentence = _path(case.pattern)
    if sentence:
        return sentence
    multiple = MULTIPLE[model.dtype]
    sizes = {"tokens": case.n, "outputs": case.m, "inputs": case.k}
    for name, size in sizes.items():
        if size < 1:
            return f"{size} {name} are impossible: sizes are whole numbers from 1."
    if case.k % case.pattern.m:
        return f"{case.k:,} inputs are no whole blocks of {case.pattern}."
    for name, size, wide in (("outputs", case.m, 1.0), ("inputs", case.k, factor)):
        if size * wide % multiple:
            return (
                f"{_size(name, size, wide)} do not fit 2:4 in {model.dtype}, whose "
                f"kernels need a multiple of {multiple}."
            )
    for name, size, wide in (*((n, s, 1.0) for n, s in sizes.items()), ("inputs", case.k, factor)):
        low, high = getattr(model.ranges, name)
        reach = MORE_TOKENS if name == "tokens" and size > high else REACH
        if not low / reach <= size * wide <= high * reach:
            return (
                f"{_size(name, size, wide)} are outside what was measured on the "
                f"{model.card} in {model.dtype}, {low:,} to {high:,}, by more than a factor of "
                f"{reach}: there is no estimate."
            )
    return ""


def _size(name: str, size: int, wide: float) -> str:
    """A size in words: "4,096 inputs, 6,144 as SlideSparse widens them,"."""
    text = f"{size:,} {name}"
    return text if wide == 1 else f"{text}, {size * wide:,.0f} as SlideSparse widens them,"


def expansion(pattern: Pattern) -> float:
    """How many times as wide 2:4 makes the inputs: 1, or 2 − 2/N by the windows of SlideSparse."""
    return _path(pattern)[0]


@cache
def _path(pattern: Pattern) -> tuple[float, str]:
    """The expansion of a pattern's inputs, and why it has no path to 2:4 cores, or ""."""
    if runs_as_two_four(pattern):
        return 1.0, ""
    size = window_block(pattern)
    if size * pattern.n == (size - 2) * pattern.m:
        return 2 * (size - 2) / size, ""
    return 1.0, describe_support(pattern)


def _note(case: Case, outside: bool) -> str:
    wider = expansion(case.pattern)
    sentences = []
    if case.convolution is not None:
        sentences.append("The product of the convolution, without unfolding its input.")
    if wider == 1:
        sentences.append(describe_support(case.pattern))
    else:
        sentences.append(
            f"{case.pattern} as {SLIDE_SPARSE} runs it, with inputs {wider:.3g} times as wide; the "
            "time to rearrange the activations is not included."
        )
    if outside:
        sentences.append("Outside the measured sizes: the interval is wider.")
    return " ".join(filter(None, sentences))


def _octaves_outside(model: CardModel, shapes: Floats) -> Floats:
    """The most octaves by which any size is outside the data."""
    ranges = model.ranges
    low, high = np.log2(np.array([ranges.tokens, ranges.outputs, ranges.inputs])).T
    octaves = np.log2(shapes)
    outside: Floats = np.maximum(np.maximum(low - octaves, octaves - high), 0).max(axis=1)
    return outside


def _limits(roofline: Roofline, dtype: str, shapes: Floats, sparse: bool) -> list[Limit]:
    """What takes most of each product's time."""
    compute, weights, activations = roofline.parts(dtype, shapes, sparse)
    memory, heavy = weights + activations, weights >= activations
    launch = np.full(len(shapes), roofline.launch_us)
    parts = np.stack([compute, memory * heavy, memory * ~heavy, launch])
    return [LIMITS[index] for index in parts.argmax(axis=0)]
