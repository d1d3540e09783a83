"""The worker measures this processor for real, applies trained masks, and believes no output."""

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
from lbc.latency.cases import Case, Convolution, square, typed
from lbc.latency.run import Request, Settings
from tests.latency.conftest import QUICK

JOB: dict[str, Any] = Request.on([], "cpu", settings=QUICK).job("float32", "cpu")
CPU = torch.device("cpu")

pytestmark = pytest.mark.filterwarnings("ignore:Sparse CSR")


def operands(case: Case, **job: Any) -> worker.Operands:
    return worker.Operands(torch, JOB | job, case.as_job(), 0)


def timed(way: worker.Way, ops: worker.Operands) -> dict[str, Any]:
    timer = worker.Timer(torch, way, "eager", CPU)
    timer.warm_up(0, 1, 60)
    timer.samples = [timer.once() for _ in range(3)]
    return worker.times_of(timer, ops, JOB)


def test_a_processor_is_measured_in_every_way_and_each_is_right() -> None:
    told = worker.measure(torch, JOB, square(64).as_job(), 0)
    ways = [time["way"] for time in told["times"]]
    assert ways == ["dense", "masked dense", "torch CSR", "torch COO", "A/A"]
    assert all(time["right"] and time["median_us"] > 0 for time in told["times"])
    assert {r["way"] for r in told["ratios"]} == {"masked dense", "torch CSR", "torch COO", "A/A"}
    assert all(r["low"] <= r["high"] and r["over"] == "dense" for r in told["ratios"])
    assert (told["share_valid"], told["refused"]) == (1.0, [])


def test_a_processor_measures_bfloat16_too() -> None:
    told = worker.measure(torch, JOB | {"dtype": "bfloat16"}, square(32).as_job(), 0)
    assert told["times"][0]["way"] == "dense"
    assert all(time["right"] for time in told["times"])


@given(arrays.arrays(bool, st.tuples(st.integers(1, 9), st.integers(1, 21))))
def test_a_trained_mask_reaches_the_worker_bit_by_bit(mask: np.ndarray[Any, Any]) -> None:
    case = Case("layer", mask.shape[0], 2, mask.shape[1], mask=np.packbits(mask).tobytes())
    ops = operands(case)
    assert np.array_equal(ops.mask.numpy() != 0, mask)
    assert not ops.w[0][torch.from_numpy(~mask)].any()


def test_only_groups_of_four_that_keep_two_or_fewer_are_valid() -> None:
    mask = torch.tensor([[1, 1, 0, 0, 1, 1, 1, 0], [0, 0, 0, 0, 1, 0, 0, 1]])
    assert worker.valid_share(mask) == 3 / 4
    # A last group of three is one of four with a zero.
    assert worker.valid_share(torch.ones(1, 7)) == 0
    assert worker.valid_share(torch.tensor([[1, 0, 0, 1, 1, 0, 1]])) == 1


@pytest.mark.parametrize(("pattern", "valid"), [((2, 4), 1.0), ((1, 2), 1.0), ((2, 8), 1.0)])
def test_patterns_that_run_as_2_4_are_valid_altogether(
    pattern: tuple[int, int], valid: float
) -> None:
    from lbc.sparsity.pattern import Pattern

    ops = operands(Case("layer", 64, 8, 64, Pattern(*pattern)))
    assert ops.share_valid == valid
    assert (ops.mask.view(-1, pattern[1]).sum(dim=1) == pattern[0]).all()


def test_a_mask_of_the_wrong_size_or_a_pattern_that_does_not_divide_is_refused() -> None:
    job = JOB | {"cases": [Case("layer", 4, 4, 8, mask=b"\xff").as_job()]}
    assert "does not fit 4×8" in worker.run_case(torch, job, 0, 0)["why"]
    job = JOB | {"cases": [Case("layer", 4, 4, 6).as_job()]}
    told = worker.run_case(torch, job, 0, 0)
    assert (told["status"], told["why"]) == ("refused", "Blocks of 4 do not divide 6 inputs.")


def wrong_by(change: Any) -> dict[str, Any]:
    """What is told of a way that computes ``change`` of the true product."""
    ops = operands(square(16))
    x, w = ops.pairs[0]
    return timed(worker.Way("wrong", [lambda: change(x @ w.t())]), ops)


