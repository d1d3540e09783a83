"""Any moment of a run comes back exactly: torn, cut, resumed, or while it is being written."""

from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn

from lbc.config import Experiment
from lbc.runs import history_writer as history
from lbc.runs.events import LayerInfo
from lbc.runs.history_codec import KEY, LARGEST_LIVE_COUNT, SearchState, decode, encode, row_bytes
from lbc.runs.history_format import KEY_INTERVAL, read_frames, read_layers
from lbc.runs.history_reader import RecordedLayer, Replay
from lbc.runs.history_walks import biographies
from lbc.runs.history_writer import HistoryWriter, moments_per_epoch
from lbc.sparsity.live_sets import pack
from lbc.sparsity.pattern import Pattern
from lbc.sparsity.sparse_layer import SparseLayer
from lbc.sparsity.sparsifier import Sparsifier, sparsify
from lbc.training.trainer import Trainer
from tests.runs.test_runs import REFUSED, posix, room

real_files = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=15)

Form = str
PATTERNS = ["2:4", "4:8", "1:16", "4:16"]


def searched(
    pattern: str, method: str = "lbc", form: Form = "per_weight"
) -> tuple[Sparsifier, list[LayerInfo]]:
    model = nn.Sequential(nn.Linear(16, 8), nn.Conv2d(16, 4, 3), nn.Linear(16, 8), nn.Linear(8, 2))
    sparsifier = sparsify(
        model,
        pattern,
        method,
        scores="per_combination" if form == "per_combination" else "per_weight",
        overrides={"1": pattern, "2": "1:4"},
    )
    infos = [LayerInfo(n, at.shape, at.pattern, at.blocks) for n, at in sparsifier.layers.items()]
    return sparsifier, infos


def disturb(sparsifier: Sparsifier, much: float = 0.1) -> None:
    """What training does to scores: trained ones move, or the weights they are read off do."""
    with torch.no_grad():
        for name, layer in sparsifier.layers.items():
            weight = sparsifier.model.get_parameter(f"{name}.parametrizations.weight.original")
            for moved in (weight, *layer.score_parameters()):
                moved.add_(much * torch.randn_like(moved))


def equal(array: npt.NDArray[Any] | None, expected: npt.NDArray[Any]) -> bool:
    return array is not None and np.array_equal(array, expected)


def seen(layer: SparseLayer) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    return layer.winners(), layer.live(), layer.pattern.to_blocks(layer.mask), layer.scores()


def check(moment: RecordedLayer, now: tuple[torch.Tensor, ...]) -> None:
    winners, live, mask, scores = (tensor.numpy() for tensor in now)
    assert np.array_equal(moment.winners, winners)
    assert np.array_equal(moment.mask, mask)
    if moment.pattern.count > LARGEST_LIVE_COUNT:
        assert moment.packed is None and moment.live() is None and moment.scores is None
        return
    assert equal(moment.live(), live)
    if moment.scores_epoch == moment.epoch:
        assert moment.scores is not None and moment.scores.dtype == np.float32
        assert np.array_equal(moment.scores == -np.inf, ~live)
        assert np.abs(np.where(live, moment.scores, 0) - np.where(live, scores, 0)).max() < 0.01


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
    told = [tuple(min(live, at.pattern.count) for at in infos) for live in lives]
    assert [moment.live for moment in replay.moments] == told
    fewer = [one > other for one, other in pairwise(told)]
    assert [moment.removal for moment in replay.moments] == [False, *fewer]


