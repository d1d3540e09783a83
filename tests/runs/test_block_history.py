"""When and how each combination of a block went, and what it looks like in other programs."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from lbc.runs.block_history import Life
from lbc.runs.block_history_files import write_csv, write_npz
from lbc.runs.events import Intervened, Intervention, LayerInfo
from lbc.runs.history_reader import Replay
from lbc.runs.history_walks import STEP_CELLS, BlockWalk, RemovalWalk, Walk, biographies
from lbc.runs.history_writer import HistoryWriter
from lbc.runs.interventions import FILE, InterventionLog
from lbc.sparsity.pattern import Pattern
from lbc.sparsity.sparsification import sparsify
from lbc.sparsity.sparsifier import Sparsifier

LAYER = LayerInfo("0", (16, 16), Pattern(2, 4), 64)


class Story:
    """A search that is written down moment by moment, with what was done to it."""

    def __init__(self, folder: Path, pattern: str = "2:4", form: str = "per_weight") -> None:
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(16, 16))
        self.sparsifier: Sparsifier = sparsify(model, pattern, scores=form, skip=[])  # type: ignore[arg-type]
        layer = self.sparsifier.layers["0"]
        info = LayerInfo("0", (16, 16), layer.pattern, layer.blocks)
        self.folder = folder
        self.writer = HistoryWriter(folder / "scores.history", [info], 10)
        self.log = InterventionLog(folder / FILE)
        self.generator = torch.Generator().manual_seed(1)
        self.moments = 0
        self.keep(0)

    def keep(self, epoch: float, live: int | None = None) -> None:
        scores = self.sparsifier.layers["0"].score_parameter()
        with torch.no_grad():
            scores.add_(torch.randn(scores.shape, generator=self.generator) / 8)
        if live is not None:
            self.sparsifier.remove(live)
        self.add(epoch)

    def intervene(self, epoch: float, wish: Intervention) -> None:
        act = self.sparsifier.pin if wish.action == "pin" else self.sparsifier.ban
        act(wish.layer, wish.combination, wish.block)
        self.log.append(Intervened(wish, 0, epoch, self.moments))
        self.add(epoch)

    def add(self, epoch: float) -> None:
        self.writer.append(epoch, self.sparsifier)
        self.moments += 1

    def close(self) -> None:
        self.writer.close()


def whole(folder: Path, form: str = "per_weight") -> Story:
    """From six to one, with a ban and a pin in between."""
    story = Story(folder, form=form)
    story.keep(1, 5)
    story.keep(1.5)
    live = story.sparsifier.live("0")
    story.intervene(1.5, Intervention("ban", "0", int(live[3].nonzero()[0]), 3))
    story.intervene(1.5, Intervention("pin", "0", int(live[7].nonzero()[-1]), 7))
    story.keep(2, 3)
    story.keep(3)
    story.keep(4, 1)
    story.close()
    return story


@pytest.mark.parametrize("pattern", ["2:4", "4:8", "4:16"])
def test_a_block_without_moments_has_an_empty_biography(tmp_path: Path, pattern: str) -> None:
    info = LayerInfo("0", (16, 16), Pattern.parse(pattern), 256 // Pattern.parse(pattern).m)
    HistoryWriter(tmp_path / "scores.history", [info], 10).close()
    (life,) = biographies(Replay(tmp_path), "0", [3])
    assert life.mask.shape == (0, info.pattern.m) and len(life.winners) == 0
    assert life.live is None or life.live.shape == (0, info.pattern.count)
    with (tmp_path / "life.csv").open("wb") as file:
        write_csv(file, [Life("0", 3, life)])
    assert (tmp_path / "life.csv").read_text() == "removed,intervention\n"


def follow(walk: Walk) -> None:
    assert walk.behind
    while walk.behind:
        assert walk.advance()
    assert not walk.advance()


@pytest.mark.parametrize("form", ["per_weight", "per_combination"])
def test_the_table_of_a_layer_says_what_every_biography_says(tmp_path: Path, form: str) -> None:
    whole(tmp_path, form)
    replay = Replay(tmp_path)
    walk = RemovalWalk(replay, "0")
    follow(walk)
    gone = walk.times
    assert gone.epochs == (1.0, 1.5, 1.5, 2.0, 4.0)
    assert not gone.when.flags.writeable
    for block, life in enumerate(biographies(replay, "0", range(64))):
        assert life.live is not None
        removed = {one.combination: one for one in life.removals}
        assert set(np.flatnonzero(gone.when[block])) == set(removed)
        for combination in range(6):
            one = removed.get(combination)
            assert gone.epoch(block, combination) == (one.epoch if one else None)
            standing = gone.rank(block, combination)
            assert standing == (None if one is None or one.rank is None else (one.rank, one.of))
    assert gone.rank(0, int(np.flatnonzero(gone.when[0] == 1)[0])) == (6, 6)


def test_it_grows_with_the_history_and_begins_anew_where_that_was_taken_back(
    tmp_path: Path,
) -> None:
    story = Story(tmp_path)
    replay = Replay(tmp_path)
    walk, block = RemovalWalk(replay, "0"), BlockWalk(replay, "0", [5])
    follow(walk)
    story.keep(1, 4)
    assert not walk.advance()  # not looked at yet
    replay.refresh()
    before = walk.times
    follow(walk)
    assert not before.when.any()  # what was handed out stays as it was
    assert (walk.times.when > 0).sum() == 2 * 64
    story.writer.close()
    again = HistoryWriter(tmp_path / "scores.history", [LAYER], 10)
    again.truncate(1, False)
    story.writer, story.moments = again, 1
    story.keep(2, 3)
    story.close()
    replay.refresh()
    follow(walk)
    follow(block)
    assert walk.times.epochs == (2.0,)
    assert (walk.times.when > 0).sum() == 3 * 64
    assert [removal.epoch for removal in block.biographies()[0].removals] == [2.0] * 3


def test_a_walk_that_failed_takes_the_moment_in_once_it_can_be_read(tmp_path: Path) -> None:
    whole(tmp_path)
    replay, path = Replay(tmp_path), tmp_path / "scores.history"
    gone, block = RemovalWalk(replay, "0"), BlockWalk(replay, "0", [5])
    frame = replay._frames[1]
    record = frame.records[0]
    assert record["scores"] and replay.moments[1].removal
    undamaged = path.read_bytes()
    content = bytearray(undamaged)
    content[int(frame.starts[0]) + int(record["winners"]) + int(record["bits"])] ^= 0x15
    path.write_bytes(content)
    walks: tuple[Walk, ...] = (gone, block)
    for walk in walks:
        for _ in range(2):
            with pytest.raises(ValueError, match="is damaged"):
                follow(walk)
        assert walk.moments == 1
    path.write_bytes(undamaged)
    for walk in walks:
        follow(walk)
    expected = RemovalWalk(replay, "0")
    follow(expected)
    assert gone.times.epochs == expected.times.epochs
    assert np.array_equal(gone.times.when, expected.times.when)
    assert len(block.biographies()[0].epochs) == len(replay.moments)
    assert block.biographies()[0].removals == biographies(replay, "0", [5])[0].removals


def test_positions_of_a_wide_pattern_go_with_their_last_combination(tmp_path: Path) -> None:
    story = Story(tmp_path, "2:16")
    story.keep(1, 40)
    story.keep(2, 1)
    story.close()
    replay = Replay(tmp_path)
    walk = RemovalWalk(replay, "0", by_position=True)
    follow(walk)
    masks = [replay.layer("0", at).kept() for at in range(3)]
    expected = np.where(masks[2], 0, np.where(masks[1], 2, 1))
    assert (walk.times.epochs[0], walk.times.epochs[-1]) == (1.0, 2.0)
    assert np.array_equal(walk.times.when, expected)
    assert walk.times.rank(0, 0) is None


def test_who_decided_is_recorded(tmp_path: Path) -> None:
    whole(tmp_path)
    replay = Replay(tmp_path)
    banned, pinned, free = biographies(replay, "0", [3, 7, 8])
    assert [one.cause for one in banned.removals].count("ban") == 1
    assert [one.cause for one in pinned.removals] == ["score", "pin", "pin", "pin", "pin"]
    assert {one.cause for one in free.removals} == {"score"}
    assert [len(one.interventions) for one in (banned, pinned, free)] == [1, 1, 0]
    (done,) = pinned.interventions
    assert isinstance(done.intervention, Intervention)
    assert pinned.winners[done.moment :].tolist() == [done.intervention.combination] * 4


def test_other_programs_can_read_it(tmp_path: Path) -> None:
    whole(tmp_path)
    life = biographies(Replay(tmp_path), "0", [3])[0]
    with (tmp_path / "block.csv").open("wb") as written:
        write_csv(written, [Life("0", 3, life)])
    with (tmp_path / "block.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [float(row["epoch"]) for row in rows] == life.epochs.tolist()
    assert life.scores is not None and life.live is not None and life.position_scores is not None
    for name, c in (("0-1", 0), ("1-3", 4)):
        told = [float(row[f"score {name}"] or "nan") for row in rows]
        assert np.array_equal(told, life.scores[:, c], equal_nan=True)
        assert [row[f"live {name}"] == "1" for row in rows] == life.live[:, c].tolist()
    told = [float(row["beta 2"] or "nan") for row in rows]
    assert np.array_equal(told, life.position_scores[:, 2], equal_nan=True)
    assert [bool(row["removed"]) for row in rows] == [
        any(one.moment == moment for one in life.removals) for moment in range(len(rows))
    ]
    assert "by ban" in rows[3]["removed"]
    assert rows[3]["intervention"].startswith("ban ")

    with (tmp_path / "block.npz").open("wb") as written:
        write_npz(written, [Life("0", 3, life)])
    with np.load(tmp_path / "block.npz", allow_pickle=False) as arrays:
        assert np.array_equal(arrays["scores"], life.scores, equal_nan=True)
        assert arrays["members"].tolist()[4] == [1, 3]
        assert arrays["removed_combination"].tolist() == [one.combination for one in life.removals]
        assert arrays["removed_cause"].tolist() == [one.cause for one in life.removals]
        assert arrays["done_action"].tolist() == ["ban"]
        assert "group_width" not in arrays


def test_members_of_groups_are_positions_for_other_programs_too(tmp_path: Path) -> None:
    Story(tmp_path, "4:8x2").close()
    life = Life("0", 3, biographies(Replay(tmp_path), "0", [3])[0])
    with (tmp_path / "block.npz").open("wb") as written:
        write_npz(written, [life])
    with np.load(tmp_path / "block.npz", allow_pickle=False) as arrays:
        assert (arrays["pattern"].tolist(), int(arrays["group_width"])) == ([4, 8], 2)
        assert arrays["members"].tolist()[1] == [0, 1, 4, 5]


def test_several_blocks_are_written_with_the_weights_that_were_seen(tmp_path: Path) -> None:
    whole(tmp_path)
    first, second = biographies(Replay(tmp_path), "0", [3, 7])
    epochs = first.epochs
    between = (epochs[1] + epochs[2]) / 2
    seen = np.array([epochs[1], between])
    weights = np.array([[0.1, -0.2, 0.3, 0.4], [0.5, 0.6, -0.7, 0.8]], np.float32)
    lives = [Life("0", 3, first), Life("0", 7, second, seen, weights)]
    with (tmp_path / "blocks.csv").open("wb") as written:
        write_csv(written, lives)
    with (tmp_path / "blocks.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["block"] for row in rows] == ["3"] * len(epochs) + ["7"] * (len(epochs) + 1)
    told = {row["epoch"]: row for row in rows if row["block"] == "7" and row["weight 0"]}
    assert list(told) == [str(epochs[1]), str(between)]
    assert [np.float32(told[str(between)][f"weight {j}"]) for j in range(4)] == list(weights[1])
    assert told[str(epochs[1])]["winner"] and not told[str(between)]["winner"]
    assert not any(row["weight 0"] for row in rows if row["block"] == "3")

    with (tmp_path / "blocks.npz").open("wb") as written:
        write_npz(written, lives)
    with np.load(tmp_path / "blocks.npz", allow_pickle=False) as arrays:
        assert (int(arrays["0/block"]), int(arrays["1/block"])) == (3, 7)
        assert np.array_equal(arrays["1/winners"], second.winners)
        assert np.array_equal(arrays["1/weights"], weights)
        assert "0/weights" not in arrays


def test_a_large_layer_is_taken_in_part_by_part(tmp_path: Path) -> None:
    """So that pictures can be drawn in between; nothing is told before a moment is whole."""
    model = nn.Sequential(nn.Linear(1024, 1024))
    sparsifier = sparsify(model, "2:4", scores="per_weight", skip=[])
    layer = sparsifier.layers["0"]
    info = LayerInfo("0", (1024, 1024), layer.pattern, layer.blocks)
    writer = HistoryWriter(tmp_path / "scores.history", [info], 2)
    writer.append(0, sparsifier)
    sparsifier.remove(4)
    writer.append(1, sparsifier)
    writer.close()
    walk = RemovalWalk(Replay(tmp_path), "0")
    parts = 0
    while walk.behind:
        assert not walk.times.epochs
        walk.advance()
        parts += 1
    assert parts > layer.blocks * 6 // STEP_CELLS
    assert ((walk.times.when == 1) == ~sparsifier.live("0").numpy()).all()
