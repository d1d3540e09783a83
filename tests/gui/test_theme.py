"""Contrast of both palettes, and icons that follow a live change."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyqtgraph as pg
import pytest
from PySide6.QtCore import QPointF, QSize
from PySide6.QtGui import QAction, QColor
from PySide6.QtWidgets import QApplication, QCheckBox, QMenu, QToolButton
from pytestqt.qtbot import QtBot

from lbc.files.resources import resource
from lbc_gui.icons import icon, square
from lbc_gui.latency.plots import colour_of
from lbc_gui.theme import DARK, LIGHT, Colours, Theme, apply_theme
from lbc_gui.widgets.plot import add_plot
from lbc_gui.window.actions import RARE
from lbc_gui.window.main_window import MainWindow

Floats = npt.NDArray[np.float64]

BOTH = pytest.mark.parametrize("colours", [LIGHT, DARK], ids=["light", "dark"])


def luminance(colour: str) -> float:
    """Relative luminance, as WCAG 2.2 defines it."""
    of = QColor(colour)
    channels = (of.redF(), of.greenF(), of.blueF())
    r, g, b = (c / 12.92 if c <= 0.04045 else math.pow((c + 0.055) / 1.055, 2.4) for c in channels)
    return 0.2126 * r + 0.7152 * g + 0.0722 * b


def contrast(one: str, other: str) -> float:
    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


def test_an_icon_without_room_is_empty_and_warns_of_nothing(qapp: QApplication, qtlog: Any) -> None:
    assert icon("run").pixmap(QSize(0, 16)).isNull()
    assert not qtlog.records


@BOTH
def test_every_text_is_readable_on_every_surface(colours: Colours) -> None:
    surfaces = [colours.window, colours.base, colours.raised]
    for ink in (colours.text, colours.caption, colours.link, colours.error):
        assert min(contrast(ink, surface) for surface in surfaces) >= 4.5, ink
    for ink in (colours.text, colours.caption, colours.error):  # rows that may be chosen
        assert min(contrast(ink, at) for at in (colours.base, colours.selection)) >= 4.5, ink
    for surface in (colours.hover, colours.error_ground):
        assert contrast(colours.text, surface) >= 4.5
    assert contrast(colours.on_accent, colours.accent) >= 4.5


@BOTH
def test_lines_are_visible_on_the_ground_of_plots(colours: Colours) -> None:
    for line in (colours.blue, colours.orange, colours.green, colours.red, colours.error):
        assert contrast(line, colours.base) >= 3
    assert contrast(colours.accent, colours.window) >= 3


WRITTEN = {
    "colour": r"#[0-9a-fA-F]{6}|QColor\(\d|GlobalColor\.(?!transparent)",
    "space": r"(setContentsMargins|Spacing)\((?!0\)|0, 0, 0, 0\))[^)]*\b[1-9]|margin=\d",
}


@pytest.mark.parametrize("what", WRITTEN)
def test_colours_and_spaces_are_those_of_the_theme(what: str) -> None:
    package = Path(__file__).parents[2] / "lbc_gui"
    theme = [package / "theme.py", package / "widgets" / "plot.py"]
    own = {*theme, package / "icons.py"}  # the grey in the files of icons
    sources = {path: path.read_text() for path in package.rglob("*.py") if path not in own}
    found = {path.name: re.findall(WRITTEN[what], text) for path, text in sources.items()}
    assert not {name: places for name, places in found.items() if places}


def test_a_plot_has_no_widgets_that_are_never_shown(qtbot: QtBot) -> None:
    plots = pg.GraphicsLayoutWidget()
    qtbot.addWidget(plots)
    before = len(QApplication.allWidgets())
    plot = add_plot(plots)
    assert len(QApplication.allWidgets()) - before < 5
    plot.showGrid(x=True, alpha=0.2)
    plot.setLogMode(y=True)
    bottom, left = plot.getAxis("bottom"), plot.getAxis("left")
    assert (bottom.grid, left.grid, bottom.logMode, left.logMode) == (51, False, False, True)


@pytest.fixture
def window(use_window: Callable[..., MainWindow]) -> MainWindow:
    return use_window()


def test_lines_in_plots_and_pictures_follow_a_live_change(
    window: MainWindow, qapp: QApplication, qtbot: QtBot
) -> None:
    now, gaps = window.block.life.plot._now, window.pages.inspector.layer.view._borders
    sheet = qapp.styleSheet()
    for colours, theme in ((LIGHT, "light"), (DARK, "dark"), (LIGHT, "light")):
        [chosen] = [at for at in window.actions_.themes.actions() if at.data() == theme]
        chosen.trigger()
        expected = QColor(colours.text), QColor(colours.base)
        qtbot.waitUntil(lambda: (now.pen.color(), gaps.pen().color()) == expected, timeout=5000)  # noqa: B023
    assert qapp.styleSheet() == sheet  # a new one would restyle every widget at once


def ink_of(button: QToolButton) -> int:
    """The brightness of the pixel that differs most from the button's corner."""
    image = button.grab().toImage()
    ground = image.pixelColor(1, 1).lightness()
    pixels = [
        image.pixelColor(x, y).lightness()
        for x in range(3, image.width() - 3)
        for y in range(3, image.height() - 3)
    ]
    return max(pixels, key=lambda light: abs(light - ground))


