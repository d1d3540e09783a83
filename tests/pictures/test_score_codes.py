"""Every cell of a picture can be said beforehand, and read back."""

from __future__ import annotations

from typing import get_args

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from lbc.pictures.colour_tables import MAPS, REMOVED_COLOUR, lookup_table
from lbc.pictures.score_codes import (
    BLANK,
    HIGHEST,
    LOWEST,
    REMOVED,
    Colour,
    Fold,
    Summary,
    difference,
    levels,
    margin,
    quantise,
    rank,
    summarise,
    values,
)
from lbc.sparsity.arrays import Floats, by_chunks, put

REMOVED_SCORE = np.float32(-np.inf)


@st.composite
def folds(draw: st.DrawFn) -> Fold:
    outputs = draw(st.integers(1, 5))
    return Fold(outputs, outputs * draw(st.integers(1, 6)), draw(st.integers(1, 40)))


@st.composite
def score_tables(draw: st.DrawFn) -> Floats:
    """Scores with ties and removed combinations, at least one live in each row."""
    shape = (draw(st.integers(1, 5)), draw(st.integers(2, 12)))
    scores = draw(arrays(np.float32, shape, elements=st.sampled_from([-3.0, -1.5, 0, 0.25, 4])))
    removed = draw(arrays(np.bool_, shape))
    removed[:, draw(st.integers(0, shape[1] - 1))] = False
    return np.where(removed, REMOVED_SCORE, scores)


@pytest.mark.parametrize(
    ("cells", "grid"),
    [(1, (1, 1)), (2, (1, 2)), (3, (1, 3)), (4, (2, 2)), (6, (2, 3)), (7, (2, 4)), (8, (2, 4)),
     (12, (3, 4)), (13, (3, 5)), (16, (4, 4)), (28, (5, 6)), (70, (8, 9)), (120, (10, 12))],
)  # fmt: skip
def test_a_block_is_a_near_square_at_least_as_wide_as_high(
    cells: int, grid: tuple[int, int]
) -> None:
    assert Fold(1, 1, cells).grid == grid


@given(st.integers(1, 2000))
def test_a_grid_wastes_less_than_a_column(cells: int) -> None:
    rows, columns = Fold(1, 1, cells).grid
    assert cells <= rows * columns < cells + rows
    assert rows <= columns <= rows + 2


def test_a_picture_of_2_4_drawn_by_hand() -> None:
    codes = np.arange(24, dtype=np.uint8).reshape(4, 6)
    assert Fold(2, 4, 6).apply(codes).tolist() == [
        [0, 1, 2, 6, 7, 8],
        [3, 4, 5, 9, 10, 11],
        [12, 13, 14, 18, 19, 20],
        [15, 16, 17, 21, 22, 23],
    ]


