"""Dense lines as pixels, compared with naive loops."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from hypothesis import given
from hypothesis import strategies as st

from lbc.pictures.line_pixels import fill_spans

Floats = npt.NDArray[np.float64]
WIDTH, HEIGHT = 9, 12

ends = st.tuples(st.floats(-30, 30), st.floats(0, 9)).map(lambda pair: (pair[0], sum(pair)))
spans = st.lists(ends | st.just((np.nan, np.nan)), min_size=WIDTH, max_size=WIDTH)


@given(spans)
def test_a_line_covers_its_spans_and_what_joins_neighbours(
    pairs: list[tuple[float, float]],
) -> None:
    tops, bottoms = np.array(pairs).T
    picture = fill_spans(HEIGHT, tops[None], bottoms[None], [0xFF0000FF])
    assert picture.shape == (HEIGHT, WIDTH)
    for column, (top, bottom) in enumerate(pairs):
        filled = np.flatnonzero(picture[:, column])
        inside = [row for row in range(HEIGHT) if np.floor(top) <= row <= np.floor(bottom)]
        assert set(inside) <= set(filled)
        if np.isnan(top):
            assert not len(filled)
            continue
        assert not len(filled) or np.array_equal(filled, np.arange(filled[0], filled[-1] + 1))
        beside = [*pairs[max(column - 1, 0) : column], (top, bottom)]
        whole = [row for pair in beside if not np.isnan(pair[0]) for row in pair]
        assert all(np.floor(min(whole)) <= row <= np.floor(max(whole)) for row in filled)
    for column in range(1, WIDTH):  # no row is missing between neighbours
        if not np.isnan([pairs[column][0], pairs[column - 1][0]]).any():
            rows = np.flatnonzero(picture[:, column - 1 : column + 1].any(axis=1))
            assert not len(rows) or len(rows) == rows[-1] - rows[0] + 1


@given(st.lists(spans, min_size=1, max_size=6), st.booleans())
def test_lines_cover_those_before_them(lines: list[list[tuple[float, float]]], wide: bool) -> None:
    tops, bottoms = np.array(lines).transpose(2, 0, 1)
    naive = np.zeros((HEIGHT, WIDTH), dtype=np.uint32)
    for line in range(len(lines)):
        alone = fill_spans(HEIGHT, tops[[line]], bottoms[[line]], [line + 1], wide)
        naive[alone > 0] = line + 1
    found = fill_spans(HEIGHT, tops, bottoms, range(1, len(lines) + 1), wide)
    if not wide:  # a wide one is drawn column by column
        assert np.array_equal(found, naive)
    assert np.array_equal(found > 0, naive > 0)


def test_the_last_line_is_on_top_and_a_wide_one_covers_more() -> None:
    row, dot = np.full(5, 2.5), np.where(np.arange(5) == 2, 2.0, np.nan)
    both = np.array([row, dot])
    assert fill_spans(5, both, both, [1, 7])[2].tolist() == [1, 1, 7, 1, 1]
    assert fill_spans(5, dot[None], dot[None], [7], wide=True).tolist() == [
        [0, 0, 0, 0, 0],
        [0, 7, 7, 7, 0],
        [0, 7, 7, 7, 0],
        [0, 7, 7, 7, 0],
        [0, 0, 0, 0, 0],
    ]
    assert not fill_spans(5, np.full((1, 5), np.nan), np.full((1, 5), np.nan), [7]).any()
