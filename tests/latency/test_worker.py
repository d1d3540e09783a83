"""The worker measures this CPU, applies trained masks and checks every output."""

from __future__ import annotations

import base64
import math
import subprocess
import sys
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from lbc.latency import worker
from lbc.latency.cases import Case, Convolution, parse_case, square
from lbc.latency.run import Request, Settings
from lbc.sparsity.pattern import Pattern
from tests.latency.conftest import QUICK

JOB: dict[str, Any] = Request.for_device([], "cpu", settings=QUICK).job("float32", "cpu")
CPU = torch.device("cpu")

pytestmark = pytest.mark.filterwarnings("ignore:Sparse CSR")


def operands(case: Case, **job: Any) -> worker.Operands:
    return worker.Operands(torch, JOB | job, case.as_job(), 0)


def measure_way(way: worker.Way, ops: worker.Operands) -> dict[str, Any]:
    timer = worker.Timer(torch, way, "eager", CPU)
    timer.warm_up(0, 1, 60)
    timer.samples = [timer.once() for _ in range(3)]
    timer.check(ops, worker.MAX_ERROR["float32"])
    return worker.summarize(timer)


def test_a_cpu_is_measured_in_every_way_with_correct_results() -> None:
    result = worker.measure(torch, JOB, square(64).as_job(), 0)
    ways = [time["way"] for time in result["times"]]
    assert ways == ["dense", "masked dense", "torch CSR", "torch COO", "A/A"]
    assert all(time["right"] and time["median_us"] > 0 for time in result["times"])
    assert {r["way"] for r in result["ratios"]} == {"masked dense", "torch CSR", "torch COO", "A/A"}
    assert all(r["low"] <= r["high"] and r["over"] == "dense" for r in result["ratios"])
    assert (result["share_valid"], result["refused"]) == (1.0, [])


def test_a_cpu_measures_bfloat16_too() -> None:
    result = worker.measure(torch, JOB | {"dtype": "bfloat16"}, square(32).as_job(), 0)
    assert result["times"][0]["way"] == "dense"
    assert all(time["right"] for time in result["times"])


@given(arrays.arrays(bool, st.tuples(st.integers(1, 9), st.integers(1, 21))))
def test_a_trained_mask_reaches_the_worker_exactly(mask: np.ndarray[Any, Any]) -> None:
    case = Case("layer", mask.shape[0], 2, mask.shape[1], mask=np.packbits(mask).tobytes())
    ops = operands(case)
    assert np.array_equal(ops.mask.numpy() != 0, mask)
    assert not ops.w[0][torch.from_numpy(~mask)].any()


def test_only_groups_of_four_that_keep_two_or_fewer_are_valid() -> None:
    mask = torch.tensor([[1, 1, 0, 0, 1, 1, 1, 0], [0, 0, 0, 0, 1, 0, 0, 1]])
    assert worker.valid_share(mask) == 3 / 4
    # An incomplete last group is padded with zeros.
    assert worker.valid_share(torch.ones(1, 7)) == 0
    assert worker.valid_share(torch.tensor([[1, 0, 0, 1, 1, 0, 1]])) == 1


@pytest.mark.parametrize("pattern", ["2:4", "1:2", "2:8", "1:6", "1:10", "2:4x2"])
def test_patterns_that_run_as_2_4_are_entirely_valid(pattern: str) -> None:
    at = Pattern.parse(pattern)
    ops = operands(Case("layer", 64, 8, 120, at))
    assert ops.share_valid == 1
    assert (ops.mask.view(-1, at.m).sum(dim=1) == at.n).all()


@pytest.mark.parametrize("pattern", ["4:6", "6:8", "8:10", "4:8x2"])
def test_random_masks_of_other_patterns_obey_them(pattern: str) -> None:
    at = Pattern.parse(pattern)
    ops = operands(Case("layer", 64, 8, 120, at))
    assert 0 < ops.share_valid < 1
    mask = (ops.mask != 0).view(-1, at.m)
    assert torch.equal(at.incidence()[at.index_of(mask)], mask)


def test_a_mask_or_pattern_that_does_not_fit_the_weight_is_refused() -> None:
    job = JOB | {"cases": [Case("layer", 4, 4, 8, mask=b"\xff").as_job()]}
    assert "does not fit 4×8" in worker.run_case(torch, job, 0, 0)["why"]
    job = JOB | {"cases": [Case("layer", 4, 4, 6).as_job()]}
    result = worker.run_case(torch, job, 0, 0)
    assert (result["status"], result["why"]) == ("refused", "6 inputs are not a multiple of 4.")


def measure_changed(change: Any) -> dict[str, Any]:
    """Measure a way that applies ``change`` to the correct product."""
    ops = operands(square(16))
    x, w = ops.pairs[0]
    return measure_way(worker.Way("wrong", [lambda: change(x @ w.t())]), ops)


