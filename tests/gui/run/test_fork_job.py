"""What the dialog of a fork begins with: the run as it was at the chosen moment."""

from __future__ import annotations

from pathlib import Path

import pytest
from PySide6.QtWidgets import QWidget
from pytestqt.qtbot import QtBot

from lbc.runs.events import EpochDone, Event, Steering
from lbc.runs.kept_checkpoints import experiment_at
from lbc.runs.run_state import RunError
from lbc.training.control import Control
from lbc.training.trainer import Trainer
from lbc_gui.experiment.fields import FORK_ROWS
from lbc_gui.experiment.form import ExperimentForm
from lbc_gui.run.fork_dialog import ForkDialog
from lbc_gui.run.fork_job import ForkJob, read_origin
from tests.gui.conftest import SECONDS, small_experiment


def test_a_run_whose_settings_were_changed_is_forked_as_it_was_then(
    qtbot: QtBot, tmp_path: Path
) -> None:
    control = Control()

    def steer(event: Event) -> None:
        if isinstance(event, EpochDone) and event.epoch == 2:
            control.intervene(Steering((("optimizer.lr", 0.02), ("training.epochs", 4))))

    experiment = small_experiment(training={"epochs": 3, "batch_size": 1000}, schedule={"end": 3})
    Trainer(experiment, tmp_path / "run", control, steer).train()
    origin = read_origin(tmp_path / "run")
    assert [point.epoch for point in origin.points] == [1, 2, 3, 4]
    assert origin.nearest(None).epoch == 3  # at the end nothing is left to train
    first = origin.points[0]
    window = QWidget()
    qtbot.addWidget(window)
    job, form = ForkJob(tmp_path, window), ExperimentForm(window, FORK_ROWS, {})
    dialog = ForkDialog(origin, first, experiment_at(first), form, job, window)
    assert dialog.form.describe("optimizer.lr")[1] == experiment.optimizer.lr
    assert not origin.is_control(1) and not dialog.control.isHidden()
    assert "changed by hand after this moment" in dialog._about_control.text()
    dialog.form.enter("optimizer.weight_decay", 0.01)
    dialog.moments.setCurrentIndex(2)
    assert dialog.form.describe("optimizer.lr")[1] == 0.02
    assert dialog.form.changed_settings == {"optimizer.weight_decay": 0.01}
    assert origin.is_control(3) and dialog.control.isHidden()
    qtbot.waitUntil(lambda: dialog.settled, timeout=SECONDS)
    assert dialog.request is not None and dialog.request.before.training.epochs == 4
    qtbot.waitUntil(lambda: not job.running, timeout=SECONDS)
    dialog.show()
    assert form.pattern_box.isVisible()
    dialog.close()
    later = ForkDialog(origin, first, experiment_at(first), form, job, window)
    later.show()
    assert form.pattern_box.isVisible() and later.isAncestorOf(form.pattern_box)
    assert form.changed_settings == {} and not form.history.undo.isEnabled()
    with qtbot.waitSignal(dialog.destroyed, timeout=SECONDS):
        pass
    assert later.isAncestorOf(form.pattern_box)
    later.close()


def test_a_run_without_checkpoints_says_why_it_cannot_be_forked(tmp_path: Path) -> None:
    experiment = small_experiment(training={"epochs": 1, "batch_size": 1000}, schedule={"end": 1})
    Trainer(experiment, tmp_path / "run").train()
    for file in (tmp_path / "run").rglob("*.pt"):
        file.unlink()
    with pytest.raises(RunError, match="has no checkpoint at which a fork could begin"):
        read_origin(tmp_path / "run")
