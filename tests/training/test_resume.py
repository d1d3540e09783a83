"""A run killed at any time resumes to the same end as an undisturbed run."""

from __future__ import annotations

import json
import os
import random
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from lbc.cli.main import main
from lbc.config import Experiment, dump_experiment
from lbc.runs.events import EpochDone, Event, Prepared, Resumed, Started, StepDone
from lbc.runs.folder import Position, RunFolder
from lbc.runs.records import read_records
from lbc.runs.unfinished_run import (
    RunError,
    RunFinishedError,
    newest_unfinished,
    open_unfinished,
    read_state,
)
from lbc.training.control import Control
from lbc.training.failures import TrainingError
from lbc.training.trainer import Trainer
from tests import warm

MakeExperiment = Callable[..., Experiment]

CONVNET = {"name": "convnet", "width": 8, "depth": 2}
FREQUENT = {"epochs": 3, "batch_size": 12, "checkpoint_minutes": 1e-4}
"""A checkpoint every few steps; 16 steps per epoch."""


@pytest.fixture
def small(quick: MakeExperiment, tmp_path: Path) -> MakeExperiment:
    """Like ``quick``, with 192 images of 8×8 pixels and a convolutional network."""
    images = np.random.default_rng(0).integers(0, 256, (256, 8, 8), dtype=np.uint8)
    np.savez(tmp_path / "small.npz", images=images, labels=np.arange(256) % 4)
    data = {"name": "npz", "file": str(tmp_path / "small.npz"), "test_share": 0.25}
    return lambda **sections: quick(
        **{"data": data, "model": CONVNET, "training": FREQUENT} | sections
    )


def stored(folder: Path) -> dict[str, Any]:
    state: dict[str, Any] = torch.load(folder / "checkpoint.pt", weights_only=True)
    return state


def equal(one: object, other: object) -> bool:
    """True if nested values are equal, tensors bit for bit."""
    if isinstance(one, Tensor) and isinstance(other, Tensor):
        return one.dtype == other.dtype and torch.equal(one, other)
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(equal(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(map(equal, one, other))
    return one == other


def assert_same_run(folder: Path, expected: Path) -> None:
    for name in ("model.safetensors", "scores.history", "experiment.yaml"):
        assert (folder / name).read_bytes() == (expected / name).read_bytes(), name
    for name in ("steps.records", "epochs.records"):
        rows, expected_rows = read_records(folder / name), read_records(expected / name)
        for column in expected_rows.keys() - {"seconds"}:
            assert rows[column].tolist() == expected_rows[column].tolist(), (name, column)
    state, expected_state = stored(folder), stored(expected)
    for key in ("model", "optimizer", "scaler", "average", "epoch", "step", "position"):
        assert equal(state[key], expected_state[key]), key
    for key in ("status", "epoch", "accuracy", "density"):
        assert read_state(folder)[key] == read_state(expected)[key], key


def stop_at(step: int, experiment: Experiment, folder: Path, resume: bool = False) -> list[Event]:
    """Train until a given step, then stop as a user would."""
    control, events = Control(), list[Event]()

    def emit(event: Event) -> None:
        events.append(event)
        if isinstance(event, StepDone) and event.step == step:
            control.stop()

    assert Trainer(experiment, folder, control, emit, resume=resume).train().status == "stopped"
    return events


def refusal(experiment: Experiment, folder: Path) -> str:
    with pytest.raises(TrainingError) as caught:
        Trainer(experiment, folder, resume=True).train()
    assert "\n" not in str(caught.value)
    return str(caught.value)


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
    moments = sorted(random.Random(seed).sample(range(1, 47), 2))
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
        "training": FREQUENT | {"ema_decay": 0.9, "clip_norm": 0.5, "accumulate": 2}
    },
    "removed between steps": {"schedule": {"end": 2, "every": "step"}, "pattern": "4:8"},
    "half precision, channels last": {
        "training": FREQUENT | {"precision": "float16", "channels_last": True}
    },
}


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)
def test_a_run_killed_after_any_write_resumes_to_the_same_end(
    small: MakeExperiment, tmp_path: Path, recipe: dict[str, object]
) -> None:
    experiment = small(**recipe)
    copies = tmp_path / "copies"
    steps = (1, 5, 16, 27, 48)

    def copy(event: Event) -> None:
        # The files that a process killed now would leave.
        if isinstance(event, StepDone) and event.step in steps:
            shutil.copytree(tmp_path / "run", copies / f"step {event.step}")
        if isinstance(event, EpochDone) and event.epoch > 1:
            shutil.copytree(tmp_path / "run", copies / f"epoch {event.epoch}")

    Trainer(experiment, tmp_path / "run", emit=copy).train()
    for folder in sorted(copies.iterdir()):
        Trainer(experiment, folder, resume=True).train()
        assert_same_run(folder, tmp_path / "run")
    assert len(list(copies.iterdir())) == 7