@given(folds(), st.integers(0, 2**32 - 1))
def test_apply_draws_what_naive_loops_draw(fold: Fold, seed: int) -> None:
    codes = np.random.default_rng(seed).integers(1, 256, (fold.blocks, fold.cells), np.uint8)
    rows, columns = fold.grid
    expected = np.full(fold.size, BLANK, dtype=np.uint8)
    for block in range(fold.blocks):
        output, place = divmod(block, fold.blocks // fold.outputs)
        for cell in range(fold.cells):
            down, right = divmod(cell, columns)
            expected[output * rows + down, place * columns + right] = codes[block, cell]
    picture = fold.apply(codes)
    assert picture.dtype == np.uint8 and picture.flags.c_contiguous
    assert np.array_equal(picture, expected)


@given(folds())
def test_locate_finds_what_apply_drew(fold: Fold) -> None:
    marks = np.zeros((fold.blocks, fold.cells), dtype=np.uint8)
    height, width = fold.size
    found = set()
    for y in range(height):
        for x in range(width):
            place = fold.locate(y, x)
            if place is None:
                continue
            found.add(place)
            marks[:] = 0
            marks[place] = 7
            assert fold.apply(marks)[y, x] == 7
    assert found == {(b, c) for b in range(fold.blocks) for c in range(fold.cells)}


@given(folds())
def test_the_corner_of_a_block_is_where_its_first_cell_is(fold: Fold) -> None:
    for block in range(fold.blocks):
        assert fold.locate(*fold.corner(block)) == (block, 0)


@pytest.mark.parametrize("at", [(-1, 0), (0, -1), (4, 0), (0, 12), (3, 3)])
def test_nothing_is_outside_or_on_a_blank_cell(at: tuple[int, int]) -> None:
    assert Fold(2, 6, 7).size == (4, 12)
    assert Fold(2, 6, 7).locate(*at) is None


@given(score_tables())
def test_difference_is_to_the_mean_of_the_live(scores: Floats) -> None:
    shown = difference(scores)
    assert shown.dtype == np.float32
    for row, result in zip(scores.tolist(), shown.tolist(), strict=True):
        live = [score for score in row if score > -np.inf]
        mean = sum(live) / len(live)
        assert result == pytest.approx([score - mean for score in row], abs=1e-5)


@pytest.mark.parametrize("rows", [1, 3, 1 << 15, (1 << 15) + 1])
@pytest.mark.parametrize("cells", [1, 4, 70, 1 << 16])
def test_by_chunks_is_all_at_once(rows: int, cells: int) -> None:
    scores = np.random.default_rng(rows).normal(size=(rows, 3)).astype(np.float32)
    for compute in (difference, margin, lambda some: some.sum(axis=1)):
        chunked = by_chunks(lambda some: compute(scores[some]), rows, cells)  # noqa: B023
        np.testing.assert_array_equal(chunked, compute(scores))


@given(
    score_tables(), st.integers(0, 2**32 - 1), st.sampled_from([-np.inf, np.inf, 0.0, 2.0, np.nan])
)
def test_put_writes_there_and_nowhere_else(scores: Floats, seed: int, value: float) -> None:
    scores = np.asfortranarray(scores)
    scores[np.random.default_rng(seed).random(scores.shape) < 0.1] = np.nan
    there = np.random.default_rng(seed + 1).random(scores.shape) < 0.5
    wanted = np.where(there, np.float32(value), scores)
    assert put(scores, there, value) is scores
    np.testing.assert_array_equal(scores, wanted)


def test_equal_scores_differ_by_exactly_nothing() -> None:
    for count in (3, 6, 70):
        assert not difference(np.full((2, count), 1 / 3, dtype=np.float32)).any()


@given(score_tables())
def test_rank_is_the_place_after_a_stable_sort(scores: Floats) -> None:
    for row, ranks in zip(scores.tolist(), rank(scores).tolist(), strict=True):
        order = sorted(range(len(row)), key=lambda c: -row[c])
        assert [order.index(c) + 1 for c in range(len(row))] == ranks


def test_ties_rank_the_earlier_first_and_removed_ones_last() -> None:
    scores = np.array([[1, 2, -np.inf, 2, 1, -np.inf]], dtype=np.float32)
    assert rank(scores).tolist() == [[3, 1, 5, 2, 4, 6]]
    assert values(scores, "rank").tolist() == [[-3, -1, -np.inf, -2, -4, -np.inf]]
    assert values(scores, "score") is scores
    assert values(scores, "difference").tolist() == [[-0.5, 0.5, -np.inf, 0.5, -0.5, -np.inf]]


@given(score_tables())
def test_margin_is_the_distance_to_the_best_other(scores: Floats) -> None:
    for row, result in zip(scores.tolist(), margin(scores).tolist(), strict=True):
        for c, score in enumerate(row):
            rivals = [s for other, s in enumerate(row) if other != c and s > -np.inf]
            if score == -np.inf:
                assert result[c] == -np.inf
            else:
                assert result[c] == (score - max(rivals) if rivals else np.inf)


@given(score_tables())
def test_a_summary_speaks_for_the_live_cells_of_a_block(scores: Floats) -> None:
    spoken: dict[Summary, Floats] = {
        summary: summarise(scores, summary) for summary in get_args(Summary)
    }
    for block, row in enumerate(scores.tolist()):
        live = sorted((score for score in row if score > -np.inf), reverse=True)
        assert spoken["best"][block] == live[0]
        assert spoken["worst"][block] == live[-1]
        assert spoken["mean"][block] == pytest.approx(sum(live) / len(live), abs=1e-5)
        assert spoken["margin"][block] == (live[0] - live[1] if len(live) > 1 else np.inf)


@given(score_tables(), st.sampled_from(sorted(MAPS)), st.booleans())
def test_removed_cells_and_only_they_have_the_removed_code(
    scores: Floats, colour: Colour, log: bool
) -> None:
    shown = values(scores, colour)
    codes = quantise(shown, *levels(shown, colour), log)
    assert codes.dtype == np.uint8
    assert np.array_equal(codes == REMOVED, scores == -np.inf)
    assert not (codes == BLANK).any()
    live = shown > -np.inf
    order = np.argsort(shown[live], kind="stable")
    assert (np.diff(codes[live][order].astype(int)) >= 0).all()


def test_codes_run_from_the_lowest_level_to_the_highest() -> None:
    shown = np.array([[-9, -1, -0.5, 0, 0.5, 1, 9, -np.inf]], dtype=np.float32)
    assert quantise(shown, -1, 1).tolist() == [[2, 2, 65, 129, 192, 255, 255, REMOVED]]


def test_a_logarithmic_scale_keeps_the_ends_and_the_middle_and_spreads_what_is_small() -> None:
    shown = np.array([[-1, -0.01, 0, 0.01, 0.1, 1]], dtype=np.float32)
    codes = quantise(shown, -1, 1, log=True)[0].tolist()
    assert (codes[0], codes[2], codes[-1]) == (LOWEST, 129, HIGHEST)
    assert codes[3] - codes[2] > 40  # a hundredth of the level, a third of the colours
    assert abs((codes[-1] - codes[4]) - (codes[4] - codes[3])) <= 3  # equal ratios, equal steps
    assert quantise(np.array([[0, 0.01, 1]], np.float32), 0, 1, log=True)[0].tolist() == [
        2,
        90,
        255,
    ]


def test_the_middle_of_the_difference_means_average() -> None:
    shown = np.zeros((1, 4), dtype=np.float32)
    low, high = levels(shown, "difference")
    assert low == -high and high > 0
    assert abs(int(quantise(shown, low, high)[0, 0]) - (LOWEST + HIGHEST) / 2) <= 0.5


def test_levels() -> None:
    scores = np.array([[-2, 1, -np.inf], [0, 1, 3]], dtype=np.float32)
    assert levels(scores, "rank") == (-3.0, -1.0)
    low, high = levels(scores, "difference")
    assert low == -high and high == 3
    assert levels(scores, "score") == (-2, 3)
    assert levels(scores, "score", clip=25) == (0, 1)


def test_one_wild_block_cannot_dim_all_others() -> None:
    scores = np.random.default_rng(0).standard_normal((1000, 6)).astype(np.float32)
    scores[17, 3] = 1e9
    for colour in ("difference", "score"):
        assert levels(scores, colour)[1] < 10


@pytest.mark.parametrize("colour", sorted(MAPS))
@pytest.mark.parametrize("fill", [0.0, 1 / 3, -5.0, 1e30, -np.inf])
def test_levels_are_apart_even_where_all_scores_are_equal(colour: Colour, fill: float) -> None:
    low, high = levels(np.full((3, 6), fill, dtype=np.float32), colour)
    assert low < high


@pytest.mark.parametrize("colour", sorted(MAPS))
def test_a_diverged_search_can_still_be_drawn(colour: Colour) -> None:
    scores = np.array(
        [[np.nan] * 4, [np.inf, -np.inf, 1, 2], [np.inf, np.nan, np.inf, 0], [3e38, -3e38, 0, 1]],
        dtype=np.float32,
    )
    shown = values(scores, colour)
    low, high = levels(shown, colour)
    assert np.isfinite([low, high]).all() and low < high
    codes = quantise(shown, low, high)
    assert not (codes == BLANK).any()


def test_levels_of_a_large_layer_are_near_those_of_all_its_cells() -> None:
    scores = np.random.default_rng(1).standard_normal((40_000, 6)).astype(np.float32)
    low, high = levels(scores, "score")
    exact: npt.NDArray[np.float64] = np.percentile(scores, (0.5, 99.5))
    assert (low, high) == pytest.approx(tuple(exact), rel=0.1)


@pytest.mark.parametrize("colour", sorted(MAPS))
def test_every_code_has_a_colour_and_removed_looks_like_no_level(colour: Colour) -> None:
    table = lookup_table(colour, (1, 2, 3))
    assert table.shape == (256, 3) and table.dtype == np.uint8
    assert tuple(table[BLANK]) == (1, 2, 3)
    assert tuple(table[REMOVED]) == REMOVED_COLOUR
    distance = np.abs(table[LOWEST:].astype(int) - REMOVED_COLOUR).sum(axis=1)
    assert distance.min() > 20
    assert tuple(table[LOWEST]) != tuple(table[HIGHEST])


def test_the_middle_of_the_difference_map_is_light_and_its_ends_are_dark() -> None:
    light = lookup_table("difference", (0, 0, 0)).sum(axis=1, dtype=int)
    assert light[128] > 600 > 300 > max(light[LOWEST], light[HIGHEST])
