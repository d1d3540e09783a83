"""The worker on a pretended GPU: what it calls, how it times, and what it does after a failure."""

from __future__ import annotations

import gc
import warnings
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest
import torch

from lbc.latency import worker
from lbc.latency.cases import parse_case
from lbc.latency.measurement import Backend, Dtype, Mode, Result, Time
from lbc.latency.run import Request
from tests.gpu.pretended import Gpu, pretend
from tests.latency.conftest import QUICK

pytestmark = [
    pytest.mark.filterwarnings("ignore:The PyTorch API of SparseSemi"),
    pytest.mark.filterwarnings("ignore:Will attempt to recover by calling cublas"),
]

CASE = "64x32x128"
SAMPLE_SECONDS = worker.SAMPLE_SECONDS


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> Iterator[Gpu]:
    """Its clock has no noise: a tenth of the calls of a sample measures the same."""
    monkeypatch.setattr(worker, "SAMPLE_SECONDS", 2e-4)
    with pretend(Gpu()) as gpu, torch.inference_mode():
        yield gpu


def job_of(case: str, dtype: Dtype, backend: Backend = "cusparselt") -> dict[str, Any]:
    return Request.for_device([parse_case(case)], "cuda", settings=QUICK).job(dtype, backend)


def run(
    case: str = CASE, dtype: Dtype = "bfloat16", backend: Backend = "cusparselt", **more: Any
) -> Result:
    """Run one case as the worker does; its answer, validated."""
    answer = worker.run_case(torch, job_of(case, dtype, backend) | more, 0, 1 << 14)
    return Result.model_validate(answer)


def time_of(result: Result, way: str, mode: Mode = "graph") -> Time:
    (found,) = [time for time in result.times if (time.way, time.mode) == (way, mode)]
    return found


def microseconds(result: Result, way: str, mode: Mode = "graph") -> float:
    return round(time_of(result, way, mode).median_us, 6)


# -- times ----------------------------------------------------------------------------------------


def test_times_are_those_of_the_gpu_and_the_control_is_one(gpu: Gpu) -> None:
    result = run()
    assert microseconds(result, "cuBLAS") == 90, "without the launch of the graph"
    assert microseconds(result, "cuBLASLt") == 80
    assert microseconds(result, "cuSPARSELt default") == 60
    modes: tuple[Mode, ...] = ("graph", "eager")
    for mode in modes:
        control = microseconds(result, "A/A", mode)
        assert control == microseconds(result, "cuBLAS", mode), "under the same library"
    assert all(ratio.ratio == pytest.approx(1) for ratio in result.ratios if ratio.way == "A/A")
    ratio = result.ratio_of(result.sparse())
    assert ratio is not None
    assert ratio.over == "cuBLASLt"
    assert ratio.ratio == pytest.approx(80 / 60)


def test_all_graphs_are_sampled_before_eager_calls(gpu: Gpu) -> None:
    run()
    (graphs,) = {calls for calls in gpu.replays if gpu.replays.count(calls) >= 5 * QUICK.samples}
    assert not any(captured for _, _, captured in gpu.calls[graphs:])
    assert len(gpu.calls) > graphs


def test_a_sample_takes_two_milliseconds_or_one_round_of_operands(
    gpu: Gpu, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "SAMPLE_SECONDS", SAMPLE_SECONDS)
    gpu.seconds = lambda kind: 5e-3 if kind == "sparse" else 5e-4
    result = run(dtype="int8")
    assert time_of(result, "cuBLASLt").calls == time_of(result, "cuBLASLt", "eager").calls == 4
    assert time_of(result, "cuSPARSELt best").calls == result.copies == 3


def test_long_calls_are_also_measured_without_pauses(gpu: Gpu) -> None:
    gpu.seconds = lambda kind: 5e-2 if kind == "sparse" else 6e-2
    result = run("16x8x32")
    sustained = {time.way: time.sustained_us for time in result.times if time.sustained_us}
    assert sustained == {
        "cuBLAS": pytest.approx(60_000),
        "cuSPARSELt default": pytest.approx(50_000),
    }


