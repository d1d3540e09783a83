"""A combination has one colour, and the legend finds its blocks."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyqtgraph as pg
import pytest
from PySide6.QtCore import QPoint, QRect, Qt
from pytestqt.qtbot import QtBot

from lbc.pictures.colour_tables import DISTINCT, css, ink_on
from lbc.report.page import write_report
from lbc.runs.events import LayerInfo
from lbc.runs.history_reader import Replay
from lbc.runs.history_walks import biographies
from lbc_gui.block.life_plot import LifePlot
from lbc_gui.block.removals_table import RemovalsTable
from lbc_gui.heatmap.heatmap_view import HeatmapView
from lbc_gui.heatmap.key_legend import KeyLegend
from lbc_gui.run.view_state import ViewState
from lbc_gui.scores.score_view import ScoreView
from tests.gui.conftest import SECONDS
from tests.gui.export.test_view_export import pixels
from tests.gui.scores.test_score_view import drawn, searched_layer
from tests.report.conftest import trained

__all__ = ["trained"]

NAMES = ["■■□□", "■□■□", "■□□■", "□■■□", "□■□■", "□□■■"]


@pytest.fixture
def decided(qtbot: QtBot, request: pytest.FixtureRequest) -> Iterator[ScoreView]:
    """The Scores page with a decided layer, 2:4 or what the test asks for."""
    page = ScoreView(ViewState())
    qtbot.addWidget(page)
    page.resize(900, 420)
    page.show()
    sparsifier = searched_layer(getattr(request, "param", "2:4"), live=1)
    layer = sparsifier.layers[""]
    page._state.set_layers((LayerInfo("", layer.shape, layer.pattern, layer.blocks),))
    assert page.request is not None
    page.show_snapshot(drawn(sparsifier, page.request, 1.0))
    qtbot.waitUntil(lambda: page.heatmap.cells.codes.size > 0, timeout=SECONDS)
    yield page


def cell_colours(heatmap: HeatmapView) -> set[tuple[int, ...]]:
    """The colours of the cells on screen."""
    red, green, blue = (heatmap.cells._pixels >> shift & 255 for shift in (16, 8, 0))
    return set(zip(*(part.ravel().tolist() for part in (red, green, blue)), strict=True))


def test_the_legend_returns_with_a_run_of_the_same_colours(
    qtbot: QtBot, decided: ScoreView
) -> None:
    legend, state = decided.findChild(KeyLegend), decided._state
    assert isinstance(legend, KeyLegend)
    layers = state.view.layers
    state.begin_run(live=True)
    assert not legend._places(legend.width())
    state.set_layers(layers)
    assert decided.request is not None
    decided.show_snapshot(drawn(searched_layer("2:4", live=1), decided.request, 1.0))
    qtbot.waitUntil(lambda: bool(legend._places(legend.width())), timeout=SECONDS)
    assert [kind.name for kind, _ in legend._places(legend.width())] == NAMES


def test_six_combinations_are_named_and_light_their_blocks(
    qtbot: QtBot, decided: ScoreView
) -> None:
    legend, heatmap = decided.findChild(KeyLegend), decided.heatmap
    assert isinstance(legend, KeyLegend)
    shown = cell_colours(heatmap)
    assert shown == set(DISTINCT[:6])
    kinds = legend._places(legend.width())
    assert [kind.name for kind, _ in kinds if kind.named] == NAMES
    for at, (kind, place) in enumerate(kinds):
        assert legend.rect().contains(place)
        qtbot.mouseMove(legend, place.center())
        lit = cell_colours(heatmap)
        assert lit & shown == {DISTINCT[at]} and len(lit) == 6
        assert kind.name in legend.toolTip()
    places = itertools.cycle([QPoint(60, 60), QPoint(61, 60)])

    def is_left() -> bool:  # one movement may come to nothing on a busy machine
        qtbot.mouseMove(heatmap, next(places))
        return cell_colours(heatmap) == shown

    qtbot.waitUntil(is_left, timeout=SECONDS)


def test_a_block_decided_early_is_named_beside_the_levels(qtbot: QtBot, decided: ScoreView) -> None:
    page, sparsifier = decided, searched_layer("2:4", live=3)
    winner = int(sparsifier.layers[""].winners()[5])
    sparsifier.pin("", winner, 5)
    assert page.request is not None
    page.show_snapshot(drawn(sparsifier, page.request, 1.0))
    legend = page.findChild(KeyLegend)
    assert isinstance(legend, KeyLegend)
    qtbot.waitUntil(lambda: DISTINCT[winner] in cell_colours(page.heatmap), timeout=SECONDS)
    others = cell_colours(page.heatmap) - {DISTINCT[winner]}
    assert not others & set(DISTINCT) and len(others) > 6

    def place(name: str) -> QRect:
        places = legend._places(legend.width())
        return next(rect for kind, rect in places if kind.name == name)

    qtbot.waitUntil(
        lambda: all(legend.rect().contains(place(name)) for name in NAMES), timeout=SECONDS
    )
    qtbot.mouseMove(legend, place(NAMES[winner]).center())
    assert not cell_colours(page.heatmap) & others and legend.toolTip() == NAMES[winner]
    assert DISTINCT[winner] in cell_colours(page.heatmap)


@pytest.mark.parametrize("decided", ["4:8"], indirect=True)
def test_of_many_combinations_the_bar_lights_those_near_the_mouse(
    qtbot: QtBot, decided: ScoreView
) -> None:
    legend, heatmap = decided.findChild(KeyLegend), decided.heatmap
    assert isinstance(legend, KeyLegend)
    shown = cell_colours(heatmap)
    bar = legend._bar_place()
    qtbot.mouseMove(legend, QPoint(bar.left() + 1, bar.center().y()))
    assert 0 < len(cell_colours(heatmap) & shown) < len(shown) / 2


@pytest.mark.parametrize("width", [120, 200, 330])
def test_a_narrow_legend_continues_below(qtbot: QtBot, decided: ScoreView, width: int) -> None:
    legend = decided.findChild(KeyLegend)
    assert isinstance(legend, KeyLegend)
    places = [place for _, place in legend._places(width)]
    assert max(place.right() for place in places) < width
    assert max(place.bottom() for place in places) < legend.heightForWidth(width)
    assert not any(a.intersects(b) for a in places for b in places if a is not b)


def test_ink_is_readable_on_every_colour_of_the_table() -> None:
    def light(colour: tuple[int, ...]) -> float:
        part = np.array(colour) / 255
        linear = np.where(part <= 0.04045, part / 12.92, ((part + 0.055) / 1.055) ** 2.4)
        return float(linear @ (0.2126, 0.7152, 0.0722))

    for colour in DISTINCT:
        low, high = sorted((light(colour), light(ink_on(colour))))
        assert (high + 0.05) / (low + 0.05) > 4.5


def test_plot_table_pictures_and_report_have_the_colours_of_the_heatmap(
    qtbot: QtBot, trained: Path, tmp_path: Path
) -> None:
    (life,) = biographies(Replay(trained), "hidden.0", [7])
    plot, table = LifePlot(), RemovalsTable()
    for widget in (plot, table):
        qtbot.addWidget(widget)
        widget.resize(400, 300)
        widget.show()
    plot.show_life(life)
    table.show_life(life)
    lines = [one for one in plot._plot.listDataItems() if isinstance(one, pg.PlotCurveItem)]
    assert [one.opts["pen"].color().getRgb()[:3] for one in lines] == list(DISTINCT[:6])
    role = Qt.ItemDataRole.DecorationRole
    icons = [table.table.data(table.table.index(at, 0), role) for at in range(6)]
    swatches = {
        row.combination: icon.pixmap(8, 8).toImage().pixelColor(4, 4).getRgb()[:3]
        for row, icon in zip(table.table.rows, icons, strict=True)
    }
    assert icons[0] is table.table.data(table.table.index(0, 0), role)  # or Qt keeps each for long
    assert swatches == dict(enumerate(DISTINCT[:6]))
    painted = pixels(table.grab().toImage())
    assert all((painted == colour).all(axis=2).any() for colour in DISTINCT[:6])
    write_report(trained, tmp_path / "report.html")
    html = (tmp_path / "report.html").read_text("utf-8")
    for colour, name in zip(DISTINCT, NAMES, strict=False):
        bar = html.index(f"<title>{name}")
        assert f"fill:{css(colour)}" in html[html.rindex("<rect", 0, bar) : bar]
