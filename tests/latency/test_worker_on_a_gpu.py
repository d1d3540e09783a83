"""The worker on a pretended GPU: what it calls, how it times, and what it does after a failure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch

from lbc.latency import worker
from lbc.latency.cases import Case, parse_case
from lbc.latency.measurement import Backend, Dtype, Result
from lbc.latency.run import Request
from tests.gpu.pretended import Gpu, pretend
from tests.latency.conftest import QUICK

pytestmark = pytest.mark.filterwarnings("ignore:The PyTorch API of SparseSemi")


@pytest.fixture
def gpu() -> Iterator[Gpu]:
    with pretend(Gpu()) as gpu, torch.inference_mode():
        yield gpu


def run(
    case: Case | str = "64x32x128", dtype: Dtype = "bfloat16", backend: Backend = "cusparselt",
    **more: Any,
) -> Result:  # fmt: skip
    """Run one case as the worker does; its answer, validated."""
    case = parse_case(case) if isinstance(case, str) else case
    job = Request.for_device([case], "cuda", settings=QUICK).job(dtype, backend) | more
    return Result.model_validate(worker.run_case(torch, job, 0, 1 << 16))


def times(result: Result) -> dict[tuple[str, str], float]:
    return {(time.way, time.mode): round(time.median_us, 6) for time in result.times}


def test_the_control_measures_the_same_library_again(gpu: Gpu) -> None:
    result = run()
    for mode in ("graph", "eager"):
        assert times(result)["A/A", mode] == times(result)["cuBLAS", mode]
    assert all(ratio.ratio == pytest.approx(1) for ratio in result.ratios if ratio.way == "A/A")
    assert times(result)["cuBLASLt", "graph"] < times(result)["cuBLAS", "graph"]
