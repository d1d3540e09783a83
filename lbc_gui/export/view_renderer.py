"""A view as a picture: an image at twice the screen's pixels, or SVG with vector axes and text."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from html import escape
from itertools import groupby
from typing import Protocol, runtime_checkable

import pyqtgraph as pg
from PySide6.QtCore import QBuffer, QIODevice, QPoint, QRect, QRectF, QSize, Qt
from PySide6.QtGui import QFont, QFontInfo, QFontMetrics, QImage, QPainter, QRegion, QTransform
from PySide6.QtSvg import QSvgGenerator
from PySide6.QtWidgets import (
    QGraphicsItem,
    QGraphicsView,
    QScrollBar,
    QStyleOptionGraphicsItem,
    QWidget,
)

from lbc_gui.theme import plot_colours

PIXELS = 2
"""Pixels of an image for each of the screen's, so that it can be printed."""

_MARGIN = 8
_DOTS_PER_METRE = 96 * PIXELS / 0.0254


@dataclass(frozen=True)
class Picture:
    """What is drawn: a title, the legends below it side by side, then the view as it is on screen.

    ``name`` is what a file of it is called; ``height`` how much of the view is shown, from the top,
    where it ends in empty room.
    """

    name: str
    title: str
    view: QWidget
    legends: tuple[QWidget, ...] = ()
    height: int | None = None


@runtime_checkable
class Sharp(Protocol):
    """A widget that shows no more detail than its device has pixels for."""

    def sharpen(self, factor: float) -> None:
        """Draw for a device with ``factor`` times the screen's pixels a side."""


@dataclass(frozen=True)
class Painted:
    """A picture that nothing on screen can change any more."""

    image: QImage
    svg: bytes


@dataclass(frozen=True)
class _Layer:
    """A part of the picture, to be drawn over the parts before, and where it may be seen."""

    clip: QRectF
    draw: Callable[[QPainter], None]


def paint(picture: Picture) -> Painted:
    """Draw a picture in both forms. Its widgets must be laid out, as they are on screen."""
    widgets = [picture.view, *picture.view.findChildren(QWidget)]
    sharp = [widget for widget in widgets if isinstance(widget, Sharp)]
    views = [widget for widget in widgets if isinstance(widget, QGraphicsView)]
    drawn = [item for view in views for item in view.scene().items()]
    items = [item for item in drawn if isinstance(item, pg.GraphicsItem)]
    try:
        for widget in sharp:
            widget.sharpen(PIXELS)
        for item in items:
            item.setExportMode(True, {"antialias": True})
        for view in views:
            if isinstance(view, pg.GraphicsView):
                view.scene().prepareForPaint()  # ranges that have changed since the last frame
        for legend in picture.legends:
            # Its words may have changed with the detail; the layout gives it its place again.
            legend.resize(legend.size().expandedTo(legend.sizeHint()))
        size, layers = _layers(picture)
        return Painted(_image(size, layers), _svg(picture.title, size, layers))
    finally:
        for item in items:
            item.setExportMode(False)
        for widget in sharp:
            widget.sharpen(1)


def _image(size: QSize, layers: list[_Layer]) -> QImage:
    image = QImage(size * PIXELS, QImage.Format.Format_RGB32)
    image.setDevicePixelRatio(PIXELS)
    image.fill(plot_colours().background)
    painter = QPainter(image)
    for layer in layers:
        painter.save()
        painter.setClipRect(layer.clip)
        layer.draw(painter)
        painter.restore()
    painter.end()
    # Only now: while painting it would count as the size of a point of text.
    image.setDotsPerMeterX(round(_DOTS_PER_METRE))
    image.setDotsPerMeterY(round(_DOTS_PER_METRE))
    return image


# -- what there is to draw -------------------------------------------------------------------------


