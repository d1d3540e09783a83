"""Patterns name their combinations in order, and blocks lie where index arithmetic says."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lbc.sparsity.pattern import LARGEST_COUNT, Pattern


@st.composite
def patterns(draw: st.DrawFn, largest: int = 8, widths: tuple[int, ...] = (1, 2, 3)) -> Pattern:
    """A pattern of up to ``largest`` groups."""
    m, width = draw(st.integers(2, largest)), draw(st.sampled_from(widths))
    return Pattern(draw(st.integers(1, m - 1)) * width, m * width, width)


@st.composite
def weights(draw: st.DrawFn) -> tuple[Pattern, tuple[int, ...]]:
    """A pattern and the shape of a Linear, Conv1d or Conv2d weight, grouped or not."""
    pattern = draw(patterns())
    kernel = draw(st.lists(st.integers(1, 3), max_size=2))
    return pattern, (draw(st.integers(1, 4)), pattern.m * draw(st.integers(1, 3)), *kernel)


@given(weights())
def test_a_block_is_m_consecutive_input_channels_of_one_output_and_kernel_position(
    case: tuple[Pattern, tuple[int, ...]],
) -> None:
    pattern, shape = case
    weight = torch.arange(math.prod(shape)).reshape(shape)
    outputs, width, *kernel = shape
    expected = [
        [int(weight[o, first + j, *at]) for j in range(pattern.m)]
        for o in range(outputs)
        for at in itertools.product(*map(range, kernel))
        for first in range(0, width, pattern.m)
    ]
    assert pattern.to_blocks(weight).tolist() == expected


@given(weights())
def test_from_blocks_is_the_inverse_of_to_blocks(case: tuple[Pattern, tuple[int, ...]]) -> None:
    pattern, shape = case
    weight = torch.arange(math.prod(shape)).reshape(shape)
    back = pattern.from_blocks(pattern.to_blocks(weight), weight.shape)
    assert torch.equal(back, weight)
    assert back.is_contiguous()


@pytest.mark.parametrize(
    "layer",
    [
        torch.nn.Linear(8, 3),
        torch.nn.Conv1d(8, 3, 3),
        torch.nn.Conv2d(8, 3, (3, 2)),
        torch.nn.Conv2d(16, 4, 3, groups=2),
    ],
)
def test_real_layers_round_trip(layer: torch.nn.Module) -> None:
    weight = layer.get_parameter("weight")
    pattern = Pattern(3, 8)
    assert torch.equal(pattern.from_blocks(pattern.to_blocks(weight), weight.shape), weight)


def test_a_weight_that_is_not_contiguous_has_the_same_blocks() -> None:
    weight = torch.arange(2 * 8 * 3 * 3.0).reshape(2, 8, 3, 3)
    last = weight.to(memory_format=torch.channels_last)
    assert torch.equal(Pattern(2, 4).to_blocks(last), Pattern(2, 4).to_blocks(weight))


@given(patterns(largest=9))
def test_combinations_are_in_lexicographic_order(pattern: Pattern) -> None:
    groups = range(0, pattern.m, pattern.width)
    expected = [
        tuple(first + at for first in firsts for at in range(pattern.width))
        for firsts in itertools.combinations(groups, pattern.n // pattern.width)
    ]
    assert [tuple(row) for row in pattern.members.tolist()] == expected
    held = [tuple(row.nonzero().flatten().tolist()) for row in pattern.incidence()]
    assert held == expected
    assert pattern.incidence().dtype == torch.bool
    assert pattern.count == len(expected)


@given(patterns(largest=9))
def test_the_initial_score_shares_one_among_the_combinations_of_a_position(
    pattern: Pattern,
) -> None:
    holding_the_first = int(pattern.incidence()[:, 0].sum())
    assert pattern.initial_score == 1 / holding_the_first
    assert bool((pattern.incidence().sum(dim=0) == holding_the_first).all())
    assert pattern.density == pattern.n / pattern.m


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("0:4", "at least one weight"),
        ("-1:4", "at least one weight"),
        ("5:4", "cannot keep 5"),
        ("3:3", "dense"),
        ("1:1", "at least two weights"),
        ("0:0", "at least two weights"),
        ("1:-4", "at least two weights"),
        ("2-4", "like 2:4"),
        ("2:4:8", "like 2:4"),
        ("", "like 2:4"),
        ("2.0:4", "like 2:4"),
        ("two:four", "like 2:4"),
        ("٢:٤", "like 2:4"),
        ("2:99999999999999", "like 2:4"),
        ("4:8x3", "multiples of the width"),
        ("3:8x2", "multiples of the width"),
        ("4:8x0", "multiples of the width"),
        ("4:8x-2", "multiples of the width"),
        ("8:8x2", "dense"),
        ("4:8x", "4:8x2 for pairs"),
        ("4:8 by 2", "4:8x2 for pairs"),
        ("4x8:2", "4:8x2 for pairs"),
    ],
)
def test_impossible_patterns_are_refused_with_a_sentence(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said) as caught:
        Pattern.parse(text)
    sentence = str(caught.value)
    assert sentence.endswith(".") and "\n" not in sentence
    assert text in sentence


@pytest.mark.parametrize(("n", "m"), [(True, 4), (2.0, 4), ("2", "4")])
def test_numbers_that_are_not_whole_are_refused(n: int, m: int) -> None:
    with pytest.raises(ValueError, match=r"^N of an N:M pattern must be a whole number, not"):
        Pattern(n, m)
    with pytest.raises(ValueError, match=r"^M of an N:M pattern must be a whole number, not"):
        Pattern(1, n)
    with pytest.raises(ValueError, match=r"^The width of an N:M pattern must be a whole number"):
        Pattern(4, 8, n)


@given(patterns(largest=99))
def test_a_pattern_reads_back_what_it_prints(pattern: Pattern) -> None:
    assert Pattern.parse(str(pattern)) == pattern
    assert Pattern.parse(f" {pattern.n} : {pattern.m} x {pattern.width} ") == pattern
    assert Pattern.parse(f"{pattern.n}:{pattern.m}×{pattern.width}") == pattern


def test_too_many_combinations_are_counted_but_not_written_out() -> None:
    pattern = Pattern(16, 32)
    assert pattern.count > LARGEST_COUNT
    with pytest.raises(ValueError, match="choose a smaller M"):
        _ = pattern.members


def test_as_many_combinations_as_the_limit_are_written_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("lbc.sparsity.pattern.LARGEST_COUNT", 6)
    assert Pattern(2, 4).members.shape == (6, 2)
    said = "3:5 has 10 combinations in every block, more than the 6 that can be enumerated"
    with pytest.raises(ValueError, match=said):
        _ = Pattern(3, 5).members


def test_about_a_million_combinations_are_the_most() -> None:
    assert Pattern(16, 24).count < LARGEST_COUNT
    with pytest.raises(ValueError, match="8:25 has 1,081,575 combinations"):
        _ = Pattern(8, 25).members


def test_the_widest_block_has_4096_weights() -> None:
    assert Pattern(4095, 4096).count == 4096
    with pytest.raises(ValueError, match="1:4097 is too wide: a block may have up to 4,096 weig"):
        Pattern(1, 4097)


@pytest.mark.parametrize(
    ("shape", "said"),
    [
        ((8,), "no input dimension"),
        ((), "no input dimension"),
        ((2, 6), "not a multiple of 4"),
        ((2, 0), "not a multiple of 4"),
        ((2, 6, 4, 4), "not a multiple of 4"),
    ],
)
def test_a_weight_that_blocks_do_not_fit_is_refused(shape: tuple[int, ...], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Pattern(2, 4).to_blocks(torch.zeros(shape))
    with pytest.raises(ValueError, match=said):
        Pattern(2, 4).from_blocks(torch.zeros(math.prod(shape) // 4, 4), shape)


@pytest.mark.parametrize("text", ["1:2", "2:4", "1:16", "3:7", "4:8", "8:16"])
def test_a_combination_is_found_by_what_it_holds(text: str) -> None:
    pattern = Pattern.parse(text)
    assert pattern.index_of(pattern.incidence()).tolist() == list(range(pattern.count))
