"""The look of the window: one theme with two palettes, light and dark, which change live.

The rules, for every page and panel:

- **Colour** says something or is absent. Surfaces are ``window`` (panels), ``base`` (what is read
  or edited) and ``raised`` (buttons). There is one ``accent``: focus, selection, the chosen tab.
  Orange, green and red belong to plots; ``error`` is what is wrong. No colour is written where it
  is used: it comes from ``Colours`` or from the palette.
- **Contrast**: text at least 4.5:1 on its surface, plot lines at least 3:1 (WCAG AA). A test
  computes both palettes.
- **Type**: the desktop's font in its size, figures of one width. A panel's title is bold; values
  are plain; captions and column titles are in ``caption``. Tables are one step smaller (0.9).
- **Space** is ``TIGHT`` within a control and between rows, ``GAP`` between controls side by side,
  ``MARGIN`` around a panel: nothing else. Labels of a form share one column.
- **Borders** are one pixel of ``border``, where two surfaces of the same colour meet; no frames in
  frames.
- **Icons** are in ``resources/icons``: a 16-pixel grid, lines of 1.5 with round ends, no filled
  shapes, drawn in the colour of the text (``lbc_gui.icons``). Commands have one; choices in a menu
  (theme, panels, levels, examples) have a check mark or none, movements (menu *Go*)
  none.
- **Pictures** of scores and weights have colours of their own (``lbc.pictures``), the same in both
  palettes; what is drawn on them has both ``BLACK`` and ``WHITE``.
- **Plots** take ``plot_colours`` and ``style_plot``, and again after a change of the palette;
  ``add_plot`` makes them.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from string import Template
from typing import Literal

import pyqtgraph as pg
from PySide6.QtCore import Qt
from PySide6.QtGui import QColor, QFont, QGuiApplication, QPalette
from PySide6.QtWidgets import QApplication

from lbc.files.resources import resource
from lbc_gui.palette_change import restyle
from lbc_gui.plot_switches import use_switches

use_switches()
# By default a move within 10 ms of another is dropped, so that plots miss where the mouse comes to
# rest.
pg.setConfigOption("mouseRateLimit", 0)

Theme = Literal["system", "light", "dark"]

_SCHEMES: dict[str, Qt.ColorScheme] = {
    "system": Qt.ColorScheme.Unknown,
    "light": Qt.ColorScheme.Light,
    "dark": Qt.ColorScheme.Dark,
}

BLACK, WHITE = QColor(0, 0, 0), QColor(255, 255, 255)
"""On pictures, and what darkens the window around a step of the tour."""

TIGHT, GAP, MARGIN = 4, 8, 8
"""Pixels between rows, between controls side by side, and around a panel."""


@dataclass(frozen=True)
class Colours:
    """One palette; the four of plots are of the colour-blind safe set of Okabe and Ito."""

    window: str
    base: str
    raised: str
    hover: str
    border: str
    text: str
    caption: str
    disabled: str
    accent: str
    """Behind ``on_accent``; also lines of focus and of the chosen tab."""
    on_accent: str
    selection: str
    """Behind ``text``: the chosen row, the done part of a progress bar."""
    link: str
    error: str
    """Text and lines about something wrong, on ``window`` and ``base``."""
    error_ground: str
    blue: str
    orange: str
    green: str
    red: str
    runs: tuple[str, ...]
    """Of runs side by side: as far apart as eight can be for any kind of colour blindness."""


LIGHT = Colours(
    window="#f4f5f7", base="#ffffff", raised="#ffffff", hover="#e6e9ee", border="#d3d7de",
    text="#1b1f24", caption="#59626e", disabled="#9aa1ab",
    accent="#2260c4", on_accent="#ffffff", selection="#d5e4fb", link="#1a56b8",
    error="#b3290f", error_ground="#fdebe6",
    blue="#0072b2", orange="#d55e00", green="#008f68", red="#cc3311",
    runs=(
        "#0098ff", "#e67600", "#006950", "#5d008a", "#814000", "#131b34", "#a08db3", "#462cf7",
    ),
)  # fmt: skip

DARK = Colours(
    window="#202327", base="#17191c", raised="#2b2f35", hover="#33383f", border="#3a3f46",
    text="#e4e7eb", caption="#a6aeb8", disabled="#6f7680",
    accent="#2f6fd6", on_accent="#ffffff", selection="#24406b", link="#7db3ff",
    error="#ff9a80", error_ground="#42241d",
    blue="#56b4e9", orange="#e69f00", green="#2fbf8f", red="#ee8866",
    runs=(
        "#21f6fa", "#edb246", "#59998b", "#a75ab9", "#c05b38", "#c6ffcb", "#fff400", "#8a53ff",
    ),
)  # fmt: skip


@dataclass(frozen=True)
class PlotColours:
    """The colours of plots under the present palette."""

    background: QColor
    text: QColor
    grid: QColor
    blue: QColor
    orange: QColor
    green: QColor
    red: QColor


def set_up(application: QApplication, theme: Theme) -> None:
    """Choose style, figures and palette before there are widgets, which then need no change.

    The style sheet is cheaper once they are there: ``apply_theme``.
    """
    application.setStyle("Fusion")
    application.setPalette(_palette(_chosen(theme)))
    font = QFont(application.font())
    font.setFeature(QFont.Tag("tnum"), 1)
    application.setFont(font)


def apply_theme(theme: Theme) -> None:
    """Set the palette of the application; every widget receives the change.

    Those on screen have it when this returns, all others soon after.
    """
    chosen, application = _chosen(theme), QApplication.instance()
    assert isinstance(application, QApplication)
    pg.setConfigOptions(background=chosen.base, foreground=chosen.text)  # of plots to come
    palette, sheet = _palette(chosen), _style_sheet()
    changed = application.palette() != palette
    if changed:
        application.setPalette(palette)
    if application.styleSheet() != sheet:
        application.setStyleSheet(sheet)
    elif changed:
        restyle(application)


def _chosen(theme: Theme) -> Colours:
    hints = QGuiApplication.styleHints()
    hints.setColorScheme(_SCHEMES[theme])
    dark = theme == "dark" or (theme == "system" and hints.colorScheme() is Qt.ColorScheme.Dark)
    return DARK if dark else LIGHT


def colours() -> Colours:
    """The palette that the application has."""
    base = QGuiApplication.palette().color(QPalette.ColorRole.Base)
    return DARK if base.lightness() < 128 else LIGHT


def plot_colours() -> PlotColours:
    """The plot colours that fit the application's current palette."""
    return _plot_colours(colours())


