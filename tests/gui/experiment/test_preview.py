"""The preview beside the form is of the method, and of every pattern."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from PySide6.QtWidgets import QComboBox
from pytestqt.qtbot import QtBot

from lbc.sparsity.method_options import read_options
from lbc.sparsity.pattern import Pattern
from lbc.sparsity.schedule import Schedule
from lbc_gui.experiment.schedule_preview import SchedulePreview
from lbc_gui.window.main_window import MainWindow
from tests.gui.conftest import small_experiment

Open = Callable[..., MainWindow]
WEIGHTS, SCHEDULE = {Pattern(2, 4): 100}, Schedule(end=8)


def test_what_a_method_changes_is_drawn_and_density_as_it_says(qtbot: QtBot) -> None:
    preview = SchedulePreview()
    qtbot.addWidget(preview)
    preview.resize(260, 126)
    preview.show()
    preview.show_schedule(WEIGHTS, read_options({"name": "maxq", "end": 4}), SCHEDULE, 10)
    epochs, share = preview._live.getOriginalDataset()
    assert np.allclose(share, np.maximum(0, 1 - np.floor(epochs) / 4))
    _, density = preview._least.getOriginalDataset()
    assert density[0] == 100 and density[-1] == 50
    assert density[epochs.searchsorted(2)] == 75
    assert "Share of dense blocks" in preview._plots[0].titleLabel.text
    assert "from 1 to 0" in preview.toolTip()
    first, second = (plot.geometry().width() for plot in preview._plots)
    assert abs(first - second) < 2  # a long title takes no room from the other plot
    maskllm = read_options("maskllm")
    preview.show_schedule(WEIGHTS, maskllm, SCHEDULE, 10)
    curves = [preview._live, *preview._own]
    assert len(curves) == 2
    for curve, first, last in zip(curves, (1, 0.1), (0.0125, 1), strict=True):
        _, values = curve.getOriginalDataset()
        assert np.isclose(values[0], first) and np.isclose(values[-1], last)
    preview.show_schedule(WEIGHTS, read_options("lbc"), SCHEDULE, 10)
    _, live = preview._live.getOriginalDataset()
    assert (live[0], live[-1]) == (6, 1) and not preview._own
    assert "Live combinations" in preview._plots[0].titleLabel.text


def test_the_preview_is_of_every_pattern_that_a_layer_has(
    use_window: Callable[..., MainWindow],
) -> None:
    window = use_window(
        small_experiment(layers={"hidden.1": "1:4", "head": "dense"}, method="sr-ste")
    )
    panel = window.experiment_panel
    preview, sizes = panel.preview, {plan.name: plan.weights for plan in panel.layers.plans}
    assert preview._names == ["2:4", "1:4"]
    kept = (0.5 * sizes["hidden.0"] + 0.25 * sizes["hidden.1"]) * 100
    kept /= sizes["hidden.0"] + sizes["hidden.1"]
    _, least = preview._least.getOriginalDataset()
    assert least == pytest.approx(kept)
    box = panel.form.editor("method.name")
    assert isinstance(box, QComboBox)
    box.setCurrentText("lbc")
    _, others = preview._own[0].getOriginalDataset()
    assert (others[0], others[-1]) == (4, 1)
