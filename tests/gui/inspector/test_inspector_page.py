"""The Inspect page opens checkpoints, says what they obey, points at violations, and compares."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PySide6.QtCore import QEvent, QMimeData, QPoint, QPointF, Qt, QUrl
from PySide6.QtGui import QDragEnterEvent, QDropEvent
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot
from safetensors.torch import save_file
from torch import Tensor

from lbc.inspection.picture import BROKEN, KEPT, ONLY_FIRST, ONLY_SECOND, ZERO
from lbc.pictures.colour_tables import REMOVED_COLOUR
from lbc.sparsity.pattern import Pattern
from lbc_gui.app import _parser
from lbc_gui.inspector.colours import FIRST, SECOND, difference_table, mask_table, weight_table
from lbc_gui.inspector.inspector_page import InspectorPage
from lbc_gui.inspector.layer_view import DIFFERENCE, MASK
from lbc_gui.inspector.layers_table import COLUMNS
from lbc_gui.inspector.violations_table import MOST_ROWS
from lbc_gui.window.main_window import MainWindow
from tests.gui.conftest import SECONDS

Open = Callable[..., MainWindow]
HEADERS = [column.title for column in COLUMNS]


def made(pattern: Pattern, *shape: int, seed: int = 0) -> Tensor:
    """A weight in which every block keeps exactly N of M, at random places."""
    numbers = torch.Generator().manual_seed(seed)
    blocks = pattern.to_blocks(torch.empty(shape))
    order = torch.rand(blocks.shape, generator=numbers).argsort(dim=1)
    weight = torch.rand(blocks.shape, generator=numbers) + 0.5
    return pattern.from_blocks(weight * (order < pattern.n), shape)


def state() -> dict[str, Tensor]:
    conv = made(Pattern(2, 4), 16, 16, 3, 3)
    conv[5, 8:11, 1, 2] = 0.25
    conv[5, 11, 1, 2] = 0
    return {
        "stem.weight": torch.rand(16, 3, 3, 3) + 0.5,
        "conv.weight": conv,
        "fc.weight": made(Pattern(1, 4), 8, 16),
    }


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    path = tmp_path / "first.safetensors"
    save_file(state(), path)
    return path


@pytest.fixture
def other(tmp_path: Path) -> Path:
    """The same with one weight moved, one layer gone and one of another shape."""
    changed = state()
    changed["fc.weight"][0, :4] = changed["fc.weight"][0, :4].roll(1)
    changed["stem.weight"] = torch.ones(8, 3, 3, 3)
    del changed["conv.weight"]
    path = tmp_path / "second.pt"
    torch.save({"model": changed}, path)
    return path


@pytest.fixture
def large(tmp_path: Path) -> Path:
    """Many small layers, which take a while."""
    path = tmp_path / "large.pt"
    torch.save({f"layer{at}.weight": torch.ones(32, 32) for at in range(2000)}, path)
    return path


@pytest.fixture
def page(qtbot: QtBot) -> Iterator[InspectorPage]:
    """The page by itself."""
    page = InspectorPage()
    qtbot.addWidget(page)
    page.resize(960, 600)
    page.show()
    yield page
    page.reading.cancel()
    finished(qtbot, page)


def read(qtbot: QtBot, page: InspectorPage, *paths: Path) -> None:
    page.open(paths)
    finished(qtbot, page)


def finished(qtbot: QtBot, page: InspectorPage) -> None:
    qtbot.waitUntil(lambda: not page.reading.running, timeout=SECONDS)


def choose(qtbot: QtBot, page: InspectorPage, name: str) -> None:
    """Choose a layer in the table, as a click does."""
    model = page.panel.table.model()
    rows = [model.index(row, 0) for row in range(model.rowCount())]
    page.panel.table.setCurrentIndex(next(at for at in rows if at.data() == name))
    qtbot.waitUntil(
        lambda: page.layer.picture is not None and page.layer.picture.name == name,
        timeout=SECONDS,
    )
    finished(qtbot, page)


def column(page: InspectorPage, header: str) -> list[str]:
    model = page.panel.table.model()
    at = HEADERS.index(header)
    return [str(model.index(row, at).data()) for row in range(model.rowCount())]


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
    assert np.array_equal(picture.rows, weight)
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
    assert len(picture.violations) == 576

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
    assert page.layer.violations.table.rowCount() == MOST_ROWS
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
    assert picture is not None and picture.name == "fc" and picture.others is not None
    assert page.layer.colour.currentText() == DIFFERENCE
    codes = picture.difference
    assert codes is not None
    one, two = picture.rows != 0, picture.others != 0
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


@pytest.mark.parametrize("name", ["bad.safetensors", "bad.pt", "bad.pth", "bad.onnx", "bad.txt"])
def test_a_bad_file_is_a_sentence_and_what_is_open_stays(
    page: InspectorPage, checkpoint: Path, tmp_path: Path, qtbot: QtBot, name: str
) -> None:
    read(qtbot, page, checkpoint)
    said: list[tuple[str, str]] = []
    page.failed.connect(lambda sentence, details: said.append((sentence, details)))
    (tmp_path / name).write_bytes(b"\x80\x02nonsense")
    read(qtbot, page, tmp_path / name)
    assert len(said) == 1
    assert str(tmp_path / name) in said[0][0] and said[0][1] == ""
    assert page.reading.opening is not None and page.reading.opening.file == checkpoint
    choose(qtbot, page, "fc")
    page.compare_with(tmp_path / name)
    finished(qtbot, page)
    assert len(said) == 2
    assert page.reading.opening.against is None
    choose(qtbot, page, "stem")


def test_a_damaged_layer_is_told_and_the_others_are_read(
    page: InspectorPage, tmp_path: Path, qtbot: QtBot
) -> None:
    onnx = pytest.importorskip("onnx")
    tensors = [
        onnx.numpy_helper.from_array(np.arange(1, 33, dtype=np.float32).reshape(4, 8), name)
        for name in ("one.weight", "two.weight")
    ]
    tensors[0].raw_data = tensors[0].raw_data[:-8]
    nodes = [
        onnx.helper.make_node("Gemm", ["x", "one.weight"], ["h"], transB=1),
        onnx.helper.make_node("Gemm", ["h", "two.weight"], ["y"], transB=1),
    ]
    graph = onnx.helper.make_graph(nodes, "graph", [], [], tensors)
    onnx.save(onnx.helper.make_model(graph), str(tmp_path / "a.onnx"))
    said: list[str] = []
    page.failed.connect(lambda sentence, _: said.append(sentence))
    read(qtbot, page, tmp_path / "a.onnx")
    assert said == [f"{tmp_path / 'a.onnx'}: the weight of layer one is damaged."]
    assert column(page, "N:M")[1] != ""
    choose(qtbot, page, "two")


def test_a_file_that_has_gone_meanwhile_is_a_sentence(
    page: InspectorPage, checkpoint: Path, qtbot: QtBot
) -> None:
    read(qtbot, page, checkpoint)
    said: list[str] = []
    page.failed.connect(lambda sentence, _: said.append(sentence))
    save_file({"fc.weight": torch.ones(2, 4)}, checkpoint)
    page.panel.table.selectRow(2)
    finished(qtbot, page)
    checkpoint.unlink()
    page.panel.table.selectRow(1)
    finished(qtbot, page)
    assert "the file has no layer stem" in said[0] and "does not exist" in said[1]


def test_cancelling_keeps_what_has_been_read(
    page: InspectorPage, large: Path, qtbot: QtBot
) -> None:
    page.open([large])
    qtbot.waitUntil(lambda: page.layer.picture is not None, timeout=SECONDS)
    page.head.cancel.click()
    finished(qtbot, page)
    unread = column(page, "N:M").count("…")
    assert 0 < unread < 2000
    assert page.panel.summary.endswith(f" {unread} layers were not read.")
    choose(qtbot, page, "layer1999")


def test_opening_another_file_while_one_is_read_shows_the_other(
    page: InspectorPage, checkpoint: Path, large: Path, tmp_path: Path, qtbot: QtBot
) -> None:
    page.open([large])
    page.open([tmp_path / "absent.pt"])
    page.open([checkpoint])
    finished(qtbot, page)
    assert column(page, "layer") == ["conv", "fc", "stem"]
    assert page.reading.opening is not None and page.reading.opening.file == checkpoint


def drop(window: MainWindow, *paths: Path) -> bool:
    """Drag files over the picture's place in the window and let them go; whether it took them."""
    data = QMimeData()
    data.setUrls([QUrl.fromLocalFile(str(path)) for path in paths])
    button, none = Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier
    copy = Qt.DropAction.CopyAction
    over = window.scores.heatmap.viewport()
    enter = QDragEnterEvent(QPoint(9, 9), copy, data, button, none)
    QApplication.sendEvent(over, enter)
    if not enter.isAccepted():
        return False
    QApplication.sendEvent(
        window, QDropEvent(QPointF(9, 9), copy, data, button, none, QEvent.Type.Drop)
    )
    return True


