"""The heatmap and the pinned block show the library's own numbers."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from PySide6.QtCore import QPoint, QPointF, Qt
from pytestqt.qtbot import QtBot

from lbc.heatmap import REMOVED, Fold
from lbc.sparsify import sparsify
from lbc.training.control import Control
from lbc_gui.main_window import MainWindow
from lbc_gui.scores.block_panel import HINT
from lbc_gui.scores.wording import glyphs, ordinal, place
from lbc_gui.snapshot import Snapshot, SnapshotDesk, ViewRequest, take_snapshot
from tests.gui.conftest import SECONDS, settled_centre, small_experiment

Open = Callable[..., MainWindow]


def searched_layer(pattern: str = "2:4", live: int = 3, form: str = "per_weight"):  # type: ignore[no-untyped-def]
    torch.manual_seed(3)
    layer = torch.nn.Linear(16, 8)
    sparsifier = sparsify(layer, pattern, scores=form)  # type: ignore[arg-type]
    parameter = sparsifier.layers[""].score_parameter()
    with torch.no_grad():
        parameter.add_(torch.randn_like(parameter))
    sparsifier.remove(live)
    return sparsifier


def test_a_snapshot_is_a_copy_of_the_librarys_scores() -> None:
    sparsifier = searched_layer()
    snapshot = take_snapshot(sparsifier, ViewRequest("", "difference", 5), 1.5)
    assert snapshot is not None
    scores = sparsifier.scores("").numpy()
    assert np.array_equal(snapshot.scores, scores)
    assert not snapshot.scores.flags.writeable
    assert not snapshot.codes.flags.writeable
    with torch.no_grad():
        sparsifier.layers[""].score_parameter().zero_()
    assert np.array_equal(snapshot.scores, scores)
    assert snapshot.block is not None
    assert np.array_equal(snapshot.block.scores, scores[5])
    mask = sparsifier.layers[""].pattern.to_blocks(sparsifier.mask(""))
    assert np.array_equal(snapshot.block.kept, mask[5].numpy())
    removed = Fold(8, 32, 6).apply(np.where(scores == -np.inf, 1, 9).astype(np.uint8)) == 1
    assert np.array_equal(snapshot.codes == REMOVED, removed)


def test_too_many_combinations_are_drawn_by_position() -> None:
    sparsifier = searched_layer("4:16", live=100)
    snapshot = take_snapshot(sparsifier, ViewRequest("", "difference"), 0.0)
    assert snapshot is not None
    assert snapshot.by_position
    assert snapshot.scores.shape == (8, 16)
    kept = snapshot.scores > -np.inf
    assert np.array_equal(kept, sparsifier.mask("").numpy())


def test_the_desk_holds_one_snapshot_and_the_newest_request_wins() -> None:
    control = Control(paused=True)
    desk = SnapshotDesk(control)
    sparsifier = searched_layer()
    desk.watch(sparsifier, 0.0)
    assert desk.take() is None  # nobody asked
    desk.ask(ViewRequest("", "difference"))
    desk.watch(sparsifier, 0.0)
    desk.watch(sparsifier, 1.0)
    first = desk.take()
    assert first is not None
    assert first.epoch == 0.0  # the second found the desk full
    assert desk.take() is None
    desk.watch(sparsifier, 1.0)
    desk.ask(ViewRequest("", "rank", 2))  # what waits for the old request is void
    assert desk.take() is None
    desk.watch(sparsifier, 1.0)
    second = desk.take()
    assert second is not None
    assert second.request.colour == "rank"
    desk.watch(sparsifier, 1.0)
    assert desk.take() is None  # nothing has moved
    desk.watch(sparsifier, 2.0)
    desk.ask(ViewRequest("", "rank", 2))  # asking the same again does not void what waits
    assert desk.take() is not None


def test_a_running_trainer_gives_snapshots_a_small_share_of_its_time() -> None:
    desk = SnapshotDesk(Control())
    desk.ask(ViewRequest("", "difference"))
    sparsifier = searched_layer()
    made = 0
    for step in range(2000):
        desk.watch(sparsifier, float(step))
        made += desk.take() is not None
    assert 1 <= made <= 3  # 2,000 steps pass here in well under three tenths of a second


def test_clicking_a_block_pins_it_with_the_librarys_numbers(
    qtbot: QtBot, open_window: Open
) -> None:
    window = open_window()
    assert HINT in window.block.title
    for _ in range(3):
        window.actions_.step.trigger()
    qtbot.waitUntil(lambda: window.progress.value() == 3, timeout=SECONDS)
    heatmap = window.scores.heatmap
    qtbot.waitUntil(lambda: heatmap._fold is not None, timeout=SECONDS)
    heatmap.fit()
    point = settled_centre(qtbot, heatmap, 777)
    shown: list[Snapshot] = []
    window.session.snapshot_arrived.connect(shown.append)
    qtbot.mouseClick(heatmap.viewport(), Qt.MouseButton.LeftButton, pos=point)
    qtbot.waitUntil(lambda: "block 777" in window.block.title, timeout=SECONDS)
    snapshot = shown[-1]
    model, pattern = window.block.model, snapshot.pattern
    assert model.rowCount() == pattern.count
    for row in range(model.rowCount()):
        texts = [model.data(model.index(row, column)) for column in range(4)]
        score = float(snapshot.scores[777, row])
        better = int((snapshot.scores[777] > score).sum())
        members = tuple(pattern.members[row].tolist())
        assert texts[0] == glyphs(members, 4)
        assert texts[1] == f"{score:.5f}"
        assert texts[3] == ordinal(better + 1)
    assert place(snapshot.shape, pattern, 777) in window.block.title


def test_hovering_reads_the_cell_and_follows_the_training(qtbot: QtBot, open_window: Open) -> None:
    window = open_window()
    heatmap = window.scores.heatmap
    qtbot.waitUntil(lambda: heatmap._fold is not None, timeout=SECONDS)
    said: list[str] = []
    window.scores.hover_text.connect(said.append)
    centre = heatmap.block_centre(40)
    heatmap._mouse_moved(heatmap.mapToScene(QPoint(int(centre.x()), int(centre.y()))))
    assert said[-1].startswith("block 40 · output 0 · inputs 160–163")
    before = said[-1]
    window.actions_.step.trigger()
    qtbot.waitUntil(lambda: said[-1] != before, timeout=SECONDS)  # the mouse has not moved
    heatmap._mouse_moved(QPointF(-5, -5))
    assert said[-1] == ""


def test_zoom_pan_and_fit_with_the_keyboard(qtbot: QtBot, open_window: Open) -> None:
    window = open_window()
    heatmap = window.scores.heatmap
    qtbot.waitUntil(lambda: heatmap._fold is not None, timeout=SECONDS)

    def width() -> float:
        (x0, x1), _ = heatmap._box.viewRange()
        return float(x1 - x0)

    whole = width()
    heatmap.setFocus()
    for _ in range(4):
        qtbot.keyClick(heatmap, Qt.Key.Key_Plus)
    assert width() < whole / 3
    left = heatmap._box.viewRange()[0][0]
    qtbot.keyClick(heatmap, Qt.Key.Key_Right)
    assert heatmap._box.viewRange()[0][0] > left
    qtbot.keyClick(heatmap, Qt.Key.Key_Home)
    assert width() == whole
    for _ in range(60):
        qtbot.keyClick(heatmap, Qt.Key.Key_Plus)
    assert heatmap._fold is not None
    assert width() >= heatmap._fold.grid[1]  # never further than one block


def test_every_colour_is_drawn(qtbot: QtBot, open_window: Open) -> None:
    window = open_window(small_experiment(pattern="4:8"))
    for row in (1, 2, 0):
        with qtbot.waitSignal(window.session.snapshot_arrived, timeout=SECONDS) as got:
            window.scores.colour.setCurrentIndex(row)
        assert got.args[0].codes.max() > REMOVED
