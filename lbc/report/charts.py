"""Charts as inline SVG whose colours the page's style gives, so that light and dark both fit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from html import escape
from math import ceil, floor, inf, isfinite, log10

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

WIDTH, HEIGHT = 520.0, 230.0
LEFT, RIGHT, TOP, BOTTOM = 52.0, 12.0, 22.0, 38.0

MOST_POINTS = 1000
"""Longer lines are drawn as the lowest and highest value of so many halves as this."""

LOG_FROM = 5
"""Values that span less than this are drawn on a linear axis, where more ticks fit."""


@dataclass(frozen=True, eq=False)
class Line:
    """Values over x; what is not finite leaves a gap. ``style`` is a class of the page's style."""

    label: str
    x: Floats
    y: Floats
    style: str
    dots: bool = False
    steps: bool = False


@dataclass(frozen=True)
class Axis:
    """What an axis says and where it ends; ``low`` and ``high`` None: where the values end.

    The values' ends get a margin, which stays within ``bounds``.
    ``log``: logarithmic where positive values span enough for it; the others then leave gaps.
    """

    label: str
    low: float | None = None
    high: float | None = None
    log: bool = False
    bounds: tuple[float, float] = (-inf, inf)


@dataclass(frozen=True)
class _Scale:
    """Values of one axis → SVG units."""

    low: float
    high: float
    start: float
    end: float
    log: bool

    def __call__(self, value: float) -> float:
        low, high, at = self.low, self.high, value
        if self.log:
            low, high, at = log10(low), log10(high), log10(at)
        return self.start + (at - low) / (high - low) * (self.end - self.start)

    def ticks(self) -> list[float]:
        return _log_ticks(self.low, self.high) if self.log else _ticks(self.low, self.high)


def line_chart(title: str, lines: Sequence[Line], x: Axis, y: Axis) -> str:
    """Lines over a common x, with a legend where there are several."""
    lines = [_thinned(line) for line in lines]
    horizontal = _scale(x, [line.x for line in lines], LEFT, WIDTH - RIGHT)
    vertical = _scale(y, [line.y for line in lines], HEIGHT - BOTTOM, TOP)
    parts = [_frame(horizontal, vertical, x.label, y.label)]
    parts += [_path(line, horizontal, vertical) for line in lines]
    if len(lines) > 1:
        parts.append(_legend(lines))
    return _svg(title, parts)


def bar_chart(
    title: str,
    counts: Sequence[int],
    names: Sequence[str],
    labels: Sequence[str],
    expected: tuple[float, float],
    axes: tuple[str, str],
    colours: Sequence[str] = (),
) -> str:
    """A bar for every count, with the expected mean as a line and ± 2 deviations as a band.

    ``names`` go into the bars' tooltips, ``labels`` below them, as many as there is room for.
    ``colours`` are CSS colours of the bars, instead of the page's.
    """
    mean, deviation = expected
    top = 1.05 * max(*counts, mean + 2 * deviation, 1e-9)
    vertical = _Scale(0, top, HEIGHT - BOTTOM, TOP, False)
    room = (WIDTH - RIGHT - LEFT) / len(counts)
    parts = [_frame(None, vertical, *axes)]
    high, low = vertical(min(mean + 2 * deviation, top)), vertical(max(mean - 2 * deviation, 0))
    parts.append(
        f'<rect class="band" x="{LEFT}" y="{high:.1f}" width="{WIDTH - RIGHT - LEFT:.1f}" '
        f'height="{low - high:.1f}"/>'
    )
    gap = min(0.2 * room, 6)
    for k, count in enumerate(counts):
        y = vertical(count)
        fill = f' style="fill:{colours[k]}"' if colours else ""
        parts.append(
            f'<rect class="bar"{fill} x="{LEFT + k * room + gap / 2:.2f}" y="{y:.1f}" '
            f'width="{room - gap:.2f}" height="{HEIGHT - BOTTOM - y:.1f}">'
            f"<title>{escape(names[k])}: {count:,} (expected {mean:,.1f})</title></rect>"
        )
    y = vertical(mean)
    parts.append(f'<path class="expected" d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}"/>')
    widest = max(len(label) for label in labels) * 8.5 + 4
    every = ceil(widest / room)
    below = HEIGHT - BOTTOM + 14
    named = range(0, len(counts), every)
    parts += [_text(LEFT + (k + 0.5) * room, below, labels[k], "middle") for k in named]
    return _svg(title, parts)


def small_bars(counts: Sequence[int], mean: float, colours: Sequence[str] = ()) -> str:
    """Bars without words, for a cell of a table; the line is the expected mean."""
    top = max(*counts, mean, 1e-9)
    width, height = 120.0, 26.0
    room = width / len(counts)
    gap = 0.15 * room if room > 4 else 0
    bars = [
        f"M{k * room + gap / 2:.2f} {height}v{-count / top * height:.2f}h{room - gap:.2f}V{height}z"
        for k, count in enumerate(counts)
    ]
    if colours:
        pairs = zip(bars, colours, strict=True)
        paths = "".join(f'<path style="fill:{colour}" d="{bar}"/>' for bar, colour in pairs)
    else:
        paths = f'<path class="bar" d="{"".join(bars)}"/>'
    y = height - mean / top * height
    return (
        f'<svg class="small" viewBox="0 0 {width:g} {height:g}" aria-hidden="true">'
        f'{paths}<path class="expected" d="M0 {y:.2f}H{width:g}"/></svg>'
    )


