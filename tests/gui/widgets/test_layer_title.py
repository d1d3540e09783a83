"""The name of a layer above its picture."""

from __future__ import annotations

import pytest
from PySide6.QtGui import QFont, QFontMetrics
from PySide6.QtWidgets import QWidget
from pytestqt.qtbot import QtBot

from lbc.pictures.colour_keys import winner_key
from lbc.sparsity.pattern import Pattern
from lbc_gui.heatmap.key_legend import KeyLegend
from lbc_gui.widgets.layouts import column, row
from lbc_gui.widgets.text import LayerTitle
from tests.gui.conftest import SECONDS


@pytest.mark.parametrize("name", ["stages.1.conv", "model.layers.11.self_attn.out_proj"])
def test_a_name_is_not_cut_off_beside_the_winners(qtbot: QtBot, name: str) -> None:
    page, title, legend = QWidget(), LayerTitle(), KeyLegend()
    qtbot.addWidget(page)
    column(row((title, 1), legend), None, on=page)
    page.resize(438, 300)
    legend.show_key(winner_key(Pattern(2, 4)))
    one_line = legend.sizeHint().height()
    title.show_layer(name, " · winners")
    page.show()
    bold = QFont(title.font())
    bold.setBold(True)
    longest = max(name.split("."), key=len) if len(name) > 20 else name
    needed = QFontMetrics(bold).horizontalAdvance(longest)
    qtbot.waitUntil(
        lambda: legend.height() == legend.heightForWidth(legend.width()) > one_line, timeout=SECONDS
    )
    qtbot.waitUntil(lambda: title.height() >= title.heightForWidth(title.width()), timeout=SECONDS)
    assert title.width() >= needed
    assert title.text().endswith(" ·\u00a0winners")  # so that no line ends with the dot