@settings(max_examples=40)
@given(
    pattern=st.sampled_from(["2:4", "1:8", "4:8", "4:16"]),
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
        coded = encode(at, now, before)
        assert coded.flags & KEY if before is None else not coded.flags & KEY
        read = decode(at, blocks, coded, read)
        assert np.array_equal(read.winners, now.winners)
        assert (read.bits == now.bits).all() and len(read.bits) in (1, blocks)
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
            assert np.array_equal(told.winners, winners.numpy())
            assert equal(told.live(), live.numpy()) and equal(told.mask, mask.numpy())
    assert [moment.removal for moment in replay.moments].count(True) == (method == "asp")


def test_a_file_of_another_version_is_refused_with_a_sentence(tmp_path: Path) -> None:
    path = tmp_path / "scores.history"
    path.write_text(json.dumps({"version": 1, "layers": []}) + "\n")
    with pytest.raises(ValueError, match=r"history of version 1.*reads version 2: open it with"):
        Replay(tmp_path)
    with pytest.raises(ValueError, match=r"nowhere cannot be read, so no moment of this run"):
        Replay(tmp_path / "nowhere")


@posix
def test_a_history_goes_on_after_a_moment_that_did_not_fit(tmp_path: Path) -> None:
    sparsifier, infos = searched("2:4")
    path = tmp_path / "scores.history"
    writer = HistoryWriter(path, infos, 2)
    writer.append(0, sparsifier)
    sparsifier.remove(3)
    with room(path.stat().st_size + 30), pytest.raises(OSError, match=REFUSED):
        writer.append(1, sparsifier)
    assert [moment.epoch for moment in Replay(path).moments] == [0]
    writer.append(1, sparsifier)
    sparsifier.remove(1)
    writer.append(2, sparsifier)
    writer.close()
    last = Replay(path).layer("0", -1)
    assert last.epoch == 2 and equal(last.packed, pack(sparsifier.live("0")).numpy())


def test_a_damaged_index_ends_the_history_and_a_damaged_part_is_told(tmp_path: Path) -> None:
    sparsifier, infos = searched("2:4")
    path = tmp_path / "scores.history"
    writer = HistoryWriter(path, infos, 3)
    for epoch in range(3):
        disturb(sparsifier)
        writer.append(epoch, sparsifier)
    writer.close()
    whole, frames = path.read_bytes(), read_frames(path)
    for place, left in [(frames[1].begin + 20, 1), (frames[2].begin + 30, 2)]:
        path.write_bytes(flipped(whole, place))
        assert len(Replay(path).moments) == left
    path.write_bytes(flipped(whole, int(frames[1].starts[1])))
    replay = Replay(path)
    assert len(replay.moments) == 3
    replay.layer("0", 2)
    replay.layer("1", 0)
    for k in (1, 2):
        with pytest.raises(ValueError, match=r"history is damaged: layer '1' .* epoch 1\."):
            replay.layer("1", k)


def flipped(data: bytes, place: int) -> bytes:
    return data[:place] + bytes([data[place] ^ 0xFF]) + data[place + 1 :]


@pytest.mark.parametrize("pattern", ["2:4", "4:16"])
@pytest.mark.parametrize("at", [0, 3, 25])
def test_going_on_from_a_place_gives_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pattern: str, at: int
) -> None:
    monkeypatch.setattr(
        history, "SCORE_BUDGET", 9 * 2 * (128 + 576 + 128)
    )  # scores at some moments only
    path = tmp_path / "scores.history"

    def write(writer: HistoryWriter, begin: int, end: int) -> tuple[int, bool]:
        place = writer.place
        for moment in range(28):
            torch.manual_seed(moment)
            disturb(sparsifier)
            sparsifier.remove(max(1, 24 - moment))
            if begin <= moment < end:
                writer.append(moment, sparsifier)
            if moment == at - 1:
                place = writer.place
        writer.close()
        return place

    torch.manual_seed(1)
    sparsifier, infos = searched(pattern)
    place = write(HistoryWriter(path, infos, 27), 0, 28)
    expected = path.read_bytes()
    replay = Replay(path)
    assert 5 <= sum(moment.scores for moment in replay.moments) <= 9
    assert replay.moments[0].scores and replay.moments[-1].scores
    path.write_bytes(expected + b"torn")
    writer = HistoryWriter(path, infos, 27)
    writer.truncate(*place)
    torch.manual_seed(1)
    sparsifier, infos = searched(pattern)
    assert replay.refresh() and len(replay.moments) == at
    write(writer, at, 28)
    assert path.read_bytes() == expected
    assert replay.refresh() and not replay.refresh() and len(replay.moments) == 28
    writer = HistoryWriter(path, infos, 27)
    with pytest.raises(ValueError, match="holds 28 moments, and 40 are needed"):
        writer.truncate(40, False)
    writer.close()


def test_a_reader_beside_the_writer_sees_whole_moments_only(tmp_path: Path) -> None:
    sparsifier, infos = searched("4:8")
    path = tmp_path / "scores.history"
    writer = HistoryWriter(path, infos, 60)
    writer.append(0, sparsifier)
    expected = [{name: seen(at) for name, at in sparsifier.layers.items()}]
    failures: list[BaseException] = []
    counts: list[int] = []
    done = threading.Event()

    def read() -> None:
        replay = Replay(path)
        try:
            ended = False
            while not ended:
                ended = done.is_set()
                replay.refresh()
                counts.append(len(replay.moments))
                for k in {0, counts[-1] // 2, counts[-1] - 1}:
                    check(replay.layer("1", k), expected[k]["1"])
        except BaseException as error:
            failures.append(error)

    reader = threading.Thread(target=read)
    reader.start()
    for moment in range(1, 61):
        disturb(sparsifier)
        sparsifier.remove(max(1, 70 - moment))
        expected.append({name: seen(at) for name, at in sparsifier.layers.items()})
        writer.append(moment, sparsifier)
    done.set()
    reader.join(60)
    writer.close()
    assert not failures and counts[-1] == 61 and len(set(counts)) > 2


@pytest.mark.parametrize("form", ["per_weight", "per_combination"])
@pytest.mark.parametrize("pattern", ["2:4", "4:8"])
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
    assert between.raw is not None and between.raw.shape == (32, 4)
    assert replay.layer("0", 24, scores=False).scores is None


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
