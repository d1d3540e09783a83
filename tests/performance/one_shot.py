"""Seconds and memory of one-shot pruning, as JSON: python tests/performance/one_shot.py

A Llama-shaped layer (4096, 11008) with 2,048 tokens by Wanda and by SparseGPT, and a whole
ResNet-18 and DeiT-tiny with 128 images, all at 2:4; every case in a process of its own.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import resource
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from lbc.models import DEIT_WIDTHS, DeiT, ResNet18
from lbc.sparsity.calibration import admm, dsnot, ria, sparsegpt, wanda
from lbc.sparsity.calibration.channel_order import reorder_channels
from lbc.sparsity.calibration.input_statistics import InputStatistics
from lbc.sparsity.calibration.one_shot import prune_in_order
from lbc.sparsity.calibration.solution import Solver, ignore_progress
from lbc.sparsity.pattern import Pattern
from lbc.sparsity.sparsification import sparsify
from lbc.training.method_run import CALIBRATION_BATCH

SOLVERS: dict[str, Solver] = {
    module.__name__.rpartition(".")[2]: module.solve
    for module in (wanda, ria, sparsegpt, admm, dsnot)
}
SOLVERS["ria permute"] = ria.solve
NETWORKS: dict[str, Callable[[int], nn.Module]] = {
    "resnet18": lambda size: ResNet18(),
    "deit-tiny": lambda size: DeiT(DEIT_WIDTHS["deit-tiny"], (3, size, size)),
}
IMAGES = 128


def llama_layer(method: str) -> dict[str, Any]:
    torch.manual_seed(0)
    weight = torch.randn(4096, 11008)
    inputs = _correlated(2048, 11008)
    begin = time.perf_counter()
    statistics = InputStatistics(11008, gram=method != "wanda")
    statistics.add(1, torch.split(inputs, 512))
    solution = SOLVERS[method](weight, statistics, Pattern(2, 4), ignore_progress)
    seconds = time.perf_counter() - begin
    assert bool((solution.mask.reshape(-1, 4).sum(dim=1) == 2).all())
    return {"seconds": round(seconds, 1)}


def _correlated(tokens: int, columns: int) -> Tensor:
    mixed = torch.randn(tokens, columns // 8) @ torch.randn(columns // 8, columns)
    return mixed.div_(columns**0.5)


def network(name: str, method: str, size: int) -> dict[str, Any]:
    torch.manual_seed(0)
    model = NETWORKS[name](size)
    sparsify(model, "2:4", "asp")
    images = torch.randn(IMAGES, 3, size, size)
    begin = time.perf_counter()
    batches = torch.split(images, CALIBRATION_BATCH)
    if method == "ria permute":
        reorder_channels(model, batches, ria.scores)
    layers = prune_in_order(model, batches, SOLVERS[method])
    seconds = time.perf_counter() - begin
    errors = [layer.error for layer in layers if layer.error is not None]
    return {
        "seconds": round(seconds, 1),
        "layers": len(layers),
        "mean_error": round(sum(errors) / len(errors), 4),
    }


def measure(case: tuple[Any, ...]) -> dict[str, Any]:
    torch.set_num_threads(2)
    function, *arguments = case
    measured: dict[str, Any] = function(*arguments)
    used = resource.getrusage(resource.RUSAGE_SELF)
    cores = used.ru_utime + used.ru_stime
    return measured | {
        "processor_seconds": round(cores, 1),
        "peak_gib": round(used.ru_maxrss / 2**20, 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=224, help="pixels of an image's side")
    parser.add_argument("--only", default="", help="cases whose name contains this")
    options = parser.parse_args()
    cases: dict[str, tuple[Any, ...]] = {
        f"llama layer, {method}": (llama_layer, method) for method in ("wanda", "sparsegpt")
    }
    for name in NETWORKS:
        cases |= {f"{name}, {method}": (network, name, method, options.size) for method in SOLVERS}
    context = multiprocessing.get_context("spawn")
    for name, case in cases.items():
        if options.only in name:
            with context.Pool(1) as pool:
                print(json.dumps({"case": name} | pool.apply(measure, (case,))), flush=True)


if __name__ == "__main__":
    main()
