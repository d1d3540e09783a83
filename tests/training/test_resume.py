"""A run killed at any time resumes to the same end as an undisturbed run."""

from __future__ import annotations

import random
import shutil
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from lbc.cli.main import main
from lbc.config import dump_experiment
from lbc.runs.events import EpochDone, Event, Prepared, Resumed, Started, StepDone
from lbc.runs.history_reader import Replay
from lbc.runs.records import read_records
from lbc.runs.weights import read_weights
from lbc.training.control import Control
from lbc.training.trainer import Trainer
from tests import warm
from tests.training.resumption import MakeExperiment, assert_same_run, refusal, stop_at, stored

CONVNET = {"name": "convnet", "width": 8, "depth": 2}
FREQUENT = {"epochs": 3, "batch_size": 12, "checkpoint_minutes": 1e-4}
"""A checkpoint every few steps; 8 steps per epoch."""


@pytest.fixture
def small(quick: MakeExperiment, tmp_path: Path) -> MakeExperiment:
    """Like ``quick``, with 96 images of 8×8 pixels and a convolutional network."""
    images = np.random.default_rng(0).integers(0, 256, (128, 8, 8), dtype=np.uint8)
    np.savez(tmp_path / "small.npz", images=images, labels=np.arange(128) % 4)
    data = {"name": "npz", "file": str(tmp_path / "small.npz"), "test_share": 0.25}
    return lambda **sections: quick(
        **{"data": data, "model": CONVNET, "training": FREQUENT} | sections
    )


@pytest.mark.skipif(sys.platform == "win32", reason="needs kill -9")
def test_a_process_killed_repeatedly_resumes_to_the_same_end(
    small: MakeExperiment, tmp_path: Path
) -> None:
    experiment = small()
    Trainer(experiment, tmp_path / "expected").train()
    file, run = tmp_path / "quick.yaml", tmp_path / "run"
    file.write_text(dump_experiment(experiment))
    seed = random.randrange(1 << 30)
    print("kills from seed", seed)
    moments = sorted(random.Random(seed).sample(range(1, 17), 2))  # of 24 steps
    arguments: list[object] = ["train", file, "--out", run]
    for rows in moments:
        kill_after(rows, arguments, run)
        arguments = ["train", "--resume", run]
    (run / ".checkpoint.pt.4.tmp").touch()  # left by a kill during a write
    assert main(["train", "--resume", str(run)]) == 0
    assert_same_run(run, tmp_path / "expected")
    assert not list(run.glob(".*"))


def kill_after(rows: int, arguments: list[object], run: Path) -> None:
    """Start the command and kill it once at least ``rows`` steps are on disk."""
    process = warm.start(warm.lbc, *arguments)
    try:
        end = time.monotonic() + 60
        while process.is_alive() and time.monotonic() < end:
            if lines(run) >= rows:
                break
            time.sleep(0.001)
        assert process.is_alive() and lines(run) >= rows
    finally:
        process.kill()
        process.join()


def lines(run: Path) -> int:
    path = run / "steps.records"
    return len(read_records(path).get("step", ())) if path.exists() else 0


RECIPES: dict[str, dict[str, object]] = {
    "sgd": {},
    "adamw": {"optimizer": {"name": "adamw", "lr": 0.01}},
    "per combination": {"scores": "per_combination", "pattern": "1:4"},
    "averaged, clipped, in parts": {
        "training": FREQUENT | {"ema_decay": 0.9, "clip_norm": 0.5, "accumulate": 2},
        "pattern": "4:8x2",
    },
    "removed between steps": {"schedule": {"end": 2, "every": "step"}, "pattern": "4:8"},
    "half precision, channels last": {
        "training": FREQUENT | {"precision": "float16", "channels_last": True}
    },
}


STEPS = {"averaged, clipped, in parts": (1, 3, 8, 13, 16, 24)}
"""After which steps, and after the epochs that they end, a run is killed; others in mid-epoch."""


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_run_killed_after_any_write_resumes_to_the_same_end(
    small: MakeExperiment, tmp_path: Path, recipe: str
) -> None:
    experiment = small(**RECIPES[recipe])
    copies = tmp_path / "copies"
    steps = STEPS.get(recipe, (3, 13))

    def copy(event: Event) -> None:
        # The files that a process killed now would leave.
        if isinstance(event, StepDone) and event.step in steps:
            shutil.copytree(tmp_path / "run", copies / f"step {event.step}")
        if isinstance(event, EpochDone) and event.epoch * 8 in steps:
            shutil.copytree(tmp_path / "run", copies / f"epoch {event.epoch}")

    Trainer(experiment, tmp_path / "run", emit=copy).train()
    for folder in sorted(copies.iterdir()):
        Trainer(experiment, folder, resume=True).train()
        assert_same_run(folder, tmp_path / "run")
    assert len(list(copies.iterdir())) == len(steps) + sum(step % 8 == 0 for step in steps)


