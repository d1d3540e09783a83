"""A history survives damage, a full disk and a resumption, and is read while it is written."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest
import torch

from lbc.runs import history_writer as history
from lbc.runs.history_format import read_frames
from lbc.runs.history_reader import Replay
from lbc.runs.history_writer import HistoryWriter
from lbc.sparsity.live_sets import pack
from tests.runs.searches import check, disturb, equal, searched, seen
from tests.runs.test_runs import REFUSED, posix, room


def test_a_file_of_another_version_is_refused_with_a_sentence(tmp_path: Path) -> None:
    path = tmp_path / "scores.history"
    path.write_text(json.dumps({"version": 1, "layers": []}) + "\n")
    with pytest.raises(ValueError, match=r"history of version 1.*reads version 2: open it with"):
        Replay(tmp_path)
    with pytest.raises(ValueError, match=r"nowhere cannot be read, so no moment of this run"):
        Replay(tmp_path / "nowhere")


@posix
def test_a_history_continues_after_a_moment_that_did_not_fit(tmp_path: Path) -> None:
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


def test_a_damaged_index_ends_the_history_and_a_damaged_part_is_reported(tmp_path: Path) -> None:
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
        damaged = Replay(path)
        assert len(damaged.moments) == left
        assert f"is damaged: its moments after epoch {left - 1} cannot be read" in damaged.damage
    path.write_bytes(flipped(whole, int(frames[1].starts[1])))
    replay = Replay(path)
    assert len(replay.moments) == 3
    replay.layer("0", 2)
    replay.layer("1", 0)
    for k in (1, 2):
        with pytest.raises(ValueError, match=r"history is damaged: layer '1' .* epoch 1\."):
            replay.layer("1", k)


def test_every_byte_of_the_frames_heads_and_of_the_first_line_counts(tmp_path: Path) -> None:
    sparsifier, infos = searched("2:4")
    path = tmp_path / "scores.history"
    writer = HistoryWriter(path, infos, 2)
    for epoch in range(2):
        disturb(sparsifier)
        writer.append(epoch, sparsifier)
    writer.close()
    whole, frames = path.read_bytes(), read_frames(path)
    bodies = [int(frame.starts[0]) for frame in frames]
    protected = [*range(frames[0].begin), *range(frames[0].begin, bodies[0])]
    protected += range(frames[1].begin, bodies[1])
    layers, moments = Replay(path).layers, Replay(path).moments
    for bit in (8 * byte + byte % 8 for byte in protected):
        path.write_bytes(flipped(whole, bit // 8, 1 << bit % 8))
        try:
            replay = Replay(path)
        except ValueError:
            continue
        assert replay.damage or (replay.layers, replay.moments) == (layers, moments), bit


def test_a_frame_that_is_being_written_is_no_damage(tmp_path: Path) -> None:
    sparsifier, infos = searched("2:4")
    path = tmp_path / "scores.history"
    writer = HistoryWriter(path, infos, 2)
    writer.append(0, sparsifier)
    writer.append(1, sparsifier)
    writer.close()
    whole, second = path.read_bytes(), read_frames(path)[1].begin
    for end in range(second, len(whole), 7):
        for tail in (b"", bytes(len(whole) - end)[:1000] if end == second else b""):
            path.write_bytes(whole[:end] + tail)
            replay = Replay(path)
            assert len(replay.moments) == 1 and not replay.damage


def flipped(data: bytes, place: int, bits: int = 0xFF) -> bytes:
    return data[:place] + bytes([data[place] ^ bits]) + data[place + 1 :]


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


@pytest.mark.parametrize("shape", [[1 << 44, 4], [-8, -8], [8, 4.0], [[], 4], [0, 4]])
def test_a_layer_of_an_impossible_shape_is_refused_unread(tmp_path: Path, shape: object) -> None:
    path = tmp_path / "scores.history"
    layers = [{"name": "a", "shape": shape, "pattern": "2:4"}]
    path.write_text(json.dumps({"version": 2, "layers": layers}) + "\n")
    with pytest.raises(ValueError, match=r"is not a score history, or damaged in its first line"):
        Replay(path)
