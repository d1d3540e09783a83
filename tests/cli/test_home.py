"""``~`` is a home folder in every path that a user can give."""

from __future__ import annotations

import getpass
import sys
from pathlib import Path

import numpy as np
import pytest

from lbc.cli.main import main
from lbc.config import NpzFile, load_experiment
from lbc.data import describe
from lbc.files.home import expanded
from lbc.latency.place import Place, command_for_server
from lbc.runs.new_folder import RUNS
from lbc_gui.app import _parser

EXPERIMENT = """
data: {name: npz, file: ~/mine.npz}
model: {name: mlp, width: 16}
schedule: {end: 1}
training: {epochs: 1}
"""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    pixels = np.random.default_rng(0).integers(0, 256, (40, 8, 8), dtype=np.uint8)
    np.savez(tmp_path / "mine.npz", images=pixels, labels=np.arange(40) % 2)
    (tmp_path / "q.yaml").write_text(EXPERIMENT)
    return tmp_path


def test_the_command_line_expands_options_and_keeps_the_experiment_as_typed(home: Path) -> None:
    assert main(["layers", "~/q.yaml"]) == 0
    assert main(["train", "~/q.yaml", "--out", "~/run", "--set", "data.file=~/mine.npz"]) == 0
    assert "file: ~/mine.npz" in (home / "run" / "experiment.yaml").read_text()
    assert main(["train", "--resume", "~/run"]) == 0  # finished: nothing to do
    assert main(["report", "~/run", "--out", "~/run.html"]) == 0
    assert main(["inspect", "~/run", "--violations", "~/bad.csv"]) == 0
    assert main(["inspect", "~/run", "--against", "~/run"]) == 0
    assert main(["export", "~/run", "--out", "~/net.safetensors"]) == 0
    assert all((home / name).is_file() for name in ("run.html", "bad.csv", "net.safetensors"))


def test_the_window_expands_its_arguments_and_keeps_runs_where_the_command_line_does(
    home: Path,
) -> None:
    options = _parser().parse_args(["~/q.yaml", "--runs", "~/r", "--inspect", "~/a.pt"])
    assert (options.experiment, options.runs) == (home / "q.yaml", home / "r")
    assert options.inspect == [home / "a.pt"]
    assert _parser().parse_args([]).runs == RUNS


def test_relative_paths_are_those_of_the_experiment_and_unknown_users_are_names(
    home: Path,
) -> None:
    (home / "q.yaml").write_text(EXPERIMENT.replace("~/mine", "~no-such-user"))
    source = load_experiment(home / "q.yaml").data
    assert isinstance(source, NpzFile) and source.file == home / "~no-such-user.npz"
    assert describe(NpzFile(file=Path("~/mine.npz"))) == ((1, 8, 8), 2)
    assert expanded("a/~/b") == Path("a/~/b")
    if sys.platform != "win32":
        assert expanded(f"~{getpass.getuser()}/x").is_absolute()


def test_pythons_are_expanded_here_and_on_a_server(home: Path) -> None:
    assert Place("", "~/venv/bin/python").command("-")[0] == str(home / "venv/bin/python")
    *_, command = Place("user@server", "~/my venv/bin/python").command("-")
    assert command.startswith("~/'my venv/bin/python' -u -c ")
    assert "| ~/venv/bin/python -c " in command_for_server({}, python="~/venv/bin/python")
    assert "| '~;x/python' -c " in command_for_server({}, python="~;x/python")
