"""The Inspect page says which patterns layers obey, points at violations, and compares."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot
from safetensors.torch import save_file

from lbc.inspection.picture import BROKEN, KEPT, ONLY_FIRST, ONLY_SECOND, ZERO
from lbc.inspection.rows import as_floats, weight_rows
from lbc.pictures.colour_tables import REMOVED_COLOUR
from lbc_gui.inspector.colours import FIRST, SECOND, difference_table, mask_table, weight_table
from lbc_gui.inspector.inspector_page import InspectorPage
from lbc_gui.inspector.layer_view import DIFFERENCE, MASK
from lbc_gui.inspector.reader_thread import MOST_VIOLATIONS
from tests.gui.inspector.conftest import HEADERS, Open, choose, column, finished, read, state


def test_every_layer_is_detected_and_the_first_is_drawn(
    page: InspectorPage, checkpoint: Path, qtbot: QtBot
) -> None:
    read(qtbot, page, checkpoint)
    assert column(page, "layer") == ["conv", "fc", "stem"]
    assert column(page, "N:M") == ["nearly 2:4", "1:4", "dense"]
    assert column(page, "broken") == ["1", "0", ""]
    assert column(page, "kept") == ["50%", "25%", "100%"]
    assert page.panel.summary.startswith("3 layers: 1 2:4, 1 1:4, 1 dense; 1 violation.")
    picture = page.layer.picture
    assert picture is not None and picture.name == "conv"
    assert not page.head.cancel.isVisible()


def test_the_picture_is_the_mask_and_violations_have_their_own_look(
    page: InspectorPage, checkpoint: Path, qtbot: QtBot
) -> None:
    read(qtbot, page, checkpoint)
    picture = page.layer.picture
    assert picture is not None
    weight = state()["conv.weight"].movedim(1, -1).reshape(16, -1).numpy()
    assert np.array_equal(as_floats(weight_rows(picture.weight())), weight)
    assert np.array_equal(picture.codes == ZERO, weight == 0)
    broken = np.zeros_like(weight, dtype=bool)
    start = (1 * 3 + 2) * 16 + 8
    broken[5, start : start + 3] = True
    assert np.array_equal(picture.codes >= BROKEN, broken)

    page.layer.view.fit()
    page.layer.view._draw()
    assert np.array_equal(page.layer.view.cells.codes, picture.codes)
    for table in (weight_table(), mask_table()):
        oranges = table[BROKEN : BROKEN + 126].astype(int)
        assert (oranges[:, 0] > oranges[:, 2] + 80).all()
        blues = table[KEPT : KEPT + 126].astype(int)
        assert (blues[:, 2] >= blues[:, 0]).all()
        assert tuple(table[ZERO]) == REMOVED_COLOUR


def test_choosing_a_violation_zooms_to_its_block(
    page: InspectorPage, checkpoint: Path, qtbot: QtBot
) -> None:
    read(qtbot, page, checkpoint)
    table = page.layer.violations
    assert [table.table.text(0, at) for at in range(6)] == [
        str(5 * 36 + (1 * 3 + 2) * 4 + 2), "5", "8–11", "1, 2", "3 of 4", "■■■□",
    ]  # fmt: skip
    table.selectRow(0)
    (x0, x1), (y0, y1) = page.layer.view.view_range
    assert x0 < 88 and x1 > 92 and x1 - x0 <= 4 * 6 + 1
    assert y0 <= 5 and y1 >= 6 and y1 - y0 <= 12
    assert page.layer.view._frame.rect().getRect() == (88.0, 5.0, 4.0, 1.0)


def test_the_mouse_reads_the_weight_it_is_over(
    page: InspectorPage, checkpoint: Path, qtbot: QtBot
) -> None:
    read(qtbot, page, checkpoint)
    said: list[str] = []
    page.hover_text.connect(said.append)
    page.layer.view.hovered.emit((5, 88))
    assert said[-1] == (
        "output 5 · input 8 · kernel 1, 2 · weight +0.25 · block 202 keeps 3 of 4, more than 2"
    )
    page.layer.view.hovered.emit((5, 91))
    assert "input 11 · kernel 1, 2 · zero" in said[-1]
    page.layer.view.hovered.emit(None)
    assert said[-1] == ""


def test_a_real_mouse_hits_the_cell_it_points_at(
    open_window: Open, checkpoint: Path, qtbot: QtBot
) -> None:
    window = open_window()
    window.inspecting.open([checkpoint])
    assert window.pages.currentWidget() is window.pages.inspector
    page = window.pages.inspector
    finished(qtbot, page)
    page.layer.violations.selectRow(0)
    qtbot.waitUntil(lambda: not page.layer.view._redraw.isActive())
    QApplication.processEvents()
    hits: list[tuple[int, int]] = []
    page.layer.view.clicked.connect(hits.append)
    place = page.layer.view.cell_centre(5, 89).toPoint()
    qtbot.mouseMove(page.layer.view.viewport(), place)
    qtbot.mouseClick(page.layer.view.viewport(), Qt.MouseButton.LeftButton, pos=place)
    assert hits == [(5, 89)]
    assert "output 5 · input 9 · kernel 1, 2" in window._hover.text()


def test_layers_are_held_against_any_pattern(
    page: InspectorPage, checkpoint: Path, qtbot: QtBot
) -> None:
    read(qtbot, page, checkpoint)
    said: list[str] = []
    page.failed.connect(lambda sentence, _: said.append(sentence))
    page.head.patterns.setCurrentText("1:4")
    page.head.patterns.activated.emit(0)
    finished(qtbot, page)
    assert column(page, "broken") == ["576", "0", ""]
    picture = page.layer.picture
    assert picture is not None and picture.violations is not None
    assert picture.violations.count == 576

    page.head.patterns.setEditText("2:3")
    page.head.patterns.activated.emit(0)
    finished(qtbot, page)
    assert column(page, "broken") == ["", "", "144"]
    assert page.layer.picture is not None and page.layer.picture.violations is None
    assert "2:3 does not fit 16 inputs" in page.layer._title.text()

    page.head.patterns.setEditText("two of four")
    page.head.patterns.activated.emit(0)
    assert len(said) == 1 and "like 2:4" in said[0]
    assert page.head.patterns.currentText() == "2:3"


def test_many_violations_are_all_counted_and_drawn_and_the_first_are_listed(
    page: InspectorPage, tmp_path: Path, qtbot: QtBot
) -> None:
    path = tmp_path / "dense.safetensors"
    save_file({"fc.weight": torch.ones(128, 512)}, path)
    read(qtbot, page, path)
    page.head.patterns.setCurrentText("2:4")
    page.head.patterns.activated.emit(0)
    finished(qtbot, page)
    assert column(page, "broken") == ["16,384"]
    assert page.layer.violations.table.rowCount() == MOST_VIOLATIONS
    assert "16,384 of 16,384 blocks keep more than 2" in page.layer._listed.text()
    picture = page.layer.picture
    assert picture is not None and (picture.codes >= BROKEN).all()


def test_layers_are_searched_and_sorted(
    page: InspectorPage, checkpoint: Path, qtbot: QtBot
) -> None:
    read(qtbot, page, checkpoint)
    page.panel.table.sortByColumn(HEADERS.index("broken"), Qt.SortOrder.DescendingOrder)
    assert column(page, "layer") == ["conv", "fc", "stem"]
    page.panel.table.sortByColumn(HEADERS.index("kept"), Qt.SortOrder.AscendingOrder)
    assert column(page, "layer") == ["fc", "conv", "stem"]
    qtbot.keyClicks(page.panel.search, "C")
    assert column(page, "layer") == ["fc", "conv"]
    choose(qtbot, page, "fc")


def test_two_checkpoints_are_compared(
    page: InspectorPage, checkpoint: Path, other: Path, qtbot: QtBot
) -> None:
    read(qtbot, page, checkpoint)
    choose(qtbot, page, "fc")
    page.compare_with(other)
    finished(qtbot, page)
    assert column(page, "layer") == ["conv", "fc", "stem"]
    assert column(page, "flipped") == ["", "2", ""]
    assert column(page, "largest |Δ|")[0] == "first only"
    assert column(page, "largest |Δ|")[2] == "other shape"
    assert page.panel.summary.endswith("3 of 3 differ from the other checkpoint.")
    picture = page.layer.picture
    assert picture is not None and picture.name == "fc" and picture.other is not None
    assert page.layer.colour.currentText() == DIFFERENCE
    codes = picture.difference
    assert codes is not None
    one, two = (as_floats(weight_rows(at())) != 0 for at in (picture.weight, picture.other))
    assert np.array_equal(codes == ONLY_FIRST, one & ~two)
    assert np.array_equal(codes == ONLY_SECOND, two & ~one)
    assert np.count_nonzero(codes >= ONLY_FIRST) == 2
    table = difference_table()
    assert (tuple(table[ONLY_FIRST]), tuple(table[ONLY_SECOND])) == (FIRST, SECOND)
    said: list[str] = []
    page.hover_text.connect(said.append)
    row, at = map(int, np.argwhere(codes == ONLY_FIRST)[0])
    page.layer.view.hovered.emit((row, at))
    assert "in the second zero" in said[-1]

    page.layer.colour.setCurrentText(MASK)
    choose(qtbot, page, "stem")
    assert page.layer.colour.findText(DIFFERENCE) < 0
    page.head.alone.click()
    finished(qtbot, page)
    assert page.reading.opening is not None and page.reading.opening.against is None
    assert page.panel.table.isColumnHidden(HEADERS.index("flipped"))


def test_a_layer_of_the_second_checkpoint_alone_is_shown(
    page: InspectorPage, checkpoint: Path, other: Path, qtbot: QtBot
) -> None:
    read(qtbot, page, other, checkpoint)
    assert column(page, "layer") == ["stem", "fc", "conv"]
    assert column(page, "N:M")[2] == "nearly 2:4"
    choose(qtbot, page, "conv")
    assert "only in the second" in page.layer._title.text()
