"""The form on its own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from lbc_gui.experiment.experiment_panel import ExperimentPanel
from tests.gui.conftest import SECONDS, small_experiment


def wait_until_examined(qtbot: QtBot, panel: ExperimentPanel) -> None:
    """Until what the experiment implies is shown, or is no longer being found."""
    qtbot.waitUntil(lambda: not panel.implications.running, timeout=SECONDS)


@pytest.fixture
def panel(qtbot: QtBot) -> Iterator[ExperimentPanel]:
    panel = ExperimentPanel()
    qtbot.addWidget(panel)
    panel.show_experiment(small_experiment())
    yield panel
    wait_until_examined(qtbot, panel)


@pytest.fixture(scope="module")
def panel_of_module(qapp: QApplication) -> Iterator[ExperimentPanel]:
    panel = ExperimentPanel()
    yield panel
    panel.deleteLater()


@pytest.fixture
def used_panel(qtbot: QtBot, panel_of_module: ExperimentPanel) -> Iterator[ExperimentPanel]:
    """A panel that earlier tests have used: what it does not show keeps their values."""
    panel_of_module.show_experiment(small_experiment())
    yield panel_of_module
    wait_until_examined(qtbot, panel_of_module)