def _layers(picture: Picture) -> tuple[QSize, list[_Layer]]:
    """The size of the whole picture, and its parts, lowest first."""
    width = max(picture.view.width(), 1) + 2 * _MARGIN
    title = QFont(picture.view.font())
    title.setBold(True)
    inner = QRect(_MARGIN, _MARGIN, width - 2 * _MARGIN, 10_000)
    flags = Qt.AlignmentFlag.AlignLeft | Qt.TextFlag.TextWordWrap
    above = QFontMetrics(title).boundingRect(inner, flags, picture.title)
    ink = plot_colours().text

    def write(painter: QPainter) -> None:
        painter.setFont(title)
        painter.setPen(ink)
        painter.drawText(above, flags, picture.title)

    layers = [_Layer(QRectF(0, 0, width, above.bottom() + _MARGIN), write)]
    x, y = _MARGIN, above.bottom() + _MARGIN // 2
    below = y
    for legend in picture.legends:
        layers += _of_widget(legend, QPoint(x, y))
        x += legend.width() + _MARGIN
        below = max(below, y + legend.height())
    corner = QPoint(_MARGIN, below + _MARGIN // 2)
    height = picture.view.height() if picture.height is None else picture.height
    shown = QRectF(corner, QSize(picture.view.width(), height))
    layers += _of_widget(picture.view, corner, shown)
    return QSize(width, corner.y() + height + _MARGIN), layers


def _of_widget(widget: QWidget, at: QPoint, within: QRectF | None = None) -> Iterator[_Layer]:
    """A widget and what lies in it, its top left corner at ``at``."""
    clip = QRectF(at, widget.size())
    clip = clip if within is None else clip & within
    if isinstance(widget, QGraphicsView):
        yield from _of_scene(widget, at, clip)
        return

    def draw(painter: QPainter) -> None:
        # The widget alone: its children are layers of their own, graphics views by their items.
        widget.render(painter, at, QRegion(), QWidget.RenderFlag(0))

    yield _Layer(clip, draw)
    for child in widget.children():
        if isinstance(child, QWidget) and not (
            child.isHidden() or child.isWindow() or isinstance(child, QScrollBar)
        ):
            yield from _of_widget(child, at + child.pos(), clip)


def _of_scene(view: QGraphicsView, at: QPoint, clip: QRectF) -> Iterator[_Layer]:
    """A graphics view by its items, those side by side that share a clip together."""
    place = view.viewportTransform() * QTransform.fromTranslate(at.x(), at.y())
    ascending = view.scene().items(Qt.SortOrder.AscendingOrder)
    roots = [item for item in ascending if item.parentItem() is None]
    drawn = _in_order(roots, clip, place)
    for shared, run in groupby(drawn, key=lambda pair: pair[1]):
        items = [item for item, _ in run]

        def draw(painter: QPainter, items: list[QGraphicsItem] = items) -> None:
            for item in items:
                painter.save()
                painter.setTransform(item.sceneTransform() * place, True)
                painter.setOpacity(item.effectiveOpacity())
                option = QStyleOptionGraphicsItem()
                option.exposedRect = item.boundingRect()
                item.paint(painter, option, None)
                painter.restore()

        yield _Layer(shared, draw)


def _in_order(
    items: list[QGraphicsItem], clip: QRectF, place: QTransform
) -> Iterator[tuple[QGraphicsItem, QRectF]]:
    """Items in the order they are painted, children over their parents, and where they are seen."""
    for item in sorted(items, key=lambda item: item.zValue()):
        if not item.isVisible():
            continue
        flag = QGraphicsItem.GraphicsItemFlag
        behind = [child for child in item.childItems() if _is_behind(child)]
        before = [child for child in item.childItems() if not _is_behind(child)]
        inside = clip
        if item.flags() & flag.ItemClipsChildrenToShape:
            shape = item.sceneTransform().mapRect(item.shape().boundingRect())
            inside = clip & place.mapRect(shape)
        yield from _in_order(behind, inside, place)
        if not item.flags() & flag.ItemHasNoContents:
            yield item, clip
        yield from _in_order(before, inside, place)


def _is_behind(item: QGraphicsItem) -> bool:
    flag = QGraphicsItem.GraphicsItemFlag
    negative = item.flags() & flag.ItemNegativeZStacksBehindParent and item.zValue() < 0
    return bool(item.flags() & flag.ItemStacksBehindParent or negative)


# -- SVG -------------------------------------------------------------------------------------------


def _svg(title: str, size: QSize, layers: list[_Layer]) -> bytes:
    """Every layer by itself: Qt's generator cannot take a clip back, and cannot write one as SVG
    Tiny, so that each clip is written around what it clips."""
    width, height = size.width(), size.height()
    ground = plot_colours().background.name()
    parts = [
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
        f'width="{width}" height="{height}" viewBox="0 0 {width} {height}">\n'
        f"<title>{escape(title)}</title>\n"
        f'<rect width="{width}" height="{height}" fill="{ground}"/>\n'
    ]
    for number, layer in enumerate(layers):
        clip = layer.clip
        where = f'x="{clip.x():g}" y="{clip.y():g}"'
        extent = f'width="{clip.width():g}" height="{clip.height():g}"'
        parts.append(
            f'<clipPath id="clip{number}"><rect {where} {extent}/></clipPath>\n'
            f'<g clip-path="url(#clip{number})">\n'
            f"{_fragment(layer, size, f'layer{number}-')}</g>\n"
        )
    parts.append("</svg>\n")
    return "".join(parts).encode()


def _fragment(layer: _Layer, size: QSize, prefix: str) -> str:
    """What Qt writes for a layer, less the head; all ids begin with ``prefix``."""
    buffer = QBuffer()
    buffer.open(QIODevice.OpenModeFlag.WriteOnly)
    generator = QSvgGenerator()
    generator.setOutputDevice(buffer)
    generator.setSize(size)
    generator.setResolution(QImage(1, 1, QImage.Format.Format_RGB32).logicalDpiX())
    painter = QPainter(generator)
    layer.draw(painter)
    painter.end()
    text = bytes(buffer.data().data()).decode()
    text = text[text.index("<defs>") : text.rindex("</svg>")]
    text = re.sub(r'\bid="', f'id="{prefix}', text).replace("url(#", f"url(#{prefix}")
    # A browser knows no family "Sans Serif", and would smooth the cells of a heatmap.
    text = re.sub(r'font-family="([^"]*)"', lambda found: _family(found[1]), text)
    pixelated = 'style="image-rendering: pixelated"'
    return text.replace('image-rendering="optimizeSpeed"', pixelated)


def _family(asked: str) -> str:
    """The family that stood for the one asked for, whose widths the text was laid out with."""
    return f'font-family="{QFontInfo(QFont(asked)).family()}, sans-serif"'
