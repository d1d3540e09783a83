"""The form on its own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from lbc_gui.experiment.experiment_panel import ExperimentPanel
from tests.gui.conftest import small_experiment


@pytest.fixture
def panel(qtbot: QtBot) -> ExperimentPanel:
    panel = ExperimentPanel()
    qtbot.addWidget(panel)
    panel.show_experiment(small_experiment())
    return panel


@pytest.fixture(scope="module")
def panel_of_module(qapp: QApplication) -> Iterator[ExperimentPanel]:
    panel = ExperimentPanel()
    yield panel
    panel.deleteLater()


@pytest.fixture
def used_panel(panel_of_module: ExperimentPanel) -> ExperimentPanel:
    """A panel that earlier tests have used: what it does not show keeps their values."""
    panel_of_module.show_experiment(small_experiment())
    return panel_of_module