def test_a_right_output_passes_and_a_wrong_one_does_not() -> None:
    assert wrong_by(lambda y: y)["right"]
    assert not wrong_by(lambda y: y * 1.001)["right"]
    assert not wrong_by(torch.zeros_like)["right"]
    assert not wrong_by(lambda y: y.t())["right"]
    assert not wrong_by(lambda y: y[:8])["right"]
    assert wrong_by(lambda y: torch.nn.functional.pad(y, (0, 8, 0, 8)))["right"], "padding is cut"


def test_nan_fails_and_is_told_as_no_error_at_all() -> None:
    told = wrong_by(lambda y: y.clone().index_put_((torch.tensor(3),), torch.tensor(math.nan)))
    assert (told["right"], told["error"]) == (False, None)


def test_a_call_that_writes_nothing_is_caught() -> None:
    ops = operands(square(16))
    once = ops.x[0] @ ops.w[0].t()
    assert not timed(worker.Way("lazy", [lambda: once]), ops)["right"]


def test_an_unfolded_convolution_equals_the_convolution() -> None:
    shape = Convolution(2, 8, 5, 7, (3, 3), (2, 1), (1, 1))
    case = Case("conv", 16, 2 * 3 * 7, 72, convolution=shape)
    ops = operands(case)
    dense = timed(worker.dense_conv(torch, ops, "convolution"), ops)
    assert (dense["right"], dense["unfolded"], dense["dense"]) == (True, True, True)
    sparse = timed(worker.unfolded_csr(torch, ops, 60), ops)
    assert (sparse["right"], sparse["unfolded"], sparse["dense"]) == (True, True, False)
    image, weight = ops.images()[0], ops.w[0]
    columns = torch.nn.functional.unfold(image, (3, 3), padding=1, stride=(2, 1))  # (2, 8·9, 21)
    by_position = columns.view(2, 8, 9, 21).permute(0, 3, 2, 1).reshape(-1, 72)
    assert ops.error(by_position @ weight.t(), 0, convolution=True) < 1e-6
    assert ops.error(columns.mT.reshape(-1, 72) @ weight.t(), 0, convolution=True) > 0.1


def test_a_convolution_is_measured_as_its_product_and_unfolded_over_the_convolution() -> None:
    case = Case(
        "conv", 16, 2 * 6 * 6, 72, convolution=Convolution(2, 8, 6, 6, (3, 3), (1, 1), (1, 1))
    )
    told = worker.measure(torch, JOB, case.as_job(), 0)
    assert all(time["right"] for time in told["times"])
    over = {ratio["way"]: ratio["over"] for ratio in told["ratios"]}
    assert over["unfold + CSR"] == "convolution"
    assert over["torch CSR"] == "dense"


def test_a_way_that_would_take_minutes_is_refused_before_it_is_called_whole() -> None:
    job = JOB | {"budget_seconds": 1e-6}
    with pytest.raises(worker.RefusedError, match="One call would take about"):
        worker.torch_sparse(operands(square(64)), "COO", worker.patience_of(job))


@pytest.mark.parametrize(("size", "calls"), [(64, 10), (4096, 10), (8192, 4), (32768, 1)])
def test_long_calls_leave_time_for_every_sample(size: int, calls: int) -> None:
    assert worker.least_calls(square(size).as_job()) == calls


def test_what_a_way_needs_beforehand_is_never_part_of_its_time() -> None:
    made: list[str] = []
    way = worker.Way("dense", [lambda: made.append("call")], prepare=lambda: made.append("prepare"))
    timer = worker.Timer(torch, way, "eager", CPU)
    made.clear()
    timer.once()
    assert made == ["prepare", "call"]


def test_a_lucky_first_sample_costs_the_other_ways_none_of_theirs() -> None:
    timers = [worker.Timer(torch, worker.Way(name, [int]), "eager", CPU) for name in "abc"]
    times = {"a": [1e-9] + 99 * [1e-3], "b": 50 * [1e-3, 5e-9], "c": 100 * [1.0]}
    for timer in timers:
        timer.once = partial(times[timer.way.name].pop, 0)  # type: ignore[method-assign]
    worker.interleave(timers, JOB | {"samples": 30})
    assert [len(timer.samples) for timer in timers] == [30, 30, 3]