@cache
def _plot_colours(now: Colours) -> PlotColours:
    text = QColor(now.text)
    return PlotColours(
        background=QColor(now.base),
        text=text,
        grid=faded(text, 60),
        blue=QColor(now.blue),
        orange=QColor(now.orange),
        green=QColor(now.green),
        red=QColor(now.red),
    )


def _palette(of: Colours) -> QPalette:
    role, group = QPalette.ColorRole, QPalette.ColorGroup
    palette = QPalette(QColor(of.raised), QColor(of.window))
    for which, colour in (
        (role.Base, of.base),
        (role.AlternateBase, of.window),
        (role.Text, of.text),
        (role.WindowText, of.text),
        (role.ButtonText, of.text),
        (role.BrightText, of.error),
        (role.Light, of.selection),
        (role.Midlight, of.hover),
        (role.Dark, of.disabled),
        (role.ToolTipBase, of.base),
        (role.ToolTipText, of.text),
        (role.PlaceholderText, of.caption),
        (role.Highlight, of.accent),
        (role.HighlightedText, of.on_accent),
        (role.Accent, of.accent),
        (role.Link, of.link),
        (role.LinkVisited, of.link),
        (role.Mid, of.border),
    ):
        palette.setColor(which, QColor(colour))
    for which in (role.Text, role.WindowText, role.ButtonText, role.HighlightedText):
        palette.setColor(group.Disabled, which, QColor(of.disabled))
    palette.setColor(group.Disabled, role.Highlight, QColor(of.hover))
    return palette


