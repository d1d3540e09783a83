"""Live sets survive packing, and the best combinations stay, ties to the earlier."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from lbc.sparsity.live_sets import LiveSets, keep_best, only_live, pack, unpack


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


def test_a_row_with_fewer_than_asked_for_keeps_those_and_nothing_removed() -> None:
    removed = -torch.inf
    scores = torch.tensor([[removed, 2.0, removed, 1.0], [4.0, 3.0, 2.0, 1.0], [removed] * 4])
    expected = [[False, True, False, True], [True, True, True, False], [False] * 4]
    for kind in (torch.float32, torch.float16):
        assert keep_best(scores.to(kind), 3).tolist() == expected
        assert keep_best(scores[:1].to(kind), 3).tolist() == expected[:1]
    assert torch.vmap(lambda row: keep_best(row[None], 3))(scores)[:, 0].tolist() == expected


def test_under_a_transform_the_earlier_stays_among_equals_too() -> None:
    scores = torch.zeros(2, 300)
    kept = torch.vmap(lambda row: keep_best(row[None], 3))(scores)
    assert kept.nonzero()[:, 2].tolist() == [0, 1, 2] * 2


@given(contests())
def test_every_kind_of_number_keeps_the_same(contest: tuple[Tensor, int]) -> None:
    scores, live = contest  # exact in all of them; halves take torch's way, the others NumPy's
    kept = keep_best(scores, live)
    for kind in (torch.float64, torch.float16, torch.bfloat16):
        assert torch.equal(keep_best(scores.to(kind), live), kept)


@given(live_sets())
def test_what_is_not_live_scores_less_than_anything(live: Tensor) -> None:
    scores = torch.randn(live.shape)
    for kind in (torch.float32, torch.float64, torch.float16):
        found = only_live(scores.to(kind), pack(live))
        assert found.dtype == kind
        assert torch.equal(found, scores.to(kind).masked_fill(~live, -torch.inf))


@given(live_sets())
def test_what_the_compiler_is_given_unpacks_the_same(live: Tensor) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.compiler, "is_compiling", lambda: True)
        assert torch.equal(unpack(pack(live), live.shape[1]), live)


Form = Callable[[int], tuple[LiveSets, Tensor]]

CPU = torch.device("cpu")


def chosen(count: int) -> tuple[LiveSets, Tensor]:
    """Three blocks in which some combinations are left, not the same in each."""
    live = torch.zeros((3, count), dtype=torch.bool)
    live[0, 1:4] = live[1, 0] = live[2, count - 2 :] = True
    return LiveSets(3, count, CPU, bits=pack(live)), live


def decided(count: int) -> tuple[LiveSets, Tensor]:
    winners = torch.tensor([count - 1, 0, 3], dtype=torch.int32)
    return LiveSets(3, count, CPU, winners=winners), torch.eye(count, dtype=torch.bool)[winners]


def complete(count: int) -> tuple[LiveSets, Tensor]:
    return LiveSets(3, count, CPU), torch.ones((3, count), dtype=torch.bool)


forms = pytest.mark.parametrize("make", [complete, chosen, decided])
counts = pytest.mark.parametrize("count", [6, 8, 9, 20, 24, 25, 70])


@forms
@counts
def test_live_sets_are_read_alike_in_every_form(make: Form, count: int) -> None:
    sets, live = make(count)
    some = torch.tensor([2, 0])
    assert sets.complete is (make is complete)
    assert sets.live().dtype == torch.bool and torch.equal(sets.live(), live)
    assert torch.equal(sets.live(some), live[some])
    assert torch.equal(sets.live(slice(1, 3)), live[1:3])
    assert sets.counts().dtype == torch.int32
    assert sets.counts().tolist() == live.sum(dim=1).tolist()
    assert sets.most == int(live.sum(dim=1).max())
    assert torch.equal(unpack(sets.bits, count).expand(3, -1), live)
    scores = torch.randn(3, count)
    assert torch.equal(
        sets.without_removed(scores[some], some), scores.masked_fill(~live, -torch.inf)[some]
    )
    for combination in range(count):
        held = sets.holds(combination)
        assert held.dtype == torch.bool and torch.equal(held, live[:, combination])
        for block in range(3):
            assert sets.holds(combination, block).tolist() == [bool(live[block, combination])]


@forms
@counts
def test_live_sets_can_be_stored_and_loaded(make: Form, count: int) -> None:
    sets, live = make(count)
    width = -(-count // 8)
    winners = make is decided and count > 24  # below, bits take less
    shapes: dict[Form, tuple[int, ...]] = {complete: (1, width), chosen: (3, width)}
    assert sets.stored.shape == ((3,) if winners else shapes.get(make, (3, width)))
    assert sets.stored.dtype == (torch.int32 if winners else torch.uint8)
    loaded = LiveSets.load(sets.stored, 3, count)
    assert torch.equal(loaded.live(), live) and torch.equal(loaded.stored, sets.stored)
    assert (loaded.complete, loaded.blocks, loaded.count) == (sets.complete, 3, count)
    assert loaded.device == CPU
    assert copy.deepcopy(sets) is sets


def test_one_stored_row_that_is_not_whole_is_that_of_all_blocks() -> None:
    row = torch.tensor([[True, False, True, True, False, False]])
    loaded = LiveSets.load(pack(row), 3, 6)
    assert not loaded.complete and loaded.live().tolist() == row.expand(3, -1).tolist()


@pytest.mark.parametrize(
    "stored",
    [
        torch.zeros((2, 1), dtype=torch.uint8),
        torch.zeros((3, 2), dtype=torch.uint8),
        torch.zeros((3, 1), dtype=torch.int16),
        torch.zeros((3, 1), dtype=torch.int32),
        torch.zeros(4, dtype=torch.int32),
        torch.zeros(3, dtype=torch.int64),
        torch.tensor([0, 6, 0], dtype=torch.int32),
        torch.tensor([0, -1, 0], dtype=torch.int32),
    ],
)
def test_what_does_not_fit_is_refused_with_its_shape(stored: Tensor) -> None:
    assert not LiveSets.fits(stored, 3, 6)
    said = f"shape {tuple(stored.shape)} and type {stored.dtype} do not fit 3 blocks of 6 comb"
    with pytest.raises(ValueError, match=re.escape(said)):
        LiveSets.load(stored, 3, 6)


@forms
@counts
def test_restricting_takes_from_one_block_or_from_all(make: Form, count: int) -> None:
    sets, live = make(count)
    allowed = torch.ones(count, dtype=torch.bool)
    allowed[[0, count - 1]] = False
    assert torch.equal(sets.restricted(allowed).live(), live & allowed)
    expected = live.clone()
    expected[1] &= allowed
    restricted = sets.restricted(allowed, 1)
    assert torch.equal(restricted.live(), expected)
    assert (restricted.blocks, restricted.count, restricted.device) == (3, count, CPU)
    assert torch.equal(sets.live(), live)


@forms
@counts
def test_live_sets_move_with_their_layer(make: Form, count: int) -> None:
    sets, live = make(count)
    assert torch.equal(sets.map(torch.clone).live(), live)
    moved = sets.map(lambda tensor: tensor.to("meta"))
    assert moved.device.type == moved.stored.device.type == moved.live().device.type == "meta"
    assert moved.counts().device.type == moved.holds(2).device.type == "meta"


def test_counting_goes_chunk_by_chunk(monkeypatch: pytest.MonkeyPatch) -> None:
    for size in (1, 13):
        monkeypatch.setattr("lbc.sparsity.live_sets.CHUNK_BYTES", size)
        assert chosen(6)[0].counts().tolist() == [3, 1, 2]
    empty = LiveSets(0, 6, CPU, bits=torch.empty((0, 1), dtype=torch.uint8))
    assert empty.counts().tolist() == [] and empty.most == 1
