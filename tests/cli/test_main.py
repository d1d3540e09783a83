"""The lbc command as run from a shell."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from lbc.cli.main import main
from lbc.config import load_experiment
from lbc.files.resources import resource
from lbc.runs.history_reader import Replay
from lbc.runs.records import read_records
from tests import warm

COMMAND = [sys.executable, "-m", "lbc"]

QUICK = """
name: quick
model: {name: mlp, width: 16, depth: 2}
schedule: {end: 1}
training: {epochs: 1, batch_size: 1000}
"""

LONG = ["training.epochs=10000", "schedule.end=10000", "training.batch_size=1000"]


@pytest.fixture
def experiment(tmp_path: Path) -> Path:
    path = tmp_path / "quick.yaml"
    path.write_text(QUICK)
    return path


def lbc(*arguments: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run the command and check that it prints no traceback."""
    done = subprocess.run(
        [*COMMAND, *map(str, arguments)], cwd=cwd, capture_output=True, text=True, timeout=100
    )
    assert "Traceback" not in done.stdout + done.stderr
    return done


def test_train_writes_a_run_and_prints_its_paths(
    tmp_path: Path, experiment: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    settings = ("--set", "pattern=1:4", "seed=7", "--set", "model.width=32")
    assert main(["train", str(experiment), "--out", str(out), *settings]) == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    kept = load_experiment(out / "experiment.yaml")
    assert (str(kept.pattern), kept.seed) == ("1:4", 7)
    assert json.loads((out / "run.json").read_text())["status"] == "finished"
    pictures = sorted((out / "pictures").iterdir())
    assert [picture.name for picture in pictures] == ["curves.png", "scores-hidden.0.png"]
    assert "Finished after" in printed.out
    for path in (out, *pictures):
        assert str(path) in printed.out
    assert "Dense: head (the classifier)" in printed.out
    assert main(["inspect", str(out), "--pattern", "1:4", "--skip", "head"]) == 0


def test_without_out_a_run_gets_a_new_folder(
    tmp_path: Path, experiment: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["train", str(experiment), "--set", "method=dense"]) == 0
    (folder,) = (tmp_path / "runs").iterdir()
    assert folder.name.startswith("quick-2")


@pytest.mark.parametrize("kind", ["folder", "file"])
def test_a_run_folder_in_use_is_refused(tmp_path: Path, experiment: Path, kind: str) -> None:
    out = tmp_path / "out"
    if kind == "folder":
        out.mkdir()
        (out / "notes").write_text("mine")
    else:
        out.write_text("mine")
    done = lbc("train", experiment, "--out", out, cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith(f"{out} is not an empty folder: choose another with --out, or")
    assert (out / "notes" if kind == "folder" else out).read_text() == "mine"


def test_every_error_of_a_bad_experiment_is_listed(tmp_path: Path, experiment: Path) -> None:
    experiment.write_text("pattern: 5:4\nmodel: {name: mlp, widht: 3}\ntraining: {epochs: many}\n")
    done = lbc("train", experiment, "--set", "seed=-1", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    for text in ("cannot keep 5", "did you mean 'width'", "Must be a whole number", "seed"):
        assert text in done.stderr
    assert not (tmp_path / "runs").exists()


def test_a_missing_experiment_is_named(tmp_path: Path) -> None:
    done = lbc("train", "nowhere.yaml", cwd=tmp_path)
    assert done.returncode == 2
    assert "nowhere.yaml" in done.stderr


def test_a_failed_run_prints_the_reason(
    tmp_path: Path, experiment: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wild = ["optimizer.lr=1e9", "optimizer.lr_schedule=constant", "training.batch_size=100"]
    out = tmp_path / "out"
    assert main(["train", str(experiment), "--out", str(out), "--set", *wild]) == 1
    assert "lower the learning rate" in capsys.readouterr().err
    assert json.loads((out / "run.json").read_text())["status"] == "failed"


def test_an_impossible_run_folder_is_an_error_message(
    tmp_path: Path, experiment: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    assert main(["train", str(experiment), "--out", str(tmp_path / "file" / "out")]) == 1
    text = capsys.readouterr().err
    assert "could not be written" in text and "file" in text


def start_long_run(experiment: Path, out: Path, *options: str) -> BaseProcess:
    """Start a long run and wait for its first epochs; it prints to the file ``printed``."""
    arguments = ("train", experiment, "--out", out, *options, "--set", *LONG)
    process = warm.start(warm.lbc, *arguments, output=out.with_name("printed"))
    end = time.monotonic() + 60
    while not (out / "checkpoint.pt").exists():
        assert process.is_alive() and time.monotonic() < end
        time.sleep(0.01)
    return process


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGINT for one process")
@pytest.mark.parametrize(("number", "drawn"), [(signal.SIGINT, True), (signal.SIGTERM, False)])
def test_an_interrupted_run_is_saved(
    tmp_path: Path, experiment: Path, number: int, drawn: bool
) -> None:
    out = tmp_path / "out"
    process = start_long_run(experiment, out, *[] if drawn else ["--no-pictures"])
    assert process.pid is not None
    os.kill(process.pid, number)
    process.join(timeout=100)
    assert process.exitcode == 130
    printed = (tmp_path / "printed").read_text()
    assert "Stopped after" in printed and "Traceback" not in printed
    state = json.loads((out / "run.json").read_text())
    assert state["status"] == "stopped" and state["epoch"] >= 1
    assert torch.load(out / "checkpoint.pt", weights_only=True)["epoch"] == state["epoch"]
    assert (out / "pictures" / "curves.png").exists() is drawn


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")
def test_a_killed_run_leaves_readable_files(tmp_path: Path, experiment: Path) -> None:
    out = tmp_path / "out"
    process = start_long_run(experiment, out)
    time.sleep(0.3)
    process.kill()
    process.join(timeout=100)
    steps = read_records(out / "steps.records")["step"]
    assert steps.tolist() == list(range(1, len(steps) + 1))
    epochs = read_records(out / "epochs.records")["epoch"]
    moments = [moment.epoch for moment in Replay(out).moments]
    assert moments == sorted(set(moments))
    assert len(epochs) <= len([k for k in moments[1:] if k == int(k)]) <= len(steps) / 4
    assert moments[-1] <= len(steps) / 4
    checkpoint = torch.load(out / "checkpoint.pt", weights_only=True)
    assert len(epochs) - 1 <= checkpoint["epoch"] <= len(epochs)
    assert json.loads((out / "run.json").read_text())["status"] == "running"
    assert load_experiment(out / "experiment.yaml").name == "quick"


@pytest.fixture
def sparse(tmp_path: Path) -> Path:
    path = tmp_path / "sparse.safetensors"
    save_file({"fc.weight": torch.tensor([[0.0, 1, 2, 0], [3, 0, 0, 4]])}, path)
    return path


def test_inspect_accepts_a_checkpoint_that_obeys_the_pattern(
    sparse: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["inspect", str(sparse), "--pattern", "2:4"]) == 0
    printed = capsys.readouterr()
    assert "fc" in printed.out and "1 layer checked for 2:4; 0 violate it" in printed.out
    assert printed.err == ""


def test_inspect_shows_the_first_violation(
    sparse: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["inspect", str(sparse), "--pattern", "1:4"]) == 1
    assert "block 0 keeps 2" in capsys.readouterr().out
    assert main(["inspect", str(sparse), "--pattern", "1:4", "--json"]) == 1
    report = json.loads(capsys.readouterr().out)
    assert report["valid"] is False
    assert main(["inspect", str(sparse), "--pattern", "2:4", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["valid"] is True


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda path: None, "like 2:4"),
        (lambda path: path.write_bytes(b"nonsense"), "sparse.safetensors"),
        (lambda path: path.unlink(), "sparse.safetensors"),
    ],
)
def test_inspect_refuses_invalid_input(
    sparse: Path, capsys: pytest.CaptureFixture[str], change: Callable[[Path], object], text: str
) -> None:
    change(sparse)
    pattern = "2-4" if text == "like 2:4" else "2:4"
    assert main(["inspect", str(sparse), "--pattern", pattern]) == 2
    captured = capsys.readouterr()
    assert text in captured.err and captured.out == ""
    assert captured.err.count("\n") == 1


@pytest.mark.parametrize("arguments", [[], ["fly"], ["inspect"]])
def test_a_wrong_command_line_is_explained(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(arguments)
    assert "usage: lbc" in capsys.readouterr().err


def test_the_bundled_example_is_an_experiment() -> None:
    assert load_experiment(resource("experiments/digits.yaml")).training.epochs == 12


def test_brackets_in_names_are_printed_literally(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "[red]x.safetensors"
    save_file({"[bold].weight": torch.ones(2, 4)}, path)
    assert load_file(path)
    assert main(["inspect", str(path), "--pattern", "2:4"]) == 1
    assert "[bold]" in capsys.readouterr().out
    path.unlink()
    assert main(["inspect", str(path), "--pattern", "2:4"]) == 2
    assert "[red]x" in capsys.readouterr().err


OFFSCREEN = "This plugin does not support"
"""What Qt says of windows that no screen shows, if the window was quick."""


@pytest.mark.skipif(sys.platform != "linux", reason="sees in /proc which libraries are loaded")
@pytest.mark.parametrize(
    ("module", "library"),
    [
        ("lbc", "_pydantic_core"),
        ("lbc", "libtorch_cpu"),
        ("lbc_gui", "_pydantic_core"),
        ("lbc_gui", "libQt6Widgets"),
        ("lbc_gui", "libqsvg"),  # for the icons of the window
    ],
)
def test_an_interrupted_start_prints_no_traceback(
    tmp_path: Path, module: str, library: str
) -> None:
    """Interrupted as soon as the process has loaded a library."""
    command = ["layers", str(resource("experiments/digits.yaml"))] if module == "lbc" else []
    process = subprocess.Popen(  # Tests in the background of a shell ignore the signal.
        ["env", "--default-signal=INT", sys.executable, "-m", module, *command],
        stderr=subprocess.PIPE, text=True, cwd=tmp_path,
    )  # fmt: skip
    libraries = Path(f"/proc/{process.pid}/maps")
    while library not in libraries.read_text():
        assert process.poll() is None
        time.sleep(0.005)
    process.send_signal(signal.SIGINT)
    try:
        _, errors = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130
    assert [line for line in errors.splitlines() if not line.startswith(OFFSCREEN)] == []


@pytest.mark.parametrize("command", ["data", "latency"])
def test_a_missing_action_is_called_one(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main([command])
    assert "the following arguments are required: ACTION" in capsys.readouterr().err
