"""The form on its own."""

from __future__ import annotations

import pytest
from pytestqt.qtbot import QtBot

from lbc_gui.experiment.experiment_panel import ExperimentPanel
from tests.gui.conftest import small_experiment


@pytest.fixture
def panel(qtbot: QtBot) -> ExperimentPanel:
    panel = ExperimentPanel()
    qtbot.addWidget(panel)
    panel.show_experiment(small_experiment())
    return panel
