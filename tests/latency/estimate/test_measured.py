"""A user's own measurements move the estimates of what is like them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from lbc.latency.cases import Case, square
from lbc.latency.estimate import (
    CardModel,
    EstimateError,
    ProductEstimate,
    estimate_product,
    find_card,
    with_measurements,
)
from lbc.latency.measurement import Device, Measurement, Result, Time

A100 = find_card("a100").model("bf16")
MEASURED = square(4096)
SIMILAR = Case("similar", 5120, 4096, 4096)
UNLIKE = Case("unlike", 256, 512, 256)


def measured(
    cases: Sequence[Case],
    factor: float,
    name: str = "NVIDIA A100-SXM4-80GB",
    dtype: str = "bfloat16",
    way: str = "sparse",
) -> Measurement:
    """Times of ``factor`` times the estimates: of 2:4 alone, or of dense too (way "both")."""
    results = []
    for index, case in enumerate(cases):
        estimated = estimate_product(A100, case)
        dense = estimated.dense_us * (factor if way == "both" else 1)
        times = (_time("cuBLAS", True, dense), _time("best", False, estimated.sparse_us * factor))
        results.append(
            Result(
                index=index,
                name=case.name,
                m=case.m,
                n=case.n,
                k=case.k,
                status="measured",
                times=times,
            )
        )
    device = Device(kind="cuda", name=name, torch="2.13.0")
    return Measurement.model_validate(
        {
            "time": 0,
            "device": device,
            "backend": "cusparselt",
            "dtype": dtype,
            "results": tuple(results),
        }
    )


def _time(way: str, dense: bool, us: float) -> Time:
    return Time(
        way=way,
        mode="graph",
        dense=dense,
        median_us=us,
        p10_us=us,
        p90_us=us,
        samples=30,
        right=True,
    )


def gain(model: CardModel, case: Case) -> float:
    """How much faster 2:4 is estimated than without the measurements."""
    return estimate_product(A100, case).sparse_us / estimate_product(model, case).sparse_us - 1


def width(estimate: ProductEstimate) -> float:
    return estimate.high / estimate.low


def test_measurements_move_what_is_like_them_most() -> None:
    model = with_measurements(A100, [measured([MEASURED], 1 / 1.2)])
    assert gain(model, MEASURED) == pytest.approx(0.2, abs=0.02)
    assert gain(model, MEASURED) > gain(model, SIMILAR) > 0.12
    assert gain(model, SIMILAR) > 4 * gain(model, UNLIKE) > 0
    assert estimate_product(model, MEASURED).dense_us == pytest.approx(
        estimate_product(A100, MEASURED).dense_us
    )


def test_the_interval_narrows_at_measured_products_and_stays_elsewhere() -> None:
    model = with_measurements(A100, [measured([MEASURED], 1 / 1.2)])
    before, after = estimate_product(A100, MEASURED), estimate_product(model, MEASURED)
    assert after.low < 1.2 * before.speedup < after.high
    assert np.log(width(after)) < 0.5 * np.log(width(before))
    unlike = estimate_product(model, UNLIKE)
    assert width(unlike) == pytest.approx(width(estimate_product(A100, UNLIKE)), rel=0.1)


def test_many_measurements_decide() -> None:
    cases = [Case(f"{m}×{n}", m, n, 4096) for m in (2048, 4096, 8192) for n in (512, 2048, 8192)]
    target = Case("between", 3072, 1024, 4096)
    few = with_measurements(A100, [measured(cases[:1], 1 / 1.2)])
    many = with_measurements(A100, [measured(cases, 1 / 1.2)])
    assert 0.02 < gain(few, target) < gain(many, target)
    assert gain(many, target) == pytest.approx(0.2, abs=0.02)


def test_a_card_that_is_faster_in_both_keeps_its_speedups() -> None:
    model = with_measurements(A100, [measured([MEASURED, SIMILAR], 0.8, way="both")])
    before, after = estimate_product(A100, SIMILAR), estimate_product(model, SIMILAR)
    assert after.dense_us == pytest.approx(0.8 * before.dense_us, rel=0.02)
    assert after.speedup == pytest.approx(before.speedup, rel=0.01)


def test_measuring_again_replaces_what_was_measured_before() -> None:
    once = with_measurements(A100, [measured([MEASURED], 1.1)])
    again = with_measurements(once, [measured([MEASURED], 1 / 1.2)])
    assert gain(again, MEASURED) == pytest.approx(0.2, abs=0.02)
    assert gain(A100, MEASURED) == 0


@pytest.mark.parametrize(
    ("measurement", "reason"),
    [
        (measured([MEASURED], 1, name="NVIDIA H100 PCIe"), "not of the A100"),
        (measured([MEASURED], 1, name="Tesla V100"), "V100"),
        (measured([MEASURED], 1, dtype="float16"), "in bfloat16"),
        (measured([], 1), "in bfloat16"),
    ],
)
def test_measurements_of_something_else_are_refused(measurement: Measurement, reason: str) -> None:
    with pytest.raises(EstimateError, match=reason):
        with_measurements(A100, [measurement])


def test_measured_products_of_other_patterns_are_left_out() -> None:
    found = measured([MEASURED], 1)
    for pattern in ("6:8", "nonsense"):
        result = found.results[0].model_copy(update={"pattern": pattern})
        with pytest.raises(EstimateError, match="No dense and 2:4 times"):
            with_measurements(A100, [found.model_copy(update={"results": (result,)})])


def test_a_measurement_of_a_processor_is_refused() -> None:
    found = measured([MEASURED], 1)
    device = found.device.model_copy(update={"kind": "cpu", "name": "AMD EPYC"})
    with pytest.raises(EstimateError, match="AMD EPYC"):
        with_measurements(A100, [found.model_copy(update={"device": device})])
