"""Every mask that leaves two of S positions empty is computed by overlapping windows of four."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lbc.sparsity.arrays import Bools
from lbc.sparsity.pattern import Pattern
from lbc.sparsity.sliding_windows import window_block, window_bound, windows


def covered(taken: Bools) -> Bools:
    """How often each position is computed: int (blocks, S)."""
    blocks, number, _ = taken.shape
    times = np.zeros((blocks, 2 * number + 2), np.int64)
    for i in range(number):
        times[:, 2 * i : 2 * i + 4] += taken[:, i]
    return times


@pytest.mark.parametrize("size", [4, 6, 8, 10, 12, 14])
def test_every_mask_fits_the_windows(size: int) -> None:
    kept = np.array(list(itertools.product([False, True], repeat=size)))
    kept = kept[kept.sum(axis=1) <= size - 2]
    taken = windows(kept)
    assert taken.shape == (len(kept), size // 2 - 1, 4)
    assert taken.sum(axis=2).max() == 2
    assert np.array_equal(covered(taken), kept)


@given(st.integers(2, 40), st.integers(0, 2**32 - 1), st.floats(0, 1))
def test_masks_of_wide_blocks_fit_too(half: int, seed: int, share: float) -> None:
    dice = np.random.default_rng(seed)
    kept = dice.random((30, 2 * half)) < share
    over = kept.sum(axis=1) - (2 * half - 2)
    for row, more in zip(kept, over, strict=True):
        row[dice.permutation(np.flatnonzero(row))[: max(0, more)]] = False
    taken = windows(kept)
    assert np.array_equal(covered(taken), kept) and taken.sum(axis=2).max() <= 2


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="more than 4 of 6 weights"):
        windows(np.array([[True] * 5 + [False]]))
    for width in (2, 5):
        with pytest.raises(ValueError, match=f"even width from 4 on, not of {width}"):
            windows(np.zeros((1, width), np.bool_))


@pytest.mark.parametrize(
    ("pattern", "size", "bound"),
    [
        ("2:4", 4, 2), ("1:2", 4, 2), ("1:6", 4, 2), ("1:16", 4, 2), ("2:4x2", 4, 2),
        ("4:6", 6, 3 / 2), ("6:8", 8, 4 / 3), ("8:10", 10, 5 / 4), ("10:12", 12, 6 / 5),
        ("4:8", 8, 4 / 3), ("3:4", 8, 4 / 3), ("2:3", 6, 3 / 2), ("7:8", 16, 8 / 7),
        ("3:6", 6, 3 / 2), ("8:16", 16, 8 / 7), ("4:8x2", 8, 4 / 3), ("4:12", 6, 3 / 2),
    ],
)  # fmt: skip
def test_the_narrowest_block_of_windows_is_found(pattern: str, size: int, bound: float) -> None:
    at = Pattern.parse(pattern)
    assert window_block(at) == size
    assert window_bound(at) == pytest.approx(bound)
    # All masks of two neighbouring blocks fit windows of that size, and of none that is smaller.
    one = at.incidence_array[:: max(1, at.count // 60)]
    rows = np.concatenate([np.array(pair).reshape(1, -1) for pair in itertools.product(one, one)])
    taken = windows(rows.reshape(-1, size))
    assert np.array_equal(covered(taken), rows.reshape(-1, size))
    for smaller in (s for s in range(4, size, 2) if 2 * at.m % s == 0):
        assert at.most_in(smaller) > smaller - 2


@given(st.integers(2, 12), st.integers(1, 3), st.integers(2, 14), st.data())
def test_the_most_in_a_window_is_that_of_all_masks(
    groups: int, width: int, size: int, data: st.DataObject
) -> None:
    pattern = Pattern(data.draw(st.integers(1, groups - 1)) * width, groups * width, width)
    most = 0
    for start in range(0, np.lcm(pattern.m, size), size):
        places = np.arange(start, start + size)
        blocks = [places[places // pattern.m == b] % pattern.m for b in set(places // pattern.m)]
        held = (int(pattern.incidence_array[:, part].sum(axis=1).max()) for part in blocks)
        most = max(most, sum(held))
    assert pattern.most_in(size) == most


def test_bounds_of_the_widest_patterns_are_found_at_once() -> None:
    assert window_block(Pattern(4095, 4096)) == 8192
    assert window_block(Pattern(2048, 4096)) == 4096
