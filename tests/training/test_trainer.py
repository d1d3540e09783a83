"""A run follows its experiment and its commands, and ends cleanly or with an error message."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from lbc.config import Experiment
from lbc.data import load
from lbc.inspection import inspect_checkpoint
from lbc.runs.events import EpochDone, Event, Finished, Prepared, Started, StepDone
from lbc.runs.history_reader import Replay
from lbc.runs.records import read_records
from lbc.sparsity.pattern import Pattern
from lbc.sparsity.sparsifier import Sparsifier
from lbc.training.control import Control
from lbc.training.failures import TrainingError, describe_error
from lbc.training.preparation import prepare, preview, score_form
from lbc.training.trainer import Trainer
from tests.training.resumption import stop_at
from tests.training.test_control import wait
from tests.whole_split import all_tested_on

MakeExperiment = Callable[..., Experiment]

CONVNET = {"name": "convnet", "width": 8, "depth": 2}


def train(experiment: Experiment, folder: Path | None = None) -> list[Event]:
    events: list[Event] = []
    finished = Trainer(experiment, folder, emit=events.append).train()
    assert events[-1] == finished
    return events


def events_of(kind: type, events: list[Event]) -> list[Event]:
    return [event for event in events if isinstance(event, kind)]


def status(folder: Path) -> dict[str, object]:
    state: dict[str, object] = json.loads((folder / "run.json").read_text())
    return state


def refusal(experiment: Experiment, folder: Path | None = None) -> str:
    with pytest.raises(TrainingError) as caught:
        Trainer(experiment, folder).train()
    message = str(caught.value)
    assert "\n" not in message
    return message


class Run(threading.Thread):
    """A trainer in its own thread, as in the window."""

    def __init__(self, experiment: Experiment, folder: Path | None, paused: bool = True) -> None:
        super().__init__(daemon=True)
        self.control = Control(paused)
        self.events: list[Event] = []
        self.watched: list[float] = []
        self.sparsifier: Sparsifier | None = None
        self.trainer = Trainer(experiment, folder, self.control, self.events.append, self._watch)
        self.start()

    def run(self) -> None:
        self.trainer.train()
        self.trainer.linger()

    def _watch(self, sparsifier: Sparsifier, epoch: float) -> None:
        self.sparsifier = sparsifier
        self.watched.append(epoch)

    def steps(self) -> int:
        return len(events_of(StepDone, self.events))

    def end(self) -> None:
        self.control.discard()
        self.join(60)
        assert not self.is_alive()


def test_events_come_in_order(quick: MakeExperiment, tmp_path: Path) -> None:
    events = train(quick(), tmp_path / "run")
    kinds = [type(event) for event in events]
    assert kinds == [Prepared, Started, *[*[StepDone] * 8, EpochDone] * 2, Finished]
    prepared, started, *_, finished = events
    assert isinstance(prepared, Prepared) and isinstance(started, Started)
    assert (prepared.steps_per_epoch, prepared.epochs, prepared.steps) == (8, 2, 16)
    assert [(at.name, str(at.pattern), at.blocks) for at in prepared.layers] == [
        ("hidden.0", "2:4", 6272),
        ("hidden.1", "2:4", 256),
    ]
    assert prepared.skipped == (("head", "the classifier"),)
    assert started.folder == tmp_path / "run"
    steps = events_of(StepDone, events)
    assert [step.step for step in steps] == list(range(1, 17))  # type: ignore[union-attr]
    assert [step.epoch for step in steps] == [k / 8 for k in range(1, 17)]  # type: ignore[union-attr]
    first, second = events_of(EpochDone, events)
    assert isinstance(first, EpochDone) and isinstance(second, EpochDone)
    assert (first.live, second.live) == ((2, 2), (1, 1))
    assert first.density >= 0.75 and second.density == 0.5
    losses = [step.loss for step in steps[:8]]  # type: ignore[union-attr]
    assert first.train_loss == pytest.approx(sum(losses) / 8)
    assert isinstance(finished, Finished)
    assert (finished.status, finished.folder) == ("finished", tmp_path / "run")
    assert (finished.accuracy, finished.density) == (second.accuracy, 0.5)
    assert second.accuracy > 0.5


def test_the_run_folder_agrees_with_the_events(quick: MakeExperiment, tmp_path: Path) -> None:
    events = train(quick(pattern="1:4", model=CONVNET), tmp_path)
    assert {file.name for file in tmp_path.iterdir()} == {
        "experiment.yaml", "run.json", "steps.records", "epochs.records", "scores.history",
        "checkpoint.pt", "checkpoint.previous.pt", "checkpoints", "model.safetensors",
    }  # fmt: skip
    steps, epochs = (
        read_records(tmp_path / "steps.records"),
        read_records(tmp_path / "epochs.records"),
    )
    for name, column in steps.items():
        assert column.tolist() == [getattr(step, name) for step in events_of(StepDone, events)]
    assert epochs["live"].tolist() == [2, 1]
    for name in ("epoch", "train_loss", "test_loss", "accuracy", "density", "seconds"):
        assert epochs[name].tolist() == [
            getattr(done, name) for done in events_of(EpochDone, events)
        ]
    kept = [moment.epoch for moment in Replay(tmp_path).moments]
    assert kept == [step / 8 for step in range(17)]  # fewer steps than the 60 desired moments
    state = status(tmp_path)
    assert (state["status"], state["epoch"], state["density"]) == ("finished", 2, 0.25)
    report = inspect_checkpoint(tmp_path, Pattern(1, 4))
    assert report.valid and report.checked == 1


def test_a_checkpoint_restores_the_model(quick: MakeExperiment, tmp_path: Path) -> None:
    experiment = quick(model=CONVNET)
    events = train(experiment, tmp_path)
    state = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    assert (state["epoch"], state["step"]) == (2, 16)
    data = load(experiment.data)
    model, sparsifier, _ = prepare(experiment, data)
    model.load_state_dict(state["model"])
    assert not sparsifier.searching
    with torch.no_grad():
        right = model.eval()(all_tested_on(data)).argmax(1) == data.test.labels
    assert float(right.double().mean()) == events[-1].accuracy  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "optimizer", [{"name": "sgd"}, {"name": "adamw", "lr": 0.01}], ids=lambda o: o["name"]
)
def test_the_same_seed_gives_the_same_bits(
    quick: MakeExperiment, tmp_path: Path, optimizer: dict[str, object]
) -> None:
    model = CONVNET if optimizer["name"] == "sgd" else {"name": "mlp", "width": 32}
    experiment = quick(model=model, optimizer=optimizer)
    numbers: list[list[object]] = []
    weights, histories = [], []
    for name in "ab":
        torch.rand(len(numbers) + 1)  # earlier random numbers must not matter
        events = train(experiment, tmp_path / name)
        numbers.append([
            [event.loss for event in events if isinstance(event, StepDone)],
            [(e.test_loss, e.accuracy, e.density) for e in events if isinstance(e, EpochDone)],
        ])  # fmt: skip
        weights.append((tmp_path / name / "model.safetensors").read_bytes())
        histories.append((tmp_path / name / "scores.history").read_bytes())
    assert numbers[0] == numbers[1]
    assert weights[0] == weights[1] and histories[0] == histories[1]
    other = stop_at(1, experiment.model_copy(update={"seed": 1}), tmp_path / "c")
    assert [event.loss for event in other if isinstance(event, StepDone)] != numbers[0][0][:1]  # type: ignore[index]


def test_auto_selects_per_weight_scores_only_if_they_are_exact(quick: MakeExperiment) -> None:
    adam = {"name": "adam", "lr": 1e-3}
    assert score_form(quick()) == ("per_weight", 3)
    assert score_form(quick(optimizer=adam)) == ("per_combination", 4)
    assert score_form(quick(scores="per_combination")) == ("per_combination", 3)
    assert events_of(Prepared, train(quick(optimizer=adam)))[0].form == "per_combination"  # type: ignore[union-attr]


def test_both_forms_learn_the_same(quick: MakeExperiment) -> None:
    runs = [train(quick(scores=form)) for form in ("per_weight", "per_combination")]
    one, other = [[e.loss for e in run if isinstance(e, StepDone)] for run in runs]
    assert one == pytest.approx(other, rel=0.01)
    assert one[:8] == other[:8]  # equal bit for bit until the first removal


def test_a_preview_agrees_with_the_prepared_run(quick: MakeExperiment) -> None:
    for experiment in (quick(), quick(model=CONVNET, scores="per_combination", pattern="4:8")):
        data = load(experiment.data)
        seen = preview(experiment, data.in_shape, data.classes)
        _, sparsifier, prepared = prepare(experiment, data)
        assert seen.form == prepared.form
        assert seen.score_memory == prepared.score_memory
        assert seen.parameters == prepared.parameters
        assert {p.name: p.reason for p in seen.plans if not p.pattern} == sparsifier.skipped
        assert {p.name: p.pattern for p in seen.plans if p.pattern} == {
            name: at.pattern for name, at in sparsifier.layers.items()
        }


def test_commands_from_another_thread(quick: MakeExperiment, tmp_path: Path) -> None:
    experiment = quick(training={"epochs": 40, "batch_size": 500}, schedule={"end": 40})
    run = Run(experiment, tmp_path / "run")
    wait(lambda: len(run.watched) > 2)
    assert [type(event) for event in run.events] == [Prepared]
    assert not (tmp_path / "run").exists()

    run.control.step()
    wait(lambda: run.steps() == 1)
    count = len(run.watched)
    wait(lambda: len(run.watched) > count + 2)
    assert run.steps() == 1 and run.watched[-1] == 1 / 8

    run.control.run()
    wait(lambda: len(events_of(EpochDone, run.events)) >= 1)
    run.control.pause()
    count = len(run.watched)
    wait(lambda: len(run.watched) > count + 60)  # longer than one evaluation
    taken = run.steps()
    count = len(run.watched)
    wait(lambda: len(run.watched) > count + 2)
    assert run.steps() == taken < 320

    run.control.stop()
    wait(lambda: isinstance(run.events[-1], Finished))
    last = run.events[-1]
    assert isinstance(last, Finished) and last.status == "stopped"
    assert status(tmp_path / "run")["status"] == "stopped"
    epochs = len(events_of(EpochDone, run.events))
    state = torch.load(tmp_path / "run" / "checkpoint.pt", weights_only=True)
    assert state["epoch"] == epochs == len(read_records(tmp_path / "run/epochs.records")["epoch"])
    assert len(read_records(tmp_path / "run" / "steps.records")["step"]) == taken
    assert not (tmp_path / "run" / "model.safetensors").exists()

    count = len(run.watched)  # a stopped run is still watched
    wait(lambda: len(run.watched) > count + 2)
    run.end()


def test_a_finished_run_is_still_watched(quick: MakeExperiment, tmp_path: Path) -> None:
    run = Run(quick(), tmp_path / "run", paused=False)
    wait(lambda: bool(run.events) and isinstance(run.events[-1], Finished))
    count = len(run.watched)
    wait(lambda: len(run.watched) > count + 2)
    run.end()
    assert run.sparsifier is not None
    weight = run.sparsifier.model.get_submodule("hidden.0").weight
    assert isinstance(weight, torch.Tensor)
    assert torch.equal(weight != 0, run.sparsifier.mask("hidden.0"))


def test_a_run_stopped_before_its_first_step_writes_nothing(
    quick: MakeExperiment, tmp_path: Path
) -> None:
    control = Control()
    control.stop()
    finished = Trainer(quick(), tmp_path / "run", control).train()
    assert (finished.status, finished.accuracy, finished.folder) == ("stopped", None, None)
    assert not (tmp_path / "run").exists()


def test_a_discarded_run_ends(quick: MakeExperiment) -> None:
    run = Run(quick(training={"epochs": 1000, "batch_size": 500}), None, paused=False)
    wait(lambda: run.steps() > 0)
    run.end()


def test_a_nonfinite_loss_ends_the_run_with_a_message(
    quick: MakeExperiment, tmp_path: Path
) -> None:
    text = refusal(quick(optimizer={"lr": 1e9, "lr_schedule": "constant"}), tmp_path)
    assert "The loss became" in text and "in step " in text and "(now 1e+09)" in text
    state = status(tmp_path)
    assert state["status"] == "failed" and state["message"] == text
    assert len(read_records(tmp_path / "steps.records")["step"]) >= 1


@pytest.mark.parametrize("where", ["head.bias", "hidden.1.parametrizations.weight.0.beta"])
def test_the_last_good_checkpoint_is_kept_after_a_failure(
    quick: MakeExperiment, tmp_path: Path, where: str
) -> None:
    experiment = quick(training={"epochs": 4, "batch_size": 500}, schedule={"end": 4})
    watched: list[Sparsifier] = []

    def corrupt(event: Event) -> None:
        if isinstance(event, EpochDone) and event.epoch == 2:
            with torch.no_grad():
                watched[-1].model.get_parameter(where).fill_(torch.nan)

    trainer = Trainer(
        experiment, tmp_path, emit=corrupt, watch=lambda sparsifier, _: watched.append(sparsifier)
    )
    text = "loss became nan in step 17" if "bias" in where else "score of layer 'hidden.1'"
    with pytest.raises(TrainingError, match=text):
        trainer.train()
    state = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    assert state["epoch"] == 2
    assert all(bool(value.isfinite().all()) for value in state["model"].values())
    assert (status(tmp_path)["status"], status(tmp_path)["epoch"]) == ("failed", 2)


HUNGRY = """
import torch

