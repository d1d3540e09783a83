"""Explanations of small speed-ups, estimates for networks, and reference figures."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lbc.latency.anchors import ANCHORS, find_peak, memory_bytes, weight_bandwidth_bound
from lbc.latency.answers import parse_output
from lbc.latency.explanation import explain
from lbc.latency.hardware import compliant_fraction, runs_as_two_four
from lbc.latency.measurement import Device, Measurement, Mode, Ratio, Refused, Result, Time
from lbc.latency.network import layers_us, network_speedup
from lbc.latency.table import detail_lines
from lbc.sparsity.pattern import Pattern
from tests.latency.conftest import stream

(RECORDED,) = parse_output(stream("h100-synthetic").splitlines())[0]
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
    """A result whose ratios are relative to the first time of each mode."""
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


def explanation(result: Result, device: Device = A100, **more: Any) -> str:
    values: dict[str, Any] = {"backend": "cusparselt", "dtype": "bfloat16", "time": 1.0} | more
    return explain(result, Measurement(device=device, **values))


DENSE, BEST = time_of("cuBLASLt", 600.0), time_of("cuSPARSELt best", 590.0)


def test_a_fast_case_needs_no_explanation() -> None:
    assert explanation(result_of(DENSE, time_of("cuSPARSELt best", 400.0))) == ""


@pytest.mark.parametrize(
    ("result", "text"),
    [
        (result_of(DENSE, BEST, time_of("A/A", 590.0)), "Within the noise between two"),
        (
            result_of(time_of("cuBLASLt", 8.0), time_of("cuSPARSELt best", 9.0), size=(64, 64, 64)),
            "Launch-bound: the call takes 9 µs",
        ),
        (
            # 50.7 MB of weights, 0.5 MB of the rest at 2.039 TB/s: 25 µs
            result_of(time_of("cuBLASLt", 55.0), time_of("cuSPARSELt best", 50.0),
                      size=(11008, 16, 4096)),
            "Bandwidth-bound: memory traffic takes 50% of the time, and 2:4 reduces only that of "
            "the weights, by at most 1.78×.",
        ),
        (
            result_of(DENSE, BEST, size=(1000, 4096, 4096), padded=(8, 0)),
            "Padded: the kernel takes 1008×4096 for this 1000×4096 weight.",
        ),
        (result_of(DENSE, time_of("cuSPARSELt default", 590.0)), "Default algorithm: "),
        (
            result_of(DENSE, time_of("cuSPARSELt best", 400.0), time_of("cuBLASLt", 620.0, "eager"),
                      time_of("cuSPARSELt best", 640.0, "eager")),
            "Launch-bound outside a CUDA graph (0.97×)",
        ),
        (
            result_of(DENSE, time_of("cuSPARSELt best", 300.0, right=False)),
            "Incorrect results by cuSPARSELt best: no speed-up is reported.",
        ),
        (
            result_of(DENSE, refused=(Refused(what="2:4, best algorithm", why="No."),)),
            "2:4, best algorithm: No.",
        ),
        (result_of(DENSE), "No sparse way was measured."),
    ],
)  # fmt: skip
def test_a_slow_case_is_explained(result: Result, text: str) -> None:
    assert text in explanation(result)


def test_known_regressions_are_mentioned_only_on_hopper() -> None:
    slow = RECORDED.results[1]
    assert "cuSPARSELt 0.8.0 has known regressions" in explain(slow, RECORDED)
    for change in ({"cusparselt": 801}, {"capability": (8, 0)}):
        device = RECORDED.device.model_copy(update=change)
        other = RECORDED.model_copy(update={"device": device})
        assert "regressions" not in explain(slow, other)


def test_a_gain_whose_interval_contains_1_is_not_significant() -> None:
    one = result_of(time_of("cuBLASLt", 600.0), time_of("cuSPARSELt best", 450.0))
    wide = one.ratios[0].model_copy(update={"low": 0.81, "high": 1.74})
    assert explanation(one) == ""
    assert explanation(one.model_copy(update={"ratios": (wide,)})) == (
        "No significant difference: the interval is 0.81 to 1.74."
    )


@pytest.mark.parametrize(
    ("pattern", "share", "text"),
    [
        ("4:8", 0.83, "83% of this mask's groups of four comply with 2:4. No GPU support for "
         "4:8: only 51% of random blocks comply with 2:4"),
        ("8:16", None, "No GPU support for 8:16: only 10% of random blocks comply"),
        ("4:8", None, "and torch has no kernel for it. SlideSparse (arXiv 2603.05232) runs it "
         "exactly on 2:4 cores, as 3 overlapping windows of four for every 8 weights: the "
         "theoretical bound is 1.33×, not 2×."),
        ("6:8", None, "No GPU support for 6:8: none of its masks complies with 2:4, and torch has "
         "no kernel for it. SlideSparse (arXiv 2603.05232) runs it exactly on 2:4 cores, as 3 "
         "overlapping windows of four for every 8 weights: the theoretical bound is 1.33×."),
        ("4:6", None, "No GPU support for 4:6: its blocks do not align with groups of four"),
        ("8:10", None, "every 10 weights: the theoretical bound is 1.25×."),
        ("4:8x2", None, "No kernel in torch for 4:8x2: sparse tensor cores read pairs of weights "
         "as 4:8x2 in four-bit types only"),
        ("4:16x4", None, "No kernel in torch for 4:16x4"),
        ("4:12x2", None, "only 80% of random blocks comply with 2:4"),
        ("1:10", 1.0, "1:10 runs as 2:4: the theoretical bound is 2×, not 10×."),
        ("1:16", 1.0, "1:16 runs as 2:4: the theoretical bound is 2×, not 16×."),
    ],
)  # fmt: skip
@pytest.mark.parametrize("backend", ["cpu", "cusparselt"])
def test_the_hardware_support_of_other_patterns_is_explained(
    pattern: str, share: float | None, text: str, backend: str
) -> None:
    slow = result_of(DENSE, BEST, pattern=pattern, share_valid=share)
    assert text in explanation(slow, backend=backend)
    paying = result_of(DENSE, time_of("cuSPARSELt best", 400.0), pattern=pattern, share_valid=share)
    assert text in explanation(paying, backend=backend)
    for plain in ("2:4", "1:2"):
        at = result_of(DENSE, time_of("cuSPARSELt best", 400.0), pattern=plain, share_valid=1.0)
        assert explanation(at, backend=backend) == ""


def test_a_failed_case_gives_its_reason() -> None:
    failed = result_of(status="failed", why="The case took too long.")
    assert explanation(failed) == "The case took too long."


def test_a_cpu_has_no_2_4_instructions() -> None:
    times = (time_of("cuBLAS", 10.0, "eager"), time_of("masked dense", 20.0, "eager"))
    device = Device(kind="cpu", name="a processor", torch="2.12.0")
    text = explanation(result_of(*times), device, backend="cpu", dtype="float32")
    assert text.startswith("CPUs have no 2:4 instructions")
    assert "masked dense 0.50×" in text


def test_a_case_s_details_tell_what_its_ways_did() -> None:
    best = time_of("cuSPARSELt best", 590.0, sustained_us=640.0, note="the search found split_k 1")
    (_, dense, sparse) = detail_lines(result_of(DENSE, best))
    assert "without pauses" not in dense
    assert "640.0 µs without pauses" in sparse
    assert sparse.endswith("the search found split_k 1")


# -- the whole network ----------------------------------------------------------------------------


def network(*layers: tuple[float, float, float, bool]) -> Measurement:
    """A measurement of layers given as (share, dense µs, sparse µs, convolution)."""
    results = tuple(
        result_of(time_of("cuBLASLt", dense), time_of("cuSPARSELt best", sparse), index=index,
                  share=share, convolution=convolution)
        for index, (share, dense, sparse, convolution) in enumerate(layers)
    )  # fmt: skip
    return Measurement(
        device=A100, backend="cusparselt", dtype="bfloat16", time=1.0, results=results
    )


def test_a_shape_that_a_network_has_several_times_counts_as_often() -> None:
    measured = network((0.6, 100.0, 50.0, False), (0.4, 100.0, 100.0, False))
    once, twice = measured.results
    several = measured.model_copy(update={"results": (once.model_copy(update={"count": 3}), twice)})
    estimated = network_speedup(several)
    assert estimated is not None
    assert estimated.today == pytest.approx(400 / 250)
    assert layers_us(several) == pytest.approx(250)


def test_the_estimate_follows_amdahls_law() -> None:
    speedup = network_speedup(network((0.5, 100.0, 50.0, False), (0.25, 60.0, 80.0, False)))
    assert speedup is not None
    # 160 µs are three quarters and the rest takes 53.3; 100 becomes 50, and 60 remains.
    assert speedup.measured == 0.75
    assert speedup.today == pytest.approx((160 + 160 / 3) / (110 + 160 / 3))
    assert speedup.kernels == speedup.today
    assert "75% of its multiply-adds" in speedup.describe()


def test_convolutions_count_as_dense_and_are_mentioned() -> None:
    speedup = network_speedup(network((0.6, 100.0, 50.0, True), (0.4, 100.0, 50.0, False)))
    assert speedup is not None
    assert speedup.today == pytest.approx(200 / 150)
    assert speedup.kernels == pytest.approx(2.0)
    assert "torch has no 2:4 kernel for k×k convolutions (60%)" in speedup.describe()


def test_a_convolution_counts_with_its_own_time_or_faster_unfolding() -> None:
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
    speedup = network_speedup(network().model_copy(update={"results": (found,)}))
    assert speedup is not None
    assert speedup.today == pytest.approx(80 / 60)
    assert speedup.kernels == pytest.approx(80 / 50)
    assert explanation(found) == "Including unfolding: 1.33× over cuDNN convolution."


def test_insignificant_gains_do_not_count_for_the_network() -> None:
    whole = network((1.0, 100.0, 90.0, False))
    (layer,) = whole.results
    wide = layer.ratios[0].model_copy(update={"low": 0.99})
    noisy = whole.model_copy(update={"results": (layer.model_copy(update={"ratios": (wide,)}),)})
    speedup = network_speedup(noisy)
    assert speedup is not None
    assert speedup.today == 1


def test_the_estimate_on_a_cpu_is_marked() -> None:
    speedup = network_speedup(network((0.5, 10.0, 5.0, True)).model_copy(update={"backend": "cpu"}))
    assert speedup is not None
    assert speedup.describe().startswith("Whole network on this CPU, not on a GPU: about ")
    assert "2:4" not in speedup.describe()


@given(
    st.lists(
        st.tuples(st.floats(0.01, 0.2), st.floats(1, 1e5), st.floats(1, 1e5), st.booleans()),
        min_size=1,
        max_size=5,
    )
)
def test_a_network_gains_between_1_and_its_best_layer(
    layers: list[tuple[float, float, float, bool]],
) -> None:
    speedup = network_speedup(network(*layers))
    assert speedup is not None
    best = max(1.0, *(dense / sparse for _, dense, sparse, _ in layers))
    assert 1 - 1e-9 <= speedup.today <= speedup.kernels * (1 + 1e-9) <= best * (1 + 1e-9)


def test_cases_without_a_network_give_no_speedup() -> None:
    assert network_speedup(RECORDED) is None
    assert network_speedup(network()) is None


# -- anchors --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "dense", "memory"),
    [
        ("NVIDIA A100-SXM4-40GB", 312, 1.555),
        ("NVIDIA A100-SXM4-80GB", 312, 2.039),
        ("NVIDIA A100 80GB PCIe", 312, 1.935),
        ("NVIDIA H100 80GB HBM3", 989, 3.35),
        ("NVIDIA H100 PCIe", 756, 2.0),
        ("NVIDIA H200", 989, 4.8),
    ],
)
def test_each_gpu_matches_its_data_sheet(name: str, dense: float, memory: float) -> None:
    peak = find_peak(Device(kind="cuda", name=name, torch="2.12.0"))
    assert peak is not None
    assert (peak.dense_tflops, peak.memory_tb) == (dense, memory)
    assert peak.operations("int8", sparse=True) == 4 * peak.operations("bfloat16", sparse=False)


@pytest.mark.parametrize("name", ["NVIDIA RTX A1000 Laptop GPU", "NVIDIA L4", "NVIDIA H20"])
def test_an_unlisted_gpu_has_no_peak(name: str) -> None:
    assert find_peak(Device(kind="cuda", name=name, torch="2.12.0")) is None
    assert find_peak(Device(kind="cpu", name="A100", torch="2.12.0")) is None


def test_theoretical_bounds() -> None:
    assert weight_bandwidth_bound("bfloat16") == pytest.approx(1.78, abs=0.005)
    assert weight_bandwidth_bound("int8") == 1.6
    one = result_of(DENSE, size=(64, 1, 64))
    assert memory_bytes(one, "bfloat16", sparse=False) == 2 * (64 * 64 + 64 + 64)
    assert memory_bytes(one, "bfloat16", sparse=True) == 64 * 64 * 2 * 9 / 16 + 2 * (64 + 64)
    assert memory_bytes(one, "int8", sparse=False) == 64 * 64 + 64 + 4 * 64


def test_published_figures_have_a_source() -> None:
    assert len(ANCHORS) == 25
    assert all("arXiv" in anchor.source for anchor in ANCHORS)
    assert {anchor.device for anchor in ANCHORS} == {"A100 80GB PCIe", "H100 PCIe"}
    for anchor in ANCHORS:
        assert find_peak(Device(kind="cuda", name=f"NVIDIA {anchor.device}", torch="2.12.0"))
        assert "warm L2 cache" in anchor.source
        assert ("sparse bfloat16" in anchor.source) == (anchor.dtype == "int8")


@pytest.mark.parametrize(
    "pattern", ["2:4", "1:6", "4:8", "6:8", "4:8x2", "2:8x2", "2:4x2", "4:16x4"]
)
def test_the_share_of_compliant_masks_is_that_of_all_combinations(pattern: str) -> None:
    at = Pattern.parse(pattern)
    if at.m % 4 == 0:
        fours = at.incidence_array.reshape(at.count, -1, 4).sum(axis=2)
        assert compliant_fraction(at) == pytest.approx((fours <= 2).all(axis=1).mean())
    assert runs_as_two_four(at) == (compliant_fraction(at) == 1)
