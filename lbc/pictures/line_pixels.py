"""Dense lines as pixels. NumPy fills columns four times as fast as Qt draws upright lines."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from lbc.pictures.curve import Floats

Pixels = npt.NDArray[np.uint32]
Rows = npt.NDArray[np.int32]


def fill_spans(
    height: int, tops: Floats, bottoms: Floats, colours: Sequence[int], wide: bool = False
) -> Pixels:
    """A transparent picture, (height, columns), with lines over one another, the last on top.

    ``tops`` and ``bottoms``, (lines, columns), are the heights in pixels between which each line
    fills a column, NaN where it does not. Columns that are neighbours are joined. ``wide``: lines
    are wider by a pixel on every side.
    """
    columns, more = tops.shape[1], int(wide)
    starts, ends = _visible(*_joined(tops, bottoms, height, more), height)
    counts = np.maximum(ends - starts, 0).reshape(-1)
    spans = np.flatnonzero(counts)
    counts, column = counts[spans], spans % columns
    inks = np.repeat(np.asarray(colours, dtype=np.uint32)[spans // (2 * columns)], counts)
    row = np.arange(len(inks))
    row += np.repeat(starts.reshape(-1)[spans] - np.cumsum(counts) + counts, counts)
    pixels = np.zeros((height, columns), dtype=np.uint32)
    for beside in range(-more, more + 1):
        places = np.clip(column + beside, 0, columns - 1)
        pixels.reshape(-1)[row * columns + np.repeat(places, counts)] = inks
    return pixels


def _joined(tops: Floats, bottoms: Floats, height: int, more: int) -> tuple[Rows, Rows]:
    """The first row of every span, extended to meet the span before it, and the row after its end.

    Where there is none they are ``height`` and 0.
    """
    there = ~np.isnan(tops)
    # Beyond the picture, but near enough for an integer.
    ends = (np.clip(np.where(there, at, 0), -2, height + 2) for at in (tops, bottoms))
    first, last = (np.floor(at).astype(np.int32) for at in ends)
    joined = there[:, 1:] & there[:, :-1]
    above, below = first[:, :-1].copy(), last[:, :-1].copy()
    np.minimum(first[:, 1:], below + 1, out=first[:, 1:], where=joined)
    np.maximum(last[:, 1:], above - 1, out=last[:, 1:], where=joined)
    first, end = np.maximum(first - more, 0), np.minimum(last + more + 1, height)
    there &= first < end
    return np.where(there, first, height), np.where(there, end, 0)


def _visible(first: Rows, end: Rows, height: int) -> tuple[Rows, Rows]:
    """The parts of every span above and below what is drawn over it: (lines, 2, columns).

    A picture of many lines has twenty times as many pixels in spans as in sight.
    """
    starts, ends = np.stack([first, first], axis=1), np.stack([end, end], axis=1)
    # What is covered in each column, without gaps: a span apart from it is merely drawn over.
    top, bottom = np.full_like(first[0], height), np.zeros_like(first[0])
    for line in reversed(range(len(first))):
        np.minimum(end[line], top, out=ends[line, 0])
        np.maximum(first[line], bottom, out=starts[line, 1])
        meets = (first[line] <= bottom) & (end[line] >= top)
        meets |= bottom == 0
        np.minimum(top, first[line], out=top, where=meets)
        np.maximum(bottom, end[line], out=bottom, where=meets)
    return starts, ends