def test_a_correct_output_passes_and_an_incorrect_one_does_not() -> None:
    assert measure_changed(lambda y: y)["right"]
    assert not measure_changed(lambda y: y * 1.001)["right"]
    assert not measure_changed(torch.zeros_like)["right"]
    assert not measure_changed(lambda y: y.t())["right"]
    assert not measure_changed(lambda y: y[:8])["right"]
    assert measure_changed(lambda y: torch.nn.functional.pad(y, (0, 8, 0, 8)))["right"], (
        "padding is ignored"
    )


def test_nan_fails_and_is_reported_as_no_error() -> None:
    result = measure_changed(
        lambda y: y.clone().index_put_((torch.tensor(3),), torch.tensor(math.nan))
    )
    assert (result["right"], result["error"]) == (False, None)


def test_a_call_that_computes_nothing_fails() -> None:
    ops = operands(square(16))
    output = ops.x[0] @ ops.w[0].t()
    assert not measure_way(worker.Way("lazy", [lambda: output]), ops)["right"]


def test_an_unfolded_convolution_equals_the_convolution() -> None:
    shape = Convolution(2, 8, 5, 7, (3, 3), (2, 1), (1, 1))
    case = Case("conv", 16, 2 * 3 * 7, 72, convolution=shape)
    ops = operands(case)
    dense = measure_way(worker.dense_conv(torch, ops, "convolution"), ops)
    assert (dense["right"], dense["unfolded"], dense["dense"]) == (True, True, True)
    sparse = measure_way(worker.unfolded_csr(torch, ops, 60), ops)
    assert (sparse["right"], sparse["unfolded"], sparse["dense"]) == (True, True, False)
    image, weight = ops.images()[0], ops.w[0]
    columns = torch.nn.functional.unfold(image, (3, 3), padding=1, stride=(2, 1))  # (2, 8·9, 21)
    by_position = columns.view(2, 8, 9, 21).permute(0, 3, 2, 1).reshape(-1, 72)
    assert ops.error(by_position @ weight.t(), 0, convolution=True) < 1e-6
    assert ops.error(columns.mT.reshape(-1, 72) @ weight.t(), 0, convolution=True) > 0.1


def test_a_convolution_is_measured_as_a_product_and_unfolded() -> None:
    case = Case(
        "conv", 16, 2 * 6 * 6, 72, convolution=Convolution(2, 8, 6, 6, (3, 3), (1, 1), (1, 1))
    )
    result = worker.measure(torch, JOB, case.as_job(), 0)
    assert all(time["right"] for time in result["times"])
    over = {ratio["way"]: ratio["over"] for ratio in result["ratios"]}
    assert over["unfold + CSR"] == "convolution"
    assert over["torch CSR"] == "dense"


def test_a_way_that_would_take_too_long_is_refused_early() -> None:
    job = JOB | {"budget_seconds": 1e-6}
    with pytest.raises(worker.RefusedError, match="One call would take about"):
        worker.torch_sparse(operands(square(64)), "COO", worker.max_call_seconds(job))


def test_preparation_is_not_timed() -> None:
    made: list[str] = []
    way = worker.Way("dense", [lambda: made.append("call")], prepare=lambda: made.append("prepare"))
    timer = worker.Timer(torch, way, "eager", CPU)
    made.clear()
    timer.once()
    assert made == ["prepare", "call"]


def test_a_fast_first_sample_does_not_reduce_the_samples_of_others() -> None:
    timers = [worker.Timer(torch, worker.Way(name, [int]), "eager", CPU) for name in "abc"]
    times = {"a": [1e-9] + 99 * [1e-3], "b": 50 * [1e-3, 5e-9], "c": 100 * [1.0]}
    for timer in timers:
        timer.once = partial(times[timer.way.name].pop, 0)  # type: ignore[method-assign]
    worker.interleave(timers, JOB | {"samples": 30})
    assert [len(timer.samples) for timer in timers] == [30, 30, 3]


def test_the_best_of_each_side_is_sampled_anew() -> None:
    timers = [worker.Timer(torch, worker.Way(name, [int], dense=name == "dense"), "eager", CPU)
              for name in ("dense", "lucky", "slow")]  # fmt: skip
    for timer, first, then in zip(timers, (4.0, 1.0, 3.0), (4.0, 2.0, 0.0), strict=True):
        timer.samples, timer.right = 7 * [first], True
        timer.once = partial(float, then)  # type: ignore[method-assign]
    found = {one["way"]: one["ratio"] for one in worker.compare(torch, timers, JOB)}
    assert found == {"lucky": 2.0, "slow": 4 / 3}
    assert (timers[1].samples, timers[2].samples) == (7 * [2.0], 7 * [3.0])


