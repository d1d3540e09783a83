"""A run applies interventions between steps, records them, and resumes with them."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from lbc.config import Experiment
from lbc.runs.events import Event, Intervened, Intervention, InterventionRefused, Started, StepDone
from lbc.runs.history_reader import Replay
from lbc.runs.interventions import FILE, InterventionLog, read_interventions
from lbc.sparsity.sparsifier import Sparsifier
from lbc.training.control import Control
from lbc.training.trainer import Trainer
from tests.training.resumption import assert_same_run
from tests.training.test_control import wait

MakeExperiment = Callable[..., Experiment]


# -- a run ----------------------------------------------------------------------------------------


@pytest.fixture
def small(quick: MakeExperiment, tmp_path: Path) -> MakeExperiment:
    """Twelve steps per epoch on 192 random images of 8×8 pixels."""
    images = np.random.default_rng(0).integers(0, 256, (256, 8, 8), dtype=np.uint8)
    np.savez(tmp_path / "small.npz", images=images, labels=np.arange(256) % 4)
    data = {"name": "npz", "file": str(tmp_path / "small.npz"), "test_share": 0.25}
    training = {"epochs": 3, "batch_size": 16, "checkpoint_minutes": 1e-4}
    model = {"name": "convnet", "width": 8, "depth": 2}
    base = {"data": data, "model": model, "training": training, "schedule": {"end": 3}}
    return lambda **sections: quick(**base | sections)


INTERVENTIONS = {
    2: [Intervention("ban", "conv2", 1, 4), Intervention("pin", "conv2", 2, 0)],
    12: [Intervention("pin", "conv2", 5, 9)],
    15: [Intervention("ban", "conv2", 1, 4)],  # already removed: refused
}
"""The interventions requested after each step."""


def interventions_for(experiment: Experiment) -> dict[int, list[Intervention]]:
    """INTERVENTIONS, with the name of the experiment's sparse layer."""
    trainer = Trainer(experiment, None)
    trainer._prepare()
    name = next(iter(trainer._sparsifier.layers))
    trainer._loader.close()
    return {
        step: [replace(intervention, layer=name) for intervention in interventions]
        for step, interventions in INTERVENTIONS.items()
    }


def train(
    experiment: Experiment,
    folder: Path,
    interventions: dict[int, list[Intervention]],
    on_event: Callable[[Event], None] = lambda event: None,
) -> list[Event]:
    control, events = Control(), list[Event]()

    def emit(event: Event) -> None:
        events.append(event)
        if isinstance(event, StepDone):
            for intervention in interventions.get(event.step, ()):
                control.intervene(intervention)
        on_event(event)

    Trainer(experiment, folder, control, emit).train()
    return events


@pytest.mark.parametrize("form", ["per_weight", "per_combination"])
def test_a_killed_run_resumes_with_its_interventions(
    small: MakeExperiment, tmp_path: Path, form: str
) -> None:
    experiment = small(scores=form)
    run, copies = tmp_path / "run", tmp_path / "copies"

    def copy_folder(event: Event) -> None:
        if isinstance(event, Intervened) and event.step == 12:
            shutil.copytree(run, copies / "just done")
        if isinstance(event, StepDone) and event.step == 20:
            shutil.copytree(run, copies / "later")

    events = train(experiment, run, interventions_for(experiment), copy_folder)
    done = [event for event in events if isinstance(event, Intervened)]
    assert [(at.step, at.epoch) for at in done] == [(2, 2 / 12), (2, 2 / 12), (12, 1.0)]
    (refused,) = (event for event in events if isinstance(event, InterventionRefused))
    assert "was removed in block 4" in refused.message
    assert read_interventions(run) == tuple(done)
    for name, uncounted in (
        ("just done", b'{"half": '),
        ("later", (run / FILE).read_bytes()),  # killed before the checkpoint that includes it
    ):
        with (copies / name / FILE).open("ab") as file:
            file.write(uncounted)
        Trainer(experiment, copies / name, resume=True).train()
        assert_same_run(copies / name, run)
        assert (copies / name / FILE).read_bytes() == (run / FILE).read_bytes()


def test_the_history_shows_interventions(small: MakeExperiment, tmp_path: Path) -> None:
    experiment = small()
    events = train(experiment, tmp_path / "run", interventions_for(experiment))
    replay = Replay(tmp_path / "run")
    for done in (event for event in events if isinstance(event, Intervened)):
        intervention, moment = done.intervention, done.moment
        assert isinstance(intervention, Intervention)
        block = intervention.block
        assert block is not None
        assert replay.moments[moment].epoch == done.epoch
        before, after = (replay.layer(intervention.layer, at).live() for at in (moment - 1, moment))
        assert before is not None and after is not None
        lived, lives = (set(np.flatnonzero(at[block])) for at in (before, after))
        only = {intervention.combination}
        assert lives == (lived - only if intervention.action == "ban" else only)
        assert np.flatnonzero((before != after).any(axis=1)).tolist() == [block]


def test_an_intervention_while_paused_is_applied_at_once(
    small: MakeExperiment, tmp_path: Path
) -> None:
    experiment = small()
    (intervention, _), *_ = interventions_for(experiment).values()
    control, events = Control(paused=True), list[Event]()
    watched: list[Tensor] = []

    def watch(sparsifier: Sparsifier, _epoch: float) -> None:
        watched.append(sparsifier.live(intervention.layer)[4].clone())

    trainer = Trainer(experiment, tmp_path / "run", control, events.append, watch)
    thread = threading.Thread(target=trainer.train, daemon=True)
    thread.start()
    control.intervene(intervention)
    wait(lambda: any(isinstance(event, Intervened) for event in events))
    count = len(watched)
    wait(lambda: len(watched) > count + 1)
    assert not watched[-1][intervention.combination]
    assert not any(isinstance(event, StepDone) for event in events)
    assert any(isinstance(event, Started) for event in events)  # so the run is on disk
    assert [moment.epoch for moment in Replay(tmp_path / "run").moments] == [0.0, 0.0]
    control.discard()
    thread.join(60)
    assert not thread.is_alive()


# -- the file -------------------------------------------------------------------------------------


def sample(count: int) -> list[Intervened]:
    return [Intervened(Intervention("ban", "a.é", k, None), k, k / 3, k) for k in range(count)]


def test_the_file_is_created_by_the_first_intervention_and_can_be_cut(tmp_path: Path) -> None:
    log = InterventionLog(tmp_path / FILE)
    log.resume(0, 0)
    assert read_interventions(tmp_path) == ()
    assert not (tmp_path / FILE).exists()
    for one in sample(3):
        log.append(one)
    assert read_interventions(tmp_path) == tuple(sample(3))
    again = InterventionLog(tmp_path / FILE)
    with pytest.raises(ValueError, match=r"holds 3 interventions, but 4 are needed\."):
        again.resume(4, 4)
    again.resume(1, 3)
    again.append(sample(2)[1])
    assert read_interventions(tmp_path) == tuple(sample(2))


@given(st.binary(max_size=80))
def test_everything_after_a_damaged_line_is_ignored(
    tmp_path_factory: pytest.TempPathFactory, garbage: bytes
) -> None:
    folder = tmp_path_factory.mktemp("run")
    log = InterventionLog(folder / FILE)
    for one in sample(2):
        log.append(one)
    with (folder / FILE).open("ab") as file:
        file.write(garbage)
    assert read_interventions(folder) == tuple(sample(2))
