"""Run folders whose state and metrics were made to break a reader: one sentence each."""

from __future__ import annotations

import shutil
from functools import partial
from pathlib import Path

from lbc.runs.opened_run import open_run
from lbc.runs.run_state import RunError
from lbc.runs.unfinished_run import newest_unfinished
from tests.faults.experiment import Outcome, small_experiment
from tests.runs.test_damaged_folders import METRICS, STATES
from tests.training.resumption import stop_at


def open_hostile_runs(folder: Path) -> list[Outcome]:
    """Open each, and look for a run to resume in the folder that holds it."""
    stop_at(4, small_experiment(folder), folder / "run")
    outcomes = []
    for fault, name, damages in (
        ("hostile run.json", "run.json", STATES),
        ("hostile steps.records", "steps.records", METRICS),
        ("hostile epochs.records", "epochs.records", METRICS),
    ):
        outcome = Outcome(fault)
        for what, damage in damages.items():
            runs = folder / f"{fault} {what}"
            shutil.copytree(folder / "run", runs / "run")
            damage(runs / "run" / name)
            outcome.attempt(what, partial(_is_refused, runs))
        outcomes.append(outcome)
    return outcomes


def _is_refused(runs: Path) -> bool:
    newest_unfinished(runs)
    try:
        open_run(runs / "run")
    except RunError as error:
        return "\n" not in str(error)
    return False
