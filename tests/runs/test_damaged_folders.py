"""A damaged or hostile run folder is refused in a sentence, and keeps no other from being used."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from lbc.cli.main import main
from lbc.comparison.trials import parse_methods, plan_trials
from lbc.config import Experiment
from lbc.runs.opened_run import open_run
from lbc.runs.run_state import RunError
from lbc.runs.unfinished_run import newest_unfinished, open_unfinished
from lbc.sparsity.pattern import Pattern
from lbc.training.trainer import Trainer
from tests.training.resumption import stop_at

MIB = 1 << 20


@pytest.fixture(scope="module")
def stopped(quick: Callable[..., Experiment], tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("stopped") / "run"
    stop_at(9, quick(), run)
    return run


@pytest.fixture
def runs(stopped: Path, tmp_path: Path) -> Path:
    """A folder with two stopped runs, of which ``young`` is the newer."""
    for name in ("old", "young"):
        shutil.copytree(stopped, tmp_path / "runs" / name)
    return tmp_path / "runs"


def sparse(path: Path) -> None:
    """A file of 2 GiB that takes no space."""
    with path.open("wb") as file:
        file.truncate(2048 * MIB)


def state(**changes: object) -> Callable[[Path], object]:
    def write(path: Path) -> None:
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))

    return write


def replaced(make: Callable[[Path], object]) -> Callable[[Path], object]:
    def write(path: Path) -> None:
        path.unlink()
        make(path)

    return write


STATES: dict[str, Callable[[Path], object]] = {
    "status": state(status=[]),
    "unknown status": state(status="asleep"),
    "epoch": state(epoch=-1),
    "huge epoch": state(epoch=1 << 80),
    "not a number": lambda path: path.write_text('{"status": "stopped", "seconds": NaN}'),
    "too many digits": lambda path: path.write_text('{"epoch": 1' + "0" * 5000 + "}"),
    "nested": lambda path: path.write_text("[" * 100_000),
    "nested objects": lambda path: path.write_text('{"a":' * 100_000),
    "list": lambda path: path.write_text("[1]"),
    "binary": lambda path: path.write_bytes(bytes(range(256))),
    "empty": lambda path: path.write_bytes(b""),
    "sparse": sparse,
    "folder": replaced(lambda path: path.mkdir()),
    "loop": replaced(lambda path: path.symlink_to(path)),
}
if sys.platform != "win32":
    STATES["pipe"] = replaced(os.mkfifo)


@pytest.mark.parametrize("damage", STATES.values(), ids=STATES)
def test_a_damaged_state_is_one_sentence_everywhere(
    runs: Path, damage: Callable[[Path], object], capsys: pytest.CaptureFixture[str]
) -> None:
    young, told = runs / "young", list[str]()
    damage(young / "run.json")
    os.utime(runs / "old" / "run.json", (0, 0))
    found = newest_unfinished(runs, told.append)
    assert found is not None and found.path.name == "old"
    assert len(told) <= 1  # nothing can be said of a loop: it is no file
    for read in (open_run, open_unfinished):
        with pytest.raises(RunError, match="young") as caught:
            read(young)
        assert "\n" not in str(caught.value)
    for command in (["report", str(young)], ["train", "--resume", str(young)]):
        assert main(command) == 2
        assert str(young) in capsys.readouterr().err


def test_a_comparison_names_a_damaged_state(
    quick: Callable[..., Experiment], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from lbc.config import dump_experiment

    (tmp_path / "e.yaml").write_text(dump_experiment(quick()))
    out = tmp_path / "out"
    command = ["compare", str(tmp_path / "e.yaml"), "--methods", "dense", "--seeds", "1"]
    (trial,) = plan_trials(quick(), parse_methods("dense"), [Pattern(2, 4)], 1, out)
    Trainer(trial.experiment, trial.folder).train()
    (trial.folder / "run.json").write_text('{"status": []}')
    assert main([*command, "--out", str(out)]) == 2
    assert "its entry 'status' cannot be used" in capsys.readouterr().err


def row(column: int, value: float) -> Callable[[Path], object]:
    def write(path: Path) -> None:
        head, _, body = path.read_bytes().partition(b"\n")
        table = np.frombuffer(body, "<f8").copy()
        table[column] = value
        path.write_bytes(head + b"\n" + table.tobytes())

    return write


METRICS: dict[str, Callable[[Path], object]] = {
    "infinite count": row(0, np.inf),
    "no number": row(0, np.nan),
    "negative count": row(0, -1.0),
    "infinite epoch": lambda path: row(int("steps" in path.name), np.inf)(path),
    "other columns": lambda path: path.write_bytes(b'{"columns": ["a", "b"]}\n' + bytes(64)),
    "more columns": lambda path: path.write_bytes(
        path.read_bytes().replace(b'["', b'["more", "', 1)
    ),
    "no columns": lambda path: path.write_bytes(b'{"columns": []}\n'),
    "cut header": lambda path: path.write_bytes(path.read_bytes()[:20]),
    "no text": lambda path: path.write_bytes(bytes(5000)),
    "nested": lambda path: path.write_bytes(b"[" * 100_000 + b"\n"),
    "sparse": sparse,
}


@pytest.mark.parametrize("name", ["steps.records", "epochs.records"])
@pytest.mark.parametrize("damage", METRICS.values(), ids=METRICS)
def test_damaged_metrics_are_one_sentence_everywhere(
    runs: Path, name: str, damage: Callable[[Path], object], capsys: pytest.CaptureFixture[str]
) -> None:
    file = runs / "young" / name
    damage(file)
    with pytest.raises(RunError, match=r"The run .* cannot be read") as caught:
        open_run(runs / "young")
    assert str(file) in str(caught.value)
    assert main(["report", str(runs / "young")]) != 0
    told = capsys.readouterr().err
    assert str(file) in told and "Traceback" not in told
    before = file.stat().st_size
    assert main(["train", "--resume", str(runs / "young")]) == 1
    assert str(file) in capsys.readouterr().err
    assert before < 100 or file.stat().st_size == before


@pytest.mark.parametrize("column", [2, 3, 4])
@pytest.mark.parametrize("value", [np.inf, np.nan, -np.inf, 1e30])
def test_measured_values_may_be_anything(runs: Path, column: int, value: float) -> None:
    row(column, value)(runs / "young" / "steps.records")
    row(column - 1, value)(runs / "young" / "epochs.records")
    assert len(open_run(runs / "young").steps) == 9
    assert main(["report", str(runs / "young")]) == 0


def test_an_experiment_that_fills_the_memory_is_not_read(
    runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = runs / "young" / "experiment.yaml"
    sparse(file)
    run = str(runs / "young")
    commands = (
        ["train", "--resume", run],
        *([command, str(file)] for command in ("train", "layers", "compare")),
    )
    for command in commands:
        assert main(command) != 0
        assert "larger than 64 KiB" in capsys.readouterr().err
    assert main(["report", run]) == 0
