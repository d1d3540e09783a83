"""Light, dark or system theme, and the plot colours that fit it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import pyqtgraph as pg
from PySide6.QtCore import Qt
from PySide6.QtGui import QColor, QGuiApplication, QPalette
from PySide6.QtWidgets import QApplication

Theme = Literal["system", "light", "dark"]

_SCHEMES: dict[str, Qt.ColorScheme] = {
    "system": Qt.ColorScheme.Unknown,
    "light": Qt.ColorScheme.Light,
    "dark": Qt.ColorScheme.Dark,
}


@dataclass(frozen=True)
class PlotColours:
    """Colours of plots under one palette; series in the colour-blind safe set of Okabe and Ito."""

    background: QColor
    text: QColor
    grid: QColor
    blue: QColor
    orange: QColor
    green: QColor
    red: QColor


def apply_theme(theme: Theme) -> None:
    """Set the palette of the application; every widget receives the change."""
    QApplication.setPalette(QPalette())
    QGuiApplication.styleHints().setColorScheme(_SCHEMES[theme])
    if theme == "dark" and plot_colours().background.lightness() >= 128:
        # Bare X11 desktops have no dark palette.
        QApplication.setPalette(_dark_palette())


def _dark_palette() -> QPalette:
    role, group = QPalette.ColorRole, QPalette.ColorGroup
    palette = QPalette(QColor("#44484e"), QColor("#383b40"))
    for which, colour in (
        (role.Base, "#1f2124"),
        (role.AlternateBase, "#2b2d31"),
        (role.Text, "#e4e6e9"),
        (role.WindowText, "#e4e6e9"),
        (role.ButtonText, "#e4e6e9"),
        (role.BrightText, "#ffffff"),
        (role.ToolTipBase, "#3a3d43"),
        (role.ToolTipText, "#e4e6e9"),
        (role.PlaceholderText, "#8d9198"),
        (role.Highlight, "#2f6fb3"),
        (role.HighlightedText, "#ffffff"),
        (role.Link, "#6cb2f7"),
    ):
        palette.setColor(which, QColor(colour))
    for which in (role.Text, role.WindowText, role.ButtonText):
        palette.setColor(group.Disabled, which, QColor("#7b7f86"))
    return palette


def plot_colours() -> PlotColours:
    """The plot colours that fit the application's current palette."""
    palette = QGuiApplication.palette()
    background = palette.color(QPalette.ColorRole.Base)
    text = palette.color(QPalette.ColorRole.Text)
    dark = background.lightness() < 128
    return PlotColours(
        background=background,
        text=text,
        grid=faded(text, 60),
        blue=QColor("#56b4e9" if dark else "#0072b2"),
        orange=QColor("#e69f00" if dark else "#d55e00"),
        green=QColor("#2fbf8f" if dark else "#009e73"),
        red=QColor("#ee8866" if dark else "#cc3311"),
    )


def faded(colour: QColor, alpha: int) -> QColor:
    """A colour with an opacity of ``alpha`` / 255."""
    return QColor(colour.red(), colour.green(), colour.blue(), alpha)


def style_plot(plot: pg.PlotItem, colours: PlotColours) -> None:
    """Give a plot's axes and title the text colour."""
    for name in ("left", "bottom"):
        axis = plot.getAxis(name)
        axis.setTextPen(colours.text)
        axis.setPen(colours.grid)


def compact(plots: pg.GraphicsLayoutWidget) -> None:
    """Set small margins, for several plots in a small space."""
    plots.ci.setContentsMargins(2, 2, 6, 2)
    plots.ci.setSpacing(2)