def test_a_stopped_run_resumes_within_an_epoch_and_reports_earlier_steps(
    small: MakeExperiment, tmp_path: Path
) -> None:
    experiment = small()
    expected: list[Event] = []
    Trainer(experiment, tmp_path / "expected", emit=expected.append).train()
    before = stop_at(11, experiment, tmp_path / "run")
    assert (stored(tmp_path / "run")["epoch"], stored(tmp_path / "run")["step"]) == (1, 11)
    after = stop_at(13, experiment, tmp_path / "run", resume=True)
    assert [type(event) for event in after[:3]] == [Prepared, Resumed, StepDone]
    resumed = after[1]
    assert isinstance(resumed, Resumed)
    assert list(resumed.steps) == [event for event in before if isinstance(event, StepDone)]
    (epoch,) = (event for event in before if isinstance(event, EpochDone))
    (again,) = resumed.epochs
    assert (again.accuracy, again.live) == (epoch.accuracy, (max(epoch.live),))
    Trainer(experiment, tmp_path / "run", resume=True).train()
    assert_same_run(tmp_path / "run", tmp_path / "expected")


def test_random_augmentation_resumes_exactly(small: MakeExperiment, tmp_path: Path) -> None:
    augment = {
        "crop": "pad", "padding": 1, "flip": True, "rand_augment": 9.0, "erasing": 0.5,
        "mixup": 0.8, "cutmix": 1.0, "repeats": 3,
    }  # fmt: skip
    data = small().data.model_dump(mode="json") | {"augment": augment}
    experiment = small(data=data)
    Trainer(experiment, tmp_path / "expected").train()
    stop_at(11, experiment, tmp_path / "run")
    Trainer(experiment, tmp_path / "run", resume=True).train()
    assert_same_run(tmp_path / "run", tmp_path / "expected")
    plain = read_records(tmp_path / "expected" / "steps.records")
    assert len(set(plain["loss"].tolist())) == len(plain["loss"])


def test_a_run_without_a_checkpoint_restarts_from_the_beginning(
    quick: MakeExperiment, tmp_path: Path
) -> None:
    Trainer(quick(), tmp_path / "expected").train()
    stop_at(3, quick(), tmp_path / "run")
    (tmp_path / "run" / "checkpoint.pt").unlink()
    events: list[Event] = []
    Trainer(quick(), tmp_path / "run", emit=events.append, resume=True).train()
    assert [type(event) for event in events[:4]] == [Prepared, Resumed, Started, StepDone]
    assert_same_run(tmp_path / "run", tmp_path / "expected")


def test_random_numbers_depend_only_on_seed_and_step(small: MakeExperiment, tmp_path: Path) -> None:
    drawn: list[list[float]] = []
    for resume in (False, True):
        torch.rand(7)
        numbers: list[float] = []

        def emit(event: Event, numbers: list[float] = numbers) -> None:
            if isinstance(event, StepDone):
                numbers.append(float(torch.rand(())))

        experiment = small()
        if resume:
            stop_at(10, experiment, tmp_path / "run")
        Trainer(experiment, tmp_path / "run" if resume else None, emit=emit, resume=resume).train()
        drawn.append(numbers)
    assert drawn[1] == drawn[0][10:]
    assert len(set(drawn[0])) == 24


def test_a_checkpoint_older_than_a_setting_resumes_with_its_default(
    small: MakeExperiment, tmp_path: Path
) -> None:
    experiment = small()
    stop_at(11, experiment, tmp_path / "run")
    state = stored(tmp_path / "run")
    assert ", every: epoch" in state["experiment"]
    state["experiment"] = state["experiment"].replace(", every: epoch", "")
    torch.save(state, tmp_path / "run" / "checkpoint.pt")
    assert Trainer(experiment, tmp_path / "run", resume=True).train().status == "finished"
    changed = small(schedule={"end": 2, "every": "step"})
    shutil.rmtree(tmp_path / "run")
    stop_at(11, experiment, tmp_path / "run")
    assert "schedule.every was 'epoch' and is 'step'" in refusal(changed, tmp_path / "run")


def test_settings_that_affect_no_result_may_change(quick: MakeExperiment, tmp_path: Path) -> None:
    stop_at(3, quick(), tmp_path)
    data = {"name": "digits", "workers": 1}
    Trainer(quick(name="renamed", data=data), tmp_path, resume=True).train()


@pytest.mark.parametrize("recipe", ["sgd", "removed between steps"])
def test_a_run_that_is_stopped_shows_the_weights_of_its_checkpoint_at_its_last_moment(
    small: MakeExperiment, tmp_path: Path, recipe: str
) -> None:
    experiment = small(**RECIPES[recipe] | {"training": FREQUENT | {"epochs": 31}})
    expected, run = tmp_path / "expected", tmp_path / "run"
    Trainer(experiment, expected).train()
    for step in (5, 5, 8, 11, 13):  # in mid-epoch, again without another step, and at an end
        resume = run.exists()
        if step == 5 and resume:
            control = Control()
            control.stop()
            Trainer(experiment, run, control, resume=True).train()
        else:
            stop_at(step, experiment, run, resume=resume)
        replay = Replay(run)
        epochs = [moment.epoch for moment in replay.moments]
        assert epochs[-1] == step / 8 and epochs.count(step / 8) == 1
        name = replay.layers[0].name
        assert read_weights(run, name, epochs[-1]) is not None
        saved = stored(run)
        assert saved["step"] == step
        mask = saved["model"][f"{name}.parametrizations.weight.0.mask"]
        assert np.array_equal(replay.layer(name, -1).mask, mask)
    Trainer(experiment, run, resume=True).train()
    assert_same_run(run, expected)
