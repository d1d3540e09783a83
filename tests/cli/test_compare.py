"""``lbc compare`` trains what is missing, several at a time, to the bits of runs one by one."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import pytest

from lbc.cli.main import main
from lbc.comparison.trials import MethodChoice, parse_methods, plan_trials
from lbc.config import Experiment, dump_experiment
from lbc.files.lock import is_locked
from lbc.queue.commands import read_queue
from lbc.queue.process import find_process
from lbc.queue.progress import progress_of
from lbc.queue.queue_file import QueueFile
from lbc.runs.run_state import read_state
from lbc.sparsity.pattern import Pattern
from lbc.training.trainer import Trainer
from tests import warm
from tests.faults.experiment import small_experiment
from tests.training.resumption import assert_same_run

if sys.platform == "win32":
    pytest.skip("needs a fork server and kill", allow_module_level=True)

EPOCHS = 10


def wait(condition: Callable[[], object]) -> None:
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


@pytest.fixture
def experiment(tmp_path: Path) -> Experiment:
    small = small_experiment(tmp_path)
    training = small.training.model_copy(update={"epochs": EPOCHS})
    return small.model_copy(update={"training": training})


@pytest.fixture
def file(tmp_path: Path, experiment: Experiment) -> Path:
    path = tmp_path / "small.yaml"
    path.write_text(dump_experiment(experiment))
    return path


def epochs(out: Path) -> list[int]:
    """How far each entry is."""
    return [progress_of(out, entry).epoch for entry in read_queue(out).entries]


@pytest.mark.timeout(240)  # its processes are nice to others
def test_a_killed_comparison_resumes_to_the_bits_of_runs_one_by_one(
    tmp_path: Path, file: Path, experiment: Experiment, capsys: pytest.CaptureFixture[str]
) -> None:
    out, methods = tmp_path / "out", parse_methods("asp,lbc")
    settings = ["optimizer.lr=0.05"]
    dense, *others = plan_trials(
        experiment, methods, [Pattern(2, 4)], 1, out, MethodChoice("dense"), settings
    )
    Trainer(dense.experiment, dense.folder).train()
    command = (
        "compare", file, "--methods", "asp,lbc", "--seeds", "1", "--out", out,
        "--start", "dense", "--then", *settings, "--threads", "1",
    )  # fmt: skip
    process = warm.start(warm.lbc, *command, "--jobs", 2)
    queue = QueueFile(out)
    wait(lambda: len(epochs(out)) == 3 and max(epochs(out)[1:]) > 0)
    numbers = [find_process(queue, entry)[0] for entry in read_queue(out).entries[1:]]
    assert all(numbers) and process.pid  # two at a time
    for number in (process.pid, *numbers):  # as by a power failure
        os.kill(number, signal.SIGKILL)
    process.join()
    wait(lambda: not any(is_locked(queue.file_of(number, "lock")) for number in (2, 3)))
    assert main([*map(str, command), "--jobs", "2"]) == 0
    assert "3 of 3 runs finished" in capsys.readouterr().out
    for trial in others:
        alone = tmp_path / "alone" / trial.folder.name
        Trainer(trial.experiment, alone).train()
        assert_same_run(trial.folder, alone)
        weights = (dense.folder / "model.safetensors").read_bytes()
        assert read_state(trial.folder).weights_sha256 == sha256(weights).hexdigest()
        assert not (trial.folder / "pictures").exists()
    # Nothing is left to train, and another baseline is only another table.
    before = (dense.folder / "run.json").stat().st_mtime_ns
    assert main([*map(str, command), "--baseline", "dense"]) == 0
    assert (dense.folder / "run.json").stat().st_mtime_ns == before
    assert "minus dense" in capsys.readouterr().out
    assert main([*map(str, command), "--set", "model.width=16"]) == 2
    assert "has a run with other settings" in capsys.readouterr().err


def test_an_interrupted_comparison_saves_its_runs(tmp_path: Path, file: Path) -> None:
    out, output = tmp_path / "out", tmp_path / "output"
    command = ("compare", file, "--methods", "dense,lbc", "--seeds", "1", "--out", out)
    process = warm.start(warm.lbc, *command, "--jobs", 1, output=output)
    wait(lambda: out.exists() and sum(epochs(out)) > 1)
    assert process.pid
    os.kill(process.pid, signal.SIGTERM)
    process.join()
    assert process.exitcode == 130
    assert "Stopped: run the same command to continue." in output.read_text()
    assert [entry.state for entry in read_queue(out).entries] == ["paused", "paused"]
    assert read_state(out / "dense-seed0").status == "stopped"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--methods", "lbc,magic"], "'magic' is not known"),
        (["--methods", "lbc asp"], "is not a list of methods"),
        (["--patterns", "5:4"], "cannot keep 5"),
        (["--patterns", "2:4,2:5"], "No layer of the model can take 2:5"),
        (["--seeds", "0"], "at least 1 seed"),
        (["--jobs", "0"], "0 runs at a time are not possible"),
        (["--threads", "0"], "0 threads are not possible"),
        (["--baseline", "admm"], "--baseline admm: choose one of dense, asp, sr-ste, lbc"),
        (["--start", "dense,lbc"], "give one method"),
        (["--then", "training.epochs=1"], "give --start METHOD"),
        (["--start", "dense", "--then", "training.epochs=1"], "Removal ends at epoch 2"),
        (["--start", "dense", "--then", "training.epoch=1"], "training.epoch"),
        (["--set", "data.file=none.npz"], "none.npz does not exist"),
    ],
)
def test_invalid_arguments_are_a_sentence_and_nothing_is_written(
    file: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    message: str,
) -> None:
    assert main(["compare", str(file), "--out", str(tmp_path / "out"), *arguments]) == 2
    said = capsys.readouterr().err
    assert message in said and said.count("\n") == 1
    assert not (tmp_path / "out").exists()