# -- ways -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("dtype", "backend", "shape"),
    [
        ("bfloat16", "cusparselt", "48x24x80"), ("float16", "cusparselt", "20x4x36"),
        ("int8", "cusparselt", "64x48x96"), ("bfloat16", "cutlass", "32x8x64"),
        ("float16", "cutlass", "20x4x36"), ("int8", "cutlass", "20x33x36"),
    ],
)  # fmt: skip
def test_every_way_is_measured_and_right(
    gpu: Gpu, dtype: Dtype, backend: Backend, shape: str
) -> None:
    result = run(shape, dtype, backend)
    assert [refused.what for refused in result.refused] == (["cuBLAS"] if dtype == "int8" else [])
    assert all(time.right for time in result.times)
    assert {time.mode for time in result.times} == {"graph", "eager"}
    assert all(len(time.strides) == 2 for time in result.times)


def test_every_set_of_operands_is_checked(gpu: Gpu) -> None:
    job = job_of(CASE, "bfloat16")
    ops = worker.Operands(torch, job, job["cases"][0], 1 << 14)
    calls = [partial(torch.nn.functional.linear, x, w) for x, w in ops.pairs]
    for wrong in range(len(calls)):
        spoilt = [*calls]
        spoilt[wrong] = partial(torch.nn.functional.linear, ops.x[wrong], 2 * ops.w[wrong])
        for mode in ("graph", "eager"):
            timer = worker.Timer(torch, worker.Way("x", spoilt), mode, ops.device)
            timer.warm_up(0, 1, 60)
            timer.check(ops, 1e-2)
            assert not timer.right
            assert timer.worst == pytest.approx(1, rel=1e-2)


def test_a_fallback_to_cublas_is_not_called_cublaslt(gpu: Gpu) -> None:
    def warn(gpu: Gpu, name: str, captured: bool) -> None:
        if gpu.library == "cublaslt":
            warnings.warn("Will attempt to recover by calling cublas instead.", stacklevel=2)

    gpu.fails = warn
    result = run()
    assert {time.way for time in result.times if time.dense} == {"cuBLAS", "A/A"}
    assert {refused.what: refused.why for refused in result.refused} == dict.fromkeys(
        ("cuBLASLt, graph", "cuBLASLt, eager"), "torch fell back to cuBLAS for this product."
    )


@pytest.mark.parametrize("tokens", [1, 16, 17])
def test_int8_with_few_tokens_has_a_dense_rival(gpu: Gpu, tokens: int) -> None:
    result = run(f"20x{tokens}x36", "int8")
    assert all(time.right for time in result.times)
    assert result.ratio_of(result.sparse()) is not None
    rows = 32 if tokens <= 16 else tokens
    note = f"padded to {rows}×24×40 (tokens, outputs, inputs)"
    assert time_of(result, "cuBLASLt").note == note


def test_cutlass_int8_returns_its_output_as_it_is(gpu: Gpu) -> None:
    assert time_of(run("32x32x128", "int8", "cutlass"), "CUTLASS default").strides == (1, 32)


