"""Runs written by version 0.1.0 open, replay and resume.

``runs-0.1.0.zip`` holds one finished run and four stopped ones: under SGD before and after the
first removal, under Adam, and under SR-STE. For each it also holds what 0.1.0 read from its
history, and the final weights after 0.1.0 resumed it.
"""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from lbc.runs.history_reader import Replay
from lbc.runs.opened_run import open_run
from lbc.runs.unfinished_run import open_unfinished
from lbc.training.trainer import Trainer

ARCHIVE = Path(__file__).with_name("runs-0.1.0.zip")
STOPPED = ["stopped", "stopped-early", "adam", "sr-ste"]


@pytest.fixture
def old_runs(tmp_path: Path) -> Path:
    with zipfile.ZipFile(ARCHIVE) as archive:
        archive.extractall(tmp_path)
    return tmp_path


@pytest.mark.parametrize("name", ["finished", *STOPPED])
def test_an_old_history_reads_as_before(old_runs: Path, name: str) -> None:
    run = open_run(old_runs / name)
    assert run.status == ("finished" if name == "finished" else "stopped")
    replay = Replay(run.folder)
    with np.load(old_runs / f"{name}.npz") as expected:
        assert len(expected.files) >= 4
        for key in expected.files:
            moment, layer, what = key.split("/")
            past = replay.layer(layer, int(moment))
            found = past.winners if what == "winners" else past.kept()
            np.testing.assert_array_equal(found, expected[key], err_msg=key)


@pytest.mark.parametrize("name", STOPPED)
def test_an_old_run_resumes_to_the_same_end(old_runs: Path, name: str) -> None:
    run = open_unfinished(old_runs / name)
    finished = Trainer(run.experiment, run.path, resume=True).train()
    assert finished.status == "finished"
    weights = load_file(run.path / "model.safetensors")
    with np.load(old_runs / f"{name}-resumed.npz") as expected:
        assert weights.keys() == set(expected.files)
        for key, weight in weights.items():
            # Processors differ in the order of summation, which can decide a near tie differently.
            same = np.isclose(weight, expected[key], rtol=1e-3, atol=1e-5).mean()
            assert same > 0.97, (key, same)
