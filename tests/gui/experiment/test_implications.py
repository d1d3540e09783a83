"""What an experiment implies is found in a thread, while the form can be used."""

from __future__ import annotations

from PySide6.QtWidgets import QLineEdit
from pytestqt.qtbot import QtBot

from lbc_gui.experiment.experiment_panel import ExperimentPanel
from lbc_gui.widgets.number_boxes import NumberBox
from tests.gui.conftest import SECONDS, small_experiment
from tests.gui.experiment.conftest import wait_until_examined


def test_the_form_can_be_edited_while_its_network_is_examined(
    qtbot: QtBot, panel: ExperimentPanel
) -> None:
    width = panel.form.editor("model.width")
    assert isinstance(width, NumberBox)
    panel.show_unprepared()
    assert panel.implications.running and not panel.layers.plans
    with qtbot.waitSignal(panel.settled, timeout=SECONDS) as settled:
        (line,) = width.findChildren(QLineEdit)
        line.selectAll()
        qtbot.keyClicks(line, "48")
    wait_until_examined(qtbot, panel)
    edited = small_experiment(model={"name": "mlp", "width": 48, "depth": 3})
    assert settled.args == [edited] and panel.experiment == edited
    shapes = [plan.shape for plan in panel.layers.plans]
    assert shapes == [(48, 784), (48, 48), (10, 48)]
    assert "3 dense" not in panel.facts.text() and "combinations" in panel.facts.text()


def test_why_an_experiment_cannot_run_is_known_before_it_settles(
    qtbot: QtBot, panel: ExperimentPanel
) -> None:
    panel.show_unprepared()
    wait_until_examined(qtbot, panel)
    data = {"name": "cifar10", "folder": "/nowhere"}
    with qtbot.waitSignal(panel.settled, timeout=SECONDS) as settled:
        panel.form.enter_experiment(small_experiment(data=data))
        assert panel.experiment is not None  # until it is known
    assert settled.args == [None] and panel.experiment is None
    assert "/nowhere" in panel.problem.text()


def test_a_schedule_that_is_drawn_is_not_drawn_again(panel: ExperimentPanel) -> None:
    drawn = panel.preview._live.xData
    panel.show_experiment(small_experiment(seed=3))
    assert panel.preview._live.xData is drawn
    panel.show_experiment(small_experiment(schedule={"end": 5}))
    assert panel.preview._live.xData is not drawn