@given(st.lists(st.floats(1e-6, 1.0), min_size=7, max_size=40), st.floats(0.1, 10))
def test_the_bootstrap_interval_holds_the_ratio_of_what_is_always_so_much_slower(
    samples: list[float], factor: float
) -> None:
    timers = [worker.Timer(torch, worker.Way(name, [int]), "eager", CPU) for name in "ab"]
    timers[0].samples, timers[1].samples = samples, [value / factor for value in samples]
    told = worker.ratio(torch, timers[0], timers[1], resamples=50)
    assert told["ratio"] == pytest.approx(factor)
    # Pairs are drawn together: every resample has the same ratio.
    assert told["low"] == pytest.approx(factor)
    assert told["high"] == pytest.approx(factor)


def test_the_bootstrap_interval_narrows_with_samples_and_holds_the_truth() -> None:
    generator = torch.Generator().manual_seed(3)
    widths = []
    for count in (10, 1000):
        timers = [worker.Timer(torch, worker.Way(name, [int]), "eager", CPU) for name in "ab"]
        for timer, mean in zip(timers, (1.5, 1.0), strict=True):
            noise = 0.1 * torch.rand(count, generator=generator, dtype=torch.float64)
            timer.samples = (mean * (1 + noise)).tolist()
        told = worker.ratio(torch, timers[0], timers[1])
        assert told["low"] <= 1.5 <= told["high"]
        widths.append(told["high"] - told["low"])
    assert widths[1] < widths[0] / 3


@given(
    st.integers(1, 5000),
    st.integers(1, 5000),
    st.sampled_from(["float16", "bfloat16", "int8"]),
    st.sampled_from([("cusparselt", 16, 16), ("cutlass", 32, 64)]),
)
def test_padding_brings_a_weight_to_the_next_multiple(
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
    ops = operands(typed("20x8x40"), backend="cutlass", dtype="bfloat16")
    wide, x = ops.padded_weight(0), worker.with_columns(torch, ops, ops.x[0])
    assert wide.shape == (32, 64)
    assert ops.error(x @ wide.t(), 0) < worker.LONGEST_ERROR["bfloat16"]


def test_operands_rotate_through_more_than_three_caches() -> None:
    ops = worker.Operands(torch, JOB, square(64).as_job(), l2=100_000)
    assert len(ops.x) == len(ops.w) == 10  # 3 · 100 000 bytes in sets of 2 · 64² · 4
    assert not torch.equal(ops.w[0], ops.w[1])
    assert ops.cold


def test_operands_too_small_to_fill_the_caches_are_told_as_warm() -> None:
    ops = worker.Operands(torch, JOB, square(16).as_job(), l2=1_000_000)
    assert (len(ops.x), ops.cold) == (worker.MOST_COPIES, False)
    assert operands(square(16)).cold is None, "a processor's caches are not asked for"


def foreign(**facts: Any) -> Any:
    """What torch says of another machine."""
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
    ("facts", "job", "sentence"),
    [
        ({"version": "2.10.1"}, {}, "torch 2.10.1 is too old: install 2.11 or newer."),
        ({"available": False}, {}, "finds no NVIDIA GPU on this machine."),
        ({"available": False, "cuda": None}, {}, "was built without CUDA on this machine."),
        ({}, {"device": "cuda:1"}, "There are 1 GPUs here, and no cuda:1."),
        ({"capability": (7, 5)}, {}, "has compute capability 7.5; 2:4 needs 8.0 (A100)."),
        ({}, {"backend": "cutlass"}, "compute capability 8.x only, and NVIDIA H100 has 9.0"),
        ({"cusparselt": False}, {}, "was built without cuSPARSELt."),
        ({}, {"dtype": "float32"}, "2:4 on a GPU takes float16, bfloat16 or int8."),
        ({}, {"backend": "cpu"}, "2:4 on a GPU takes"),
        ({}, {"device": "cpu"}, "A processor measures only its own row"),
        ({}, {"device": "cpu", "backend": "cpu", "dtype": "int8"}, "float32 or bfloat16"),
    ],
)
def test_the_requirement_that_fails_is_named(
    facts: dict[str, Any], job: dict[str, Any], sentence: str
) -> None:
    asked = {"device": "cuda", "backend": "cusparselt", "dtype": "bfloat16"} | job
    with pytest.raises(worker.RefusedError) as refusal:
        worker.check_requirements(foreign(**facts), asked)
    assert sentence in str(refusal.value)