@given(st.lists(st.floats(1e-6, 1.0), min_size=7, max_size=40), st.floats(0.1, 10))
def test_the_bootstrap_interval_of_a_constant_ratio_is_that_ratio(
    samples: list[float], factor: float
) -> None:
    timers = [worker.Timer(torch, worker.Way(name, [int]), "eager", CPU) for name in "ab"]
    timers[0].samples, timers[1].samples = samples, [value / factor for value in samples]
    result = worker.ratio(torch, timers[0], timers[1], resamples=50)
    assert result["ratio"] == pytest.approx(factor)
    # Pairs are resampled together, so every resample has the same ratio.
    assert result["low"] == pytest.approx(factor)
    assert result["high"] == pytest.approx(factor)


def test_the_bootstrap_interval_narrows_with_samples_and_contains_the_true_ratio() -> None:
    generator = torch.Generator().manual_seed(3)
    widths = []
    for count in (10, 1000):
        timers = [worker.Timer(torch, worker.Way(name, [int]), "eager", CPU) for name in "ab"]
        for timer, mean in zip(timers, (1.5, 1.0), strict=True):
            noise = 0.1 * torch.rand(count, generator=generator, dtype=torch.float64)
            timer.samples = (mean * (1 + noise)).tolist()
        result = worker.ratio(torch, timers[0], timers[1])
        assert result["low"] <= 1.5 <= result["high"]
        widths.append(result["high"] - result["low"])
    assert widths[1] < widths[0] / 3


@given(
    st.integers(1, 5000),
    st.integers(1, 5000),
    st.sampled_from(["float16", "bfloat16", "int8"]),
    st.sampled_from([("cusparselt", 16, 16), ("cutlass", 32, 64)]),
)
def test_padding_extends_a_weight_to_the_next_multiple(
    m: int, k: int, dtype: str, backend: tuple[str, int, int]
) -> None:
    name, rows, columns = backend
    if dtype == "int8":
        rows, columns = {"cusparselt": (32, 32), "cutlass": (16, 128)}[name]
    more_rows, more_columns = worker.padding({"backend": name, "dtype": dtype}, m, k)
    assert (m + more_rows) % rows == (k + more_columns) % columns == 0
    assert 0 <= more_rows < rows
    assert 0 <= more_columns < columns


def test_a_padded_weight_keeps_its_product() -> None:
    ops = operands(parse_case("20x8x40"), backend="cutlass", dtype="bfloat16")
    weight, x = ops.padded_weight(0), worker.pad(torch, ops.x[0], 0, ops.k_pad)
    assert weight.shape == (32, 64)
    assert ops.error(x @ weight.t(), 0) < worker.MAX_ERROR["bfloat16"]


def test_sets_of_operands_exceed_three_caches() -> None:
    ops = worker.Operands(torch, JOB, square(64).as_job(), l2=100_000)
    assert len(ops.x) == len(ops.w) == 7  # 3 · 100 000 bytes in sets of 3 · 64² · 4
    assert not torch.equal(ops.w[0], ops.w[1])
    assert ops.cold


def test_operands_too_small_for_the_caches_are_reported_as_warm() -> None:
    ops = worker.Operands(torch, JOB, square(16).as_job(), l2=1_000_000)
    assert (len(ops.x), ops.cold) == (worker.MAX_COPIES, False)
    assert operands(square(16)).cold is None, "unknown on a CPU"


def fake_torch(**facts: Any) -> Any:
    """The parts of torch that describe another machine."""
    gpu = {"available": True, "count": 1, "capability": (9, 0), "version": "2.12.1+cu130"} | facts
    return SimpleNamespace(
        __version__=gpu["version"],
        device=torch.device,
        version=SimpleNamespace(cuda=gpu.get("cuda", "13.0")),
        cuda=SimpleNamespace(
            is_available=lambda: gpu["available"],
            device_count=lambda: gpu["count"],
            get_device_name=lambda index: "NVIDIA H100",
            get_device_capability=lambda index: gpu["capability"],
        ),
        backends=SimpleNamespace(
            cusparselt=SimpleNamespace(is_available=lambda: gpu.get("cusparselt", True))
        ),
    )


