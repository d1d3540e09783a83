"""Codes of masks against plain loops over blocks and positions."""

from __future__ import annotations

from math import inf

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lbc.pictures.colour_keys import winner_codes
from lbc.pictures.mask_colours import GAINED, LOST, SAME, compare, furthest
from lbc.pictures.score_codes import HIGHEST, LOWEST, REMOVED, Fold
from lbc.sparsity.pattern import Pattern


@given(st.lists(st.lists(st.sampled_from([-inf, -2.0, -1.0, 0.5, 1.0]), min_size=3, max_size=3)))
def test_a_block_shows_its_weight_furthest_from_zero(rows: list[list[float]]) -> None:
    found = furthest(np.array(rows, np.float32).reshape(-1, 3))
    for row, value in zip(rows, found.tolist(), strict=True):
        sizes = [abs(one) for one in row if one > -inf]
        assert abs(value) == max(sizes, default=0.0)
        assert value in row or not sizes


def test_two_masks_have_four_kinds_of_positions() -> None:
    before = np.array([[True, True, False, False]])
    after = np.array([[True, False, True, False]])
    assert compare(before, after).tolist() == [[SAME, LOST, GAINED, REMOVED]]


@pytest.mark.parametrize("pattern", [Pattern(2, 4), Pattern(1, 8), Pattern(4, 8), Pattern(4, 16)])
def test_every_combination_has_a_colour_code_in_order(pattern: Pattern) -> None:
    codes = winner_codes(np.arange(pattern.count), pattern).astype(int)
    assert codes[0] == LOWEST
    assert codes[-1] <= HIGHEST
    assert (np.diff(codes) >= 0).all()
    assert len(set(codes)) == min(pattern.count, HIGHEST - LOWEST + 1)


@given(st.integers(1, 4), st.integers(1, 3), st.sampled_from([2, 4, 8]))
def test_weights_in_a_row_are_drawn_in_their_own_order(outputs: int, groups: int, m: int) -> None:
    fold = Fold(outputs, outputs * groups, m, in_row=True)
    codes = np.arange(outputs * groups * m, dtype=np.uint8).reshape(-1, m)
    picture = fold.apply(codes)
    assert np.array_equal(picture, codes.reshape(outputs, groups * m))  # a Linear weight itself
    for (y, x), code in np.ndenumerate(picture):
        assert fold.locate(y, x) == divmod(int(code), m)