def _style_sheet() -> str:
    folder = resource("icons").as_posix()
    return Template(_SHEET).substitute(_ROLES, icons=folder, tight=TIGHT, gap=GAP)


_ROLES = {
    name: f"palette({role})"
    for name, role in (
        ("window", "window"), ("base", "base"), ("raised", "button"), ("hover", "midlight"),
        ("border", "mid"), ("text", "text"), ("caption", "placeholder-text"),
        ("disabled", "dark"), ("accent", "accent"), ("on_accent", "highlighted-text"),
        ("selection", "light"), ("error", "bright-text"),
    )
}  # fmt: skip
"""Where the style sheet finds colours: it is the same in both themes."""


# What Fusion draws with gradients and frames of its own. Rules for the items of lists and tables
# are absent on purpose: they would slow down every row.
_SHEET = """
QMainWindow::separator { background: $window; width: 5px; height: 5px; }
QMainWindow::separator:hover, QSplitter::handle:hover { background: $selection; }
QSplitter::handle { background: transparent; }
QToolBar { border: 0; border-bottom: 1px solid $border; padding: ${tight}px; spacing: ${tight}px;
    qproperty-iconSize: 16px; }
QStatusBar { border-top: 1px solid $border; }
QStatusBar::item { border: 0; }
QToolButton { border: 1px solid transparent; border-radius: 4px; padding: 2px 4px; }
QToolButton:hover { background: $hover; }
QToolButton:pressed, QToolButton:checked { background: $selection; }
QToolButton:focus { border-color: $accent; }
QToolButton:disabled { color: $disabled; }
QToolButton[popupMode="2"] { padding-right: 16px; }
QToolButton::menu-indicator { image: url("$icons/down.svg"); width: 10px; height: 10px;
    subcontrol-position: right center; right: 3px; }
QPushButton { background: $raised; border: 1px solid $border; border-radius: 4px;
    padding: 3px 10px; }
QPushButton:hover { background: $hover; }
QPushButton:pressed, QPushButton:checked { background: $selection; }
QPushButton:focus { border-color: $accent; }
QPushButton:disabled { color: $disabled; }
QPushButton:default { background: $accent; border-color: $accent; color: $on_accent; }
QPushButton:default:disabled { background: $hover; border-color: $border; color: $disabled; }
QLineEdit, QAbstractSpinBox, QComboBox { background: $base; border: 1px solid $border;
    border-radius: 4px; padding: 2px 5px; selection-background-color: $accent;
    selection-color: $on_accent; }
QLineEdit:focus, QAbstractSpinBox:focus, QComboBox:focus { border-color: $accent; }
QLineEdit:disabled, QAbstractSpinBox:disabled, QComboBox:disabled { color: $disabled; }
QAbstractSpinBox { padding: 0 5px 0 7px; }
QComboBox QLineEdit, QAbstractSpinBox QLineEdit { border: 0; padding: 0; min-width: 0;
    background: transparent; }
QLineEdit { min-width: 40px; }
QAbstractSpinBox { min-width: 51px; }
QComboBox::drop-down { border: 0; width: 18px; }
QComboBox::down-arrow { image: url("$icons/down.svg"); width: 10px; height: 10px; }
QAbstractSpinBox::up-button, QAbstractSpinBox::down-button { border: 0; width: 16px; }
QAbstractSpinBox::up-button { subcontrol-position: top right; }
QAbstractSpinBox::down-button { subcontrol-position: bottom right; }
QAbstractSpinBox::up-button:hover, QAbstractSpinBox::down-button:hover { background: $hover; }
QAbstractSpinBox::up-arrow { image: url("$icons/up.svg"); width: 8px; height: 8px; }
QAbstractSpinBox::down-arrow { image: url("$icons/down.svg"); width: 8px; height: 8px; }
QTabWidget::pane { border: 0; border-top: 1px solid $border; }
QTabBar { qproperty-drawBase: 0; }
QTabBar::tab { color: $caption; border: 0; border-bottom: 2px solid transparent;
    padding: 5px 10px 4px 10px; }
QTabBar::tab:hover { color: $text; }
QTabBar::tab:selected { color: $text; border-bottom-color: $accent; }
QTabBar::tab:selected:focus { background: $selection; }
QCheckBox::indicator, QListWidget::indicator { background: $base; border: 1px solid $caption;
    border-radius: 3px; width: 13px; height: 13px; }
QCheckBox::indicator:checked, QListWidget::indicator:checked { background: $accent;
    border-color: $accent; image: url("$icons/tick.svg"); }
QCheckBox::indicator:disabled { border-color: $disabled; }
QCheckBox::indicator:checked:disabled { background: $disabled; }
QCheckBox:focus { background: $selection; border-radius: 4px; }
QTabBar::tab:disabled { color: $disabled; }
QGroupBox { border: 0; border-top: 1px solid $border; margin-top: 18px; padding-top: 2px; }
QGroupBox::title { subcontrol-origin: margin; subcontrol-position: top left; color: $caption; }
QHeaderView::section { background: $base; color: $caption; border: 0;
    border-bottom: 1px solid $border; padding: 2px 4px; }
QAbstractItemView, QPlainTextEdit { background: $base; border: 1px solid $border;
    selection-background-color: $selection; selection-color: $text; }
QAbstractItemView:focus, QPlainTextEdit:focus { border-color: $accent; }
QHeaderView, QHeaderView:focus { background: $base; border: 0; }
QGraphicsView, #card { border: 1px solid transparent; }
QGraphicsView:focus, #card:focus { border-color: $accent; }
QProgressBar { background: $hover; border: 0; border-radius: 4px; text-align: center; }
QProgressBar::chunk { background: $selection; border-radius: 4px; }
QScrollBar { background: transparent; border: 0; }
QScrollBar:vertical { width: 10px; }
QScrollBar:horizontal { height: 10px; }
QScrollBar::handle { background: $border; border-radius: 3px; margin: 2px; min-height: 24px;
    min-width: 24px; }
QScrollBar::handle:hover { background: $disabled; }
QScrollBar::add-line, QScrollBar::sub-line { width: 0; height: 0; }
QScrollBar::add-page, QScrollBar::sub-page { background: transparent; }
#problem { color: $error; }
#drop { background: $base; border: 2px solid $accent; border-radius: 6px; padding: 16px; }
QMessageBox { messagebox-question-icon: url("$icons/help.svg");
    messagebox-information-icon: url("$icons/info.svg");
    messagebox-warning-icon: url("$icons/warning.svg");
    messagebox-critical-icon: url("$icons/warning.svg"); }
QLineEdit { lineedit-clear-button-icon: url("$icons/close.svg"); }
QToolTip { background: $base; color: $text; border: 1px solid $border; padding: ${tight}px; }
"""


def faded(colour: QColor, alpha: int) -> QColor:
    """A colour with an opacity of ``alpha`` / 255."""
    return QColor(colour.red(), colour.green(), colour.blue(), alpha)


def mixed(colour: QColor, share: float) -> QColor:
    """A colour on the ground of plots, opaque."""
    if share == 1:
        return colour
    ground = plot_colours().background
    rest = 1 - share
    return QColor.fromRgbF(
        share * colour.redF() + rest * ground.redF(),
        share * colour.greenF() + rest * ground.greenF(),
        share * colour.blueF() + rest * ground.blueF(),
    )