@pytest.mark.parametrize("version", ["2.11.0", "2.13.0a0+git", "3.0"])
def test_a_machine_that_meets_all_is_not_refused(version: str) -> None:
    asked = {"device": "cuda:0", "backend": "cutlass", "dtype": "int8"}
    worker.check_requirements(foreign(version=version, capability=(8, 6)), asked)


def test_a_mask_that_is_not_2_4_is_refused_on_a_gpu_with_the_share_of_bad_groups() -> None:
    mask = np.packbits([[1, 1, 1, 0], [1, 1, 0, 0]]).tobytes()
    job = JOB | {"backend": "cusparselt", "cases": [Case("x", 2, 2, 4, mask=mask).as_job()]}
    told = worker.run_case(torch, job, 0, 0)
    assert (told["status"], told["class"]) == ("refused", "not 2:4")
    assert told["why"].startswith("50.0% of the groups of four")
    assert told["share_valid"] == 0.5


def test_ways_that_cannot_be_tried_are_told_with_their_reason_and_the_others_are_measured() -> None:
    job = JOB | {"backend": "cusparselt", "dtype": "bfloat16"}
    told = worker.measure(torch, job, square(64).as_job(), 0)
    why = {refused["what"]: refused["why"] for refused in told["refused"]}
    assert "Only CUDA tensors" in why["2:4, default algorithm"]
    assert "2:4, best algorithm" in why
    assert all(time["dense"] for time in told["times"])


def test_out_of_memory_says_what_to_do() -> None:
    job = JOB | {"cases": [Case("huge", 1 << 20, 4, 1 << 20).as_job()]}

    def short(*arguments: Any, **more: Any) -> Any:
        raise torch.OutOfMemoryError("CUDA out of memory")

    scarce = SimpleNamespace(**{**vars(torch), "Generator": short})
    told = worker.run_case(scarce, job, 0, 0)
    assert (told["class"], told["why"]) == (
        "memory", "Out of memory: lower the batch or the number of tokens."
    )  # fmt: skip


def test_a_library_that_keeps_the_interpreters_lock_for_ever_is_ended() -> None:
    code = (
        "import re, sys; sys.path.insert(0, sys.argv[1]); import worker;"
        "worker.GRACE_SECONDS = 0.1; reporter = worker.Reporter(None);"
        "dog = worker.Watchdog(reporter, 1000, 0.1); dog.start(); dog.begin(0);"
        "re.match('(a+)+$', 'a' * 60 + 'b')"
    )
    folder = Path(worker.__file__).parent
    done = subprocess.run([sys.executable, "-c", code, folder], capture_output=True, timeout=60)
    assert done.returncode in (1, worker.HUNG)


def test_the_worker_needs_nothing_of_this_program() -> None:
    source = Path(worker.__file__).read_text()
    compile(source, "worker.py", "exec")
    assert "import lbc" not in source
    assert "from lbc" not in source


@pytest.mark.parametrize(
    "arguments",
    [["!"], [base64.b64encode(b"[1, 2]").decode()], [base64.b64encode(b"{").decode()], []],
)
def test_a_job_that_cannot_be_read_is_said_so(arguments: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, worker.__file__, *arguments], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == worker.UNREADABLE
    assert done.stderr.startswith("The job could not be read")
    assert "Traceback" not in done.stderr


def test_nvidia_smi_gives_figures_and_versions() -> None:
    assert worker.plain("power_limit", "700.00") == 700.0
    assert worker.plain("driver_version", "550.10") == "550.10"
    assert worker.plain("power_draw", "[N/A]") == "[N/A]"
    assert worker.plain("power_draw", "nan") == "nan"


def test_a_timer_on_a_processor_makes_samples_of_about_two_milliseconds() -> None:
    ops = operands(square(16))
    timer = worker.Timer(torch, worker.Way("dense", [partial(torch.add, *ops.pairs[0])]), "eager",
                         CPU)  # fmt: skip
    timer.warm_up(0.05, 25, 60)
    assert 1 <= timer.count <= 1000
    assert timer.once() > 0
    assert Settings().samples >= 30
