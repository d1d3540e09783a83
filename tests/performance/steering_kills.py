"""The bundled example is killed with -9 again and again while three settings of it change.

Some kills hit a file operation soon after a change, the others any moment. The run is resumed after
each, and is asked again for what its log does not have. At the end its files must be those of an
undisturbed run with the same changes at the same steps. Prints JSON.

    python -m tests.performance.steering_kills --kills 30
"""

from __future__ import annotations

import argparse
import json
import random
import signal
import sys
import tempfile
import time
from pathlib import Path

import torch

from lbc.config import Experiment
from lbc.runs.events import Event, Settings, Steering, StepDone
from lbc.runs.interventions import read_interventions
from lbc.runs.run_state import read_state
from lbc.training.control import Control
from lbc.training.trainer import Trainer
from tests import warm
from tests.faults.kills import Killer
from tests.training.resumption import assert_same_run

CHANGES: dict[int, Settings] = {
    90: (("optimizer.lr", 0.05),),
    240: (("schedule.end", 6.0), ("optimizer.weight_decay", 1e-3)),
    400: (("training.epochs", 9),),
}
"""What is asked for after these steps."""

NEAR = 60
"""File operations after a change within which every other kill hits."""

LONGEST_SECONDS = 3.0


def train(run: Path, kill_after: int) -> None:
    """Train or resume; kill this process at a file operation after the next change, if not 0."""
    # No result depends on how often a checkpoint is written.
    often = Experiment().training.model_copy(update={"checkpoint_minutes": 0.02})
    experiment = Experiment().model_copy(update={"training": often})
    newest = [run / name for name in ("checkpoint.pt", "checkpoint.previous.pt")]
    file = next((file for file in newest if file.exists()), None)
    step = torch.load(file, weights_only=True)["step"] if file else 0
    logged = {one.step for one in read_interventions(run)}
    left = {at: one for at, one in CHANGES.items() if at not in logged}
    control = Control()

    def emit(event: Event) -> None:
        if isinstance(event, StepDone) and event.step in CHANGES:
            if kill_after:
                sys.setprofile(Killer(kill_after))
            if event.step in left:
                control.intervene(Steering(left[event.step]))

    if step in left:
        control.intervene(Steering(left[step]))
    torch.set_num_threads(1)
    Trainer(experiment, run, control, emit, resume=(run / "experiment.yaml").exists()).train()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--kills", type=int, default=30)
    kills, chance, repeated, done = parser.parse_args().kills, random.Random(0), 0, 0
    begun = time.monotonic()
    with tempfile.TemporaryDirectory() as name:
        run, expected = Path(name) / "run", Path(name) / "expected"
        train(expected, 0)
        while not (run / "run.json").exists() or read_state(run).status != "finished":
            left = len(CHANGES) - len(read_interventions(run))
            near = done < kills and done % 2 == 0 and left > 0
            process = warm.start(train, run, chance.randint(1, NEAR) if near else 0)
            process.join(None if near or done >= kills else chance.uniform(1, LONGEST_SECONDS))
            process.kill()
            process.join()
            if process.exitcode not in (0, -signal.SIGKILL):
                raise RuntimeError(f"Training ended with status {process.exitcode}.")
            done += process.exitcode != 0
            if (run / "checkpoint.pt").exists():
                stored = torch.load(run / "checkpoint.pt", weights_only=True)
                repeated += len(read_interventions(run)) > stored["position"]["interventions"]
            print(f"\r{done} kills", end="", file=sys.stderr, flush=True)
        assert_same_run(run, expected)
        changes = len(read_interventions(run))
        assert read_interventions(run) == read_interventions(expected) and changes == len(CHANGES)
    report = {
        "benchmark": "steering_kills",
        "kills": done,
        "changes": changes,
        "changes_repeated_from_the_log": repeated,
        "same_bits": True,
        "seconds": round(time.monotonic() - begun),
    }
    print(json.dumps(report))
    return 0


if __name__ == "__main__":
    sys.exit(main())
