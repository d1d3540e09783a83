"""How wide the columns of the table of runs are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from PySide6.QtGui import QFont, QFontMetrics

from lbc_gui.library.row_painter import PADDING, SWATCH
from lbc_gui.library.runs_model import RunsModel
from lbc_gui.theme import TIGHT

WIDEST = 260
"""A column that needs more gets only what the others leave."""

SAMPLE = 30
"""Rows whose texts decide the width of a column."""


def fitting_widths(
    runs: RunsModel, font: QFont, chosen: Mapping[str, int], least: Sequence[int], room: int
) -> list[int]:
    """Widths as the texts need them, or as the user has ``chosen`` them, by keys.

    No column is narrower than ``least`` says, up to ``WIDEST``. ``room`` is that of all together.
    """
    rows, widths, needed = _sampled_rows(runs), [], []
    for at, column in enumerate(runs.arrangement.columns):
        fixed = chosen.get(column.key) or column.width
        needed.append(fixed or _text_width(runs, at, font, rows))
        widths.append(fixed or min(WIDEST, max(needed[at], least[at])))
    room -= sum(widths)
    for at, width in enumerate(widths):
        more = max(0, min(needed[at] - width, room))
        widths[at] += more
        room -= more
    return widths


def _sampled_rows(runs: RunsModel) -> list[int]:
    """The first rows, and those of runs that cannot be read: these have other texts, and are the
    last in most orders."""
    shown = runs.arrangement
    problems = shown.frame.distinct("problem")[1][shown.rows] >= 0
    unlike = [shown.frame.runs[row].folder for row in shown.rows[problems][:SAMPLE]]
    places = (at for at in map(runs.row_of, unlike) if at is not None)
    return sorted({*range(min(SAMPLE, len(runs.lines))), *places})


def _text_width(runs: RunsModel, at: int, font: QFont, rows: Sequence[int]) -> int:
    """The width that a column needs for its title and its texts in some rows."""
    column, font = runs.arrangement.columns[at], QFont(font)
    font.setBold(column.key == "accuracy")
    texts = [column.title + "  ", *(runs.text(row, at) for row in rows)]
    width = max(map(QFontMetrics(font).horizontalAdvance, texts)) + 2 * PADDING
    return width + SWATCH + TIGHT if column.key == "title" else width
