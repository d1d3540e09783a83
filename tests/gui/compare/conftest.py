"""Summaries of runs, with the history of a short search in the folders of some."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from lbc.config import parse_experiment
from lbc.library.run_summary import RunSummary, flatten_experiment
from tests.comparison.recorded_runs import record_search

MakeRun = Callable[..., RunSummary]


@pytest.fixture
def make_run(tmp_path: Path) -> MakeRun:
    """Makes the summary of a run; ``searched`` writes its history too."""

    def make(
        name: str, accuracy: float = 0.9, searched: bool = False, seed: int = 0, **settings: object
    ) -> RunSummary:
        experiment = parse_experiment({"name": name, "seed": seed, **settings})
        if searched:
            record_search(tmp_path / name, experiment.method, seed=ord(name[0]))
        return RunSummary(
            tmp_path / name, "finished", name=name, method=experiment.method, seed=seed,
            accuracy=accuracy, density=0.5, seconds=12.0, parameters=flatten_experiment(experiment),
        )  # fmt: skip

    return make
