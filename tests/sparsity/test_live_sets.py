"""Live sets survive packing, and the best combinations stay, ties to the earlier."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from lbc.sparsity.live_sets import keep_best, only_live, pack, unpack


@st.composite
def live_sets(draw: st.DrawFn) -> Tensor:
    shape = draw(st.integers(0, 5)), draw(st.integers(1, 40))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**32)))
    return torch.rand(shape, generator=generator) < draw(st.sampled_from([0.0, 0.1, 0.5, 1.0]))


@given(live_sets())
def test_packed_bits_are_an_eighth_and_unpack_to_the_same(live: Tensor) -> None:
    packed = pack(live)
    assert packed.dtype == torch.uint8
    assert packed.shape == (len(live), -(-live.shape[1] // 8))
    assert torch.equal(unpack(packed, live.shape[1]), live)


@given(live_sets())
def test_combination_c_is_bit_c_mod_8_of_byte_c_div_8(live: Tensor) -> None:
    for row, octets in zip(live.tolist(), pack(live).tolist(), strict=True):
        assert [bool(octets[c // 8] >> c % 8 & 1) for c in range(len(row))] == row


@st.composite
def contests(draw: st.DrawFn) -> tuple[Tensor, int]:
    """Scores full of ties, with removed combinations, and how many shall live."""
    count = draw(st.integers(1, 20))
    live = draw(st.integers(1, count))
    rows = []
    for _ in range(draw(st.integers(1, 6))):
        row = draw(
            st.lists(st.sampled_from([-2.0, -1.0, 0.0, 0.5]), min_size=count, max_size=count)
        )
        removed = draw(st.sets(st.integers(0, count - 1), max_size=count - live))
        rows.append([-torch.inf if c in removed else score for c, score in enumerate(row)])
    return torch.tensor(rows), live


@given(contests())
def test_the_best_stay_and_among_equals_the_earlier(contest: tuple[Tensor, int]) -> None:
    scores, live = contest
    kept = keep_best(scores, live)
    for row, flags in zip(scores.tolist(), kept.tolist(), strict=True):
        best = sorted(range(len(row)), key=lambda c: -row[c])[:live]  # sorted is stable
        assert [c for c, flag in enumerate(flags) if flag] == sorted(best)
        assert all(row[c] > -torch.inf for c in best)


def test_one_row_with_ties_does_not_disturb_a_row_without() -> None:
    scores = torch.tensor([[1.0, 1.0, 1.0], [3.0, 2.0, 1.0]])
    assert keep_best(scores, 2).tolist() == [[True, True, False], [True, True, False]]


def test_negative_scores_beat_removed_ones() -> None:
    scores = torch.tensor([[-torch.inf, -9.0, -torch.inf, -5.0]])
    assert keep_best(scores, 1).tolist() == [[False, False, False, True]]


@given(contests())
def test_every_kind_of_number_keeps_the_same(contest: tuple[Tensor, int]) -> None:
    scores, live = contest  # exact in all of them; halves take torch's way, the others NumPy's
    kept = keep_best(scores, live)
    for kind in (torch.float64, torch.float16, torch.bfloat16):
        assert torch.equal(keep_best(scores.to(kind), live), kept)


@given(live_sets())
def test_what_is_not_live_scores_less_than_anything(live: Tensor) -> None:
    scores = torch.randn(live.shape)
    assert torch.equal(only_live(scores, pack(live)), scores.masked_fill(~live, -torch.inf))
