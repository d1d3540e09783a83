"""What is painted over the view is what the scene itself would paint there."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt
import pytest
from PySide6.QtCore import QEvent, QObject
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from lbc_gui.heatmap.cells_view import CellsView
from lbc_gui.heatmap.heatmap_view import HeatmapView
from lbc_gui.inspector.colours import weight_table
from lbc_gui.inspector.weight_view import WeightView
from lbc_gui.run.view_state import ViewState
from lbc_gui.scores.score_view import ScoreView
from tests.gui.conftest import SECONDS, zoom_to
from tests.gui.export.test_view_export import pixels, snapshot_in

Pixels = npt.NDArray[np.uint8]


@pytest.fixture
def scores(qtbot: QtBot) -> Iterator[HeatmapView]:
    """The Scores page with a picture, on screen."""
    page = ScoreView(ViewState())
    qtbot.addWidget(page)
    page.resize(731, 413)
    page.show()
    snapshot_in(page)
    yield page.heatmap


def settled(view: CellsView) -> Pixels:
    for _ in range(2):  # the second frame is laid out by what the first has measured
        QApplication.processEvents()
        view.grab()
    return pixels(view.viewport().grab().toImage())


def is_the_scenes(view: CellsView, painted: Pixels) -> bool:
    """All but the outermost cells' edge: the scene lets ticks begin there, one pixel inside."""
    view._sheet.hide()
    expected = settled(view)
    view._sheet.show()
    differs = (painted != expected).any(axis=2)
    place = view._sheet.mask().boundingRect()
    rows, columns = np.nonzero(differs)
    edge = np.isin(rows, (place.top(), place.bottom())) | np.isin(
        columns, (place.left(), place.right())
    )
    return bool(edge.all()) and len(rows) < 30


def test_a_picture_with_frames_is_the_scenes(scores: HeatmapView) -> None:
    bare = settled(scores)
    scores.show_pins(5, {2: 1, 5: 2, 9: 3})
    painted = settled(scores)
    for colour in (0, 255):  # black and white: seen on every colour of a cell
        assert ((painted == colour).all(axis=2) & (bare != colour).any(axis=2)).sum() > 100
    assert is_the_scenes(scores, painted)
    scores.show_pins(None, {})
    assert np.array_equal(settled(scores), bare)


def test_a_block_with_its_numbers_is_the_scenes(scores: HeatmapView) -> None:
    whole = settled(scores)
    zoom_to(scores, 3)
    painted = settled(scores)
    assert not np.array_equal(painted, whole)
    assert is_the_scenes(scores, painted)


def test_another_size_is_the_scenes(scores: HeatmapView) -> None:
    scores.window().resize(902, 350)
    assert is_the_scenes(scores, settled(scores))


def test_without_a_picture_there_is_the_ground(scores: HeatmapView) -> None:
    scores.clear_picture()
    painted = settled(scores)
    assert (painted == scores.ground).all(axis=2).mean() > 0.9  # the rest are axes and their words
    assert is_the_scenes(scores, painted)


def test_rings_and_borders_of_weights_are_the_scenes(qtbot: QtBot) -> None:
    view = WeightView()
    qtbot.addWidget(view)
    view.resize(640, 360)
    view.show()
    codes = np.random.default_rng(0).integers(1, 120, (48, 96)).astype(np.uint8)
    view.show_codes(codes, weight_table(), 4, keep_zoom=False)
    plain = settled(view)
    view.show_marks(np.array([7, 30]), np.array([11, 80]))
    ringed = settled(view)
    assert not np.array_equal(ringed, plain)
    assert is_the_scenes(view, ringed)
    view.zoom_to(30, 80, 4)
    framed = settled(view)
    assert all((framed == level).all(axis=2).any() for level in (0, 255))  # on every colour
    assert is_the_scenes(view, framed)


class Paints(QObject):
    """Counts how often a widget is painted."""

    count = 0

    def eventFilter(self, _watched: QObject, event: QEvent) -> bool:
        self.count += event.type() == QEvent.Type.Paint
        return False


@pytest.mark.parametrize(
    "change",
    [
        lambda view: view.show_pins(5, {}),
        lambda view: view.show_pins(5, {2: 1, 9: 2}),
        lambda view: zoom_to(view, 3),
        lambda view: view.show_snapshot(view._snapshot),
        lambda view: view.clear_picture(),
    ],
)
def test_every_change_is_painted_by_itself(
    scores: HeatmapView, qtbot: QtBot, change: Callable[[HeatmapView], object]
) -> None:
    settled(scores)
    paints = Paints()
    scores._sheet.installEventFilter(paints)
    QApplication.processEvents()
    assert paints.count == 0
    change(scores)
    qtbot.waitUntil(lambda: paints.count > 0, timeout=SECONDS)


def test_a_view_may_be_closed_by_itself(qtbot: QtBot) -> None:
    view = HeatmapView()
    qtbot.addWidget(view)
    view.show()
    view.close()  # pyqtgraph's own, which takes the scene and the viewport away
    assert view.closed
