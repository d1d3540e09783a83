"""A viewer in another process gets copies of what it shows, and only while it is there."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lbc.following import watch as watching
from lbc.following.frame import Frame, read_frame, write_frame
from lbc.following.watch import Viewers, WatchedRun, as_watch_request, watch_files
from lbc.pictures.layer_copy import copy_moment
from lbc.pictures.layer_moment import Watch
from lbc.pictures.moment_copier import CopyRequest, Pin
from lbc.runs.layer_moment import LayerMoment
from lbc.sparsity.sparsification import sparsify
from lbc.sparsity.sparsifier import Sparsifier
from lbc.training.control import Control

REQUEST = CopyRequest(3, Watch("0", 2, True), frozenset({"1"}), (Pin("1", 0), Pin("gone", 0)))


def searched(pattern: str = "2:4", method: str = "lbc", scores: Any = "per_weight") -> Sparsifier:
    torch.manual_seed(1)
    model = torch.nn.Sequential(
        *(torch.nn.Linear(32, 24) for _ in range(2)), torch.nn.Linear(24, 4)
    )
    sparsifier = sparsify(model, pattern, method=method, scores=scores, skip=["2"])
    if method == "lbc":
        for layer in sparsifier.layers.values():
            for score in layer.score_parameters():
                torch.nn.init.normal_(score)
        sparsifier.remove(2)
    return sparsifier


def viewers(folder: Path) -> Viewers:
    def fail(error: Exception) -> None:
        raise error

    return Viewers(folder, "me", Control(paused=True), fail)


def look(side: Viewers, sparsifier: Sparsifier, epoch: float) -> None:
    side.refresh()
    side.copy(sparsifier, epoch)


def same(one: LayerMoment, other: LayerMoment) -> bool:
    pairs = ((getattr(one, name), getattr(other, name)) for name in one.__dataclass_fields__)
    return all(
        np.array_equal(mine, theirs) if isinstance(mine, np.ndarray) else mine == theirs
        for mine, theirs in pairs
    )


@pytest.mark.parametrize("pattern", ["2:4", "1:8", "4:8"])
@pytest.mark.parametrize("scores", ["per_weight", "per_combination"])
def test_a_viewer_gets_what_the_window_of_the_trainer_would(
    tmp_path: Path, pattern: str, scores: str
) -> None:
    sparsifier, side, viewer = (
        searched(pattern, scores=scores),
        viewers(tmp_path),
        WatchedRun(tmp_path),
    )
    viewer.ask(as_watch_request("me", REQUEST))
    look(side, sparsifier, 1.5)
    taken = dict(viewer.take())
    (layer,) = taken["layer"].moments
    expected = copy_moment(sparsifier, Watch("0", 2, True), 1.5, layer.layers)
    assert expected is not None and same(layer, expected)
    assert taken["layer"].number == 3
    assert [state.name for state in layer.layers] == ["0", "1"]
    (sample,) = taken["samples"].moments
    assert (sample.name, sample.shape[0] <= 16) == ("1", True)
    weights = taken["weights"].weights
    assert weights is not None and list(weights.weights) == [Pin("1", 0)]
    assert weights.weights[Pin("1", 0)].tolist() == (
        sparsifier.dense_weight("1").detach()[0, : sparsifier.layers["1"].pattern.m].tolist()
    )
    look(side, sparsifier, 1.5)
    assert viewer.take() == []  # nothing has changed


@pytest.mark.parametrize("method", ["asp", "sr-ste"])
def test_layers_of_every_method_can_be_sent(tmp_path: Path, method: str) -> None:
    for pattern in ("2:4", "4:8", "2:32"):
        moment = copy_moment(searched(pattern, method), Watch("0"), 1.0)
        assert moment is not None
        write_frame(tmp_path / "frame", Frame(1, (moment,)))
        assert same(read_frame(tmp_path / "frame").moments[0], moment)


def test_frames_wait_until_they_are_taken_and_old_requests_are_void(tmp_path: Path) -> None:
    sparsifier, side, viewer = searched(), viewers(tmp_path), WatchedRun(tmp_path)
    viewer.ask(as_watch_request("me", CopyRequest(1, Watch("0"))))
    look(side, sparsifier, 1.0)
    look(side, sparsifier, 2.0)
    assert [frame.moments[0].epoch for _, frame in viewer.take()] == [1.0]
    look(side, sparsifier, 2.0)
    assert [frame.moments[0].epoch for _, frame in viewer.take()] == [2.0]
    viewer.ask(as_watch_request("me", CopyRequest(2, Watch("1"))))
    look(side, sparsifier, 2.0)
    assert [(frame.number, frame.moments[0].name) for _, frame in viewer.take()] == [(2, "1")]
    viewer.ask(as_watch_request("another", CopyRequest(3, Watch("0"))))
    look(side, sparsifier, 3.0)
    assert [frame.number for _, frame in viewer.take()] == [2]


def test_several_viewers_get_each_what_it_shows(tmp_path: Path) -> None:
    sparsifier, side = searched(), viewers(tmp_path)
    seen = [WatchedRun(tmp_path), WatchedRun(tmp_path)]
    for number, viewer in enumerate(seen):
        viewer.ask(as_watch_request("me", CopyRequest(number, Watch(str(number)))))
    look(side, sparsifier, 1.0)
    for number, viewer in enumerate(seen):
        ((_, frame),) = viewer.take()
        assert (frame.number, frame.moments[0].name) == (number, str(number))


def test_nothing_is_copied_for_viewers_that_have_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sparsifier, side, viewer = searched(), viewers(tmp_path), WatchedRun(tmp_path)
    viewer.ask(as_watch_request("me", REQUEST))
    viewer.close()
    look(side, sparsifier, 1.0)
    assert list(watch_files(tmp_path)) == []
    killed = WatchedRun(tmp_path)
    killed.ask(as_watch_request("me", REQUEST))
    look(side, sparsifier, 1.0)
    assert len(list(watch_files(tmp_path))) == 4
    monkeypatch.setattr(watching, "ALIVE_SECONDS", 0.0)
    look(side, sparsifier, 2.0)
    assert list(watch_files(tmp_path)) == []


def test_a_viewer_that_has_slept_is_seen_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sparsifier, side, viewer = searched(), viewers(tmp_path), WatchedRun(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(watching, "ALIVE_SECONDS", 0.0)
        viewer.ask(as_watch_request("me", REQUEST))
        look(side, sparsifier, 1.0)
    assert list(watch_files(tmp_path)) == []
    viewer.ask(as_watch_request("me", REQUEST))
    look(side, sparsifier, 2.0)
    assert "layer" in dict(viewer.take())


def test_a_trainer_begins_without_what_an_earlier_one_left(tmp_path: Path) -> None:
    viewer = WatchedRun(tmp_path)
    viewer.ask(as_watch_request("before", REQUEST))
    mine = [tmp_path / name for name in ("watch-me.json", "frame.bin", "watch-12345678.txt")]
    for file in mine:
        file.touch()
    viewers(tmp_path)
    assert list(watch_files(tmp_path)) == [] and all(file.exists() for file in mine)


@pytest.mark.parametrize(
    "change",
    [
        {"pins": [["0"]]}, {"listed": 5}, {"number": -1}, {"block": 1 << 70}, {"version": 9},
        {"interval": float("nan")}, {"layer": {}}, {"pins": [{"layer": "0", "block": -4}] * 3},
    ],
)  # fmt: skip
def test_a_foreign_request_is_ignored(tmp_path: Path, change: dict[str, object]) -> None:
    sparsifier, side, viewer = searched(), viewers(tmp_path), WatchedRun(tmp_path)
    viewer.ask(as_watch_request("me", CopyRequest(1, Watch("0"))))
    (path,) = watch_files(tmp_path)
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    look(side, sparsifier, 1.0)
    assert viewer.take() == []


@pytest.mark.skipif(sys.platform == "win32", reason="no pipes and links")
@pytest.mark.parametrize("kind", ["pipe", "folder", "link"])
def test_requests_that_are_no_files_are_harmless(tmp_path: Path, kind: str) -> None:
    victim, path = tmp_path / "victim", tmp_path / "watch-00000000.json"
    victim.write_text("mine")
    side = viewers(tmp_path)
    match kind:
        case "pipe":
            os.mkfifo(path)
        case "folder":
            path.mkdir()
        case _:
            path.symlink_to(victim)
    look(side, searched(), 1.0)
    assert victim.read_text() == "mine"


# -- frames ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def frame(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    moment = copy_moment(searched(), Watch("0", 2, True), 1.5)
    assert moment is not None
    path = tmp_path_factory.mktemp("frames") / "frame"
    write_frame(path, Frame(3, (moment,)))
    return path.read_bytes()


@given(data=st.data())
def test_a_damaged_frame_is_refused_or_drawn(
    tmp_path_factory: pytest.TempPathFactory, frame: bytes, data: st.DataObject
) -> None:
    head = frame.index(b"\n") + 1
    at = data.draw(st.integers(0, head - 1))
    changed = frame[:at] + data.draw(st.binary(max_size=3)) + frame[at + 1 :]
    path = tmp_path_factory.getbasetemp() / "damaged"
    path.write_bytes(changed)
    try:
        (moment, *_) = read_frame(path).moments or [None]
    except ValueError:
        return
    if moment is not None:
        assert moment.scores() is not None and moment.kept().shape == (192, 4)


EDITS: dict[str, Callable[[dict[str, object]], object]] = {
    "no raw": lambda at: at["arrays"].pop("raw"),  # type: ignore[attr-defined]
    "another pattern": lambda at: at.update(pattern="2:8"),
    "no pattern": lambda at: at.update(pattern="4:4"),
    "a wide pattern": lambda at: at.update(pattern="2048:4096"),
    "another shape": lambda at: at.update(shape=[24, 16]),
    "no shape": lambda at: at.update(shape=[]),
    "not additive": lambda at: at.update(additive=False),
    "an unknown array": lambda at: at["arrays"].update(extra=[0]),  # type: ignore[attr-defined]
}


@pytest.mark.parametrize("edit", EDITS)
def test_arrays_that_do_not_fit_are_refused(tmp_path: Path, frame: bytes, edit: str) -> None:
    head, _, body = frame.partition(b"\n")
    document = json.loads(head)
    EDITS[edit](document["moments"][0])
    (tmp_path / "frame").write_bytes(json.dumps(document).encode() + b"\n" + body)
    with pytest.raises(ValueError):
        read_frame(tmp_path / "frame")


def test_a_viewer_says_once_that_a_frame_cannot_be_read(tmp_path: Path) -> None:
    side, viewer = viewers(tmp_path), WatchedRun(tmp_path)
    viewer.ask(as_watch_request("me", CopyRequest(1, Watch("0"))))
    look(side, searched(), 1.0)
    (path,) = (path for path in watch_files(tmp_path) if path.name.endswith("-layer"))
    path.write_bytes(b'{"version": 9}\n')
    with pytest.raises(ValueError):
        viewer.take()
    assert viewer.take() == []
