"""What is saved of a view is what it shows: read back from the files."""

from __future__ import annotations

import csv
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import numpy.typing as npt
import pytest
from PySide6.QtCore import QByteArray, QSize
from PySide6.QtGui import QGuiApplication, QImage
from PySide6.QtWidgets import QApplication, QFileDialog
from pytestqt.qtbot import QtBot
from safetensors.numpy import save_file

from lbc.pictures.score_snapshot import Snapshot
from lbc.runs.events import LayerInfo
from lbc_gui.export import view_export as saving
from lbc_gui.export.view_export import NOTHING, ViewExport, as_csv, picture_writers
from lbc_gui.export.view_renderer import PIXELS, Painted, paint
from lbc_gui.run.session import State
from lbc_gui.run.view_state import ViewState
from lbc_gui.scores.score_view import ScoreView
from lbc_gui.theme import plot_colours
from lbc_gui.window.main_window import MainWindow
from tests.gui.conftest import SECONDS, close_window, small_experiment, zoom_to
from tests.gui.scores.test_score_view import drawn, searched_layer

SVG = "{http://www.w3.org/2000/svg}"
HREF = "{http://www.w3.org/1999/xlink}href"
MARGIN = 8
"""Pixels of the screen between a picture's edge and the view."""

Save = Callable[[ViewExport, str, str], Path]


def snapshot_in(view: ScoreView) -> Snapshot:
    """What the trainer would send it: half of the combinations are removed."""
    sparsifier = searched_layer()
    layer = sparsifier.layers[""]
    view._state.set_layers((LayerInfo("", layer.shape, layer.pattern, layer.blocks),))
    assert view.request is not None
    snapshot = drawn(sparsifier, view.request, 1.5)
    view.show_snapshot(snapshot)
    for _ in range(2):  # the second frame is laid out by what the first has measured
        QApplication.processEvents()
        view.grab()
    return snapshot


@pytest.fixture
def view(qtbot: QtBot) -> Iterator[ScoreView]:
    """The Scores page alone, on screen."""
    shown = ScoreView(ViewState())
    qtbot.addWidget(shown)
    shown.resize(700, 400)
    shown.show()
    yield shown


@pytest.fixture
def keeping(view: ScoreView) -> ViewExport:
    """Saves the Scores page."""
    of_view = ViewExport(lambda: "small", view)
    of_view.add(view, view.heatmap)
    return of_view


@pytest.fixture
def save(qtbot: QtBot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Save:
    """Answers the file dialog with a name and waits until the file is written."""

    def save_as(keeping: ViewExport, command: str, name: str) -> Path:
        monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (str(tmp_path / name), ""))
        with qtbot.waitSignal(keeping.said, timeout=SECONDS):
            getattr(keeping, command)()
        return tmp_path / name

    return save_as


def texts(svg: bytes) -> str:
    """All that is written in a drawing."""
    root = ElementTree.fromstring(svg)
    return " ".join("".join(at.itertext()) for at in root.iter(f"{SVG}text"))


def embedded(svg: bytes) -> list[QImage]:
    """The images in a drawing, as they are."""
    found = []
    for at in ElementTree.fromstring(svg).iter(f"{SVG}image"):
        head, _, code = at.attrib[HREF].partition(",")
        assert head == "data:image/png;base64"
        found.append(QImage.fromData(QByteArray.fromBase64(code.encode())))
    return found


def pixels(image: QImage) -> npt.NDArray[np.uint8]:
    """RGB: (height, width, 3)."""
    plain = image.convertToFormat(QImage.Format.Format_RGB888)
    lines = np.array(plain.constBits(), np.uint8).reshape(plain.height(), -1)
    return lines[:, : 3 * plain.width()].reshape(plain.height(), plain.width(), 3)


def ground_colour() -> tuple[int, int, int]:
    colour = plot_colours().background
    return colour.red(), colour.green(), colour.blue()


