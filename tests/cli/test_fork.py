"""``lbc train --fork``: a fork from the command line, and what it says where there is none."""

from __future__ import annotations

from pathlib import Path

import pytest

from lbc.cli.main import main
from lbc.config import dump_experiment
from lbc.runs.run_state import read_state
from lbc.training.trainer import Trainer
from tests.training.resumption import MakeExperiment


@pytest.fixture(scope="module")
def runs(quick: MakeExperiment, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the folder of runs, which has one run, in three epochs."""
    folder = tmp_path_factory.mktemp("working")
    experiment = quick(training={"epochs": 3, "batch_size": 500}, schedule={"end": 2})
    Trainer(experiment, folder / "runs" / "first").train()
    (folder / "quick.yaml").write_text(dump_experiment(experiment))
    return folder


@pytest.fixture(autouse=True)
def working_folder(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(runs)


def test_settings_are_changed_and_the_schedule_is_explained(
    runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", "--fork", "runs/first@1.0001", "--set", "schedule.end=3",
                 "training.keep.every=never", "--out", "runs/later"]) == 0  # fmt: skip
    said = capsys.readouterr().out.replace("\n", " ")
    assert "The fork continues first after epoch 1 (8 steps)." in said
    assert "schedule.end was 2 and is 3" in said
    assert "nothing is removed until it asks for fewer, after epoch 3" in said
    state = read_state(runs / "runs" / "later")
    assert state.status == "finished" and state.parent is not None
    assert state.parent.label == "first@1"
    assert not (runs / "runs" / "later" / "checkpoints").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["first"], ["write RUN@EPOCH"]),
        (["first@"], ["write RUN@EPOCH"]),
        (["@1"], ["write RUN@EPOCH"]),
        (["first@nan"], ["write RUN@EPOCH"]),
        (["first@1.5"], ["no checkpoint after epoch 1.5: choose 1, 2, 3."]),
        (["frist@1"], ["There is no run 'frist'", "did you mean 'first'"]),
        (["first@1", "--resume", "runs/first"], ["omit --resume"]),
        (["first@1", "--from", "runs/first"], ["omit --resume, --from"]),
        (["first@1", "--out", "runs/first"], ["is not an empty folder"]),
        (["first@1", "--set", "pattern=3:4", "seed=1", "data.test_share=0.5"], ["test_share"]),
        (["first@1", "--set", "pattern=3:4", "training.batch_size=7"],
         ["cannot change training.batch_size", "3:4 allows masks that 2:4 does not"]),
        (["first@1", "--set", "method=lbcc"], ["did you mean lbc?"]),
    ],
)  # fmt: skip
def test_what_is_impossible_is_said_and_nothing_is_written(
    runs: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], words: list[str]
) -> None:
    before = sorted((runs / "runs").glob("**/*"))
    assert main(["train", "--fork", *arguments]) == 2
    said = capsys.readouterr().err
    assert all(word in said.replace("\n", " ") for word in words), said
    assert "Traceback" not in said
    assert sorted((runs / "runs").glob("**/*")) == before


def test_an_experiment_beside_a_fork_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "quick.yaml", "--fork", "first@1"]) == 2
    assert "A fork has its parent's experiment and weights" in capsys.readouterr().err
