"""What the trainer copies and the renderer draws is what the window shows, and no more."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from lbc.pictures.colour_keys import Scale
from lbc.pictures.layer_copy import copy_sample
from lbc.pictures.moment_copier import MomentCopier
from lbc.pictures.score_snapshot import Look, Snapshot, Thumbnail, ViewRequest, draw_thumbnail
from lbc.runs.events import LayerInfo
from lbc.runs.history_reader import FILE
from lbc.runs.history_writer import HistoryWriter
from lbc.sparsity.sparsification import sparsify
from lbc.sparsity.sparsifier import Sparsifier
from lbc.training.control import Control
from lbc_gui.run.renderer import HistoryError, Renderer
from lbc_gui.run.snapshot_broker import SnapshotBroker
from tests.gui.scores.test_score_view import searched_layer


class Line:
    """One run's broker with the trainer's side and the renderer, all in this thread."""

    def __init__(self, broker: SnapshotBroker) -> None:
        self.broker = broker
        self.watch = MomentCopier(broker).watch
        self._renderer = Renderer(broker)

    def drawn(self) -> Snapshot | None:
        """The picture that reaches the window once all that can be drawn is drawn."""
        while (job := self._renderer.next_job()) is not None:
            job()
        snapshot = self.broker.drawn.snapshot.take()
        assert snapshot is None or isinstance(snapshot, Snapshot)
        return snapshot


def line(paused: bool = True) -> Line:
    return Line(SnapshotBroker(threading.Condition(), Control(paused)))


def record(folder: Path, sparsifier: Sparsifier, moments: int) -> HistoryWriter:
    """Write the history of a run of one layer."""
    (layer,) = sparsifier.layers.values()
    layers = [LayerInfo("", layer.shape, layer.pattern, layer.blocks)]
    writer = HistoryWriter(folder / FILE, layers, 3)
    for epoch in range(moments):
        writer.append(epoch, sparsifier)
    writer.sync()
    return writer


def test_one_copy_waits_and_the_newest_request_wins() -> None:
    one, sparsifier = line(), searched_layer()
    one.watch(sparsifier, 0.0)
    assert one.drawn() is None  # nothing is on screen
    one.broker.ask(ViewRequest(""))
    one.watch(sparsifier, 0.0)
    one.watch(sparsifier, 1.0)
    first = one.drawn()
    assert first is not None
    assert first.epoch == 0.0  # the second was not copied, as the first had not been taken
    assert one.drawn() is None
    one.watch(sparsifier, 1.0)
    one.broker.ask(ViewRequest("", Look("rank"), 2))  # the copy for the old request is void
    assert one.drawn() is None
    one.watch(sparsifier, 1.0)
    second = one.drawn()
    assert second is not None and second.block is not None
    assert second.request.look.colour == "rank"
    one.watch(sparsifier, 1.0)
    assert one.drawn() is None  # nothing has changed
    one.watch(sparsifier, 2.0)
    one.broker.ask(ViewRequest("", Look("rank"), 2))  # the same again does not void the copy
    assert one.drawn() is not None


def test_only_the_thumbnails_on_screen_are_drawn() -> None:
    one = line()
    one.broker.ask(ViewRequest("0"))
    torch.manual_seed(3)
    model = torch.nn.Sequential(*(torch.nn.Linear(16, 16) for _ in range(3)))
    sparsifier = sparsify(model, "2:4")  # but for the last, the classifier

    def drawn_of() -> list[str]:
        one.broker.sample_pace.not_before = 0.0
        one.watch(sparsifier, 1.0)
        one.drawn()
        return list(one.broker.drawn.thumbnails.take() or {})

    assert drawn_of() == ["0", "1"]
    assert drawn_of() == []  # nothing has changed
    one.broker.listed = frozenset({"1"})
    assert drawn_of() == ["1"]


def test_thumbnails_come_back_from_the_past_while_training_is_paused(tmp_path: Path) -> None:
    one, sparsifier = line(), searched_layer()
    record(tmp_path, sparsifier, 1).close()
    sparsifier.remove(1)

    def drawn_of() -> Thumbnail | None:
        one.watch(sparsifier, 1.0)
        one.drawn()
        return (one.broker.drawn.thumbnails.take() or {}).get("")

    def alike(drawn: Thumbnail | None, other: Thumbnail) -> bool:
        return drawn is not None and np.array_equal(drawn.picture.codes, other.picture.codes)

    one.broker.history.put(tmp_path)
    one.broker.ask(ViewRequest(""))
    live = drawn_of()
    assert live is not None
    one.broker.ask(ViewRequest("", moment=0))
    past = drawn_of()
    assert past is not None and not alike(past, live)
    one.broker.ask(ViewRequest(""))
    assert alike(drawn_of(), live)
    assert drawn_of() is None  # nothing has changed
    one.broker.ask(ViewRequest("", Look("score")))  # is drawn of the same samples
    other = drawn_of()
    assert other is not None and not alike(other, live)


def test_a_ban_changes_the_thumbnails_while_training_is_paused() -> None:
    one, sparsifier = line(), searched_layer()
    one.broker.ask(ViewRequest(""))
    one.watch(sparsifier, 1.0)
    one.drawn()
    assert one.broker.drawn.thumbnails.take()
    sparsifier.ban("", 0)
    one.broker.sample_pace.not_before = 0.0
    one.watch(sparsifier, 1.0)
    one.drawn()
    assert one.broker.drawn.thumbnails.take()


def test_what_a_server_has_drawn_comes_back_from_the_past(tmp_path: Path) -> None:
    one, sparsifier = line(), searched_layer()
    record(tmp_path, sparsifier, 1).close()
    one.broker.history.put(tmp_path)
    one.broker.ask(ViewRequest(""))
    sample = copy_sample(sparsifier.layers[""], 1.0)
    drawn = {name: draw_thumbnail(replace(sample, name=name), Look()) for name in "ab"}
    for thumbnail in drawn.values():
        one.broker.put_samples([thumbnail])
    one.drawn()
    assert one.broker.drawn.thumbnails.take() == drawn
    one.broker.ask(ViewRequest("", moment=0))
    one.broker.put_samples([drawn["a"]])  # late: the past is on screen
    one.drawn()
    assert set(one.broker.drawn.thumbnails.take() or ()) == {""}
    one.broker.ask(ViewRequest(""))
    one.drawn()
    assert one.broker.drawn.thumbnails.take() == drawn


def test_another_look_is_drawn_without_the_trainer() -> None:
    one = line()
    one.broker.ask(ViewRequest(""))
    one.watch(searched_layer(), 3.0)
    assert one.drawn() is not None
    one.broker.ask(ViewRequest("", Look("rank")))
    again = one.drawn()
    assert again is not None
    assert isinstance(again.cells.scale, Scale)
    assert (again.epoch, again.cells.scale.colour) == (3.0, "rank")


def test_nothing_of_the_run_before_is_shown() -> None:
    one = line()
    one.broker.ask(ViewRequest(""))
    one.watch(searched_layer(), 3.0)
    assert one.drawn() is not None
    one.broker.ask(ViewRequest("", Look("rank")))
    next_one = Line(one.broker.successor(Control(paused=True)))
    assert next_one.drawn() is None
    next_one.watch(searched_layer(), 0.0)
    first = next_one.drawn()
    assert first is not None
    assert (first.epoch, first.request.look.colour) == (0.0, "rank")


def test_a_running_trainer_spends_a_small_share_of_its_time_on_copies() -> None:
    one, sparsifier = line(paused=False), searched_layer()
    one.broker.ask(ViewRequest(""))
    made = 0
    for step in range(2000):
        one.watch(sparsifier, float(step))
        made += one.drawn() is not None
    assert 1 <= made <= 8  # not 2,000: one in a tenth of a second


def test_a_moment_that_another_process_withdraws_is_no_failure(tmp_path: Path) -> None:
    sparsifier = searched_layer()
    writer = record(tmp_path, sparsifier, 3)
    broker = SnapshotBroker(threading.Condition())
    broker.ask(ViewRequest("", moment=2))
    broker.history.put(tmp_path)
    renderer = Renderer(broker)
    read = renderer.next_job()
    assert read is not None
    read()
    draw = renderer.next_job()
    writer.truncate(1, False)  # a process resumes the run
    writer.close()
    assert draw is not None
    with pytest.raises(HistoryError) as caught:
        draw()
    broker.drawn.moments.take()
    assert renderer.excuses(caught.value)
    assert len(broker.drawn.moments.take() or ()) == 1
    assert not renderer.excuses(caught.value)  # nothing has been withdrawn since
