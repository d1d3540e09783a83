"""Time and memory to compare the masks of many ResNet-18 runs, pair by pair.

    python -m tests.performance.mask_agreement --runs 100

Masks are drawn at random, which takes as long to compare as trained ones. One history, with live
combinations from 6 to 1, is written and read. Prints JSON.
"""

from __future__ import annotations

import argparse
import json
import resource
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter, process_time

import numpy as np
import torch

from lbc import Pattern, sparsify
from lbc.comparison.mask_agreement import compare_masks
from lbc.comparison.run_masks import LayerMask, RunMasks, read_masks
from lbc.comparison.search_course import read_course
from lbc.models import ResNet18
from lbc.runs.events import LayerInfo
from lbc.runs.history_writer import HistoryWriter
from lbc.sparsity.sparsifier import Sparsifier

MAX_SECONDS = 5.0
MOMENTS = 60


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--runs", type=int, default=100)
    parser.add_argument("--pattern", default="2:4")
    options = parser.parse_args()
    pattern = Pattern.parse(options.pattern)
    sparsifier = sparsify(ResNet18(classes=1000, in_channels=3), pattern, scores="per_weight")
    infos = [LayerInfo(n, at.shape, at.pattern, at.blocks) for n, at in sparsifier.layers.items()]
    reading = _read_one(sparsifier, infos)
    generator = np.random.default_rng(0)
    runs = [_draw(infos, generator) for _ in range(options.runs)]
    before, wall, cpu = _peak_mb(), perf_counter(), process_time()
    agreement = compare_masks(runs)
    seconds, cpu = perf_counter() - wall, process_time() - cpu
    off = agreement.whole[~np.eye(options.runs, dtype=bool)]
    print(json.dumps({
        "runs": options.runs,
        "pairs": options.runs * (options.runs - 1) // 2,
        "weights": sum(mask.size for mask in runs[0].layers.values()),
        "pattern": str(pattern),
        "seconds": round(seconds, 2),
        "cpu_seconds": round(cpu, 2),
        "masks_mb": round(sum(m.bits.nbytes for run in runs for m in run.layers.values()) / 1e6, 1),
        "comparison_mb": round(_peak_mb() - before, 1),
        "largest_kappa_of_independent_masks": float(np.abs(off).max()),
        **reading,
        "within_limit": seconds <= MAX_SECONDS,
    }, indent=2))  # fmt: skip
    return 0 if seconds <= MAX_SECONDS else 1


def _draw(infos: list[LayerInfo], generator: np.random.Generator) -> RunMasks:
    layers = {}
    for info in infos:
        winners = generator.integers(info.pattern.count, size=info.blocks)
        kept = info.pattern.incidence_array.take(winners, axis=0)
        layers[info.name] = LayerMask.of_blocks(kept, info.shape, info.pattern)
    return RunMasks(1.0, True, layers)


def _read_one(sparsifier: Sparsifier, infos: list[LayerInfo]) -> dict[str, float]:
    """Seconds to read the masks and the course of one run of ``MOMENTS`` moments."""
    with TemporaryDirectory() as folder:
        writer = HistoryWriter(Path(folder) / "scores.history", infos, MOMENTS)
        for moment in range(MOMENTS + 1):
            for layer in sparsifier.layers.values():
                for score in layer.score_parameters():
                    with torch.no_grad():
                        score.add_(0.02 * torch.randn_like(score))
            sparsifier.remove(max(1, 6 - moment // 8))
            writer.append(moment, sparsifier)
        writer.close()
        start = perf_counter()
        read_masks(Path(folder), "lbc")
        masks = perf_counter() - start
        start = perf_counter()
        read_course(Path(folder), "lbc")
        course = perf_counter() - start
    return {"read_masks_seconds": round(masks, 2), "read_course_seconds": round(course, 2)}


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    raise SystemExit(main())
