"""A history gives back every moment of a run exactly, and the life of every block."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lbc.config import Experiment
from lbc.runs import history_writer as history
from lbc.runs.events import LayerInfo
from lbc.runs.history_codec import (
    KEY,
    LARGEST_LIVE_COUNT,
    SearchState,
    decode,
    encode,
    row_bytes,
    winner_bits,
)
from lbc.runs.history_format import KEY_INTERVAL, read_frames, read_layers
from lbc.runs.history_reader import Replay
from lbc.runs.history_walks import biographies
from lbc.runs.history_writer import HistoryWriter, moments_per_epoch
from lbc.sparsity.pattern import Pattern
from lbc.sparsity.sparsifier import Sparsifier
from lbc.training.trainer import Trainer
from tests.runs.searches import Form, check, disturb, equal, searched, seen

real_files = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=15)
PATTERNS = ["2:4", "4:8", "1:16", "4:16", "4:8x2"]


@real_files
@given(
    pattern=st.sampled_from(PATTERNS),
    form=st.sampled_from(["per_weight", "per_combination"]),
    lives=st.lists(st.integers(1, 30), min_size=1, max_size=6),
    seed=st.integers(0, 2**31),
    torn=st.integers(0, 60),
)
def test_every_moment_comes_back_in_any_order(
    tmp_path: Path, pattern: str, form: Form, lives: list[int], seed: int, torn: int
) -> None:
    torch.manual_seed(seed)
    sparsifier, infos = searched(pattern, form=form)
    path = tmp_path / "scores.history"
    path.unlink(missing_ok=True)
    writer = HistoryWriter(path, infos, len(lives))
    expected = []
    lives = [10_000_000, *sorted(lives, reverse=True)]
    for moment, live in enumerate(lives):
        disturb(sparsifier)
        sparsifier.remove(live)
        writer.append(moment, sparsifier)
        expected.append({name: seen(at) for name, at in sparsifier.layers.items()})
    writer.close()
    with path.open("ab") as file:
        file.write(os.urandom(torn))

    replay = Replay(tmp_path)
    assert replay.layers == tuple(infos) == read_layers(path)
    assert [moment.epoch for moment in replay.moments] == list(range(len(lives)))
    for k in np.random.default_rng(seed).permutation(len(lives)):
        for name in sparsifier.layers:
            check(replay.layer(name, int(k)), expected[k][name])
    for name in sparsifier.layers:  # counted back, as from any list
        for k in (-1, -len(lives)):
            assert np.array_equal(replay.winners(name, k), replay.winners(name, len(lives) + k))
            assert np.array_equal(replay.best_mask(name, k), replay.best_mask(name, len(lives) + k))
        with pytest.raises(IndexError):
            replay.winners(name, len(lives))
    told = [tuple(min(live, at.pattern.count) for at in infos) for live in lives]
    assert [moment.live for moment in replay.moments] == told
    fewer = [one > other for one, other in pairwise(told)]
    assert [moment.removal for moment in replay.moments] == [False, *fewer]


@settings(max_examples=40)
@given(
    pattern=st.sampled_from(["2:4", "1:8", "4:8", "4:16", "4:8x2"]),
    blocks=st.integers(1, 40),
    moments=st.integers(1, 8),
    seed=st.integers(0, 2**31),
    data=st.data(),
)
def test_whatever_bits_and_winners_there_are_come_back(
    pattern: str, blocks: int, moments: int, seed: int, data: st.DataObject
) -> None:
    """Also those that no schedule leads to: unequal blocks, sets that grow, winners not in them."""
    at, dice = Pattern.parse(pattern), np.random.default_rng(seed)
    width = at.count if at.count <= LARGEST_LIVE_COUNT else at.m
    before = read = None
    for _ in range(moments):
        rows = data.draw(st.sampled_from([1, blocks])) if before is None else blocks
        share = data.draw(st.sampled_from([0.05, 0.5, 1.0]))
        bits = np.packbits(dice.random((rows, width)) < share, axis=1, bitorder="little")
        assert bits.shape[1] == row_bytes(at)
        now = SearchState(dice.integers(0, at.count, blocks), bits)
        if before is not None and data.draw(st.booleans()):
            now = SearchState(before.winners, now.bits)
        if data.draw(st.integers(0, 3)) == 0:  # decided, and thinned beyond its winners
            held = at.incidence_array[now.winners] & (dice.random((blocks, at.m)) < share)
            thinned = np.packbits(held, axis=1, bitorder="little")
            now = SearchState(now.winners, winner_bits(at, now.winners), thinned)
            assert np.array_equal(now.kept(at), held) and np.array_equal(now.best(at), held)
        coded = encode(at, now, before)
        assert coded.flags & KEY if before is None else not coded.flags & KEY
        read = decode(at, blocks, coded, read)
        assert np.array_equal(read.winners, now.winners)
        assert (read.bits == now.bits).all() and len(read.bits) in (1, blocks)
        assert (read.thinned is None) == (now.thinned is None)
        assert (read.kept(at) == now.kept(at)).all()
        before = now


def test_a_moment_is_reached_over_few_parts(tmp_path: Path) -> None:
    sparsifier, infos = searched("2:4", "sr-ste")
    writer = HistoryWriter(tmp_path / "scores.history", infos, 100)
    for moment in range(3 * KEY_INTERVAL):
        if moment % 2:
            disturb(sparsifier, 1.0)
        sparsifier.remove(1)
        writer.append(moment, sparsifier)
    writer.close()
    frames = read_frames(tmp_path / "scores.history")
    keys = [k for k, one in enumerate(frames) if one.records[1]["flags"] & KEY]
    assert keys == [0, 2 * KEY_INTERVAL - 1]  # moments at which nothing changed do not count


@pytest.mark.parametrize("method", ["dense", "asp", "sr-ste"])
def test_methods_without_scores_of_their_own_are_kept_too(
    quick: Callable[..., Experiment], tmp_path: Path, method: str
) -> None:
    experiment = quick(method=method)
    watched: list[tuple[float, dict[str, tuple[torch.Tensor, ...]]]] = []

    def watch(sparsifier: Sparsifier, epoch: float) -> None:
        now = {n: tuple(t.clone() for t in seen(at)) for n, at in sparsifier.layers.items()}
        watched.append((epoch, now))

    Trainer(experiment, tmp_path, watch=watch).train()
    last = dict(watched)  # the last look at every moment: after removal at an epoch's end
    replay = Replay(tmp_path)
    assert len(replay.moments) == 17
    for k, moment in enumerate(replay.moments):
        for name in ("hidden.0", "hidden.1") if moment.epoch in (1, 2) else ():
            winners, live, mask, _ = last[moment.epoch][name]
            told = replay.layer(name, k)
            assert equal(told.winners, winners.numpy())
            assert equal(told.live(), live.numpy()) and equal(told.kept(), mask.numpy())
    assert [moment.removal for moment in replay.moments].count(True) == (method == "asp")


@pytest.mark.parametrize("form", ["per_weight", "per_combination"])
@pytest.mark.parametrize("pattern", ["2:4", "4:8", "4:8x2"])
def test_the_life_of_a_block(tmp_path: Path, pattern: str, form: Form) -> None:
    torch.manual_seed(3)
    sparsifier, infos = searched(pattern, form=form)
    writer = HistoryWriter(tmp_path / "scores.history", infos, 4)
    layer, removed, lives, scores = sparsifier.layers["1"], [], [], []
    for moment, live in enumerate([100, 5, 5, 2, 1]):
        disturb(sparsifier)
        before = layer.scores()[7].clone()
        sparsifier.remove(live)
        writer.append(moment, sparsifier)
        now = layer.scores()[7]
        order = before.argsort(descending=True, stable=True).tolist()
        worst = before[now > -torch.inf].min()
        removed += [
            (moment, combination, order.index(combination) + 1, float(before[combination] - worst))
            for combination in range(layer.pattern.count)
            if before[combination] > -torch.inf and now[combination] == -torch.inf
        ]
        lives.append(layer.live()[7].numpy())
        scores.append(before.numpy())
    writer.close()
    life, same = biographies(Replay(tmp_path), "1", [7, 7])
    assert life.epochs.tolist() == [0, 1, 2, 3, 4]
    assert life.winners.tolist() == same.winners.tolist()
    assert life.live is not None and np.array_equal(life.live, lives)
    assert np.array_equal(life.mask, [at @ layer.pattern.incidence_array > 0 for at in lives])
    assert life.scores is not None and (life.position_scores is None) == (form != "per_weight")
    assert np.array_equal(np.isnan(life.scores), np.isinf(scores))
    assert np.nanmax(np.abs(life.scores - scores)) < 0.01
    told = [(at.moment, at.combination, at.rank) for at in life.removals]
    assert told == [at[:3] for at in removed]
    assert all(at.epoch == at.moment for at in life.removals)
    margins = [(at.margin, known[3]) for at, known in zip(life.removals, removed, strict=True)]
    assert all(margin is not None and abs(margin - known) < 0.01 for margin, known in margins)


def test_scores_are_spread_over_what_room_there_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history, "SCORE_BUDGET", 10 * 2 * (128 + 576 + 128))
    sparsifier, infos = searched("2:4")
    writer = HistoryWriter(tmp_path / "scores.history", infos, 60)
    for moment in range(61):
        disturb(sparsifier)
        sparsifier.remove(6 if moment < 25 else 3 if moment < 50 else 1)
        writer.append(moment, sparsifier)
    writer.close()
    replay = Replay(tmp_path)
    kept = [k for k, moment in enumerate(replay.moments) if moment.scores]
    assert {0, 25, 50, 60} <= set(kept) and 8 <= len(kept) <= 10
    between = replay.layer("0", 24)
    assert between.scores_epoch is not None and between.scores_epoch < 24
    assert between.raw is not None and between.raw.shape == between.shape
    assert replay.layer("0", 24, scores=False).scores() is None


def test_a_short_run_has_moments_inside_its_epochs() -> None:
    layer = LayerInfo("a", (1000, 4000), Pattern(2, 4), 1_000_000)
    assert [moments_per_epoch([layer], epochs) for epochs in (1, 12, 59, 60, 300)] == [
        60, 5, 2, 1, 1
    ]  # fmt: skip
    many = LayerInfo("a", (1000, 4000), Pattern(4, 16), 250_000)
    assert moments_per_epoch([many], 12) == 1


def test_no_torch_is_needed_to_replay() -> None:
    import subprocess

    code = "import lbc.runs.history_reader, sys; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
