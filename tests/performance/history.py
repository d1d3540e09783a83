"""Size of the history of a ResNet-18 run, and the time to read a moment from it.

    python tests/performance/history.py --pattern 2:4

Trains on the bundled digits, with a removal at every moment of the first half as in the published
recipe. Prints JSON. Scores are reported separately, because their number depends on a budget.
"""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter, process_time

import torch
from torch import Tensor, nn

from lbc import Pattern, Schedule, config, sparsify
from lbc.data.digits import load_digits
from lbc.models import ResNet18
from lbc.runs.events import LayerInfo
from lbc.runs.history_format import read_frames
from lbc.runs.history_reader import Replay
from lbc.runs.history_walks import biographies
from lbc.runs.history_writer import HistoryWriter
from lbc.training.optimizer import build_optimizer, learning_rate

MAX_BYTES_PER_WEIGHT = 1.5
MAX_MS = 100.0
BATCH = 32
READS = 60


def train(
    path: Path, pattern: Pattern, method: str, moments: int, steps: int
) -> dict[str, list[Time]]:
    """Write the history of a run; return the times of all appends and training steps."""
    torch.manual_seed(0)
    data = load_digits(config.Digits()).train
    order = torch.Generator().manual_seed(0)
    model = ResNet18(classes=10, in_channels=1)
    sparsifier = sparsify(model, pattern, method, scores="per_weight")
    settings = config.Optimizer(lr=0.1, momentum=0.9, weight_decay=1e-4, warmup_epochs=2)
    optimizer = build_optimizer(model, settings)
    schedule = Schedule(end=moments / 2)
    layers = [LayerInfo(n, at.shape, at.pattern, at.blocks) for n, at in sparsifier.layers.items()]
    writer = HistoryWriter(path, layers, moments)
    writer.append(0, sparsifier)
    times: dict[str, list[Time]] = {"append": [], "step": []}
    for moment in range(1, moments + 1):
        for step in range(steps):
            rate = learning_rate(settings, moment - 1 + step / steps, moments)
            for group in optimizer.param_groups:
                group["lr"] = rate
            indices = torch.randint(len(data.labels), (BATCH,), generator=order)
            images = data.read(indices).float() / 255
            step_once = partial(_step, model, optimizer, images, data.labels[indices])
            times["step"].append(measure_time(step_once))
        sparsifier.follow(schedule, moment, optimizer)
        times["append"].append(measure_time(partial(writer.append, moment, sparsifier)))
    writer.close()
    return times


def _step(
    model: nn.Module, optimizer: torch.optim.Optimizer, images: Tensor, labels: Tensor
) -> None:
    optimizer.zero_grad()
    loss = nn.functional.cross_entropy(model(images), labels)
    loss.backward()  # type: ignore[no-untyped-call]
    optimizer.step()


@dataclass(frozen=True)
class Time:
    """Milliseconds of wall-clock time and of CPU time, which other processes do not affect."""

    wall: float
    cpu: float


def measure_time(call: Callable[[], object]) -> Time:
    wall, cpu = perf_counter(), process_time()
    call()
    return Time(1000 * (perf_counter() - wall), 1000 * (process_time() - cpu))


def summarize(times: list[Time]) -> dict[str, float]:
    return {
        "median_ms": round(median(time.wall for time in times), 2),
        "longest_ms": round(max(time.wall for time in times), 2),
        "median_cpu_ms": round(median(time.cpu for time in times), 2),
        "longest_cpu_ms": round(max(time.cpu for time in times), 2),
    }


def _cold(path: Path, name: str, moment: int, scores: bool) -> None:
    Replay(path).layer(name, moment, scores)


def _all_layers(replay: Replay, moment: int) -> None:
    for at in replay.layers:
        replay.layer(at.name, moment, False)


def measure(path: Path, pattern: Pattern, options: argparse.Namespace) -> dict[str, object]:
    """Measure one pattern: sizes by kind, and reading with a new Replay."""
    times = train(path, pattern, options.method, options.moments, options.steps)
    replay, frames = Replay(path), read_frames(path)
    weights = sum(at.blocks * at.pattern.m for at in replay.layers)
    kinds = {
        key: sum(int(one.records[key].sum()) for one in frames)
        for key in ("winners", "bits", "scores")
    }
    largest = max(replay.layers, key=lambda at: at.blocks)
    generator = random.Random(0)
    moments = [generator.randrange(len(frames)) for _ in range(READS)]
    one = [measure_time(partial(_cold, path, largest.name, k, False)) for k in moments]
    scored = [measure_time(partial(_cold, path, largest.name, k, True)) for k in moments]
    every = [measure_time(partial(_all_layers, replay, k)) for k in moments]
    dragged = [
        measure_time(partial(replay.layer, largest.name, k, False)) for k in range(len(frames))
    ]
    exact = (path.stat().st_size - kinds["scores"]) / weights
    return {
        "pattern": str(pattern),
        "method": options.method,
        "weights": weights,
        "moments": len(frames),
        "removals": sum(moment.removal for moment in replay.moments),
        "bytes_per_weight": round(exact, 4),
        "small_enough": exact <= MAX_BYTES_PER_WEIGHT,
        "of_which": {k: round(n / weights, 4) for k, n in kinds.items() if k != "scores"},
        "scores_bytes_per_weight": round(kinds["scores"] / weights, 4),
        "scores_kept": sum(moment.scores for moment in replay.moments),
        "largest_layer": {"name": largest.name, "weights": largest.blocks * pattern.m},
        "any_moment_of_it": summarize(one),
        "soon_enough": max(time.wall for time in one) <= MAX_MS,
        "with_scores": summarize(scored),
        "next_moment_of_it": summarize(dragged),
        "any_moment_of_all_layers": summarize(every),
        "biography": summarize([measure_time(partial(biographies, replay, largest.name, [0]))]),
        "refresh": summarize([measure_time(partial(Replay, path))]),
        "append": summarize(times["append"]),
        "step": summarize(times["step"]),
    }


def main() -> None:
    """Measure every requested pattern and print a JSON object."""
    parser = argparse.ArgumentParser(description="Size and reading time of a run's history.")
    parser.add_argument("--pattern", action="append", metavar="N:M", help="may be repeated")
    parser.add_argument("--method", default="lbc", help="lbc, dense, asp or sr-ste")
    parser.add_argument("--moments", type=int, default=60, help="moments after the start")
    parser.add_argument("--steps", type=int, default=4, help="training steps between moments")
    options = parser.parse_args()
    if min(options.moments, options.steps) < 1:
        parser.error("--moments and --steps must be at least 1.")
    try:
        patterns = [Pattern.parse(text) for text in options.pattern or ("2:4",)]
    except ValueError as error:
        parser.error(str(error))
    with TemporaryDirectory() as folder:
        report = {
            "threads": torch.get_num_threads(),
            "torch": torch.__version__,
            "steps_between_moments": options.steps,
            "runs": [
                measure(Path(folder) / f"{pattern.n}-{pattern.m}.history", pattern, options)
                for pattern in patterns
            ],
        }
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