def test_the_colours_of_measurements_follow_a_live_change_and_are_visible(qtbot: QtBot) -> None:
    boxes = [QCheckBox() for _ in range(8)]
    for at, box in enumerate(boxes):
        qtbot.addWidget(box)
        box.setIcon(square(colour_of, at))
    themes: list[tuple[Theme, Colours]] = [("light", LIGHT), ("dark", DARK), ("light", LIGHT)]
    for theme, colours in themes:
        apply_theme(theme)
        drawn = [box.icon().pixmap(10, 10).toImage().pixelColor(5, 5).name() for box in boxes]
        assert drawn[:4] == [colours.blue, colours.orange, colours.green, colours.red]
        assert len(set(drawn)) == 8
        assert all(contrast(name, colours.base) >= 3 for name in drawn)


def test_icons_follow_a_live_change(qtbot: QtBot) -> None:
    button = QToolButton()
    qtbot.addWidget(button)
    button.setIcon(icon("play"))
    button.setIconSize(QSize(32, 32))
    apply_theme("light")
    assert ink_of(button) < 80
    apply_theme("dark")
    assert ink_of(button) > 170
    apply_theme("light")
    assert ink_of(button) < 80


@BOTH
def test_a_box_is_seen_ticked_or_not(qtbot: QtBot, colours: Colours) -> None:
    apply_theme("dark" if colours is DARK else "light")
    box = QCheckBox()
    qtbot.addWidget(box)
    box.resize(20, 20)
    box.show()
    for ticked in (False, True):
        box.setChecked(ticked)
        image = box.grab().toImage()
        inks = {image.pixelColor(x, y).name() for x in range(20) for y in range(20)}
        assert max(contrast(ink, colours.window) for ink in inks) >= 3
    assert max(contrast(ink, colours.accent) for ink in inks) >= 4.5
    apply_theme("light")


def test_the_icons_are_one_set() -> None:
    files = sorted(resource("icons").glob("*.svg"))
    assert len(files) > 20
    for file in files:
        line = 'stroke="#808080" stroke-width="1.5"'
        if file.stem == "tick":  # on the accent, in both themes
            line = f'stroke="{LIGHT.on_accent}"'
            assert LIGHT.on_accent == DARK.on_accent
        assert f'viewBox="0 0 16 16" fill="none" {line}' in file.read_text()
    package = Path(__file__).parents[2] / "lbc_gui"
    sources = "".join(source.read_text() for source in package.rglob("*.py"))
    assert not re.findall(r"StandardPixmap|standardIcon", sources)
    assert not re.findall(r'button\("[▶◀⏸✕]', sources)


