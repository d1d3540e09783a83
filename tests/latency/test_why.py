"""Every sentence about a slow case has its case; the network's estimate is Amdahl's."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lbc.latency.anchors import (
    ANCHORS,
    PEAKS,
    memory_bytes,
    peak_of,
    weight_bandwidth_bound,
)
from lbc.latency.answers import measurements_in
from lbc.latency.measurement import Device, Measurement, Mode, Ratio, Refused, Result, Time
from lbc.latency.network import estimate
from lbc.latency.why import why_slow
from tests.latency.conftest import stream

(RECORDED,) = measurements_in(stream("h100-synthetic").splitlines())
A100 = Device(kind="cuda", name="NVIDIA A100-SXM4-80GB", torch="2.12.0", cusparselt=801,
              capability=(8, 0))  # fmt: skip


def time_of(way: str, us: float, mode: Mode = "graph", **more: Any) -> Time:
    dense = way.startswith(("cuBLAS", "A/A"))
    figures: dict[str, Any] = {
        "median_us": us,
        "p10_us": us,
        "p90_us": us,
        "samples": 30,
        "right": True,
    }
    return Time(**{"way": way, "mode": mode, "dense": dense, **figures, **more})


def result_of(*times: Time, size: tuple[int, int, int] = (4096, 4096, 4096), **more: Any) -> Result:
    """A result whose ratios are over the first time of each mode."""
    over = {time.mode: time for time in reversed(times)}
    ratios = tuple(
        Ratio(way=t.way, over=over[t.mode].way, mode=t.mode, ratio=r, low=r * 0.99, high=r * 1.01)
        for t in times
        for r in [over[t.mode].median_us / t.median_us]
        if t is not over[t.mode]
    )
    m, n, k = size
    figures: dict[str, Any] = {
        "index": 0,
        "name": "x",
        "m": m,
        "n": n,
        "k": k,
        "status": "measured",
    }
    return Result(**{**figures, "times": times, "ratios": ratios, **more})


def why(result: Result, device: Device = A100, **more: Any) -> str:
    told: dict[str, Any] = {"backend": "cusparselt", "dtype": "bfloat16", "time": 1.0} | more
    return why_slow(result, Measurement(device=device, **told))


DENSE, BEST = time_of("cuBLASLt", 600.0), time_of("cuSPARSELt best", 590.0)


def test_a_case_that_pays_needs_no_excuse() -> None:
    assert why(result_of(DENSE, time_of("cuSPARSELt best", 400.0))) == ""


@pytest.mark.parametrize(
    ("result", "sentence"),
    [
        (result_of(DENSE, BEST, time_of("A/A", 590.0)), "Within the noise of measuring the same"),
        (
            result_of(time_of("cuBLASLt", 8.0), time_of("cuSPARSELt best", 9.0), size=(64, 64, 64)),
            "Launch-bound: all of it takes 9 µs",
        ),
        (
            # 50.7 MB of weights, 0.5 MB of the rest at 2.039 TB/s: 25 µs
            result_of(time_of("cuBLASLt", 55.0), time_of("cuSPARSELt best", 50.0),
                      size=(11008, 16, 4096)),
            "Bandwidth-bound: moving the operands takes 50% of the time; 2:4 shrinks only the "
            "weights, by 1.78× at most.",
        ),
        (
            result_of(DENSE, BEST, size=(1000, 4096, 4096), padded=(8, 0)),
            "Padded: the kernel takes 1008×4096 for this 1000×4096 weight.",
        ),
        (result_of(DENSE, time_of("cuSPARSELt default", 590.0)), "Default algorithm: the search"),
        (
            result_of(DENSE, time_of("cuSPARSELt best", 400.0), time_of("cuBLASLt", 620.0, "eager"),
                      time_of("cuSPARSELt best", 640.0, "eager")),
            "Launch-bound outside a CUDA graph (0.97×)",
        ),
        (
            result_of(DENSE, time_of("cuSPARSELt best", 300.0, right=False)),
            "Wrong results by cuSPARSELt best: no speed-up is reported.",
        ),
        (
            result_of(DENSE, refused=(Refused(what="2:4, best algorithm", why="No."),)),
            "2:4, best algorithm: No.",
        ),
        (result_of(DENSE), "No sparse way was tried."),
    ],
)  # fmt: skip
def test_what_holds_a_case_back_is_said(result: Result, sentence: str) -> None:
    assert sentence in why(result)


def test_the_version_with_known_regressions_is_named_on_hopper_only() -> None:
    slow = RECORDED.results[1]
    assert "cuSPARSELt 0.8.0 has known regressions" in why_slow(slow, RECORDED)
    for change in ({"cusparselt": 801}, {"capability": (8, 0)}):
        device = RECORDED.device.model_copy(update=change)
        told = RECORDED.model_copy(update={"device": device})
        assert "regressions" not in why_slow(slow, told)


def test_a_gain_whose_interval_holds_one_is_no_gain() -> None:
    one = result_of(time_of("cuBLASLt", 600.0), time_of("cuSPARSELt best", 450.0))
    wide = one.ratios[0].model_copy(update={"low": 0.81, "high": 1.74})
    assert why(one) == ""
    assert why(one.model_copy(update={"ratios": (wide,)})) == (
        "No difference is shown: the interval goes from 0.81 to 1.74."
    )


@pytest.mark.parametrize(
    ("pattern", "share", "sentence"),
    [
        ("4:8", 0.83, "83% of this mask's groups of four comply with 2:4. No hardware path for "
         "4:8: 51% of random blocks comply with 2:4"),
        ("8:16", None, "No hardware path for 8:16: 10% of random blocks comply"),
        ("1:16", 1.0, "1:16 runs as 2:4: 2× is the bound in theory, not 16×."),
    ],
)  # fmt: skip
@pytest.mark.parametrize("backend", ["cpu", "cusparselt"])
def test_patterns_beside_2_4_say_what_hardware_makes_of_them(
    pattern: str, share: float | None, sentence: str, backend: str
) -> None:
    slow = result_of(DENSE, BEST, pattern=pattern, share_valid=share)
    assert sentence in why(slow, backend=backend)
    paying = result_of(DENSE, time_of("cuSPARSELt best", 400.0), pattern=pattern, share_valid=share)
    assert why(paying, backend=backend).startswith(sentence)
    for plain in ("2:4", "1:2"):
        at = result_of(DENSE, time_of("cuSPARSELt best", 400.0), pattern=plain, share_valid=1.0)
        assert why(at, backend=backend) == ""


def test_what_was_not_measured_says_its_own_reason() -> None:
    failed = result_of(status="failed", why="The case took too long.")
    assert why(failed) == "The case took too long."


def test_a_processor_says_that_it_has_no_instructions_for_it() -> None:
    times = (time_of("cuBLAS", 10.0, "eager"), time_of("masked dense", 20.0, "eager"))
    device = Device(kind="cpu", name="a processor", torch="2.12.0")
    told = why(result_of(*times), device, backend="cpu", dtype="float32")
    assert told.startswith("Processors have no 2:4 instructions")
    assert "masked dense 0.50×" in told


# -- the whole network ----------------------------------------------------------------------------


def network(*layers: tuple[float, float, float, bool]) -> Measurement:
    """Layers given as (share, dense µs, sparse µs, convolution)."""
    results = tuple(
        result_of(time_of("cuBLASLt", dense), time_of("cuSPARSELt best", sparse), index=index,
                  share=share, convolution=convolution)
        for index, (share, dense, sparse, convolution) in enumerate(layers)
    )  # fmt: skip
    return Measurement(
        device=A100, backend="cusparselt", dtype="bfloat16", time=1.0, results=results
    )


def test_amdahl_by_hand() -> None:
    told = estimate(network((0.5, 100.0, 50.0, False), (0.25, 60.0, 80.0, False)))
    assert told is not None
    # 160 µs are three quarters, the rest takes 53.3; 100 becomes 50, and 60 stays.
    assert told.measured == 0.75
    assert told.today == pytest.approx((160 + 160 / 3) / (110 + 160 / 3))
    assert told.kernels == told.today
    assert "75% of its multiply-adds" in told.sentence()


def test_convolutions_count_as_dense_today_and_are_named() -> None:
    told = estimate(network((0.6, 100.0, 50.0, True), (0.4, 100.0, 50.0, False)))
    assert told is not None
    assert told.today == pytest.approx(200 / 150)
    assert told.kernels == pytest.approx(2.0)
    assert "k×k convolutions (60%) have no 2:4 kernel in torch" in told.sentence()


def test_a_convolutions_own_time_counts_and_unfolding_where_it_is_faster() -> None:
    product = (time_of("cuBLASLt", 100.0), time_of("cuSPARSELt best", 50.0))
    whole = (
        time_of("cuDNN convolution", 80.0, dense=True, unfolded=True),
        time_of("unfold + 2:4", 60.0, unfolded=True),
    )
    base = result_of(*product, share=1.0, convolution=True)
    over_conv = result_of(*whole).ratios
    found = base.model_copy(
        update={"times": (*product, *whole), "ratios": (*base.ratios, *over_conv)}
    )
    told = estimate(network().model_copy(update={"results": (found,)}))
    assert told is not None
    assert told.today == pytest.approx(80 / 60)
    assert told.kernels == pytest.approx(80 / 50)
    assert why(found) == "With the unfolding that it needs: 1.33× over the cuDNN convolution."


def test_noise_is_no_gain_for_the_network() -> None:
    whole = network((1.0, 100.0, 90.0, False))
    (layer,) = whole.results
    wide = layer.ratios[0].model_copy(update={"low": 0.99})
    noisy = whole.model_copy(update={"results": (layer.model_copy(update={"ratios": (wide,)}),)})
    told = estimate(noisy)
    assert told is not None
    assert told.today == 1


def test_a_processors_network_says_that_it_is_one() -> None:
    told = estimate(network((0.5, 10.0, 5.0, True)).model_copy(update={"backend": "cpu"}))
    assert told is not None
    assert told.sentence().startswith("Whole network on this processor, not on a GPU: about ")
    assert "2:4" not in told.sentence()


@given(
    st.lists(
        st.tuples(st.floats(0.01, 0.2), st.floats(1, 1e5), st.floats(1, 1e5), st.booleans()),
        min_size=1,
        max_size=5,
    )
)
def test_a_network_gains_something_between_nothing_and_its_best_layer(
    layers: list[tuple[float, float, float, bool]],
) -> None:
    told = estimate(network(*layers))
    assert told is not None
    best = max(1.0, *(dense / sparse for _, dense, sparse, _ in layers))
    assert 1 - 1e-9 <= told.today <= told.kernels * (1 + 1e-9) <= best * (1 + 1e-9)


def test_cases_that_are_no_network_give_no_estimate() -> None:
    assert estimate(RECORDED) is None
    assert estimate(network()) is None


# -- anchors --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "dense", "memory"),
    [
        ("NVIDIA A100-SXM4-40GB", 312, 1.555),
        ("NVIDIA A100-SXM4-80GB", 312, 2.039),
        ("NVIDIA A100 80GB PCIe", 312, 2.039),
        ("NVIDIA H100 80GB HBM3", 989, 3.35),
        ("NVIDIA H100 PCIe", 756, 2.0),
        ("NVIDIA H200", 989, 4.8),
    ],
)
def test_a_gpu_has_its_own_data_sheet(name: str, dense: float, memory: float) -> None:
    peak = peak_of(Device(kind="cuda", name=name, torch="2.12.0"))
    assert peak is not None
    assert (peak.dense_tflops, peak.memory_tb) == (dense, memory)
    assert peak.operations("int8", sparse=True) == 4 * peak.operations("bfloat16", sparse=False)


@pytest.mark.parametrize("name", ["NVIDIA RTX A1000 Laptop GPU", "NVIDIA L4", "NVIDIA H20"])
def test_a_gpu_without_a_data_sheet_here_has_no_peak(name: str) -> None:
    assert peak_of(Device(kind="cuda", name=name, torch="2.12.0")) is None
    assert peak_of(Device(kind="cpu", name="A100", torch="2.12.0")) is None


def test_limits_by_arithmetic() -> None:
    assert weight_bandwidth_bound("bfloat16") == pytest.approx(1.78, abs=0.005)
    assert weight_bandwidth_bound("int8") == 1.6
    one = result_of(DENSE, size=(64, 1, 64))
    assert memory_bytes(one, "bfloat16", sparse=False) == 2 * (64 * 64 + 64 + 64)
    assert memory_bytes(one, "bfloat16", sparse=True) == 64 * 64 * 2 * 9 / 16 + 2 * (64 + 64)
    assert memory_bytes(one, "int8", sparse=False) == 64 * 64 + 64 + 4 * 64


def test_published_figures_name_their_source() -> None:
    assert len(ANCHORS) == 25
    assert all("arXiv" in anchor.source for anchor in ANCHORS)
    assert {anchor.device for anchor in ANCHORS} <= {peak.name for peak in PEAKS}
