"""What forks cost and whether they are exact, as JSON.

share: 16 forks from 70 % of a small run, with 16 ends of the removal, against 16 whole runs.
start: seconds from the call of ``fork_run`` to the first step of the bundled example's fork.
bits:  how many unchanged forks, from every kept checkpoint of the bundled example, end in the bits
of their parent.

    python -m tests.performance.forks                  # all of it: half an hour
    python -m tests.performance.forks --parts share start
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from lbc.config import Experiment, load_experiment, parse_experiment
from lbc.files.resources import resource
from lbc.runs.events import Event, StepDone
from lbc.runs.kept_checkpoints import experiment_at, kept_moments
from lbc.training.fork import fork_run
from lbc.training.trainer import Trainer
from tests.training.resumption import assert_same_run

FORKS, EPOCHS = 16, 20

Cost = npt.NDArray[np.float64]
"""Steps trained, seconds passed, and seconds of processor time."""


def train(experiment: Experiment, folder: Path, resume: bool = False) -> Cost:
    """Train to the end; what it cost."""
    steps = 0

    def emit(event: Event) -> None:
        nonlocal steps
        steps += isinstance(event, StepDone)

    started, busy = time.perf_counter(), time.process_time()
    Trainer(experiment, folder, emit=emit, resume=resume).train()
    return np.array([steps, time.perf_counter() - started, time.process_time() - busy])


def share(folder: Path) -> dict[str, Any]:
    """Whole runs and forks take turns, so that both see the same load of the machine."""

    def ending(number: int) -> Experiment:
        return parse_experiment({
            "name": "forks",
            "model": {"name": "convnet", "width": 8},
            "schedule": {"end": EPOCHS * (0.75 + 0.25 * number / FORKS)},
            "training": {"epochs": EPOCHS, "batch_size": 64},
        })  # fmt: skip

    parent = folder / "parent"
    forked = 0.7 * train(ending(0), parent)  # the part that the forks share
    whole = np.zeros(3)
    for number in range(FORKS):
        whole += train(ending(number), folder / f"whole-{number}")
        started, busy = time.perf_counter(), time.process_time()
        fork = fork_run(parent, 0.7 * EPOCHS, ending(number), folder / f"fork-{number}")
        forked += [0, time.perf_counter() - started, time.process_time() - busy]
        forked += train(ending(number), fork, resume=True)
    names = ("steps", "seconds", "cpu_seconds")
    shares = dict(zip(names, (forked / whole).round(4).tolist(), strict=True))
    return shares | {"whole": whole.round(1).tolist(), "forked": forked.round(1).tolist()}


def start(parent: Path, folder: Path) -> list[float]:
    """Seconds to the first step, from every kept checkpoint but the last."""

    class FirstStepError(Exception):
        pass

    def emit(event: Event) -> None:
        if isinstance(event, StepDone):
            raise FirstStepError

    found = []
    for point in kept_moments(parent)[:-1]:
        started = time.perf_counter()
        experiment = experiment_at(point)
        fork = fork_run(parent, point.epoch, experiment, folder / f"start-{point.step}")
        try:
            Trainer(experiment, fork, emit=emit, resume=True).train()
        except Exception as error:  # the trainer explains it
            assert isinstance(error.__cause__, FirstStepError)
        found.append(round(time.perf_counter() - started, 3))
    return found


def bits(parent: Path, folder: Path) -> dict[str, int]:
    points, exact = kept_moments(parent), 0
    for point in points:
        experiment = experiment_at(point)
        fork = fork_run(parent, point.epoch, experiment, folder / f"bits-{point.step}")
        train(experiment, fork, resume=True)
        assert_same_run(fork, parent)
        exact += 1
    return {"kept": len(points), "exact": exact}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parts = ("share", "start", "bits")
    parser.add_argument("--parts", nargs="+", choices=parts, default=parts)
    chosen = parser.parse_args().parts
    torch.set_num_threads(1)
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        if "share" in chosen:
            found["share"] = share(folder)
        if {"start", "bits"} & {*chosen}:
            bundled = load_experiment(resource("experiments/digits.yaml"))
            found["bundled_seconds"] = round(float(train(bundled, folder / "bundled")[1]), 1)
        if "start" in chosen:
            found["start"] = start(folder / "bundled", folder)
        if "bits" in chosen:
            found["bits"] = bits(folder / "bundled", folder)
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
