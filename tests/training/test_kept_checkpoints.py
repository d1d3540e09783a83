"""A run keeps the checkpoints that its experiment asks for, evenly, within their limit."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lbc.config import Experiment, Keep
from lbc.config.strict_yaml import ExperimentError
from lbc.runs import kept_checkpoints
from lbc.runs.events import CheckpointNotKept, Event, Prepared
from lbc.runs.kept_checkpoints import ForkPoint, keep_checkpoint, kept_moments
from lbc.training.fork_points import checkpoint_size
from lbc.training.trainer import Trainer
from tests.training.resumption import MakeExperiment, stop_at

SMALL = {"epochs": 4, "batch_size": 500}


def run(experiment: Experiment, folder: Path) -> list[Event]:
    events: list[Event] = []
    Trainer(experiment, folder, emit=events.append).train()
    return events


def steps(folder: Path) -> list[int]:
    """The steps of the checkpoints in the folder of kept ones."""
    return [point.step for point in kept_moments(folder) if point.file.parent.name == "checkpoints"]


@pytest.mark.parametrize(
    ("keep", "schedule", "kept"),
    [
        ({}, {}, [8, 16, 24, 32]),
        ({"every": "2 epochs"}, {}, [16, 32]),
        ({"every": "never"}, {}, []),
        ({"every": "removal"}, {"start": 1, "end": 3}, [16, 24]),
        ({"every": "removal"}, {"kind": "step", "end": 3, "every": "step"}, [6, 12, 18, 24]),
    ],
)
def test_the_experiment_says_which_are_kept(
    quick: MakeExperiment,
    tmp_path: Path,
    keep: dict[str, object],
    schedule: dict[str, object],
    kept: list[int],
) -> None:
    training = {**SMALL, "keep": keep}
    events = run(quick(training=training, schedule={"end": 2} | schedule), tmp_path / "run")
    assert steps(tmp_path / "run") == kept
    (prepared,) = (event for event in events if isinstance(event, Prepared))
    said = [note for note in prepared.notes if "forks" in note]
    assert [f"Checkpoints kept for forks: {len(kept)}," in note for note in said] == [True] * (
        len(kept) > 0
    )


def test_a_kept_checkpoint_is_the_one_that_is_written_anyway(
    quick: MakeExperiment, tmp_path: Path
) -> None:
    run(quick(), tmp_path)
    *_, last = kept_moments(tmp_path)
    assert last.file.samefile(tmp_path / "checkpoint.pt")
    assert last.size == (tmp_path / "checkpoint.pt").stat().st_size


def test_one_that_is_larger_than_the_limit_is_not_kept_and_the_run_says_so(
    quick: MakeExperiment, tmp_path: Path
) -> None:
    events = run(quick(training={**SMALL, "keep": {"at_most": "100 kB"}}), tmp_path)
    assert not steps(tmp_path)
    assert sum(isinstance(event, CheckpointNotKept) for event in events) == 1
    (prepared,) = (event for event in events if isinstance(event, Prepared))
    assert any("No checkpoint will be kept for forks" in note for note in prepared.notes)


def test_the_estimate_is_what_they_take(quick: MakeExperiment, tmp_path: Path) -> None:
    variants: tuple[dict[str, object], ...] = (
        {}, {"optimizer": {"name": "adam"}}, {"method": "asp", "optimizer": {"momentum": 0.0}},
        {"pattern": "1:16"},
    )  # fmt: skip
    for number, sections in enumerate(variants):
        experiment = quick(model={"name": "mlp", "width": 64}, schedule={"end": 1.5}, **sections)
        folder = tmp_path / str(number)
        (prepared,) = (one for one in run(experiment, folder) if isinstance(one, Prepared))
        size = checkpoint_size(experiment, prepared.layers, prepared.parameters, prepared.form)
        assert kept_moments(folder)[0].size == pytest.approx(size, rel=0.05)


def test_a_limit_thins_them_and_is_never_exceeded(quick: MakeExperiment, tmp_path: Path) -> None:
    run(quick(), tmp_path / "first")
    limit = 3 * kept_moments(tmp_path / "first")[0].size
    most: list[int] = []

    def emit(event: Event) -> None:
        folder = tmp_path / "run" / "checkpoints"
        most.append(sum(file.stat().st_size for file in folder.glob("*")))

    keep = {"at_most": f"{limit} B"}
    training = {"epochs": 9, "batch_size": 500, "keep": keep}
    Trainer(quick(training=training), tmp_path / "run", emit=emit).train()
    assert steps(tmp_path / "run") == [32, 48, 64]  # smaller ones, of the time after t_f
    assert limit * 0.7 < max(most) <= limit


def test_resuming_drops_those_of_later_moments(quick: MakeExperiment, tmp_path: Path) -> None:
    experiment = quick(training=SMALL)
    stop_at(12, experiment, tmp_path)
    later = tmp_path / "checkpoints" / "step-16-epoch-2.0.pt"
    later.write_bytes(b"of a moment that the run has not reached")
    (tmp_path / "checkpoints" / ".step-16-epoch-2.0.pt.4.tmp").touch()  # a killed write
    stop_at(13, experiment, tmp_path, resume=True)
    assert steps(tmp_path) == [8]
    assert [file.name for file in later.parent.iterdir()] == ["step-8-epoch-1.0.pt"]


def test_a_disk_without_hard_links_has_copies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(1, "hard links are not supported")

    monkeypatch.setattr("os.link", refuse)
    (tmp_path / "checkpoint.pt").write_bytes(b"state")
    assert keep_checkpoint(tmp_path, 3, 1 / 3, 5)
    (kept,) = kept_moments(tmp_path)
    assert (kept.epoch, kept.step, kept.file.read_bytes()) == (1 / 3, 3, b"state")
    assert len(list(kept.file.parent.iterdir())) == 1


@settings(max_examples=40)
@given(count=st.integers(1, 300), room=st.integers(1, 20))
def test_the_distances_stay_even(count: int, room: int) -> None:
    kept: list[ForkPoint] = []
    for step in range(1, count + 1):
        gone = kept_checkpoints._superfluous(kept, step, 1, room)
        if gone is not None:
            kept = [point for point in kept if point not in gone]
            kept.append(ForkPoint(Path(str(step)), step, step, 1))
        assert len(kept) == min(step, room)
    at = [0, *(point.step for point in kept)]
    distances = [later - earlier for earlier, later in pairwise(at)]
    assert max(distances) <= 2 * min(distances)
    assert count - at[-1] <= min(distances)


@pytest.mark.parametrize("every", ["0 epochs", "epoch", "two epochs", "-1 epochs", "", 3])
def test_a_wrong_interval_is_a_sentence(quick: MakeExperiment, every: object) -> None:
    with pytest.raises(ExperimentError) as error:
        quick(training={"keep": {"every": every}})
    assert [problem.path for problem in error.value.problems] == ["training.keep.every"]


def test_intervals_are_written_in_one_way() -> None:
    assert (Keep(every="1 epochs").every, Keep(every="3 epoch").every) == ("1 epoch", "3 epochs")
