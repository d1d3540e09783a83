"""The form on its own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from PySide6.QtWidgets import QApplication

from lbc_gui.experiment.experiment_panel import ExperimentPanel
from tests.gui.conftest import small_experiment


@pytest.fixture(scope="module")
def panel_of_module(qapp: QApplication) -> Iterator[ExperimentPanel]:
    panel = ExperimentPanel()
    yield panel
    panel.deleteLater()


@pytest.fixture
def panel(panel_of_module: ExperimentPanel) -> ExperimentPanel:
    """The form with the small experiment, as after opening it; one panel serves a module."""
    panel_of_module.show_experiment(small_experiment())
    return panel_of_module
