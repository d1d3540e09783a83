"""``lbc queue``, without the process that trains."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from lbc.cli.main import main
from lbc.queue.commands import read_queue

YAML = "name: quick\nschedule: {end: 2}\ntraining: {epochs: 4}\n"


@pytest.fixture
def experiment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    Path("quick.yaml").write_text(YAML)
    return "quick.yaml"


def listed(capsys: pytest.CaptureFixture[str], *arguments: str) -> Any:
    capsys.readouterr()
    assert main(["queue", *arguments, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def work(runs: str) -> str:
    """What it says when it cannot. It lowers the priority of its process: not that of the tests."""
    command = [sys.executable, "-m", "lbc", "queue", "work", "--runs", runs]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 1
    return ended.stderr


def test_a_queue_is_made_shown_and_steered(
    experiment: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["queue"]) == 0
    assert "The queue is empty: add a run with" in capsys.readouterr().out
    vary = ["--vary", "schedule.end=1..3", "optimizer.lr=0.1", "--seeds", "2"]
    assert main(["queue", "add", experiment, "--set", "pattern=1:4", *vary]) == 0
    assert "No process trains the queue: start one with" in capsys.readouterr().out
    assert main(["queue", "add", experiment, "--group", "alone"]) == 0
    assert main(["queue", "move", "7", "top"]) == 0
    assert main(["queue", "pause", "all"]) == 0
    assert main(["queue", "resume", "1", "2"]) == 0
    assert main(["queue", "cancel", "3"]) == 0
    assert main(["queue", "clear"]) == 0
    assert main(["queue", "jobs", "2"]) == 0
    found = listed(capsys)
    assert (found["working"], found["jobs"], found["notice"]) == (False, 2, "")
    assert [entry["id"] for entry in found["entries"]] == [7, 1, 2, 4, 5, 6]
    states = [entry["state"] for entry in found["entries"]]
    assert states == ["paused", "waiting", "waiting", "paused", "paused", "paused"]
    assert found["entries"][0]["group"] == "alone"
    assert found["entries"][1]["varied"] == "schedule.end=1, optimizer.lr=0.1, seed=0"
    assert found["entries"][1]["folder"].startswith("runs/quick-")
    assert listed(capsys, "list", "--runs", "elsewhere")["entries"] == []
    assert not Path("elsewhere").exists()
    assert main(["queue", "--runs", "runs"]) == 0
    assert "2 at a time." in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["pause", "8"], "no entry 8"),
        (["retry", "1"], "Entry 1 is waiting: only one that is failed or cancelled can be retried"),
        (["move", "x", "up"], "'x' is not the number of an entry"),
        (["pause", "9" * 5000], "is not the number of an entry"),
        (["jobs", "0"], "choose 1 to"),
        (["add", "quick.yaml", "--vary", "seed"], "write it as KEY=VALUES"),
        (["add", "quick.yaml", "--vary", "seed=9..1"], "has no step"),
        (
            ["add", "quick.yaml", "--vary", "schedule.end=3,9"],
            "end=9: schedule.end: Removal",
        ),
        (["add", "quick.yaml", "--vary", "seed=1,2", "seed=3"], "has seed twice"),
        (["add", "quick.yaml", "--seeds", "0"], "0 seeds"),
        (["add", "nowhere.yaml"], "nowhere.yaml: The file does not exist"),
    ],
)
def test_invalid_input_is_one_sentence(
    experiment: str, capsys: pytest.CaptureFixture[str], arguments: list[str], text: str
) -> None:
    assert main(["queue", "add", experiment]) == 0
    before = read_queue(Path("runs"))
    capsys.readouterr()
    assert main(["queue", *arguments]) == 2
    errors = capsys.readouterr().err
    assert text in errors and errors.count("\n") == 1
    assert read_queue(Path("runs")) == before


def test_a_damaged_file_is_said_and_listed(
    experiment: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["queue", "add", experiment]) == 0
    Path("runs/queue.json").write_text('{"version": 9')
    capsys.readouterr()
    assert main(["queue"]) == 0
    captured = capsys.readouterr()
    assert "was damaged, cut off or of a newer version" in captured.err
    assert "waiting" in captured.out


def test_files_that_cannot_be_used_are_one_sentence(
    experiment: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("runs").write_text("mine")
    for arguments in (["add", experiment], ["start"], ["jobs", "2"], []):
        assert main(["queue", *arguments]) == 1
        assert capsys.readouterr().err.count("\n") == 1
    assert work("runs").count("\n") == 1
    assert Path("runs").read_text() == "mine"


def test_only_what_is_kept_makes_a_folder(
    experiment: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its disk may have gone away, and a folder in its place would hide it when it comes back."""
    for arguments in (["pause", "all"], ["move", "all", "top"], ["clear"]):
        assert main(["queue", *arguments, "--runs", "gone/runs"]) == 1
        assert "No such file" in capsys.readouterr().err and not Path("gone").exists()
    assert "No such file" in work("gone/runs") and not Path("gone").exists()
    for folder, arguments in (("a/runs", ["jobs", "2"]), ("b/runs", ["add", experiment])):
        assert main(["queue", *arguments, "--runs", folder]) == 0 and Path(folder).is_dir()
