"""Large arrays are computed in chunks and changed on their bits, to the same values."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lbc.sparsity import arrays
from lbc.sparsity.arrays import Array, as_array, by_chunks, percentile, put
from lbc.sparsity.combinations import live_scores, pack
from lbc.sparsity.pattern import Pattern


@pytest.mark.parametrize("rows", [1, 4, 5, 8, 11])
def test_chunks_make_the_whole(rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrays, "CACHED_CELLS", 14)  # four rows of three cells
    whole = np.random.default_rng(0).random((rows, 3), np.float32)
    seen: list[int] = []

    def compute(part: slice) -> Array:
        seen.append(len(whole[part]))
        return whole[part] * 2

    found = by_chunks(compute, rows, 3)
    assert np.array_equal(found, whole * 2)
    assert found.dtype == np.float32 and found.flags.f_contiguous
    assert sum(seen) == rows and max(seen) <= 4
    assert len(by_chunks(compute, rows, 100)) == rows


@pytest.mark.parametrize("value", [-np.inf, 0.0, 1.5, np.nan])
def test_values_are_put_where_they_belong_and_nowhere_else(value: float) -> None:
    scores = np.array([[1.0, -2.0, np.inf], [0.0, -np.inf, 3e-40]], np.float32)
    where = np.array([[True, False, True], [False, True, True]])
    expected = np.where(where, np.float32(value), scores)
    assert put(scores, where, value) is scores
    assert np.array_equal(scores, expected, equal_nan=True)


def test_a_percentile_is_a_value_that_is_there() -> None:
    sample = np.array([5.0, 1.0, 4.0, 2.0, 3.0])
    assert [percentile(sample, at) for at in (0, 25, 50, 80, 100)] == [1, 2, 3, 4, 5]
    assert percentile(np.arange(1001.0), 50) == 500


def test_tensors_become_arrays_that_share_their_memory() -> None:
    tensor = torch.zeros(3, requires_grad=True)
    with torch.no_grad():
        tensor[1] = 7
    assert as_array(tensor).tolist() == [0, 7, 0]
    assert np.shares_memory(as_array(tensor), as_array(tensor.detach()))
    assert as_array(torch.tensor([1.5], dtype=torch.bfloat16)).tolist() == [1.5]
    array = np.zeros(2)
    assert as_array(array) is array


@pytest.mark.parametrize("by_position", [True, False])
def test_live_scores_are_minus_infinity_where_removed(by_position: bool) -> None:
    pattern = Pattern(2, 4)
    random = np.random.default_rng(0)
    known = random.random((9, 4 if by_position else 6), np.float32)
    members = [list(row) for row in pattern.member_array]
    sums = known[:, members].sum(axis=2) if by_position else known.copy()
    live = random.random((9, 6)) < 0.5
    expected = np.where(live, sums, -np.inf)
    found = live_scores(known, pack(live), pattern, by_position)
    assert np.array_equal(found, expected) and found.dtype == np.float32
    whole = np.ones((1, 6), np.bool_)
    complete = live_scores(known, pack(whole), pattern, by_position)
    assert np.array_equal(complete, sums)
    assert found.flags.f_contiguous and not np.shares_memory(complete, known)
