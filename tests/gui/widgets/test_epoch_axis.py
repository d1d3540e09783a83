"""The numbers below a narrow plot."""

from __future__ import annotations

import pytest
from PySide6.QtGui import QFontMetricsF
from pytestqt.qtbot import QtBot

from lbc_gui.theme import GAP
from lbc_gui.widgets.epoch_axis import EpochAxis


@pytest.mark.parametrize("epochs", [3, 12, 90, 300, 4000, 100_000])
@pytest.mark.parametrize("pixels", [50, 110, 300])
def test_numbers_do_not_touch(qtbot: QtBot, epochs: int, pixels: int) -> None:
    axis = EpochAxis()
    spacing, offset = axis.tickSpacing(-0.02 * epochs, 1.02 * epochs, pixels)[0]
    room = spacing * pixels / (1.04 * epochs)
    assert offset == 0 and room > QFontMetricsF(axis.font()).horizontalAdvance(str(epochs))


@pytest.mark.parametrize("epochs", [0.01, 0.3, 1, 2, 5, 12, 2_500_000])
@pytest.mark.parametrize("pixels", range(60, 260, 10))
def test_what_is_drawn_does_not_touch(qtbot: QtBot, epochs: float, pixels: int) -> None:
    axis = EpochAxis()
    low, high = -0.02 * epochs, 1.02 * epochs
    spacing, values = axis.tickValues(low, high, pixels)[0]
    texts = axis.tickStrings(values, 1, spacing)
    widest = max(map(QFontMetricsF(axis.font()).horizontalAdvance, texts))
    assert spacing * pixels / (high - low) >= widest + GAP, texts
