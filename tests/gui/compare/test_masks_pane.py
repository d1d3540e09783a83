"""Masks of several runs: the matrix, what its cells open, and runs that cannot be compared."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PySide6.QtCore import QPoint, Qt
from PySide6.QtGui import QColor
from pytestqt.qtbot import QtBot

from lbc.comparison.mask_agreement import compare_masks
from lbc.comparison.run_masks import read_masks
from lbc.library.run_summary import RunSummary
from lbc.runs.annotations import Annotations
from lbc_gui.compare.agreement_matrix import AgreementMatrix
from lbc_gui.compare.masks_pane import MasksPane
from lbc_gui.compare.run_selection import RunSelection
from lbc_gui.export.view_renderer import paint
from lbc_gui.theme import apply_theme
from lbc_gui.worker import DRAIN_MILLISECONDS
from tests.comparison.recorded_runs import record_search
from tests.gui.compare.conftest import MakeRun
from tests.gui.conftest import SECONDS
from tests.gui.painted import Painted


@pytest.fixture
def pane(qtbot: QtBot) -> Iterator[MasksPane]:
    pane = MasksPane(RunSelection())
    qtbot.addWidget(pane)
    pane.resize(700, 600)
    pane.show()
    yield pane
    pane.reading.cancel()
    qtbot.waitUntil(lambda: not pane.reading.running, timeout=SECONDS)


def compare(qtbot: QtBot, pane: MasksPane, runs: Sequence[RunSummary]) -> None:
    """Choose runs, and wait until everything of them has been read."""
    pane._selection.show_runs(runs)
    wait_for(qtbot, pane)


def wait_for(qtbot: QtBot, pane: MasksPane) -> None:
    def read() -> bool:
        compared = pane._compared
        wanted = pane._selection.selection.compared
        return compared is not None and compared.request == wanted and not pane.reading.running

    qtbot.waitUntil(read, timeout=SECONDS)


def cell(pane: MasksPane, first: int, second: int) -> QPoint:
    return pane.matrix.cell_rect(first, second).center().toPoint()


def test_a_cell_says_how_far_two_masks_agree_and_opens_them(
    qtbot: QtBot, pane: MasksPane, make_run: MakeRun
) -> None:
    runs = [make_run(name, searched=True) for name in ("ant", "bear", "cow")]
    opened: list[tuple[Path, Path, str]] = []
    pane.masks_requested.connect(lambda *asked: opened.append(asked))
    compare(qtbot, pane, runs)
    expected = compare_masks([read_masks(run.folder, "lbc") for run in runs])
    assert pane.matrix._kappas.tolist() == expected.whole.tolist()
    qtbot.mouseMove(pane.matrix, cell(pane, 1, 2))
    assert f"κ {expected.whole[1, 2]:.3f} between bear and cow" in pane.detail.text()
    assert pane._selection.selection.hovered == runs[1].folder
    assert set(pane.plots._courses) == {0, 1, 2} and pane.plots._pair == (1, 2)
    qtbot.waitUntil(lambda: "cow" in pane.plots._key.text(), timeout=SECONDS)
    assert "ant" not in pane.plots._key.text()
    for run in runs[1:]:  # in the colours that they have in the other panes
        assert pane._selection.colours.of(run.folder).name() in pane.plots._key.text()
    qtbot.mouseClick(pane.matrix, Qt.MouseButton.LeftButton, pos=cell(pane, 1, 2))
    assert opened == [(runs[1].folder, runs[2].folder, "")]

    qtbot.mouseClick(pane.matrix, Qt.MouseButton.LeftButton, pos=cell(pane, 2, 2))
    assert "cow: 46.2% of the weights are kept after epoch 4" in pane.detail.text()
    assert len(opened) == 1
    layer = list(expected.layers)[1]
    pane.layers.setFocus()
    qtbot.keyClick(pane.layers, Qt.Key.Key_Down)
    qtbot.keyClick(pane.layers, Qt.Key.Key_Down)
    assert pane.layer == layer
    assert pane.matrix._kappas.tolist() == expected.layers[layer].tolist()
    pane.matrix.setFocus()
    qtbot.keyClick(pane.matrix, Qt.Key.Key_Left)
    qtbot.keyClick(pane.matrix, Qt.Key.Key_Left)
    qtbot.keyClick(pane.matrix, Qt.Key.Key_Return)
    assert opened[1:] == [(runs[2].folder, runs[0].folder, layer)]


def test_runs_that_have_ended_no_epoch_are_compared(
    qtbot: QtBot, pane: MasksPane, make_run: MakeRun
) -> None:
    runs = [make_run(name) for name in ("ant", "bear")]
    for run in runs:
        record_search(run.folder, moments=2)  # half an epoch
    compare(qtbot, pane, runs)
    qtbot.mouseMove(pane.matrix, cell(pane, 0, 1))
    qtbot.waitUntil(lambda: "bear" in pane.plots._key.text(), timeout=SECONDS)
    for bars in pane.plots._bars:
        heights = bars.opts["height"]
        assert len(heights) == 1 and np.isfinite(heights).all()


def test_seeds_are_folded_into_the_agreement_of_settings(
    qtbot: QtBot, pane: MasksPane, make_run: MakeRun
) -> None:
    runs = [
        make_run(name, seed=seed, searched=True, optimizer={"lr": rate})
        for name, seed, rate in (("a", 0, 0.1), ("b", 0, 0.2), ("c", 1, 0.1), ("d", 1, 0.2))
    ]
    opened: list[tuple[Path, Path, str]] = []
    pane.masks_requested.connect(lambda *asked: opened.append(asked))
    compare(qtbot, pane, runs)
    found = compare_masks([read_masks(run.folder, "lbc") for run in runs])
    qtbot.mouseMove(pane.matrix, cell(pane, 2, 3))
    assert f"by chance {found.chance[2, 3]:.1%}" in pane.detail.text()
    qtbot.mouseClick(pane.folded, Qt.MouseButton.LeftButton)
    folded = pane.matrix._kappas
    assert folded.shape == (2, 2)
    assert folded[0, 1] == pytest.approx((found.whole[0, 1] + found.whole[2, 3]) / 2)
    assert folded[1, 1] == pytest.approx(found.whole[1, 3])
    qtbot.mouseMove(pane.matrix, cell(pane, 0, 0))
    qtbot.mouseMove(pane.matrix, cell(pane, 1, 0))
    assert f"κ {folded[0, 1]:.3f} between lr 0.2 and lr 0.1; they treat" in pane.detail.text()
    qtbot.mouseClick(pane.matrix, Qt.MouseButton.LeftButton, pos=cell(pane, 1, 0))
    assert opened == [(runs[1].folder, runs[0].folder, "")]
    qtbot.mouseMove(pane.matrix, cell(pane, 1, 1))
    assert "between lr 0.2 at different seeds" in pane.detail.text()
    qtbot.mouseClick(pane.folded, Qt.MouseButton.LeftButton)
    assert pane.matrix._kappas.shape == (4, 4)


def test_folded_seeds_have_the_colours_of_their_first_runs(
    qtbot: QtBot, pane: MasksPane, make_run: MakeRun
) -> None:
    runs = [
        make_run(name, seed=seed, searched=True, optimizer={"lr": rate})
        for name, seed, rate in (("a", 0, 0.1), ("b", 1, 0.1), ("c", 0, 0.2), ("d", 1, 0.2))
    ]
    compare(qtbot, pane, runs)
    qtbot.mouseClick(pane.folded, Qt.MouseButton.LeftButton)
    qtbot.mouseMove(pane.matrix, cell(pane, 0, 0))
    qtbot.mouseMove(pane.matrix, cell(pane, 1, 0))

    def drawn() -> list[QColor]:
        return [bars.opts["brush"] for bars in pane.plots._bars]

    colours = [pane._selection.colours.of(runs[at].folder) for at in (2, 0)]
    qtbot.waitUntil(lambda: drawn() == colours, timeout=SECONDS)
    compare(qtbot, pane, ())
    pane._selection.show_runs(runs)
    pane._selection.hover(runs[3].folder)
    wait_for(qtbot, pane)
    assert pane.matrix.isVisible() and len(pane._rows.runs) == 2


def test_only_what_the_pointer_changes_in_a_large_matrix_is_painted_again(qtbot: QtBot) -> None:
    matrix, count = AgreementMatrix(lambda at: QColor.fromHsv(6 * at, 200, 200)), 60
    names = [f"run {at}" for at in range(count)]
    matrix.show_matrix(names, np.random.default_rng(0).random((count, count)))
    qtbot.addWidget(matrix)
    matrix.resize(600, 400)
    with qtbot.waitExposed(matrix):
        matrix.show()
    painted = Painted(matrix)
    for pair in ((3, 40), (4, 40), (50, 2), (50, 50)):
        matrix.repaint()
        painted.areas.clear()
        qtbot.mouseMove(matrix, matrix.cell_rect(*pair).center().toPoint())
        matrix.light(sum(pair) % count)
        qtbot.waitUntil(lambda: bool(painted.areas), timeout=SECONDS)
        assert sum(painted.areas) < 0.2 * matrix.width() * matrix.height()
        screen = matrix.screen().grabWindow(matrix.winId()).toImage()
        matrix.repaint()
        assert matrix.screen().grabWindow(matrix.winId()).toImage() == screen


def test_runs_that_cannot_be_compared_are_named_and_the_others_are(
    qtbot: QtBot, pane: MasksPane, make_run: MakeRun
) -> None:
    good = [make_run(name, searched=True) for name in ("ant", "bear")]
    damaged, cut = make_run("damaged", searched=True), make_run("cut", searched=True)
    content = (damaged.folder / "scores.history").read_bytes()
    flipped = bytes(byte ^ 0xFF for byte in content[-2000:])
    (damaged.folder / "scores.history").write_bytes(content[:-2000] + flipped)
    (cut.folder / "scores.history").write_bytes(content[:50])
    dense = make_run("dense", method="dense")
    compare(qtbot, pane, [good[0], damaged, dense, good[1]])
    assert [run.title for run in pane._compared.runs] == ["ant", "bear"] if pane._compared else 0
    assert "dense was trained dense: it has no masks." in pane.note.text()
    assert str(damaged.folder) in pane.note.text() and pane.note.isVisible()

    broken = replace(make_run("broken"), status="unreadable", problem="broken is no run.")
    others = [make_run(f"gone{k}") for k in range(3)]
    compare(qtbot, pane, [broken, cut, *good, *others])
    assert len(pane.matrix._labels) == 2
    said = pane.note.text().splitlines()
    assert said[0] == "broken is no run." and str(cut.folder) in said[1]
    assert "gone0" in said[2] and said[3] == "2 more runs cannot be compared."
    compare(qtbot, pane, others)
    assert not pane.matrix.isVisible()
    assert "Choose two or more runs" in pane.detail.text()


def test_runs_without_a_common_layer_and_a_single_run(
    qtbot: QtBot, pane: MasksPane, make_run: MakeRun, tmp_path: Path
) -> None:
    ant = make_run("ant", searched=True)
    other = replace(make_run("other"), folder=tmp_path / "other")
    record_search(tmp_path / "other", pattern="4:8")
    compare(qtbot, pane, [ant])
    assert "ant alone: choose two or more runs" in pane.detail.text()
    assert pane.matrix.isVisible() and not pane.legend.isVisible()
    compare(qtbot, pane, [ant, other])
    kappa = pane.matrix._kappas[0, 1]
    assert np.isfinite(kappa)  # patterns may differ where shapes do not
    assert pane.legend.isVisible()


def test_only_the_last_selection_is_shown_and_a_hidden_pane_reads_nothing(
    qtbot: QtBot, pane: MasksPane, make_run: MakeRun
) -> None:
    runs = [make_run(name, searched=True) for name in ("ant", "bear", "cow", "dog", "elk")]
    for count in (5, 2, 4, 3):
        pane._selection.show_runs(runs[:count])
        pane._timer.timeout.emit()
    wait_for(qtbot, pane)
    assert pane.matrix._labels == ["1  ant", "2  bear", "3  cow"]
    for count in (5, 3):  # there and back before anything has been read
        pane._selection.show_runs(runs[:count])
        pane._timer.timeout.emit()
    wait_for(qtbot, pane)
    qtbot.wait(2 * DRAIN_MILLISECONDS)
    assert len(pane.matrix._labels) == 3
    pane._selection.show_runs(runs[:4])
    pane._timer.timeout.emit()
    pane.hide()
    pane.show()
    wait_for(qtbot, pane)
    assert len(pane.matrix._labels) == 4
    pane.hide()
    pane._selection.show_runs(runs)
    assert not pane._timer.isActive() and not pane.reading.running
    pane.show()
    wait_for(qtbot, pane)
    assert len(pane.matrix._labels) == 5
    pane._selection.select([runs[4].folder, runs[1].folder])
    wait_for(qtbot, pane)
    assert pane.matrix._labels == ["1  bear", "2  elk"]
    pane._selection.hover(runs[4].folder)
    assert pane.matrix._lit == 1


def test_a_run_that_has_gone_on_is_read_again(
    qtbot: QtBot, pane: MasksPane, make_run: MakeRun, tmp_path: Path
) -> None:
    ant, bear = make_run("ant", searched=True), make_run("bear", searched=True)
    record_search(tmp_path / "longer", moments=9)
    record_search(tmp_path / "shorter", moments=5)
    history = ant.folder / "scores.history"
    history.write_bytes((tmp_path / "shorter" / "scores.history").read_bytes())
    compare(qtbot, pane, [replace(ant, epoch=2), bear])
    assert pane._compared is not None and pane._compared.masks[0].epoch == 2
    assert "its best combinations so far are compared" in pane.detail.text()
    history.write_bytes((tmp_path / "longer" / "scores.history").read_bytes())
    compare(qtbot, pane, [replace(ant, epoch=4), bear])
    assert pane._compared.masks[0].epoch == 4
    assert pane.plots._courses[0].epochs == 4
    assert "so far" not in pane.detail.text()


def test_matrix_and_plots_can_be_saved_in_both_themes(
    qtbot: QtBot, pane: MasksPane, make_run: MakeRun
) -> None:
    assert pane.picture_to_save() is None and pane.data_to_save() is None
    assert pane.plots.picture_to_save() is None and pane.plots.data_to_save() is not None
    runs = [make_run(name, searched=True) for name in ("ant", "bear", "cow")]
    titled = replace(runs[2], annotations=Annotations(title="<b>of\nany</b> name"))
    compare(qtbot, pane, [*runs[:2], titled])
    for theme in ("dark", "light"):
        apply_theme(theme)
        for view in (pane, pane.plots):
            picture = view.picture_to_save()
            assert picture is not None
            painted = paint(picture)
            assert painted.image.width() > 300 and b"<svg" in painted.svg
    data = pane.data_to_save()
    assert data is not None
    file = io.BytesIO()
    data.writers[".npz"](file)
    file.seek(0)
    arrays = np.load(file, allow_pickle=False)
    assert arrays["whole"].shape == (3, 3)
    assert arrays["by_layer"].shape == (len(arrays["layers"]), 3, 3)
    for view, columns in ((pane, "first,second,layer,kappa"), (pane.plots, "run,layer,epoch,")):
        table = io.BytesIO()
        data = view.data_to_save()
        assert data is not None
        data.writers[".csv"](table)
        lines = table.getvalue().decode().splitlines()
        assert lines[0].startswith(columns) and len(lines) > 10


def test_the_plots_go_beside_the_matrix_in_a_low_pane(
    qtbot: QtBot, pane: MasksPane, make_run: MakeRun
) -> None:
    compare(qtbot, pane, [make_run(name, searched=True) for name in ("ant", "bear")])
    assert pane._split.orientation() is Qt.Orientation.Vertical
    pane.resize(900, 300)
    qtbot.waitUntil(lambda: pane._split.orientation() is Qt.Orientation.Horizontal, timeout=SECONDS)
    assert pane.plots.x() > pane.matrix.x() + 100


def test_the_matrix_shows_that_it_has_the_focus(qtbot: QtBot) -> None:
    matrix = AgreementMatrix(lambda row: QColor("red"))
    qtbot.addWidget(matrix)
    matrix.show_matrix(["one", "two"], np.eye(2))
    matrix.show()
    matrix.activateWindow()
    matrix.clearFocus()
    plain = matrix.grab().toImage()
    matrix.setFocus()
    qtbot.waitUntil(lambda: matrix.grab().toImage() != plain, timeout=SECONDS)
