"""The numbers of a method have plots of their own, for as long as its run is shown."""

from __future__ import annotations

from io import BytesIO

from pytestqt.qtbot import QtBot

from lbc.runs.events import EpochDone, LayerInfo, MethodNumbers
from lbc.sparsity.pattern import Pattern
from lbc_gui.curves.curves_panel import CurvesPanel
from lbc_gui.run.view_state import ViewState

LAYERS = (LayerInfo("fc", (8, 8), Pattern(2, 4), 16),)


def shown(curves: CurvesPanel) -> list[str]:
    return [
        title.item.toPlainText() for title in curves._titles.values() if title in curves.ci.items
    ]


def test_a_methods_numbers_are_drawn_and_saved(qtbot: QtBot) -> None:
    curves = CurvesPanel(ViewState())
    qtbot.addWidget(curves)
    curves.resize(1200, 160)
    curves.begin(LAYERS, 3)
    assert len(shown(curves)) == 4
    for epoch in (1, 2):
        curves.add([
            EpochDone(epoch, 1.0, 1.0, 0.5, (6,), 1.0, 1.0),
            MethodNumbers(epoch, {"temperature": 4.0 / epoch, "κ": 10.0 * epoch}),
        ])  # fmt: skip
    curves._draw_stale()
    assert shown(curves)[4:] == ["Temperature 2", "κ 20"]
    assert curves._curves["number1"].yData.tolist() == [4.0, 2.0]
    data = curves.data_to_save()
    assert data is not None
    table = BytesIO()
    data.writers[".csv"](table)
    header, *rows = table.getvalue().decode().splitlines()
    assert header.endswith("density_percent,temperature,κ")
    assert rows[-1].endswith(",2.0,20.0")
    curves.begin(LAYERS, 3)
    assert len(shown(curves)) == 4
    assert len(curves._series["number1"]) == 0