class Hungry(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.hidden = torch.nn.Linear(28 * 28, 16)
        self.head = torch.nn.Linear(16, 10)
        self.calls = 0

    def forward(self, images):
        self.calls += 1
        if self.training and self.calls > 10:
            torch.empty(1 << 50)
        return self.head(self.hidden(images.flatten(1)))
"""


def test_out_of_memory_suggests_a_remedy_and_keeps_the_checkpoint(
    quick: MakeExperiment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "hungry.py").write_text(HUNGRY)
    monkeypatch.syspath_prepend(str(tmp_path))
    run = tmp_path / "run"
    text = refusal(quick(model={"import": "hungry:Hungry"}), run)
    assert "out of memory: lower training.batch_size" in text and "accumulate" in text
    assert status(run)["message"] == text
    assert torch.load(run / "checkpoint.pt", weights_only=True)["epoch"] == 1
    gpu = "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 8 GiB"
    assert describe_error(torch.OutOfMemoryError(gpu)) == text == describe_error(MemoryError())
    cublas = "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"
    assert describe_error(RuntimeError(cublas)) == text


def test_an_unexpected_error_is_a_sentence_with_a_remedy_and_in_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    said = describe_error(KeyError("momentum"))
    assert said.startswith("Training stopped on an unexpected error (KeyError: 'momentum'): resume")
    unpacked = ValueError("not enough values to unpack (expected 2, got 1)")
    said = describe_error(unpacked)
    assert "unexpected error (ValueError: not enough values to unpack" in said
    assert [record.exc_info[1] for record in caplog.records if record.exc_info][1] is unpacked
    assert describe_error(ValueError("Choose a smaller M.")) == "Choose a smaller M."
    assert len(caplog.records) == 2


def test_invalid_experiments_are_refused_with_a_message(
    quick: MakeExperiment, tmp_path: Path
) -> None:
    missing = {"name": "npz", "file": str(tmp_path / "missing.npz")}
    assert "missing.npz" in refusal(quick(data=missing))
    assert "No layer of the model can take 2:64" in refusal(quick(pattern="2:64"))
    assert "above the limit" in refusal(
        quick(scores="per_combination", pattern="4:8", score_memory_limit="1 MB")
    )
    assert "did you mean 'head'" in refusal(quick(skip=["heads"]))
    folder = tmp_path / "used"
    folder.mkdir()
    (folder / "notes").touch()
    assert "not empty" in refusal(quick(), folder)
    assert [file.name for file in folder.iterdir()] == ["notes"]


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without CUDA")
def test_an_unavailable_device_is_named() -> None:
    text = refusal(Experiment(device="cuda"))
    assert text == "The device cuda cannot be used on this machine: set device to cpu."


def test_a_model_larger_than_the_memory_is_refused_before_it_is_built(
    quick: MakeExperiment, tmp_path: Path
) -> None:
    model = {"name": "mlp", "width": 65536, "depth": 100}
    started = time.monotonic()
    message = refusal(quick(model=model, score_memory_limit=1 << 50), tmp_path / "run")
    assert "421.0 billion parameters" in message and "choose a smaller width" in message
    assert time.monotonic() - started < 20
    assert not (tmp_path / "run").exists()