def test_a_stopped_run_resumes_within_an_epoch_and_reports_earlier_steps(
    small: MakeExperiment, tmp_path: Path
) -> None:
    experiment = small()
    expected: list[Event] = []
    Trainer(experiment, tmp_path / "expected", emit=expected.append).train()
    before = stop_at(21, experiment, tmp_path / "run")
    assert (stored(tmp_path / "run")["epoch"], stored(tmp_path / "run")["step"]) == (1, 21)
    after = stop_at(23, experiment, tmp_path / "run", resume=True)
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
    stop_at(21, experiment, tmp_path / "run")
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
            stop_at(20, experiment, tmp_path / "run")
        Trainer(experiment, tmp_path / "run" if resume else None, emit=emit, resume=resume).train()
        drawn.append(numbers)
    assert drawn[1] == drawn[0][20:]
    assert len(set(drawn[0])) == 48


def test_a_finished_run_is_not_resumed(
    quick: MakeExperiment, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Trainer(quick(), tmp_path / "run").train()
    before = {file.name: file.read_bytes() for file in (tmp_path / "run").iterdir()}
    assert main(["train", "--resume", str(tmp_path / "run")]) == 0
    assert "is finished (2 epochs): nothing is left to train" in capsys.readouterr().out
    assert {file.name: file.read_bytes() for file in (tmp_path / "run").iterdir()} == before
    with pytest.raises(RunFinishedError):
        open_unfinished(tmp_path / "run")
    assert newest_unfinished(tmp_path) is None


@pytest.mark.parametrize(
    ("sections", "text"),
    [
        ({"pattern": "1:4"}, "pattern was '2:4' and is '1:4'"),
        ({"training": {"epochs": 4, "batch_size": 500}}, "training.epochs was 2 and is 4"),
        ({"model": {"name": "mlp", "width": 64}}, "model.width was 32 and is 64"),
        ({"layers": {"hidden.0": "dense"}}, "layers.hidden.0 was not set and is 'dense'"),
    ],
)
def test_a_changed_experiment_is_refused_naming_the_setting(
    quick: MakeExperiment, tmp_path: Path, sections: dict[str, object], text: str
) -> None:
    stop_at(3, quick(), tmp_path)
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    message = refusal(quick(**sections), tmp_path)
    assert text in message and "Restore it, or start a new run." in message
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == before


def test_a_checkpoint_older_than_a_setting_resumes_with_its_default(
    small: MakeExperiment, tmp_path: Path
) -> None:
    experiment = small()
    stop_at(21, experiment, tmp_path / "run")
    state = stored(tmp_path / "run")
    assert ", every: epoch" in state["experiment"]
    state["experiment"] = state["experiment"].replace(", every: epoch", "")
    torch.save(state, tmp_path / "run" / "checkpoint.pt")
    assert Trainer(experiment, tmp_path / "run", resume=True).train().status == "finished"
    changed = small(schedule={"end": 2, "every": "step"})
    shutil.rmtree(tmp_path / "run")
    stop_at(21, experiment, tmp_path / "run")
    assert "schedule.every was 'epoch' and is 'step'" in refusal(changed, tmp_path / "run")


def test_settings_that_affect_no_result_may_change(quick: MakeExperiment, tmp_path: Path) -> None:
    stop_at(3, quick(), tmp_path)
    data = {"name": "digits", "workers": 1}
    Trainer(quick(name="renamed", data=data), tmp_path, resume=True).train()


def corrupt(folder: Path, **changes: object) -> None:
    torch.save(stored(folder) | changes, folder / "checkpoint.pt")


def test_a_checkpoint_that_does_not_fit_the_run_is_refused(
    quick: MakeExperiment, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    stop_at(3, quick(), run)
    good, state = (run / "checkpoint.pt").read_bytes(), stored(run)
    model, momenta = state["model"], state["optimizer"]
    beta = "hidden.0.parametrizations.weight.0.beta"
    packed = "hidden.0.parametrizations.weight.0.packed"
    wrong: list[tuple[dict[str, object], str]] = [
        ({"version": 1}, "has checkpoint version 1, and this program reads version 2"),
        ({"version": 3}, "has checkpoint version 3, and this program reads version 2"),
        ({"step": "many"}, "its 'step' is missing or invalid"),
        ({"last": 7}, "its 'last' is missing or invalid"),
        ({"ranks": 2}, "a run of 2 process(es), not 1"),
        ({"steps_per_epoch": 9}, "had 9 steps"),
        ({"model": {k: v for k, v in model.items() if k != beta}}, f"it has no '{beta}'"),
        ({"model": model | {beta: torch.ones(3, 2)}}, f"'{beta}' is 3×2 of torch.float32"),
        ({"model": model | {beta: model[beta].double()}}, "32×784 of torch.float64"),
        ({"model": model | {packed: torch.ones(5, 1, dtype=torch.uint8)}}, "5×1 of torch.uint8"),
        ({"model": model | {"more": torch.ones(1)}}, "this one has no 'more'"),
        ({"optimizer": momenta | {"param_groups": []}}, "The optimiser state"),
        ({"optimizer": {"state": {0: {"momentum_buffer": torch.ones(2)}},
                        "param_groups": momenta["param_groups"]}}, "has shape (2,)"),
        ({"position": {"steps": 99, "epochs": 0, "moments": 1, "decided": False}},
         "steps.records holds 3 rows, but 99 are needed"),
    ]  # fmt: skip
    for changes, text in wrong:
        corrupt(run, **changes)
        assert text in refusal(quick(), run), changes
        (run / "checkpoint.pt").write_bytes(good)
    for end in (0, 10, len(good) // 2, len(good) - 1):
        (run / "checkpoint.pt").write_bytes(good[:end])
        assert "is truncated, or not a PyTorch checkpoint" in refusal(quick(), run)
    torch.save({"state_dict": model}, run / "checkpoint.pt")
    assert "was not written by this program" in refusal(quick(), run)
    (run / "checkpoint.pt").write_bytes(good)
    Trainer(quick(), run, resume=True).train()


class Malicious:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, ("touch evil",)


def test_code_in_a_checkpoint_is_never_executed(
    quick: MakeExperiment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    stop_at(3, quick(), tmp_path / "run")
    corrupt(tmp_path / "run", last=Malicious())
    assert "never loaded because they can run code" in refusal(quick(), tmp_path / "run")
    assert not (tmp_path / "evil").exists()


def test_a_run_that_another_process_is_writing_is_not_resumed(
    quick: MakeExperiment, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stop_at(3, quick(), tmp_path / "run")
    layers = [event.layers for event in stop_at(1, quick(), tmp_path / "other")[:1]]  # type: ignore[union-attr]
    holder = RunFolder(tmp_path / "run", quick(), layers[0], Position(3, 0, 1))
    assert newest_unfinished(tmp_path / "run" / "..") is not None  # the other one
    assert main(["train", "--resume", str(tmp_path / "run")]) == 2
    assert "Another process is training the run" in capsys.readouterr().err
    holder.close()
    assert open_unfinished(tmp_path / "run").status == "stopped"


def test_a_folder_without_a_run_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "torn").mkdir()
    (tmp_path / "torn" / "run.json").write_text('{"status": "run')
    for name, text in (
        ("missing", "is not a folder"), ("empty", "holds no run"), ("torn", "holds no run"),
    ):  # fmt: skip
        assert main(["train", "--resume", str(tmp_path / name)]) == 2
        assert text in capsys.readouterr().err
    with pytest.raises(RunError):
        open_unfinished(tmp_path / "empty")
    assert main(["train"]) == 2
    assert main(["train", "--resume", str(tmp_path), "--out", "x"]) == 2


def test_the_newest_unfinished_run_is_found(quick: MakeExperiment, tmp_path: Path) -> None:
    assert newest_unfinished(tmp_path / "missing") is None
    stop_at(9, quick(), tmp_path / "old")
    stop_at(3, quick(), tmp_path / "young")
    found = newest_unfinished(tmp_path)
    assert found is not None and (found.path.name, found.epoch) == ("young", 0)
    assert found.described == "The run young was stopped after 0 of 2 epochs."
    state = json.loads((tmp_path / "young" / "run.json").read_text())
    (tmp_path / "young" / "run.json").write_text(json.dumps(state | {"status": "running"}))
    found = newest_unfinished(tmp_path)
    assert found is not None and "was cut off" in found.described
    (tmp_path / "young" / "run.json").write_text(json.dumps(state | {"status": "failed"}))
    assert newest_unfinished(tmp_path) is None
