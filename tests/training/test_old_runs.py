"""Runs written by version 0.1.0 open, replay and resume.

``runs-0.1.0.zip`` holds one finished run and four stopped ones: under SGD before and after the
first removal, under Adam, and under SR-STE. For each it also holds what 0.1.0 read from its
history, and the final weights after 0.1.0 resumed it.

``imported-0.1.0.zip`` holds, for every network of ``imported_networks``, a stopped run and the
finished one that it is the beginning of.
"""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from safetensors.numpy import load_file

from lbc.export.trained import load_trained_model
from lbc.latency.model_cases import cases_of_run
from lbc.report.page import write_report
from lbc.runs.events import Event, Prepared
from lbc.runs.history_reader import Replay
from lbc.runs.opened_run import open_run
from lbc.runs.unfinished_run import open_unfinished
from lbc.runs.weights import read_weights
from lbc.training.trainer import Trainer

ARCHIVES = ("runs-0.1.0.zip", "imported-0.1.0.zip")
STOPPED = ["stopped", "stopped-early", "adam", "sr-ste"]

DENSE = "dense since the run was started"
IMPORTED = {
    "attention": {"3.self_attn.in_proj_weight": DENSE, "5": "the classifier"},
    "volume": {"1": "input width 1 is not a multiple of 4", "3": DENSE},
    "transposed": {"0": "the first convolution", "2": DENSE, "8": "the classifier"},
    "two-heads": {"body": DENSE},
}
"""What stays dense in the runs of imported networks, and why."""


@pytest.fixture
def old_runs(tmp_path: Path) -> Path:
    for name in ARCHIVES:
        with zipfile.ZipFile(Path(__file__).with_name(name)) as archive:
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
    with np.load(old_runs / f"{name}-resumed.npz") as expected:
        assert_same_end(run.path, dict(expected))


@pytest.mark.parametrize("name", IMPORTED)
def test_an_old_run_of_an_imported_network_resumes_with_its_own_layers(
    old_runs: Path, name: str
) -> None:
    run, finished = open_unfinished(old_runs / name), open_run(old_runs / f"{name}-finished")
    events: list[Event] = []
    Trainer(run.experiment, run.path, emit=events.append, resume=True).train()
    prepared = next(event for event in events if isinstance(event, Prepared))
    assert prepared.layers == finished.layers == open_run(run.path).layers
    assert dict(prepared.skipped) == IMPORTED[name]
    assert_same_end(run.path, load_file(finished.folder / "model.safetensors"))
    for info in finished.layers:
        moments = [Replay(at).layer(info.name, 14) for at in (run.path, finished.folder)]
        np.testing.assert_array_equal(moments[0].mask, moments[1].mask)


@pytest.mark.parametrize("name", IMPORTED)
def test_an_old_finished_run_of_an_imported_network_opens(old_runs: Path, name: str) -> None:
    run = open_run(old_runs / f"{name}-finished")
    stored = load_file(run.folder / "model.safetensors")
    trained = load_trained_model(run.folder, allow_import=True)
    left_out = cases_of_run(run.folder, batch=2, allow_import=True)[1]
    assert trained.dense == IMPORTED[name] == left_out
    for key, tensor in trained.model.state_dict().items():
        np.testing.assert_array_equal(tensor.numpy(), stored[key], err_msg=key)
    for info in run.layers:
        weight = trained.weight(info.name).numpy()
        dense = read_weights(run.folder, info.name, run.experiment.training.epochs)
        assert dense is not None
        kept = Replay(run.folder).layer(info.name, -1).kept()
        if not run.experiment.training.ema_decay:
            masked = info.pattern.to_blocks(dense) * kept
            np.testing.assert_array_equal(info.pattern.to_blocks(weight), masked)
        assert not info.pattern.to_blocks(weight)[~kept].any()
    write_report(run.folder, run.folder / "report.html")


def test_an_old_run_killed_before_its_first_checkpoint_starts_again(old_runs: Path) -> None:
    run = open_unfinished(old_runs / "attention")
    (run.path / "checkpoint.pt").unlink()
    brief = run.experiment.training.model_copy(update={"epochs": 1})
    experiment = run.experiment.model_copy(update={"training": brief})
    Trainer(experiment, run.path, resume=True).train()
    names = [layer.name for layer in open_run(run.path).layers]
    assert "3.self_attn.in_proj_weight" in names
    for name in names:
        assert Replay(run.path).layer(name, -1).scores_epoch is not None


def assert_same_end(folder: Path, expected: Mapping[str, NDArray[Any]]) -> None:
    weights = load_file(folder / "model.safetensors")
    assert weights.keys() == expected.keys()
    for key, weight in weights.items():
        # Processors differ in the order of summation, which can decide a near tie differently.
        same = np.isclose(weight, expected[key], rtol=1e-3, atol=1e-5).mean()
        assert same > 0.97, (key, same)
