"""What is handed to the screen, held against naive loops."""

from __future__ import annotations

from typing import get_args

import numpy as np
import numpy.typing as npt
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PySide6.QtGui import QColor, QImage, QPainter
from PySide6.QtWidgets import QStyleOptionGraphicsItem
from pytestqt.qtbot import QtBot

from lbc.pictures.level_of_detail import Detail, detail, reduce_codes
from lbc.pictures.score_codes import Summary
from lbc_gui.heatmap.cells_view import Cells

Codes = npt.NDArray[np.uint8]
pictures = hnp.arrays(np.uint8, hnp.array_shapes(min_dims=2, max_dims=2, max_side=40))


@given(pictures, st.integers(1, 9), st.integers(1, 9), st.sampled_from(get_args(Summary)))
def test_a_reduced_cell_speaks_for_its_cells(
    codes: Codes, rows: int, columns: int, summary: Summary
) -> None:
    height, width = codes.shape
    reduced = reduce_codes(codes, rows, columns, summary)
    assert reduced.dtype == np.uint8
    assert reduced.shape == (-(-height // rows), -(-width // columns))
    for (y, x), code in np.ndenumerate(reduced):
        cells = codes[y * rows : (y + 1) * rows, x * columns : (x + 1) * columns]
        match summary:
            case "best":
                assert code == cells.max()
            case "worst":
                assert code == cells.min()
            case "mean" | "margin":
                assert abs(code - cells.mean()) <= 0.5


@given(
    pictures,
    st.floats(-10, 50),
    st.floats(-10, 50),
    st.floats(0.5, 60),
    st.floats(0.5, 60),
    st.integers(1, 60),
    st.integers(1, 60),
)
def test_a_part_shows_the_right_cells_in_the_right_place(
    codes: Codes, x0: float, y0: float, wide: float, high: float, width: int, height: int
) -> None:
    part = detail(codes, x0, y0, x0 + wide, y0 + high, width, height)
    if part.codes.size == 0:
        assert x0 + wide <= 0 or y0 + high <= 0 or x0 >= codes.shape[1] or y0 >= codes.shape[0]
        return
    rows, columns = part.height // part.codes.shape[0], part.width // part.codes.shape[1]
    for y, x in np.ndindex(part.codes.shape):
        top, left = part.y + y * rows, part.x + x * columns
        assert part.codes[y, x] == codes[top : top + rows, left : left + columns].max()
    # Everything visible is covered, and never with more cells than pixels (plus the cut edges).
    assert part.x <= max(0, x0)
    assert part.y <= max(0, y0)
    assert part.x + part.width >= min(codes.shape[1], x0 + wide)
    assert part.y + part.height >= min(codes.shape[0], y0 + high)
    assert part.codes.shape[0] <= height + 2
    assert part.codes.shape[1] <= width + 2


def test_at_full_zoom_every_cell_is_exact() -> None:
    codes = np.arange(200, dtype=np.uint8).reshape(10, 20)
    part = detail(codes, 3.2, 2.7, 9.9, 6.1, 500, 500)
    assert np.array_equal(part.codes, codes[2:7, 3:10])
    assert (part.x, part.y, part.width, part.height) == (3, 2, 7, 5)


def test_every_cell_is_drawn_in_its_colour_from_edge_to_edge(qtbot: QtBot) -> None:
    numbers = np.random.default_rng(0)
    for rows, columns in ((1, 1), (3, 7), (12, 5), (40, 31)):
        codes = numbers.integers(0, 256, (rows, columns), dtype=np.uint8)
        table = numbers.integers(0, 256, (256, 3), dtype=np.uint8)
        cells = Cells()
        cells.show_part(Detail(codes, 0, 0, 5 * columns, 4 * rows), table)
        image = QImage(5 * columns, 4 * rows, QImage.Format.Format_RGB32)
        painter = QPainter(image)
        cells.paint(painter, QStyleOptionGraphicsItem())
        painter.end()
        for y in range(image.height()):
            for x in range(image.width()):
                wanted = QColor(*table[codes[y // 4, x // 5]].tolist())
                assert image.pixelColor(x, y) == wanted