@pytest.mark.parametrize(
    ("facts", "job", "message"),
    [
        ({"version": "2.10.1"}, {}, "torch 2.10.1 is too old: install 2.11 or newer."),
        ({"available": False}, {}, "finds no NVIDIA GPU on this machine."),
        ({"available": False, "cuda": None}, {}, "was built without CUDA on this machine."),
        ({}, {"device": "cuda:1"}, "This machine has 1 GPU(s), and no cuda:1."),
        ({"capability": (7, 5)}, {}, "has compute capability 7.5; 2:4 needs 8.0 or higher."),
        ({}, {"backend": "cutlass"}, "compute capability 8.x only, and NVIDIA H100 has 9.0"),
        ({"cusparselt": False}, {}, "was built without cuSPARSELt."),
        ({}, {"dtype": "float32"}, "2:4 on a GPU supports float16, bfloat16 or int8."),
        ({}, {"backend": "cpu"}, "2:4 on a GPU supports"),
        ({}, {"device": "cpu"}, "A CPU supports only the backend cpu"),
        ({}, {"device": "cpu", "backend": "cpu", "dtype": "int8"}, "float32 or bfloat16"),
    ],
)
def test_the_first_requirement_not_met_is_named(
    facts: dict[str, Any], job: dict[str, Any], message: str
) -> None:
    requested = {"device": "cuda", "backend": "cusparselt", "dtype": "bfloat16"} | job
    with pytest.raises(worker.RefusedError) as refusal:
        worker.check_requirements(fake_torch(**facts), requested)
    assert message in str(refusal.value)


@pytest.mark.parametrize("version", ["2.11.0", "2.13.0a0+git", "3.0"])
def test_a_machine_that_meets_all_requirements_is_accepted(version: str) -> None:
    requested = {"device": "cuda:0", "backend": "cutlass", "dtype": "int8"}
    worker.check_requirements(fake_torch(version=version, capability=(8, 6)), requested)


def test_a_gpu_refuses_a_mask_that_is_not_2_4() -> None:
    mask = np.packbits([[1, 1, 1, 0], [1, 1, 0, 0]]).tobytes()
    job = JOB | {"backend": "cusparselt", "cases": [Case("x", 2, 2, 4, mask=mask).as_job()]}
    result = worker.run_case(torch, job, 0, 0)
    assert (result["status"], result["class"]) == ("refused", "not 2:4")
    assert result["why"].startswith("50.0% of the groups of four")
    assert result["share_valid"] == 0.5


def test_unavailable_ways_are_reported_and_the_others_measured() -> None:
    job = JOB | {"backend": "cusparselt", "dtype": "bfloat16"}
    result = worker.measure(torch, job, square(64).as_job(), 0)
    why = {refused["what"]: refused["why"] for refused in result["refused"]}
    assert "Only CUDA tensors" in why["2:4, default algorithm"]
    assert "2:4, best algorithm" in why
    assert all(time["dense"] for time in result["times"])


def test_out_of_memory_suggests_a_remedy() -> None:
    job = JOB | {"cases": [Case("huge", 1 << 20, 4, 1 << 20).as_job()]}

    def fail(*arguments: Any, **more: Any) -> Any:
        raise torch.OutOfMemoryError("CUDA out of memory")

    full = SimpleNamespace(**{**vars(torch), "Generator": fail})
    result = worker.run_case(full, job, 0, 0)
    assert (result["class"], result["why"]) == (
        "memory", "Out of memory: lower the batch or the number of tokens."
    )  # fmt: skip


def test_a_call_that_never_releases_the_gil_is_ended() -> None:
    code = (
        "import re, sys; sys.path.insert(0, sys.argv[1]); import worker;"
        "worker.GRACE_SECONDS = 0.1; reporter = worker.Reporter(None);"
        "dog = worker.Watchdog(reporter, 1000, 0.1); dog.start(); dog.start_case(0);"
        "re.match('(a+)+$', 'a' * 60 + 'b')"
    )
    folder = Path(worker.__file__).parent
    done = subprocess.run([sys.executable, "-c", code, folder], capture_output=True, timeout=60)
    assert done.returncode in (1, worker.HUNG)


def test_the_worker_does_not_import_lbc() -> None:
    source = Path(worker.__file__).read_text()
    compile(source, "worker.py", "exec")
    assert "import lbc" not in source
    assert "from lbc" not in source


@pytest.mark.parametrize(
    "arguments",
    [["!"], [base64.b64encode(b"[1, 2]").decode()], [base64.b64encode(b"{").decode()], []],
)
def test_an_invalid_job_is_reported(arguments: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, worker.__file__, *arguments], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == worker.UNREADABLE
    assert done.stderr.startswith("The job is invalid")
    assert "Traceback" not in done.stderr


def test_fields_of_nvidia_smi_are_numbers_or_versions() -> None:
    assert worker.parse_field("power_limit", "700.00") == 700.0
    assert worker.parse_field("driver_version", "550.10") == "550.10"
    assert worker.parse_field("power_draw", "[N/A]") == "[N/A]"
    assert worker.parse_field("power_draw", "nan") == "nan"


def test_cpu_samples_take_about_two_milliseconds() -> None:
    ops = operands(square(16))
    timer = worker.Timer(torch, worker.Way("dense", [partial(torch.add, *ops.pairs[0])]), "eager",
                         CPU)  # fmt: skip
    timer.warm_up(0.05, 25, 60)
    assert 1 <= timer.count <= 1000
    assert timer.once() > 0
    assert Settings().samples >= 30