def table(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_the_picture_is_the_screens_at_twice_its_pixels(
    view: ScoreView, keeping: ViewExport, save: Save
) -> None:
    snapshot_in(view)
    image = QImage(str(save(keeping, "save_picture", "scores.png")))
    screen = view.heatmap.size()
    assert image.width() == PIXELS * (screen.width() + 2 * MARGIN)
    large = pixels(image)
    assert (large[: PIXELS * MARGIN] == ground_colour()).all()
    height, width = screen.height(), screen.width()
    drawn_view = large[-PIXELS * (height + MARGIN) : -PIXELS * MARGIN, PIXELS * MARGIN :]
    seen = pixels(view.heatmap.grab().toImage())
    half = drawn_view[::PIXELS, ::PIXELS][:height, :width]
    assert (half == seen).all(axis=2).mean() > 0.9  # but for the edges of cells and letters


def test_the_drawing_has_its_words_as_text_and_its_cells_as_they_are(
    view: ScoreView, keeping: ViewExport, save: Save
) -> None:
    snapshot = snapshot_in(view)
    svg = save(keeping, "save_picture", "scores.svg").read_bytes()
    written = texts(svg)
    for text in ("model", "2:4", "epoch 1.5", "lead over next", "removed", "output channel"):
        assert text in written
    height, width = snapshot.fold.size
    images = embedded(svg)
    assert [image.size() for image in images[1:]] == [QSize(width, height)]
    colours = pixels(images[1])
    for code in np.unique(snapshot.cells.codes):
        assert len(np.unique(colours[snapshot.cells.codes == code], axis=0)) == 1
    assert len(np.unique(colours.reshape(-1, 3), axis=0)) > 20


def test_nothing_is_drawn_beside_the_plot_when_zoomed_in(view: ScoreView) -> None:
    snapshot_in(view)
    zoom_to(view.heatmap, 3)
    picture = view.picture_to_save()
    assert picture is not None
    painted = paint(picture)
    image = pixels(painted.image)
    ground = ground_colour()
    assert (image[-PIXELS * MARGIN :] == ground).all()
    assert (image[:, -PIXELS * MARGIN :] == ground).all()
    clips = [at for at in ElementTree.fromstring(painted.svg) if "clip-path" in at.attrib]
    inside = [at for at in clips if list(at.iter(f"{SVG}image"))]
    assert len(inside) == 2  # the legend's bar, and the cells within the axes
    assert "■■□□" in texts(painted.svg)


def test_after_the_picture_the_screen_has_its_own_detail_again(view: ScoreView) -> None:
    snapshot_in(view)
    view.resize(420, 210)
    before = view.heatmap.grab().toImage()
    picture = view.picture_to_save()
    assert picture is not None
    paint(picture)
    assert np.array_equal(pixels(view.heatmap.grab().toImage()), pixels(before))


def test_saved_scores_are_the_librarys_own(
    view: ScoreView, keeping: ViewExport, save: Save
) -> None:
    snapshot = snapshot_in(view)
    library = searched_layer()
    scores = library.scores("").numpy()
    with np.load(save(keeping, "save_data", "scores.npz"), allow_pickle=False) as held:
        assert held["scores"].dtype == np.float32
        assert np.array_equal(held["scores"], scores)
        assert np.isneginf(held["scores"]).any()
        assert np.array_equal(held["combinations"], snapshot.pattern.incidence().numpy())
        assert tuple(held["shape"]) == (8, 16)
        assert (str(held["layer"]), str(held["pattern"]), held["epoch"]) == ("model", "2:4", 1.5)
    rows = table(save(keeping, "save_data", "scores.csv"))
    live = np.array([row["live"] == "1" for row in rows]).reshape(scores.shape)
    assert np.array_equal(live, np.isfinite(scores))
    read = np.array([row["score"] or "-inf" for row in rows], np.float32)
    assert np.array_equal(read.reshape(scores.shape), scores)
    assert [row["combination"] for row in rows[:3]] == ["0 1", "0 2", "0 3"]


def test_a_copied_picture_is_an_image_and_a_drawing(view: ScoreView, keeping: ViewExport) -> None:
    snapshot_in(view)
    keeping.copy_picture()
    held = QGuiApplication.clipboard().mimeData()
    assert held.hasImage()
    assert "output channel" in texts(bytes(held.data("image/svg+xml").data()))
    QGuiApplication.clipboard().clear()  # as a window does that closes


def told(qtbot: QtBot, keeping: ViewExport, command: Callable[[], Any]) -> str:
    """The sentence that a command fails with."""
    with qtbot.waitSignal(keeping.failed, timeout=SECONDS) as failed:
        command()
    return str(failed.args[0])


def test_what_cannot_be_saved_is_reported_and_nothing_is_lost(
    view: ScoreView, keeping: ViewExport, save: Save, tmp_path: Path, qtbot: QtBot
) -> None:
    assert told(qtbot, keeping, keeping.save_data) == NOTHING
    mine = tmp_path / "table.csv"
    mine.write_text("mine")
    large = {".csv": as_csv(("a",), saving.LARGEST_TABLE + 1, iter(()))}
    said = told(qtbot, keeping, lambda: keeping.save(mine, large))
    assert "1,000,001 rows" in said and ".npz" in said

    def full(file: Any) -> None:
        file.write(b"half")
        raise OSError(28, "No space left on device")

    said = told(qtbot, keeping, lambda: keeping.save(mine, {".csv": full}))
    assert said == f"{mine} could not be written (No space left on device): free disk space."
    assert [path.name for path in tmp_path.iterdir()] == ["table.csv"]
    assert mine.read_text() == "mine"
    nowhere = tmp_path / "none" / "a.svg"
    said = told(qtbot, keeping, lambda: keeping.save(nowhere, {".svg": full}))
    assert said == f"{nowhere} could not be written (No such file or directory): check the path."


@pytest.mark.parametrize("error", [MemoryError, RuntimeError, KeyError])
def test_any_error_while_saving_is_reported_and_nothing_is_lost(
    view: ScoreView, keeping: ViewExport, tmp_path: Path, qtbot: QtBot, error: type[Exception]
) -> None:
    mine, said = tmp_path / "table.csv", list[str]()
    mine.write_text("mine")
    keeping.said.connect(said.append)

    def fails(file: Any) -> None:
        file.write(b"half")
        raise error

    sentence = told(qtbot, keeping, lambda: keeping.save(mine, {".csv": fails}))
    assert sentence.startswith(f"{mine} could not be written")
    if error is MemoryError:
        assert sentence.endswith("there is not enough memory.")
    qtbot.waitUntil(lambda: not keeping.running, timeout=SECONDS)
    assert not said
    assert [path.name for path in tmp_path.iterdir()] == ["table.csv"]
    assert mine.read_text() == "mine"


def test_a_picture_too_large_for_the_memory_is_not_saved_as_an_empty_file(
    view: ScoreView, keeping: ViewExport, tmp_path: Path, qtbot: QtBot
) -> None:
    without_pixels = Painted(QImage(), b"")  # what Qt gives when it cannot allocate an image
    writers = picture_writers(without_pixels)
    sentence = told(qtbot, keeping, lambda: keeping.save(tmp_path / "a.png", writers))
    assert "make the view smaller" in sentence
    assert not list(tmp_path.iterdir())


def test_the_window_closes_once_a_file_is_written(
    open_window: Callable[..., MainWindow], qtbot: QtBot, tmp_path: Path
) -> None:
    window = open_window()
    qtbot.waitUntil(lambda: hasattr(window, "inspecting"), timeout=SECONDS)

    def slow(file: Any) -> None:
        time.sleep(0.5)
        file.write(b"whole")

    window.saving.save(tmp_path / "a.csv", {".csv": slow})
    close_window(qtbot, window)
    assert not window.saving.running
    assert (tmp_path / "a.csv").read_bytes() == b"whole"


def test_a_name_without_a_form_gets_one_and_replaces_nothing(
    view: ScoreView, keeping: ViewExport, save: Save, tmp_path: Path, qtbot: QtBot
) -> None:
    snapshot_in(view)
    save(keeping, "save_data", "plain")
    before = (tmp_path / "plain.npz").read_bytes()
    assert "exists already" in told(qtbot, keeping, keeping.save_data)
    assert (tmp_path / "plain.npz").read_bytes() == before


def test_the_view_with_the_focus_is_saved_else_the_first_on_screen(
    open_window: Callable[..., MainWindow], save: Save, qtbot: QtBot, tmp_path: Path
) -> None:
    short = {"epochs": 2, "batch_size": 500}
    window = open_window(small_experiment(training=short, schedule={"end": 2}), start=True)
    qtbot.waitUntil(lambda: window.session.state is State.FINISHED, timeout=SECONDS)
    window.view_state.pin(5)
    qtbot.waitUntil(lambda: window.block.data_to_save() is not None, timeout=SECONDS)
    keeping = window.saving

    def current() -> object:
        return keeping.current

    window.activateWindow()
    window.log.setFocus()
    assert current() is window.scores

    window.pages.folding["curves"].title.fold(False)
    window.curves.setFocus()
    assert current() is window.curves
    epochs = [row for row in table(save(keeping, "save_data", "c.csv")) if row["test_loss"]]
    assert [float(row["epoch"]) for row in epochs] == [1, 2]
    assert [row["step_loss"] != "" for row in epochs] == [True, True]
    written = texts(save(keeping, "save_picture", "c.svg").read_bytes())
    assert "Training curves up to epoch 2" in written and "Test accuracy" in written

    picture, _, data = window.block.actions()  # of its context menu
    assert (picture.data(), data.data()) == (window.block, window.block)
    window.block.combinations.setFocus()
    rows = table(save(keeping, "save_data", "block.csv"))
    shown = window.scores._snapshot
    assert shown is not None
    scores = shown.scores[5]
    assert [np.float32(row["score"] or "-inf") for row in rows] == scores.tolist()
    assert rows[0]["kept"] == "■■□□"
    written = texts(save(keeping, "save_picture", "block.svg").read_bytes())
    assert "■■□□" in written and "block 5" in written

    window.pages.setCurrentWidget(window.pages.latency)
    assert current() is window.pages.latency.plots
    written = texts(save(keeping, "save_picture", "speed.svg").read_bytes())
    assert "Speed-up over dense" in written and "published" in written

    weight = np.random.default_rng(0).normal(size=(8, 16)).astype(np.float32)
    weight.reshape(-1, 4)[:, :2] = 0
    save_file({"one.weight": weight}, tmp_path / "one.safetensors")
    window.inspecting.open([tmp_path / "one.safetensors"])
    qtbot.waitUntil(lambda: window.pages.inspector.layer.picture is not None, timeout=SECONDS)
    assert current() is window.pages.inspector.layer
    with np.load(save(keeping, "save_data", "mask.npz"), allow_pickle=False) as held:
        assert np.array_equal(held["weights"], weight)
    written = texts(save(keeping, "save_picture", "mask.svg").read_bytes())
    assert "one" in written and "in a violation" in written
