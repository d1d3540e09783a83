"""What is handed to the screen, held against naive loops."""

from __future__ import annotations

from typing import get_args

import numpy as np
import numpy.typing as npt
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from lbc.heatmap import Summary
from lbc_gui.detail import detail, reduce_codes

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