def _svg(title: str, parts: list[str]) -> str:
    return (
        f'<svg class="chart" viewBox="0 0 {WIDTH:g} {HEIGHT:g}" role="img">'
        f"<title>{escape(title)}</title>{''.join(parts)}</svg>"
    )


def _scale(axis: Axis, values: Sequence[Floats], start: float, end: float) -> _Scale:
    together = np.concatenate([*values, np.empty(0)])
    good = together[np.isfinite(together) & ((together > 0) | (not axis.log))]
    low = axis.low if axis.low is not None else float(good.min()) if len(good) else 0.1
    high = axis.high if axis.high is not None else float(good.max()) if len(good) else 1.0
    log = axis.log and high >= LOG_FROM * low
    if axis.high is None and log:
        low, high = low / 1.1, high * 1.1
    elif axis.high is None:
        margin = 0.05 * (high - low) or 0.05 * abs(high) or 1.0  # all values may be the same
        low = low if axis.low is not None else max(low - margin, axis.bounds[0])
        high = min(high + margin, axis.bounds[1])
    if high <= low:
        high = low + max(1e-9, abs(low), 1.0)
    return _Scale(low, high, start, end, log)


def _frame(horizontal: _Scale | None, vertical: _Scale, x_label: str, y_label: str) -> str:
    parts = []
    for tick in vertical.ticks():
        y = vertical(tick)
        parts.append(f'<path class="grid" d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}"/>')
        parts.append(_text(LEFT - 6, y + 3.5, f"{tick:,g}", "end"))
    for tick in horizontal.ticks() if horizontal else ():
        assert horizontal is not None
        x = horizontal(tick)
        parts.append(f'<path class="grid" d="M{x:.1f} {TOP}V{HEIGHT - BOTTOM}"/>')
        parts.append(_text(x, HEIGHT - BOTTOM + 14, f"{tick:,g}", "middle"))
    parts.append(f'<path class="axis" d="M{LEFT} {TOP}V{HEIGHT - BOTTOM}H{WIDTH - RIGHT}"/>')
    parts.append(_text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 6, x_label, "middle"))
    parts.append(_text(4, 12, y_label, "start", "label"))
    return "".join(parts)


def _path(line: Line, horizontal: _Scale, vertical: _Scale) -> str:
    moves, dots, pen = [], [], "M"
    for x, y in zip(line.x.tolist(), line.y.tolist(), strict=True):
        if not isfinite(y) or (vertical.log and y <= 0):
            pen = "M"
            continue
        a, b = horizontal(x), vertical(y)
        if pen == "L" and line.steps:
            moves.append(f"H{a:.1f}V{b:.1f}")
        else:
            moves.append(f"{pen}{a:.1f} {b:.1f}")
        pen = "L"
        if line.dots:
            dots.append(f'<circle class="{line.style}" cx="{a:.1f}" cy="{b:.1f}" r="2.4"/>')
    return f'<path class="line {line.style}" d="{"".join(moves)}"/>{"".join(dots)}'


def _legend(lines: Sequence[Line]) -> str:
    parts, x = [], WIDTH - RIGHT
    for line in reversed(lines):
        x -= 6.2 * len(line.label)
        parts.append(_text(x, 12, line.label, "start"))
        parts.append(f'<path class="line {line.style}" d="M{x - 20:.1f} 8h15"/>')
        x -= 30
    return "".join(parts)


def _text(x: float, y: float, text: str, anchor: str, style: str = "tick") -> str:
    return (
        f'<text class="{style}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">'
        f"{escape(text)}</text>"
    )


def _ticks(low: float, high: float, about: int = 5) -> list[float]:
    """Multiples of 1, 2 or 5 times a power of ten."""
    raw = (high - low) / about
    power = 10.0 ** floor(log10(raw))
    step = next(power * k for k in (1, 2, 5, 10) if power * k >= raw * 0.999)
    first, last = ceil(low / step - 1e-9), floor(high / step + 1e-9)
    return [round(k * step, 12) for k in range(first, last + 1)]


def _log_ticks(low: float, high: float) -> list[float]:
    """Powers of ten, and twice and five times them where those are few."""
    powers = range(floor(log10(low)), ceil(log10(high)) + 1)
    if len(powers) > 4:
        every = ceil(len(powers) / 6)
        return [10.0**p for p in powers if p % every == 0 and low <= 10.0**p <= high]
    ticks = [k * 10.0**p for p in powers for k in (1, 2, 5)]
    return [float(f"{tick:g}") for tick in ticks if low <= tick <= high]


def _thinned(line: Line) -> Line:
    """No more points than can be seen: the extremes of stretches of equal length."""
    if len(line.x) <= MOST_POINTS:
        return line
    edges = np.linspace(0, len(line.x), MOST_POINTS // 2 + 1).astype(int)[:-1]
    good = np.where(np.isfinite(line.y), line.y, np.nan)
    pairs = np.stack((np.fmin.reduceat(good, edges), np.fmax.reduceat(good, edges)), axis=1)
    return replace(line, x=np.repeat(line.x[edges], 2), y=pairs.ravel())
