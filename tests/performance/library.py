"""The library with ten thousand runs: index from nothing and warm, filter, sort, group.

    python tests/performance/library.py --runs 10000

Makes the runs in a temporary folder, with the settings of a random search over methods, patterns,
learning rates and seeds. Prints JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter, process_time

import numpy as np

from lbc.config import dump_experiment, parse_experiment
from lbc.library.columns import Frame, Rows
from lbc.library.filter import filter_rows
from lbc.library.formats import list_runs
from lbc.library.index import Library
from lbc.library.table import (
    describe_groups,
    fold_seeds,
    group_rows,
    parse_sort,
    relevant_columns,
    sort_rows,
)

WARM_SECONDS, COLD_SECONDS, QUERY_MS = 0.3, 20.0, 50.0
EPOCHS = 40
HEADER = (
    b'{"columns": ["epoch", "train_loss", "test_loss", "accuracy", "live", "density", "seconds"]}\n'
)


def make_runs(folder: Path, count: int) -> None:
    """Write the folders of ``count`` runs: state, experiment, epochs, some with annotations."""
    chance = random.Random(0)
    for number in range(count):
        run = folder / f"search-{number // 1000}" / f"run-{number:05}"
        run.mkdir(parents=True)
        experiment = parse_experiment({
            "name": f"search-{number // 1000}",
            "model": {"name": chance.choice(["convnet", "mlp", "resnet20"])},
            "pattern": chance.choice(["2:4", "1:4", "4:8", "1:16"]),
            "method": chance.choice(["lbc", "sr-ste", "asp", "dense"]),
            "schedule": {"end": chance.choice([10, 20, 30]), "kind": "polynomial"},
            "optimizer": {"lr": round(10 ** chance.uniform(-3, 0), 5), "momentum": 0.9},
            "training": {"epochs": EPOCHS, "batch_size": chance.choice([64, 128])},
            "seed": number % 5,
        })  # fmt: skip
        (run / "experiment.yaml").write_text(dump_experiment(experiment))
        rows = np.sort(np.random.default_rng(number).uniform(0.1, 0.99, (EPOCHS, 7)), axis=0)
        rows[:, 0], rows[:, 4] = np.arange(1, EPOCHS + 1), 6
        (run / "epochs.records").write_bytes(HEADER + rows.astype("<f8").tobytes())
        status = chance.choice(["finished"] * 8 + ["stopped", "failed"])
        state = {
            "status": status, "epoch": EPOCHS, "accuracy": rows[-1, 3], "density": 0.5,
            "seconds": chance.uniform(60, 9000), "name": experiment.name,
            "pattern": str(experiment.pattern), "seed": experiment.seed, "device": "cpu",
            "started": f"2026-0{number % 9 + 1}-01T00:00:00+00:00", "updated": "", "versions": {},
        }  # fmt: skip
        (run / "run.json").write_text(json.dumps(state))
        if number % 7 == 0:
            (run / "library.json").write_text(json.dumps({"tags": ["paper"], "star": True}))


FILTERS = (
    "accuracy > 97 and n:m = 2:4 and tag = paper",
    "optimizer.lr <= 0.05 and not (title ~ 12 or duration > 1h30m)",
    "status = finished and (method = lbc or method = sr-ste) and started > 2026-03",
    "has tag or missing parent and model.name ~ net",
)
ORDERS = ("accuracy desc", "method, n:m, title", "optimizer.lr, accuracy", "started desc, title")
GROUPS = (("method", "n:m"), ("model.name", "schedule.end", "optimizer.lr"), ("group", "seed"))


class Stopwatch:
    """Milliseconds of wall-clock and of CPU time, which other processes affect less."""

    def __init__(self) -> None:
        self.times: dict[str, list[tuple[float, float]]] = {}

    def time(self, name: str, call: Callable[[], object]) -> object:
        wall, cpu = perf_counter(), process_time()
        result = call()
        elapsed = 1000 * (perf_counter() - wall), 1000 * (process_time() - cpu)
        self.times.setdefault(name, []).append(elapsed)
        return result

    def percentiles(self, name: str) -> dict[str, float]:
        wall, cpu = np.array(self.times[name]).T
        return {
            f"{kind}_{share}": round(float(np.percentile(values, at)), 2)
            for kind, values in (("ms", wall), ("cpu_ms", cpu))
            for share, at in (("median", 50), ("p99", 99))
        }


def query(frame: Frame, count: int) -> dict[str, dict[str, float]]:
    """Filter, sort and group at random, as a user who types would."""
    chance, watch = random.Random(1), Stopwatch()
    for _ in range(count):
        text, order, names = chance.choice(FILTERS), chance.choice(ORDERS), chance.choice(GROUPS)
        rows = np.asarray(watch.time("filter", partial(filter_rows, text, frame)))
        keys = parse_sort(order, frame)
        rows = np.asarray(watch.time("sort", partial(sort_rows, frame, rows, keys)))
        watch.time("columns", partial(relevant_columns, frame, rows))
        watch.time("group", partial(_group, frame, rows, names))
        watch.time("fold", partial(_group, frame, rows, None))
    every = [time for name in watch.times for time in watch.times[name]]
    watch.times["all"] = every
    return {name: watch.percentiles(name) for name in watch.times}


def _group(frame: Frame, rows: Rows, names: tuple[str, ...] | None) -> object:
    groups = fold_seeds(frame, rows) if names is None else group_rows(frame, rows, names)
    return describe_groups(frame, groups, "accuracy")


def open_warm(folder: Path) -> dict[str, float]:
    """The first rows of a library whose index exists, in this process."""
    watch = Stopwatch()
    library = Library(folder)
    watch.time("runs", library.runs)
    frame = Frame(library.runs())
    rows = np.arange(len(frame.runs))
    names = ("title", "status", "method", "n:m", "seed", "accuracy", "duration")
    watch.time(
        "rows", lambda: list_runs(frame, sort_rows(frame, rows, [("started", True)])[:50], names)
    )
    watch.time("columns", partial(relevant_columns, frame, rows))
    watch.time("refresh", library.refresh)
    return {
        f"{name}_{kind}": round(times[0][at], 1)
        for name, times in watch.times.items()
        for at, kind in enumerate(("ms", "cpu_ms"))
    }


def measure(folder: Path, queries: int) -> dict[str, object]:
    """Build the index from nothing, open it in new processes, and query."""
    steps: list[int] = []
    watch = Stopwatch()
    library = Library(folder)
    watch.time("cold", partial(library.refresh, lambda done, total: steps.append(done)))
    command = [sys.executable, __file__, "--warm", str(folder)]
    warm = [
        json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        for _ in range(5)
    ]
    few = [
        sys.executable,
        "-m",
        "lbc",
        "runs",
        "list",
        "--runs",
        str(folder),
        "--filter",
        "seed = 9",
    ]
    for _ in range(5):
        watch.time("command", partial(subprocess.run, few, check=True, capture_output=True))
    frame = Frame(library.runs())
    query(frame, 5)
    found = query(frame, queries)
    first = sorted(one["runs_ms"] + one["rows_ms"] for one in warm)[len(warm) // 2]
    cold = watch.times["cold"][0]
    return {
        "runs": len(frame.runs),
        "load_average": os.getloadavg()[0],
        "index_from_nothing_s": round(cold[0] / 1000, 2),
        "index_from_nothing_cpu_s": round(cold[1] / 1000, 2),
        "progress_reports": len(steps),
        "soon_enough_from_nothing": cold[0] / 1000 <= COLD_SECONDS,
        "first_rows_warm_ms": round(first, 1),
        "soon_enough_warm": first / 1000 <= WARM_SECONDS,
        "warm": warm,
        "lbc_runs_ms": watch.percentiles("command")["ms_median"],
        "queries": found,
        "soon_enough_query": found["all"]["ms_p99"] <= QUERY_MS,
    }


def main() -> None:
    """Measure and print a JSON object."""
    parser = argparse.ArgumentParser(description="The library with many runs.")
    parser.add_argument("--runs", type=int, default=10_000)
    parser.add_argument("--queries", type=int, default=200)
    parser.add_argument("--folder", type=Path, help="keep the runs there, or use those there")
    parser.add_argument("--warm", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.warm:
        print(json.dumps(open_warm(options.warm)))
        return
    with TemporaryDirectory() as temporary:
        os.environ["XDG_CACHE_HOME"] = str(Path(temporary) / "cache")
        folder = options.folder or Path(temporary) / "runs"
        if not folder.exists():
            make_runs(folder, options.runs)
        print(json.dumps(measure(folder, options.queries), indent=2))


if __name__ == "__main__":
    main()
