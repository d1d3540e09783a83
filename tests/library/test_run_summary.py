"""A summary says what a run folder holds, and what is wrong with one that is damaged."""

from __future__ import annotations

from pathlib import Path

from lbc.config import Experiment
from lbc.library.run_summary import flatten_experiment, summarize_run
from lbc.runs.events import EpochDone
from lbc.runs.folder import RunFolder
from lbc.runs.run_state import RunState


def _make_run(folder: Path, status: str = "finished") -> None:
    run = RunFolder(folder, Experiment(seed=3), ())
    run.add_epoch(EpochDone(1, 0.5, 0.4, 0.25, (6,), 0.75, 1.5))
    run.add_epoch(EpochDone(2, 0.4, 0.3, 0.5, (1,), 0.5, 1.5))
    run.write_state(RunState(status, 2, 0.5, 0.5, 3.0))  # type: ignore[arg-type]
    run.close()


def test_a_summary_holds_settings_and_results(tmp_path: Path) -> None:
    _make_run(tmp_path / "first")
    run = summarize_run(tmp_path / "first")
    assert (run.status, run.title, run.pattern, run.method, run.seed) == (
        "finished", "first", "2:4", "lbc", 3,
    )  # fmt: skip
    assert (run.epoch, run.epochs, run.accuracy, run.density, run.seconds) == (2, 12, 0.5, 0.5, 3)
    assert run.accuracies == (0.25, 0.5)
    assert run.parameters["optimizer.lr"] == 0.1
    assert run.parameters["schedule.kind"] == "polynomial"
    assert not run.problem


def test_a_run_whose_process_ended_is_cut_off(tmp_path: Path) -> None:
    _make_run(tmp_path, "running")
    assert summarize_run(tmp_path).status == "cut off"


def test_a_damaged_run_says_which_file_cannot_be_read(tmp_path: Path) -> None:
    for file in ("run.json", "experiment.yaml", "epochs.records", "library.json"):
        _make_run(tmp_path / file)
        (tmp_path / file / file).write_bytes(b"\xff{")
        assert file in summarize_run(tmp_path / file).problem
    (tmp_path / "epochs.records" / "epochs.records").unlink()
    assert summarize_run(tmp_path / "epochs.records").status == "unreadable"
    assert summarize_run(tmp_path / "nothing").problem


def test_runs_share_the_texts_of_their_settings() -> None:
    one, other = (flatten_experiment(Experiment(seed=seed)) for seed in (1, 2))
    for (key, value), (same_key, same_value) in zip(one.items(), other.items(), strict=True):
        assert key is same_key
        assert value is same_value or not isinstance(value, str)
