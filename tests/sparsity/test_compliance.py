"""Masks are checked block by block, and the first bad block is found in the weight itself."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lbc.sparsity.blocks import block_coordinates
from lbc.sparsity.compliance import Check, check
from lbc.sparsity.pattern import Pattern


@st.composite
def shapes(draw: st.DrawFn) -> tuple[Pattern, tuple[int, ...]]:
    groups, width = draw(st.integers(2, 6)), draw(st.integers(1, 2))
    m = groups * width
    pattern = Pattern(draw(st.integers(1, groups - 1)) * width, m, width)
    kernel = draw(st.lists(st.integers(1, 3), max_size=3))
    return pattern, (draw(st.integers(1, 4)), m * draw(st.integers(1, 3)), *kernel)


@given(shapes())
def test_block_coordinates_are_the_places_to_blocks_takes_a_block_from(
    case: tuple[Pattern, tuple[int, ...]],
) -> None:
    pattern, shape = case
    numbered = torch.arange(math.prod(shape)).reshape(shape)
    for block, row in enumerate(pattern.to_blocks(numbered).tolist()):
        assert [int(numbered[at]) for at in block_coordinates(shape, pattern, block)] == row


@given(shapes(), st.data())
def test_check_agrees_with_counting_one_block_at_a_time(
    case: tuple[Pattern, tuple[int, ...]], data: st.DataObject
) -> None:
    pattern, shape = case
    seed = data.draw(st.integers(0, 2**32))
    share = data.draw(st.sampled_from([0.05, 0.3, 0.6, 1.0]))
    generator = torch.Generator().manual_seed(seed)
    weight = torch.randn(shape, generator=generator)
    weight *= torch.rand(shape, generator=generator) < share

    bad = []
    for block in range(weight.numel() // pattern.m):
        places = block_coordinates(shape, pattern, block)
        kept = tuple(place for place in places if float(weight[place]) != 0)
        held = [float(weight[place]) != 0 for place in places]
        touched = {j // pattern.width for j, kept_one in enumerate(held) if kept_one}
        if len(touched) * pattern.width > pattern.n:
            bad.append((block, kept))

    result = check(weight, pattern)
    assert result.violations == len(bad)
    assert result.valid is (not bad)
    assert result.density == pytest.approx(int((weight != 0).sum()) / weight.numel())
    if bad:
        assert result.first is not None
        assert (result.first.block, result.first.coordinates) == bad[0]
        assert result.first.kept == len(bad[0][1])
    else:
        assert result.first is None


def test_a_linear_violation_is_named_by_output_and_input() -> None:
    weight = torch.zeros(3, 8)
    weight[2, [4, 5, 7]] = 1.0
    first = check(weight, Pattern(2, 4)).first
    assert first is not None
    assert (first.block, first.kept, first.coordinates) == (5, 3, ((2, 4), (2, 5), (2, 7)))


def test_a_convolution_violation_is_named_by_output_input_and_kernel_position() -> None:
    weight = torch.zeros(2, 4, 3, 3)
    weight[1, 0:3, 2, 0] = -1.0
    # Three along the kernel are in three different blocks, so they break nothing.
    weight[0, 0, 0, :] = 1.0
    result = check(weight, Pattern(2, 4))
    assert result.violations == 1
    assert result.first is not None
    assert result.first.coordinates == ((1, 0, 2, 0), (1, 1, 2, 0), (1, 2, 2, 0))


def test_nan_counts_as_a_kept_weight_and_negative_zero_does_not() -> None:
    assert not check(torch.tensor([[math.nan, 1.0, 1.0, 0.0]]), Pattern(2, 4)).valid
    assert check(torch.tensor([[-0.0, 1.0, 1.0, 0.0]]), Pattern(2, 4)).valid


def test_a_valid_mask_reports_its_density() -> None:
    result = check(torch.tensor([[1.0, 0.0, 0.0, 0.0, 3.0, 2.0, 0.0, 0.0]]), Pattern(2, 4))
    assert (result.valid, result.density, result.violations, result.first) == (True, 0.375, 0, None)


def test_a_weight_without_elements_is_valid() -> None:
    assert check(torch.zeros(0, 8), Pattern(2, 4)) == Check(True, 0.0, 0, None)


def test_a_width_that_blocks_do_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="not a multiple of 4"):
        check(torch.zeros(2, 6), Pattern(2, 4))
    with pytest.raises(ValueError, match="not a multiple of 4"):
        block_coordinates((2, 6), Pattern(2, 4), 0)


@pytest.mark.parametrize("block", [-1, 4])
def test_a_block_that_is_not_there_is_refused(block: int) -> None:
    with pytest.raises(IndexError, match="has 4"):
        block_coordinates((2, 8), Pattern(2, 4), block)
