"""Times the products of a measurement with independent code, using CUDA graphs and events.

python tests/gpu/independent.py MEASURED.json OUT.json

Needs only torch with CUDA. From the measurement it uses sizes and algorithms, but no times.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch.nn.functional import linear
from torch.sparse import SparseSemiStructuredTensor, to_sparse_semi_structured

ROUNDS = 41
CALLS = 12
WARM_SECONDS = 0.25

Call = Callable[[], torch.Tensor]
Operands = list[tuple[torch.Tensor, torch.Tensor]]

# Private or untyped in torch.
sparse_product: Any = torch._cslt_sparse_mm
compress: Any = torch._cslt_compress
new_stream: Any = torch.cuda.Stream
new_event: Any = torch.cuda.Event


def sparse_weight(m: int, k: int, dtype: torch.dtype) -> torch.Tensor:
    """Normally distributed values; two of every four, chosen at random, are zero."""
    dropped = torch.rand(m * k // 4, 4, device="cuda").argsort(dim=1)[:, :2]
    weight = torch.randn(m * k // 4, 4, device="cuda").scatter_(1, dropped, 0)
    return weight.view(m, k).to(dtype)


def dense_calls(library: str, sets: Operands) -> list[Call]:
    def call(x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        torch.backends.cuda.preferred_blas_library(library)
        return linear(x, weight)

    return [partial(call, *pair) for pair in sets]


def sparse_calls(algorithm: dict[str, int] | None, sets: Operands) -> list[Call]:
    """Calls of torch's 2:4 layer, or of cuSPARSELt's product with a given algorithm."""
    if algorithm is None:
        SparseSemiStructuredTensor._FORCE_CUTLASS = False
        return [partial(linear, x, to_sparse_semi_structured(weight)) for x, weight in sets]
    more = {"transpose_result": True, **algorithm}
    return [partial(sparse_product, compress(weight), x.t(), **more) for x, weight in sets]


def capture(calls: list[Call]) -> torch.cuda.CUDAGraph:
    """Capture a graph of ``CALLS`` calls that use the sets of operands in turn."""
    stream = new_stream()
    torch.cuda.synchronize()
    with torch.cuda.stream(stream):
        for call in calls:
            call()
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, stream=stream):
        for number in range(max(CALLS, len(calls))):
            out = calls[number % len(calls)]()
    del out
    return graph


def replay_ms(graph: torch.cuda.CUDAGraph) -> float:
    """Return the milliseconds of one replay."""
    before, after = new_event(enable_timing=True), new_event(enable_timing=True)
    before.record()
    graph.replay()
    after.record()
    after.synchronize()
    return float(before.elapsed_time(after))


def measure(result: dict[str, Any], dtype: torch.dtype) -> dict[str, float]:
    """Return the microseconds per call of each way that was measured in a graph."""
    m, n, k = result["m"], result["n"], result["k"]
    cache = torch.cuda.get_device_properties(0).L2_cache_size
    count = min(16, 1 + 4 * cache // (dtype.itemsize * (m * k + n * k)))
    sets = [
        (torch.randn(n, k, device="cuda").to(dtype), sparse_weight(m, k, dtype))
        for _ in range(count)
    ]
    graphs: dict[str, torch.cuda.CUDAGraph] = {}
    for time_record in result["times"]:
        way = time_record["way"]
        if time_record["mode"] != "graph" or time_record["unfolded"] or way == "A/A":
            continue
        if time_record["dense"] and way.startswith("cuBLAS"):
            graphs[way] = capture(dense_calls(way.lower(), sets))
        elif way.startswith("cuSPARSELt") and not any(result["padded"]):
            graphs[way] = capture(sparse_calls(time_record["algorithm"], sets))
    for graph in graphs.values():
        end = time.monotonic() + WARM_SECONDS
        while time.monotonic() < end:
            replay_ms(graph)
    times: dict[str, list[float]] = {way: [] for way in graphs}
    for number in range(ROUNDS):
        for way in sorted(graphs, reverse=bool(number % 2)):
            times[way].append(replay_ms(graphs[way]))
    return {way: median(ms) * 1000 / max(CALLS, count) for way, ms in times.items()}


def main(source: Path, target: Path) -> None:
    """Time every measured case of the first measurement in the file."""
    measurement = json.loads(source.read_text())["measurements"][0]
    dtype = getattr(torch, measurement["dtype"])
    cases = []
    with torch.inference_mode():
        for result in measurement["results"]:
            if result["status"] == "measured":
                cases.append({"name": result["name"], "us": measure(result, dtype)})
                target.write_text(json.dumps(cases, indent=1))
                torch.cuda.empty_cache()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