def commands(menu: QMenu) -> list[QAction]:
    """Every action of a menu and of the menus in it."""
    found = []
    for action in menu.actions():
        inner = action.menu()
        if isinstance(inner, QMenu):
            found += commands(inner)
        elif not action.isSeparator():
            found.append(action)
    return found


def test_every_command_has_an_icon_a_tooltip_and_a_shortcut_of_its_own(window: MainWindow) -> None:
    menus = [action.menu() for action in window.menuBar().actions()]
    found = [action for menu in menus if isinstance(menu, QMenu) for action in commands(menu)]
    assert len(found) > 25
    named = vars(window.actions_)
    unusual = ("open_runs", "reset_layout", "about", "tour", "prune", "diagnostics", "open_log")
    rare = {named[name] for name in unusual}
    rare |= {action for action in found if action.text() == "&Clear"}
    recent = [one for one in window.actions_.recent.actions() if one.text() != "&Clear"]
    examples = [*window.actions_.examples.actions(), *recent]
    [go] = [menu for menu in menus if isinstance(menu, QMenu) and menu.title() == "&Go"]
    for action in found:
        is_choice = action.isCheckable() or action in examples
        assert action.icon().isNull() is (is_choice or action in go.actions()), action.text()
        assert action.toolTip(), action.text()
        assert is_choice or bool(action.shortcut().toString()) is (action not in rare)
    every = [action for action in named.values() if isinstance(action, QAction)]
    assert all(action.toolTip() for action in every)
    shortcuts = [a.shortcut().toString() for a in every if not a.shortcut().isEmpty()]
    assert len(shortcuts) == len(set(shortcuts))
    assert not RARE


SEEN_BY = {
    "all": [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
    "protanopes": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deuteranopes": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "tritanopes": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
}
"""Linear RGB as they see it (Machado, Oliveira and Fernandes 2009, severity 1)."""

XYZ = np.array([[0.4125, 0.3576, 0.1804], [0.2127, 0.7152, 0.0722], [0.0193, 0.1192, 0.9503]])


def lab(colour: str, seen: npt.ArrayLike) -> Floats:
    """CIELAB of a colour under D65, as it is seen."""
    srgb = np.array(QColor(colour).getRgbF()[:3])  # type: ignore[index]
    linear = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
    x, y, z = np.cbrt(XYZ @ np.clip(seen @ linear, 0, 1) / XYZ.sum(axis=1))
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


@BOTH
@pytest.mark.parametrize("seen", SEEN_BY.values(), ids=SEEN_BY)
def test_runs_have_colours_that_everybody_can_tell_apart(
    colours: Colours, seen: npt.ArrayLike
) -> None:
    assert min(contrast(colour, colours.base) for colour in colours.runs) >= 3
    labs = [lab(colour, np.array(seen)) for colour in colours.runs]
    assert min(np.linalg.norm(one - other) for one, other in combinations(labs, 2)) >= 25


def test_no_grid_line_is_drawn_over_a_curve(qtbot: QtBot) -> None:
    plots = pg.GraphicsLayoutWidget()
    qtbot.addWidget(plots)
    plots.resize(400, 200)
    plot = add_plot(plots)
    plot.showGrid(x=True, y=True, alpha=0.9)
    plot.plot([0, 10], [5, 5], pen=pg.mkPen(QColor(255, 0, 0), width=3))
    plots.show()
    image = plots.grab().toImage()
    ends = [plots.mapFromScene(plot.vb.mapViewToScene(QPointF(x, 5))) for x in (0, 10)]
    line = [image.pixelColor(x, ends[0].y()) for x in range(ends[0].x() + 2, ends[1].x() - 2)]
    assert len(line) > 200 and {colour.name() for colour in line} == {"#ff0000"}
