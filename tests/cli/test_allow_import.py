"""Only ``lbc train EXPERIMENT`` runs code that a file names; other commands ask for permission."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from lbc.cli.main import main
from lbc.config import Experiment, dump_experiment, parse_experiment
from lbc.runs.kept_checkpoints import experiment_at, kept_moments
from lbc.runs.own_runs import may_import
from lbc.training.fork import ForkError, fork_run
from lbc.training.trainer import Trainer
from tests.training.resumption import stop_at

MODULE = """
from pathlib import Path
from torch import nn

Path("imported").touch()

def make(width=16):
    return nn.Sequential(nn.Flatten(), nn.Linear(784, width), nn.ReLU(), nn.Linear(width, 10))
"""
MODEL = {"import": "sent:make"}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with code that leaves a file when it is imported."""
    (tmp_path / "sent.py").write_text(MODULE)
    sys.modules.pop("sent", None)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


@pytest.fixture
def run(quick: Callable[..., Experiment], folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A stopped run of the code, started by the user, and its experiment in ``e.yaml``."""
    experiment = quick(model=MODEL)
    (folder / "e.yaml").write_text(dump_experiment(experiment))
    stop_at(3, experiment, folder / "run")
    forget(folder)
    return folder / "run"


def forget(folder: Path) -> None:
    """As in a new process."""
    sys.modules.pop("sent", None)
    (folder / "imported").unlink(missing_ok=True)


COMMANDS: dict[str, list[str]] = {
    "export": ["export", "run", "--out", "out.safetensors"],
    "export of a checkpoint": ["export", "run/checkpoint.pt", "--out", "out.safetensors"],
    "layers": ["layers", "e.yaml"],
    "layers by a setting": ["layers", "plain.yaml", "--set", "model={import: 'sent:make'}"],
    "latency of a model": ["latency", "run", "--model", "e.yaml", "--print-command"],
    "latency of a run": ["latency", "run", "--run", "finished", "--print-command"],
    "compare": ["compare", "e.yaml", "--methods", "dense", "--seeds", "1"],
    "resume of a copy": ["train", "--resume", "copy"],
    "fork of a copy": ["train", "--fork", "copy@0.375", "--out", "out"],
    "stricter fork of a copy": ["train", "--fork", "copy@0.375", "--out", "out", "--set",
                                "pattern=1:4"],
}  # fmt: skip


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
def test_a_command_runs_no_code_of_a_file_unless_allowed(
    folder: Path, run: Path, quick: Callable[..., Experiment], command: list[str],
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    (folder / "plain.yaml").write_text("{name: plain}\n")
    shutil.copytree(run, folder / "copy")
    if "finished" in command:
        Trainer(quick(model=MODEL), folder / "finished").train()
        forget(folder)
    before = sorted(folder.iterdir())
    assert main(command) == 2
    told = capsys.readouterr()
    assert "'sent:make'" in told.err and "add --allow-import." in told.err and not told.out
    assert sorted(folder.iterdir()) == before
    assert main([*command, "--allow-import"]) == 0
    assert (folder / "imported").exists()


def test_reports_and_inspection_run_no_code(folder: Path, run: Path) -> None:
    assert main(["report", "run"]) == 0
    assert main(["inspect", "run/checkpoint.pt"]) == 0
    assert not (folder / "imported").exists()


def test_one_s_own_run_resumes_without_a_question(folder: Path, run: Path) -> None:
    assert main(["train", "--resume", "run"]) == 0
    assert (folder / "imported").exists()


@pytest.mark.parametrize("change", ["other user", "other code", "other arguments", "moved"])
def test_another_s_run_resumes_only_with_permission(
    folder: Path, run: Path, change: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, name = run / "experiment.yaml", "run"
    text = file.read_text()
    if change == "other user":
        monkeypatch.setenv("XDG_STATE_HOME", str(folder / "state of another"))
    elif change == "other code":
        file.write_text(text.replace("sent:make", "os:system"))
    elif change == "other arguments":
        file.write_text(text.replace("kwargs: {}", "kwargs: {width: 32}"))
    else:
        run, name = run.rename("moved"), "moved"
    assert change in ("other user", "moved") or file.read_text() != text
    assert main(["train", "--resume", name]) == 2
    assert not (folder / "imported").exists()


def test_a_fork_runs_no_code_by_itself(
    folder: Path, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (point,) = kept_moments(run)
    stricter = parse_experiment(experiment_at(point).model_dump(mode="json"), "", ["pattern=1:4"])
    fork_run(run, point.epoch, stricter, folder / "own")  # as the user's own run
    forget(folder)
    monkeypatch.setenv("XDG_STATE_HOME", str(folder / "state of another"))
    fork = fork_run(run, point.epoch, experiment_at(point), folder / "other")
    assert not (folder / "imported").exists()
    assert not may_import(fork, stricter.model)
    with pytest.raises(ForkError, match="'sent:make'"):
        fork_run(run, point.epoch, stricter, folder / "stricter")
    assert not (folder / "imported").exists()


def test_once_allowed_a_run_is_one_s_own(
    folder: Path, run: Path, quick: Callable[..., Experiment], monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(run, folder / "copy")
    stop_at(5, quick(model=MODEL), folder / "copy", resume=True)
    forget(folder)
    assert main(["train", "--resume", "copy"]) == 0


def test_training_an_experiment_runs_its_code(folder: Path, run: Path) -> None:
    assert main(["train", "e.yaml", "--out", "new"]) == 0
    assert (folder / "imported").exists()


def test_a_run_whose_checkpoint_names_other_code_is_refused(folder: Path, run: Path) -> None:
    state = torch.load(run / "checkpoint.pt", weights_only=True)
    state["experiment"] = state["experiment"].replace("sent:make", "evil:make")
    torch.save(state, run / "checkpoint.pt")
    (folder / "evil.py").write_text("from pathlib import Path\nPath('evil').touch()\n")
    assert main(["export", "run", "--out", "out.safetensors"]) == 2
    assert main(["train", "--resume", "run"]) == 1
    assert not (folder / "evil").exists()
