"""Estimates are drawn as such, follow the choices at once, and say why there are none."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from PySide6.QtCore import QPoint, QSettings, Qt
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QCheckBox, QLabel, QTabBar
from pytestqt.qtbot import QtBot

from lbc.config import Experiment
from lbc.latency.estimate import NOTICE, estimate_cases, estimate_network, find_card
from lbc_gui.export.view_renderer import paint
from lbc_gui.latency.estimate_bar import MODEL, RUN
from lbc_gui.latency.estimate_panel import EstimatePanel
from lbc_gui.latency.estimate_tables import LAYER_COLUMNS
from lbc_gui.latency.hatched_bars import DENSE, SPARSE, HatchedBand, HatchedBars
from lbc_gui.latency.latency_page import LatencyPage
from lbc_gui.settings import EstimateChoice, Settings
from tests.gui.conftest import SECONDS, small_experiment
from tests.latency.conftest import STREAMS

LEFT, Key = Qt.MouseButton.LeftButton, Qt.Key


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[LatencyPage, Settings]]:
    """The page that the tests use after each other, and what it remembers."""
    settings = Settings(tmp_path_factory.mktemp("settings") / "window.ini")
    settings.estimate = EstimateChoice(cards=("A100", "H100"))
    experiment: list[Experiment | None] = [None]
    page = LatencyPage(lambda: experiment[0], lambda: None, settings=settings)
    page.experiment = experiment  # type: ignore[attr-defined]
    yield page, settings
    page.deleteLater()


@pytest.fixture
def page(made: tuple[LatencyPage, Settings], qtbot: QtBot) -> Iterator[LatencyPage]:
    page, _ = made
    page.resize(1000, 700)
    page.show()
    bar: QTabBar = page.tabs.tabBar()
    qtbot.mouseClick(bar, LEFT, pos=bar.tabRect(1).center())
    choose(page.estimate, "deit-small")
    yield page
    page.hide()


@pytest.fixture
def panel(page: LatencyPage) -> EstimatePanel:
    return page.estimate


def choose(panel: EstimatePanel, layers: str, dtype: str = "bf16", pattern: str = "2:4") -> None:
    panel.bar.layers.setCurrentText(layers)
    panel.bar.dtype.setCurrentText(dtype)
    panel.bar.pattern.setEditText(pattern)
    panel.bar.batch.enter(64)
    for box in panel.bar.cards:
        box.setChecked(box.text() in ("A100", "H100"))


def tab(qtbot: QtBot, bar: QTabBar, at: int) -> None:
    qtbot.mouseClick(bar, LEFT, pos=bar.tabRect(at).center())


def card(panel: EstimatePanel, name: str) -> QCheckBox:
    (box,) = (box for box in panel.bar.cards if box.text() == name)
    return box


def test_bars_are_hatched_and_the_picture_says_that_nothing_was_measured(
    panel: EstimatePanel, qtbot: QtBot
) -> None:
    tab(qtbot, panel.plots.tabBar(), 0)
    for at, plot in enumerate((panel.plots.times, panel.plots.speedups)):
        tab(qtbot, panel.plots.tabBar(), at)
        bars = [item for item in plot.plot.items if isinstance(item, HatchedBars)]
        patterns = [bar._sharedBrush.style() for bar in bars]
        assert patterns == [[DENSE, SPARSE] * 2, [SPARSE] * 2][at]
    cases = [layer.case for layer in panel.shown[0].layers]
    estimated = estimate_cases(find_card("a100").model("bf16"), cases).layers
    drawn = [rect.y() + rect.height() for rect in bars[0]._rectarray.instances()]
    assert drawn == pytest.approx([max(1.0, one.speedup) for one in estimated])
    picture = panel.plots.picture_to_save()
    assert picture is not None and NOTICE.lower() in picture.title
    svg = paint(picture).svg.decode()
    assert NOTICE in svg and "arXiv 2603.05232" in svg and "<pattern" in svg


def test_the_slider_redraws_every_layer_at_once_and_is_remembered(
    panel: EstimatePanel, made: tuple[LatencyPage, Settings], qtbot: QtBot
) -> None:
    panel.bar.batch.slider.setFocus()
    before = panel.shown[0].layers[0]
    qtbot.keyClick(panel.bar.batch.slider, Key.Key_PageUp)
    after = panel.shown[0].layers[0]
    assert panel.bar.batch.value == 128
    assert after.case.n == 2 * before.case.n == 128 * 197
    assert after.estimate and before.estimate
    assert after.estimate.dense_us > before.estimate.dense_us
    assert panel.bar.tokens.text() == "= 25,216 tokens"
    assert made[1].estimate == EstimateChoice(cards=("A100", "H100"), batch=128)
    qtbot.mouseClick(card(panel, "H100"), LEFT, pos=QPoint(8, 8))
    assert [one.card.name for one in panel.shown] == ["A100"] == list(made[1].estimate.cards)
    box = panel.bar.batch.box.lineEdit()
    box.selectAll()
    qtbot.keyClicks(box, "70000")
    assert "from 1 to 65,536, not 70000" in panel.problem.text() and not panel.shown


def test_layers_are_ranked_by_saved_time_and_a_chosen_one_is_drawn_over_tokens(
    panel: EstimatePanel, qtbot: QtBot
) -> None:
    tab(qtbot, panel.tables.tabBar(), 1)
    tab(qtbot, panel.plots.tabBar(), 2)
    qtbot.waitUntil(lambda: any(isinstance(i, HatchedBand) for i in panel.plots.course.plot.items))
    rows = panel.ranking.table.rows
    of_a100 = [row.rank.saved_us for row in rows if row.card == "A100" and row.rank]
    assert of_a100 == sorted(of_a100, reverse=True) and len(of_a100) == 4
    assert {row.card for row in rows[:4]} == {"A100"}
    whole = panel.plots.course._key.text()
    assert "whole network" in whole and "A100" in whole
    place = panel.ranking.visualRect(panel.ranking.model().index(1, 0)).center()
    qtbot.mouseClick(panel.ranking.viewport(), LEFT, pos=place)
    chosen = rows[1].case.name
    assert panel.subject.currentText() == chosen
    assert chosen in panel.plots.course._key.text() != whole
    panel.subject.setCurrentIndex(0)
    header = panel.ranking.horizontalHeader()
    at = header.sectionViewportPosition(2) + 20
    qtbot.mouseClick(header.viewport(), LEFT, pos=QPoint(at, 8))
    texts = [panel.ranking.model().index(row, 2).data() for row in range(len(rows))]
    numbers = [float(text.replace(",", "")) for text in texts]
    assert numbers == sorted(numbers)


def test_a_course_is_the_estimate_of_its_number_and_says_where_2_4_begins_to_pay(
    panel: EstimatePanel, qtbot: QtBot
) -> None:
    choose(panel, "llama-2-7b")
    tab(qtbot, panel.plots.tabBar(), 2)
    qtbot.waitUntil(lambda: panel.plots.course._labels["bottom"] == "tokens")
    course = panel.plots._courses["H100"]
    shown = panel.shown[1]
    assert course.x[0] == 1 and panel.bar.unit == "tokens"
    at = int((course.x == 64).argmax())
    assert shown.network is not None
    assert course.speedup[at] == pytest.approx(shown.network.speedup)
    begins = course.pays_from(course.speedup)
    surely = course.pays_from(course.low)
    assert begins is not None and surely is not None and 32 <= begins <= surely
    assert f"surely from {float(f'{surely:.2g}'):,.0f}" in panel.plots.course._key.text()


def test_measurements_are_beside_the_estimates_and_can_be_added_to_the_fit(
    page: LatencyPage, panel: EstimatePanel, qtbot: QtBot
) -> None:
    choose(panel, "llama-2-7b")
    tab(qtbot, panel.tables.tabBar(), 0)
    panel.bar.batch.enter(4096)
    page.open_files([STREAMS / "h100-synthetic.ndjson"])
    (first,) = (row for row in panel.layers.table.rows if row.measured)
    assert (first.card, first.case.m, first.case.n, first.case.k) == ("H100", 4096, 4096, 4096)
    assert first.estimate is not None and first.measured is not None
    ratio = first.measured.ratio_of(first.measured.sparse())
    assert ratio is not None and first.residual is not None
    assert first.residual == pytest.approx(first.estimate.speedup / ratio.ratio - 1)
    columns = [column.title for column in LAYER_COLUMNS]
    at = columns.index("residual")
    row = panel.layers.table.row_of((first.case.name, "H100"))
    assert row is not None and not panel.layers.isColumnHidden(at)
    assert panel.layers.table.text(row, at) == f"{100 * first.residual:+.0f} %"
    tab(qtbot, panel.plots.tabBar(), 0)
    assert "2:4 measured" in panel.plots.times._key.text()
    qtbot.mouseClick(panel.bar.own, LEFT, pos=QPoint(8, 8))
    row = panel.layers.table.row_of((first.case.name, "H100"))
    assert row is not None
    fitted = panel.layers.table.rows[row]
    assert fitted.residual is not None and abs(fitted.residual) < abs(first.residual)
    assert [one.own for one in panel.shown] == [0, 1]
    qtbot.mouseClick(panel.bar.own, LEFT, pos=QPoint(8, 8))
    page.measurements.remove_current()
    assert not any(row.measured for row in panel.layers.table.rows)


def test_what_cannot_be_estimated_is_one_sentence(panel: EstimatePanel) -> None:
    for layers, dtype, pattern, sentence in (
        ("deit-small", "fp8", "2:4", "no published data of float8 on the A100"),
        ("deit-small", "bf16", "4:8", "No GPU support for 4:8"),
        ("deit-small", "bf16", "x", "'x' is not an N:M pattern"),
        ("deit-small", "bf16", "4:10", "but 4:10 needs a multiple of 10"),
        (MODEL, "bf16", "2:4", "The experiment is invalid"),
        (RUN, "bf16", "2:4", "No run is finished yet"),
    ):
        choose(panel, layers, dtype, pattern)
        assert sentence in panel.problem.text() and panel.problem.isVisible()
        assert panel.problem.text().count("\n") <= 1, "a sentence for each card"
        assert not any(one.estimated for one in panel.shown if one.card.name == "A100")


def test_without_a_card_the_panel_asks_for_one(panel: EstimatePanel, qtbot: QtBot) -> None:
    for name in ("A100", "H100"):
        qtbot.mouseClick(card(panel, name), LEFT, pos=QPoint(8, 8))
    assert panel.problem.text() == "Choose at least one card."
    assert panel.plots.picture_to_save() is None and panel.plots.data_to_save() is None


def test_the_experiments_model_is_read_in_a_thread_and_followed(
    page: LatencyPage, panel: EstimatePanel, qtbot: QtBot
) -> None:
    experiment = page.experiment  # type: ignore[attr-defined]
    experiment[0] = small_experiment(model={"name": "mlp", "width": 512, "depth": 3})
    choose(panel, MODEL)
    assert panel.progress.isVisible() and not panel.problem.isVisible()
    qtbot.waitUntil(lambda: bool(panel.shown) and not panel.reading.running, timeout=SECONDS)
    assert [layer.case.m for layer in panel.shown[0].layers] == [512, 512]
    assert not panel.problem.isVisible() and not panel.progress.isVisible()
    whole = panel.shown[0].network
    assert whole is not None and whole.share < 1
    experiment[0] = small_experiment(model={"name": "mlp", "width": 1024, "depth": 3})
    panel.refresh()
    qtbot.waitUntil(lambda: bool(panel.shown) and not panel.reading.running, timeout=SECONDS)
    assert panel.shown[0].layers[0].case.m == 1024
    experiment[0] = small_experiment(data={"name": "cifar10", "folder": "/no/such"})
    panel.refresh()
    qtbot.waitUntil(lambda: not panel.reading.running, timeout=SECONDS)
    assert panel.problem.text().startswith("/no/such is not a folder") and not panel.shown
    qtbot.keyClick(panel.bar.batch.slider, Key.Key_Right)
    assert panel.problem.text().startswith("/no/such") and not panel.reading.running
    experiment[0] = None


def test_estimates_are_copied_and_exported_with_their_source(
    panel: EstimatePanel, qtbot: QtBot, tmp_path: Path
) -> None:
    tab(qtbot, panel.tables.tabBar(), 0)
    qtbot.mouseClick(panel._copy, LEFT)
    lines = QGuiApplication.clipboard().text().splitlines()
    assert len(lines) == 9 and "speed-up (80 %)" in lines[0]
    for name in ("e.csv", "e.json"):
        with qtbot.waitSignal(panel.said, timeout=SECONDS):
            panel.save_file(tmp_path / name)
    rows = list(csv.DictReader((tmp_path / "e.csv").read_text().splitlines()))
    assert len(rows) == 8 and all(NOTICE.lower() in row["source"] for row in rows)
    content = json.loads((tmp_path / "e.json").read_text())["estimates"]
    assert [one["card"] for one in content] == ["A100", "H100"]
    assert content[0]["note"] == f"{NOTICE}." and "arXiv" in content[0]["citation"]
    one = content[0]["layers"][0]
    assert one["low"] < one["speedup"] < one["high"]
    assert float(rows[0]["speedup"]) == one["speedup"]
    whole = estimate_network(
        estimate_cases(find_card("a100").model("bf16"), [row.case for row in panel.shown[0].layers])
    )
    assert whole is not None and content[0]["network"]["speedup"] == whole.speedup


def test_every_control_has_a_name_for_those_who_cannot_see_it(panel: EstimatePanel) -> None:
    for editor in (panel.bar.layers, panel.bar.pattern, panel.bar.dtype, panel.subject,
                   panel.bar.batch.slider, panel.bar.batch.box, *panel.bar.cards,
                   panel.layers, panel.ranking, panel.network):  # fmt: skip
        assert editor.accessibleName()
    for label in panel.findChildren(QLabel):
        assert "<" not in label.text() or label.textFormat() != Qt.TextFormat.AutoText


def test_a_choice_that_is_damaged_is_forgotten(tmp_path: Path) -> None:
    path = tmp_path / "window.ini"
    store = QSettings(str(path), QSettings.Format.IniFormat)
    store.setValue("estimate", '{"batch": -3}')
    store.sync()
    assert Settings(path).estimate == EstimateChoice()
