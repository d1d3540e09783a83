"""The formulas without torch: against plain loops, and bit for bit against those in torch."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from torch import nn

from lbc.sparsity import combinations, live_sets
from lbc.sparsity.arrays import Array, Bools, Floats, as_array
from lbc.sparsity.combinations import (
    index_of,
    keep_best,
    member_sums,
    members_mask,
    pack,
    row_counts,
    union,
    unpack,
    winners,
)
from lbc.sparsity.largest import largest
from lbc.sparsity.pattern import Pattern
from lbc.sparsity.sparsification import sparsify

PATTERNS = [
    Pattern(1, 2), Pattern(2, 4), Pattern(1, 8), Pattern(4, 8), Pattern(4, 16), Pattern(4, 8, 2),
    Pattern(6, 9, 3),
]  # fmt: skip

patterns = st.sampled_from(PATTERNS)
seeds = st.integers(0, 2**32 - 1)


@st.composite
def live_bits(draw: st.DrawFn) -> tuple[Pattern, Bools]:
    pattern = draw(patterns)
    shape = draw(st.integers(1, 6)), pattern.count
    share = draw(st.sampled_from([0.0, 0.1, 0.5, 1.0]))
    return pattern, np.random.default_rng(draw(seeds)).random(shape) < share


@st.composite
def contests(draw: st.DrawFn) -> tuple[Floats, int]:
    """Scores full of ties, some of them removed, and how many to keep."""
    shape = draw(st.integers(1, 6)), draw(st.integers(1, 20))
    elements = st.sampled_from([-np.inf, -2.0, -1.0, 0.0, 0.5, np.inf])
    return draw(arrays(np.float32, shape, elements=elements)), draw(st.integers(1, shape[1]))


@given(patterns)
def test_members_and_incidence_are_those_of_torch(pattern: Pattern) -> None:
    of = itertools.combinations(range(0, pattern.m, pattern.width), pattern.n // pattern.width)
    expected = [[first + at for first in held for at in range(pattern.width)] for held in of]
    assert pattern.member_array.tolist() == expected
    assert np.array_equal(pattern.members.numpy(), pattern.member_array)
    assert np.array_equal(pattern.incidence().numpy(), pattern.incidence_array)
    for array in (pattern.member_array, pattern.incidence_array):
        assert not array.flags.writeable
    assert pattern.incidence_array.dtype == np.bool_


@given(live_bits())
def test_live_bits_are_packed_as_torch_packs_them(case: tuple[Pattern, Bools]) -> None:
    pattern, live = case
    packed = pack(live)
    assert np.array_equal(packed, live_sets.pack(torch.from_numpy(live)).numpy())
    assert np.array_equal(unpack(packed, pattern.count), live)
    unpacked = live_sets.unpack(torch.from_numpy(packed), pattern.count)
    assert np.array_equal(unpacked.numpy(), live)


@given(live_bits(), st.sampled_from([1, 1 << 20]))
def test_the_union_is_what_any_live_combination_holds(
    case: tuple[Pattern, Bools], cells: int
) -> None:
    pattern, live = case
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(combinations, "CHUNK_CELLS", cells)
        held = union(pack(live), pattern)
    for row, flags in zip(live, held, strict=True):
        members = pattern.member_array[row]
        assert np.flatnonzero(flags).tolist() == sorted(set(members.ravel().tolist()))


@given(patterns, seeds, st.booleans())
def test_sums_over_members_are_those_of_training_to_the_last_bit(
    pattern: Pattern, seed: int, ties: bool
) -> None:
    sparsifier = sparsify(nn.Linear(4 * pattern.m, 3), str(pattern), scores="per_weight")
    layer, generator = sparsifier.layers[""], torch.Generator().manual_seed(seed)
    beta = layer.score_parameter().detach()
    beta.copy_(torch.randn(beta.shape, generator=generator))
    if ties:
        beta.copy_(beta.mul(2).round().div(10))  # tenths, which no sum of floats holds exactly
    values = pattern.to_blocks(beta)
    sums = member_sums(values.numpy(), pattern)
    assert np.array_equal(sums, layer.block_scores(slice(None)).numpy())
    assert np.array_equal(winners(sums), layer.winners().numpy())
    rows = zip(values.tolist(), sums.tolist(), strict=True)
    exact = [
        [sum(row[j] for j in held) for held in pattern.member_array.tolist()] for row, _ in rows
    ]
    np.testing.assert_allclose(sums, exact, atol=1e-5)


@given(contests())
def test_the_best_are_kept_as_torch_keeps_them(contest: tuple[Floats, int]) -> None:
    scores, live = contest
    kept = keep_best(scores, live)
    assert np.array_equal(kept, live_sets.keep_best(torch.from_numpy(scores), live).numpy())
    for row, flags in zip(scores.tolist(), kept.tolist(), strict=True):
        best = sorted(range(len(row)), key=lambda c: -row[c])[:live]  # sorted is stable
        assert [c for c, flag in enumerate(flags) if flag] == sorted(
            c for c in best if row[c] > -np.inf
        )


@given(
    arrays(
        np.float32,
        st.tuples(st.integers(1, 60), st.sampled_from([1, 3, 6, 256, 300])),
        elements=st.sampled_from([-np.inf, -1.0, 0.0, 0.5, 2.0]),
    ),
    st.sampled_from([1, 100]),
)
def test_the_winner_is_the_earliest_of_the_best(scores: Floats, copies: int) -> None:
    scores = np.tile(scores, (copies, 1))  # many rows take another way
    for order in (scores, np.asfortranarray(scores)):
        assert winners(order).tolist() == scores.argmax(axis=1).tolist()


@pytest.mark.parametrize("pattern", PATTERNS, ids=str)
def test_a_mask_and_its_combination_lead_to_each_other(pattern: Pattern) -> None:
    every = np.arange(pattern.count)
    kept = members_mask(every, pattern)
    assert np.array_equal(kept, pattern.incidence_array)
    found = index_of(kept, pattern)
    assert found is not None
    assert found.tolist() == every.tolist()
    assert pattern.index_of(torch.from_numpy(kept)).tolist() == every.tolist()


def test_a_mask_that_is_not_decided_is_no_combination() -> None:
    kept = np.array([[True, True, False, False], [True, True, True, False]])
    assert index_of(kept, Pattern(2, 4)) is None
    assert index_of(kept[:1], Pattern(2, 4)) is not None
    wide = np.arange(128)[None] < 64  # more combinations than 64 bits can count
    assert index_of(wide, Pattern(64, 128)) is None
    split = np.array([[True, False, True, False], [True, True, False, False]])
    assert index_of(split, Pattern(2, 4, 2)) is None
    assert index_of(split[1:], Pattern(2, 4, 2)) == [0]


@given(patterns, seeds)
def test_the_largest_groups_are_those_that_torch_finds(pattern: Pattern, seed: int) -> None:
    sizes = np.random.default_rng(seed).integers(0, 4, (20, pattern.m)).astype(np.float32)
    kept = combinations.largest(sizes, pattern)
    assert np.array_equal(kept, largest(torch.from_numpy(sizes), pattern).numpy())
    # Of all combinations, the first with the largest sum: the earlier of equal groups stays.
    found = index_of(kept, pattern)
    assert found is not None
    assert np.array_equal(found, (sizes @ pattern.incidence_array.T).argmax(1))


def test_groups_of_half_precision_are_compared_without_its_rounding() -> None:
    sizes = torch.tensor([[256, 0.5, 256, 1]], dtype=torch.bfloat16)  # both sums round to 256
    assert largest(sizes, Pattern(2, 4, 2)).tolist() == [[False, False, True, True]]


@given(arrays(np.bool_, st.tuples(st.integers(0, 9), st.integers(1, 300))))
def test_rows_are_counted(flags: Bools) -> None:
    assert row_counts(flags).tolist() == flags.sum(axis=1).tolist()


@given(st.integers(1, 4), st.integers(1, 3), st.lists(st.integers(1, 3), max_size=3))
def test_arrays_divide_into_the_blocks_that_tensors_do(
    outputs: int, groups: int, kernel: list[int]
) -> None:
    shape = (outputs, 4 * groups, *kernel)
    weight: Array = np.arange(np.prod(shape)).reshape(shape)
    blocks = Pattern(2, 4).to_blocks(weight)
    assert np.array_equal(blocks, Pattern(2, 4).to_blocks(torch.from_numpy(weight)).numpy())
    back = Pattern(2, 4).from_blocks(blocks, shape)
    assert np.array_equal(back, weight) and back.flags.c_contiguous


@pytest.mark.parametrize("kind", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
def test_a_tensor_becomes_an_array_of_the_same_numbers(kind: torch.dtype) -> None:
    tensor = torch.tensor([1.5, -0.25, float("inf")], dtype=kind, requires_grad=True)
    assert as_array(tensor).tolist() == tensor.tolist()
    array = as_array(tensor)
    assert as_array(array) is array


@pytest.mark.parametrize("columns", [255, 256, 257, 300])
def test_the_last_of_many_columns_can_win(columns: int) -> None:
    scores = np.zeros((4_001, columns), np.float32)
    scores[1:, -1] = 1
    found = winners(scores)
    assert found.dtype == np.int64
    assert found[0] == 0 and (found[1:] == columns - 1).all()


def test_counts_are_whole_numbers() -> None:
    assert row_counts(np.ones((3, 5), np.bool_)).dtype == np.int32