# -- the search -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("found", "capability", "outputs", "expected", "note"),
    [
        ((5, 1, -1), (9, 0), 512, {"alg_id": 5}, "the search found split_k 1, which torch cannot"),
        ((5, -1, -1), (8, 0), 512, {"alg_id": 5}, "the search found split_k -1, which may hang"),
        ((5, -1, -1), (12, 0), 512, {"alg_id": 5}, "the search found split_k -1, which may hang"),
        ((5, -1, -1), (9, 0), 256, {"alg_id": 5}, "the search found split_k -1, which may hang"),
        ((5, -1, 0), (10, 0), 400, {"alg_id": 5, "split_k": -1, "split_k_mode": 0}, ""),
        ((5, 4, 1), (8, 0), 256, {"alg_id": 5, "split_k": 4, "split_k_mode": 1}, ""),
    ],
)  # fmt: skip
def test_the_algorithm_found_is_used_as_far_as_torch_can(
    found: tuple[int, int, int], capability: tuple[int, int], outputs: int,
    expected: dict[str, int], note: str,
) -> None:  # fmt: skip
    with pretend(Gpu(capability, found=(*found, 21))), torch.inference_mode():
        result = run(f"{outputs}x8x16")
    assert time_of(result, "cuSPARSELt best").algorithm == expected
    assert time_of(result, "cuSPARSELt best").note.startswith(note)
    unset = [time.algorithm for time in result.times if time.way.endswith("split_k unset")]
    assert unset == ([] if note else 2 * [{"alg_id": 5}])


def test_a_search_that_overwrites_memory_does_no_harm(gpu: Gpu) -> None:
    def overwrite(gpu: Gpu, name: str, captured: bool) -> None:
        if name == "mm_search":
            for tensor in gc.get_objects():
                if type(tensor) is torch.Tensor and tensor.dtype == torch.bfloat16:
                    tensor.fill_(1)

    gpu.fails = overwrite
    assert all(time.right for time in run().times)


# -- failures -------------------------------------------------------------------------------------


def failing(operation: str, text: str, captured: bool = False, broken: str = "") -> Any:
    """Raise ``text`` in an operation, and leave the GPU ``broken``."""

    def fail(gpu: Gpu, name: str, capturing: bool) -> None:
        if (name, capturing) == (operation, captured):
            gpu.broken = broken
            raise RuntimeError(text)

    return fail


@pytest.mark.parametrize(
    ("operation", "what", "ways"),
    [
        ("mm_search", "2:4, best algorithm", {"cuBLASLt", "A/A", "cuSPARSELt default"}),
        ("_cslt_sparse_mm", "cuSPARSELt best, eager", {"cuBLASLt", "A/A"}),
    ],
)
def test_an_error_that_leaves_the_gpu_usable_ends_only_its_way(
    gpu: Gpu, operation: str, what: str, ways: set[str]
) -> None:
    gpu.fails = failing(operation, "CUDA error: not supported when calling `cusparseLtMatmul`")
    result = run(dtype="int8")
    assert result.status == "measured"
    assert {time.way for time in result.times} == ways
    assert what in {refused.what for refused in result.refused}


@pytest.mark.parametrize("operation", ["mm_search", "_cslt_sparse_mm"])
@pytest.mark.parametrize(
    "broken", ["CUDA error: the launch timed out and was terminated", "any other words"]
)
def test_whatever_a_synchronisation_raises_ends_the_process(
    gpu: Gpu, operation: str, broken: str
) -> None:
    text = "CUDA error: execution failed when calling `cusparseLtMatmul`"
    gpu.fails = failing(operation, text, broken=broken)
    result = run(dtype="int8")
    assert (result.status, result.kind) == ("failed", "poisoned")
    assert result.why == f"{text}; {broken}"


def test_a_failed_capture_ends_the_process_with_its_cause(gpu: Gpu) -> None:
    gpu.fails = failing("_cslt_sparse_mm", "cuSPARSELt cannot be captured", captured=True)
    answer = worker.run_case(torch, job_of(CASE, "int8"), 0, 0)
    assert (answer["status"], answer["class"]) == ("failed", "poisoned")
    assert answer["uncaptured"] == "cuSPARSELt default"
    assert answer["why"].endswith("in a CUDA graph: cuSPARSELt cannot be captured")
    result = run(dtype="int8", uncaptured=["cuSPARSELt default", "cuSPARSELt best"])
    sparse = {(time.way, time.mode) for time in result.times if not time.dense}
    assert sparse == {("cuSPARSELt default", "eager"), ("cuSPARSELt best", "eager")}
