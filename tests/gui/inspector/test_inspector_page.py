"""The Inspect page says which patterns layers obey, points at violations, and compares."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QToolButton
from pytestqt.qtbot import QtBot
from safetensors.torch import save_file

from lbc.inspection.picture import BROKEN, KEPT, ONLY_FIRST, ONLY_SECOND, ZERO
from lbc.inspection.rows import as_floats, weight_rows
from lbc.pictures.colour_tables import REMOVED_COLOUR
from lbc.sparsity.pattern import Pattern
from lbc_gui.inspector.captions import weight_text
from lbc_gui.inspector.colours import FIRST, SECOND, difference_table, mask_table, weight_table
from lbc_gui.inspector.inspector_page import InspectorPage
from lbc_gui.inspector.layer_view import DIFFERENCE, MASK, WEIGHTS
from lbc_gui.inspector.names import shorten
from lbc_gui.inspector.reader_thread import MOST_VIOLATIONS
from tests.gui.conftest import SECONDS, settled
from tests.gui.inspector.conftest import HEADERS, Open, choose, column, finished, made, read, state


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

    page.resize(640, 500)
    legend = page.layer._legend  # of two lines now
    qtbot.waitUntil(
        lambda: 20 < legend.height() == legend.heightForWidth(legend.width()), timeout=SECONDS
    )
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
    [back] = [at for at in page.layer.findChildren(QToolButton) if at.text() == "Back"]
    qtbot.mouseClick(back, Qt.MouseButton.LeftButton)
    (x0, x1), _ = page.layer.view.view_range
    assert (x0, x1) == (0, 9 * 16)


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


def test_an_empty_page_has_nothing_to_save(use_window: Open) -> None:
    window = use_window()
    window.pages.setCurrentWidget(window.pages.inspector)
    for save in (window.saving.save_picture, window.saving.copy_picture, window.saving.save_data):
        window.message.hide()
        save()
        assert "nothing to save" in window.message.text


def test_a_real_mouse_hits_the_cell_it_points_at(
    use_window: Open, checkpoint: Path, qtbot: QtBot
) -> None:
    window = use_window()
    window.inspecting.open([checkpoint])
    assert window.pages.currentWidget() is window.pages.inspector
    page = window.pages.inspector
    finished(qtbot, page)
    page.layer.violations.selectRow(0)
    view = page.layer.view
    qtbot.waitUntil(lambda: not view._redraw.isActive(), timeout=SECONDS)
    hits: list[tuple[int, int]] = []
    view.clicked.connect(hits.append)
    place = settled(qtbot, lambda: view.cell_centre(5, 89))
    qtbot.mouseMove(view.viewport(), place)
    qtbot.mouseClick(view.viewport(), Qt.MouseButton.LeftButton, pos=place)
    assert hits == [(5, 89)]
    assert "output 5 · input 9 · kernel 1, 2" in window._hover.text()


def test_layers_are_compared_with_any_pattern(
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

    page.head.patterns.setEditText("4:8x2")
    page.head.patterns.activated.emit(0)
    finished(qtbot, page)
    conv, *others = column(page, "broken")  # 2:4 is rarely in pairs; 1:4 touches two of four
    assert int(conv) > 100 and others == ["0", ""]
    picture = page.layer.picture
    assert picture is not None and picture.violations is not None
    assert picture.violations.count == int(conv)
    assert "blocks keep more than 2 groups of 2 weights" in page.layer._listed.text()
    row, block = divmod(int(picture.violations.blocks[0]), picture.codes.shape[1] // 8)
    assert "more than 2 groups of 2 weights" in weight_text(picture, row, block * 8)

    page.head.patterns.setEditText("two of four")
    page.head.patterns.activated.emit(0)
    assert len(said) == 1 and "like 2:4" in said[0]
    assert page.head.patterns.currentText() == "4:8x2"


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


def test_what_only_a_comparison_shows_ends_with_it(
    page: InspectorPage, checkpoint: Path, other: Path, qtbot: QtBot
) -> None:
    for mode in (MASK, WEIGHTS):
        read(qtbot, page, checkpoint)
        choose(qtbot, page, "fc")
        page.layer.colour.setCurrentText(mode)
        qtbot.mouseClick(page.head.alone, Qt.MouseButton.LeftButton)
        page.compare_with(other)
        finished(qtbot, page)
        assert page.layer.colour.currentText() == DIFFERENCE
        qtbot.mouseClick(page.head.alone, Qt.MouseButton.LeftButton)
        finished(qtbot, page)
        assert page.layer.colour.currentText() == mode
    page.compare_with(other)
    finished(qtbot, page)
    read(qtbot, page, checkpoint)
    assert page.layer.colour.findText(DIFFERENCE) < 0
    assert page.layer.colour.currentText() == WEIGHTS


def test_a_layer_of_the_second_checkpoint_alone_is_shown(
    page: InspectorPage, checkpoint: Path, other: Path, qtbot: QtBot
) -> None:
    read(qtbot, page, other, checkpoint)
    assert column(page, "layer") == ["stem", "fc", "conv"]
    assert column(page, "N:M")[2] == "nearly 2:4"
    choose(qtbot, page, "conv")
    assert "only in the second" in page.layer._title.text()


def test_names_are_sorted_by_number_and_the_first_broken_layer_is_shown(
    page: InspectorPage, tmp_path: Path, qtbot: QtBot
) -> None:
    state = {f"layers.{at}.fc.weight": made(Pattern(2, 4), 16, 32, seed=at) for at in range(12)}
    state["layers.10.fc.weight"][3, :4] = 1
    state["layers.11.fc.weight"][3, :4] = 1
    save_file(state, tmp_path / "a.safetensors")
    read(qtbot, page, tmp_path / "a.safetensors")
    ordered = [f"layers.{at}.fc" for at in range(12)]
    assert column(page, "layer") == ordered
    assert page.layer.picture is not None and page.layer.picture.name == "layers.10.fc"
    current = page.panel.table.current
    assert current is not None and current.name == "layers.10.fc"
    assert column(page, "type")[0] == "f32" and column(page, "size")[0] == "2.05 kB"
    page.panel.table.sortByColumn(HEADERS.index("layer"), Qt.SortOrder.DescendingOrder)
    assert column(page, "layer") == ordered[::-1]


def test_a_layer_that_the_user_chose_stays(page: InspectorPage, large: Path, qtbot: QtBot) -> None:
    state = {f"layer{at}.weight": torch.ones(32, 32) for at in range(500)}
    state["layer499.weight"] = made(Pattern(2, 4), 32, 32)
    state["layer499.weight"][0, :4] = 1
    torch.save(state, large)
    page.open([large])
    qtbot.waitUntil(lambda: page.layer.picture is not None, timeout=SECONDS)
    page.panel.table.selectRow(7)
    finished(qtbot, page)
    assert page.layer.picture is not None and page.layer.picture.name == "layer7"


def test_the_summary_is_about_the_pattern_that_is_checked(
    page: InspectorPage, checkpoint: Path, qtbot: QtBot
) -> None:
    read(qtbot, page, checkpoint)
    assert "; 1 violation." in page.panel.summary
    page.head.patterns.setCurrentText("1:4")
    page.head.patterns.activated.emit(0)
    finished(qtbot, page)
    assert "576 violations of 1:4" in page.panel.summary


def test_what_is_not_judged_is_listed_with_its_reason(
    page: InspectorPage, tmp_path: Path, qtbot: QtBot
) -> None:
    name = "<img src='file:/dev/zero'>"
    state = {"fc.weight": torch.ones(8, 8), f"{name}.weight": torch.eye(8).to_sparse()}
    torch.save(state, tmp_path / "a.pt")
    read(qtbot, page, tmp_path / "a.pt")
    assert column(page, "N:M") == ["dense", "not judged"]
    assert page.panel.summary.endswith("1 not judged.")
    page.panel.table.selectRow(1)
    title = page.layer._title
    assert title.text() == f"{name} is not judged: its layout is sparse_coo: save it dense."
    assert title.textFormat() is Qt.TextFormat.PlainText
    tip = page.panel.table.model().index(1, 0).data(Qt.ItemDataRole.ToolTipRole)
    assert "<img" not in tip and "&lt;img" in tip and "<img" not in title.toolTip()
    assert page.layer.picture is None and page.layer.picture_to_save() is None
    page.head.patterns.setEditText("3:5")
    page.head.patterns.activated.emit(0)
    finished(qtbot, page)
    page.head.patterns.setEditText("2:4")
    page.head.patterns.activated.emit(0)
    finished(qtbot, page)
    assert "not judged" in title.text() and page.layer.picture is None


def test_biases_are_compared_too(page: InspectorPage, tmp_path: Path, qtbot: QtBot) -> None:
    for name, bias in (("a.pt", 0.0), ("b.pt", 1.0)):
        state = {"fc.weight": torch.ones(8, 8), "fc.bias": torch.full((8,), bias)}
        torch.save(state, tmp_path / name)
    read(qtbot, page, tmp_path / "a.pt", tmp_path / "b.pt")
    assert column(page, "layer") == ["fc", "fc.bias"]
    assert column(page, "largest |Δ|") == ["0", "1"]
    assert page.panel.summary.endswith("1 of 2 differ from the other checkpoint.")


def test_shards_are_read_in_the_window(page: InspectorPage, tmp_path: Path, qtbot: QtBot) -> None:
    for at in (1, 2):
        state = {f"layers.{at}.weight": made(Pattern(2, 4), 16, 16)}
        save_file(state, tmp_path / f"model-0000{at}-of-00002.safetensors")
    read(qtbot, page, tmp_path)
    assert column(page, "layer") == ["layers.1", "layers.2"]
    assert column(page, "N:M") == ["2:4", "2:4"]


@pytest.mark.parametrize(
    ("room", "shown"),
    [
        (40, "model.layers.10.self_attn.q_proj"),
        (27, "…layers.10.self_attn.q_proj"),
        (20, "…10.self_attn.q_proj"),
        (12, "…10…q_proj"),
        (5, "…10…q_proj"),
    ],
)
def test_the_number_of_a_layer_stays_visible_in_a_narrow_panel(room: int, shown: str) -> None:
    assert shorten("model.layers.10.self_attn.q_proj", lambda text: len(text) <= room) == shown
    assert shorten("head", lambda text: False) == "head"


def test_the_value_of_a_large_layer_is_read_when_it_is_needed(
    page: InspectorPage, tmp_path: Path, qtbot: QtBot, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lbc_gui.inspector.reader_thread.LARGEST_COPY", 0)
    save_file({"fc.weight": torch.full((8, 8), 0.5)}, tmp_path / "a.safetensors")
    read(qtbot, page, tmp_path / "a.safetensors")
    said: list[str] = []
    page.hover_text.connect(said.append)
    page.layer.view.hovered.emit((5, 3))
    assert "weight +0.5" in said[-1]
    (tmp_path / "a.safetensors").write_bytes(b"shorter")
    page.layer.view.hovered.emit((5, 3))
    assert said[-1] == "The file has changed: open it again."