def test_files_are_dropped_anywhere_on_the_window(
    open_window: Open, checkpoint: Path, other: Path, qtbot: QtBot
) -> None:
    window = open_window()
    assert drop(window, checkpoint, other)
    assert window.pages.currentWidget() is window.pages.inspector
    finished(qtbot, window.pages.inspector)
    opening = window.pages.inspector.reading.opening
    assert opening is not None and (opening.file, opening.against) == (checkpoint, other)
    assert drop(window, checkpoint.with_name("notes.txt"))
    finished(qtbot, window.pages.inspector)
    assert "notes.txt does not exist" in window.message.text
    assert not drop(window)


def test_the_command_line_names_checkpoints() -> None:
    options = _parser().parse_args(["--inspect", "a.pt", "b.onnx"])
    assert options.inspect == [Path("a.pt"), Path("b.onnx")]
    assert list(_parser().parse_args([]).inspect) == []


def test_the_window_closes_while_it_reads(open_window: Open, large: Path, qtbot: QtBot) -> None:
    window = open_window()
    window.inspecting.open([large])
    assert window.pages.inspector.reading.running
    window.close()
    qtbot.waitUntil(lambda: not window.isVisible(), timeout=SECONDS)
    assert not window.pages.inspector.reading.running


def test_a_message_goes_once_a_good_file_is_open(
    open_window: Open, checkpoint: Path, qtbot: QtBot
) -> None:
    window = open_window()
    window.inspecting.open([checkpoint.with_name("absent.pt")])
    finished(qtbot, window.pages.inspector)
    assert window.message.isVisible()
    window.inspecting.open([checkpoint])
    finished(qtbot, window.pages.inspector)
    assert not window.message.isVisible()
