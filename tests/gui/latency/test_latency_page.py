"""The Latency page measures, shows, compares, and says why it cannot."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from PySide6.QtCore import QPoint, Qt
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QPushButton
from pytestqt.qtbot import QtBot

from lbc.files.resources import resource
from lbc.latency.files import load_measurements, save_measurements
from lbc.sparsity.pattern import Pattern
from lbc_gui.latency.cases_table import HEADERS, CasesTable
from lbc_gui.latency.estimate_bar import MODEL as OF_EXPERIMENT
from lbc_gui.latency.estimate_bar import RUN as OF_RUN
from lbc_gui.latency.keyed_plot import KeyedPlot
from lbc_gui.latency.latency_page import LatencyPage
from lbc_gui.latency.measurement_session import Prepared
from lbc_gui.latency.request_bar import HERE_CPU, HERE_GPU, RUN, SERVER, TYPED
from lbc_gui.window.main_window import MainWindow
from tests.gui.conftest import SECONDS, small_experiment
from tests.gui.latency.conftest import finished, play

Open = Callable[..., MainWindow]


def table_of(page: LatencyPage) -> CasesTable:
    (table,) = page.findChildren(CasesTable)
    return table


def cell(page: LatencyPage, row: int, header: str) -> str:
    return str(page.cases.data(page.cases.index(row, HEADERS.index(header))))


def test_typed_shapes_are_measured_on_this_processor(page: LatencyPage, qtbot: QtBot) -> None:
    page.request.cases.setCurrentText(TYPED)
    page.request.shapes.setText("64x32x64, 128")
    page.request.pattern.setEditText("6:8")
    said: list[str] = []
    page.said.connect(said.append)
    with qtbot.waitSignal(page.measuring.running_changed, timeout=SECONDS):
        qtbot.mouseClick(page.request.measure, Qt.MouseButton.LeftButton)
    assert not page.request.measure.isEnabled()
    finished(page, qtbot)
    (measurement,) = page.measurements.all
    assert [result.name for result in measurement.results] == ["64×32×64", "square 128"]
    assert {result.pattern for result in measurement.results} == {"6:8"}
    assert sum("torch has no kernel for it" in text for text in said) == 1
    assert {time.way for time in measurement.results[0].times} >= {"dense", "masked dense"}
    assert all(time.right for result in measurement.results for time in result.times)
    assert "say nothing about 2:4 on a GPU" in page.card.text
    assert float(cell(page, 0, "dense µs").replace(",", "")) > 0
    assert page.request.measure.isEnabled()


def test_random_masks_of_any_pattern_are_requested_with_what_gpus_do_with_it(
    page: LatencyPage, qtbot: QtBot
) -> None:
    bar = page.request
    assert not bar.pattern.isVisibleTo(bar)  # the open model has its own
    bar.cases.setCurrentText(TYPED)
    bar.shapes.setText("64x32x48")
    bar.place.setCurrentText(HERE_CPU)
    assert bar.pattern.isVisibleTo(bar) and not bar.support.isVisibleTo(bar)  # 2:4
    assert {"4:6", "6:8", "8:10", "10:12", "4:8x2"} <= set(
        map(bar.pattern.itemText, range(bar.pattern.count()))
    )
    edit = bar.pattern.lineEdit()
    assert edit is not None
    edit.selectAll()
    qtbot.keyClicks(edit, "6:8")
    assert "torch has no kernel for it" in bar.support.text() and bar.support.isVisibleTo(bar)
    assert "bound is 1.33×" in bar.support.text()
    (case,) = bar.prepare()().request.cases
    assert case.pattern == Pattern(6, 8)
    edit.selectAll()
    qtbot.keyClicks(edit, "6:")
    assert not bar.support.isVisibleTo(bar)


def test_without_a_gpu_the_page_says_what_is_missing(page: LatencyPage, qtbot: QtBot) -> None:
    said: list[str] = []
    page.failed.connect(lambda sentence, _: said.append(sentence))
    page.request.place.setCurrentText(HERE_GPU)
    page.request.cases.setCurrentText("squares")
    page.measure()
    finished(page, qtbot)
    assert len(said) == 1, "the other backend would find the same"
    assert "choose a server by ssh" in said[0]
    assert "finds no NVIDIA GPU" in said[0] or "built without CUDA" in said[0]
    assert page.measurements.all == ()


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda bar: bar.place.setCurrentText(SERVER), "Which server?"),
        (lambda bar: bar.cases.setCurrentText(RUN), "No run is finished yet"),
        (lambda bar: bar.shapes.setText("4096 by 7"), "is not a case"),
        (lambda bar: bar.shapes.setText("12x12x6"), "2:4 needs a multiple of 4"),
        (lambda bar: bar.shapes.setText(""), "No shape is given"),
        (lambda bar: bar.pattern.setEditText("6 of 8"), "'6 of 8' is not an N:M pattern"),
        (lambda bar: bar.pattern.setEditText("8:10"), "but 8:10 needs a multiple of 10"),
    ],
)
def test_impossible_choices_are_reported(
    page: LatencyPage, change: Callable[..., None], sentence: str
) -> None:
    said: list[str] = []
    page.failed.connect(lambda text, _: said.append(text))
    page.request.cases.setCurrentText(TYPED)
    change(page.request)
    page.measure()
    assert len(said) == 1
    assert sentence in said[0]
    assert not page.measuring.running


def test_the_open_models_layers_become_cases(page: LatencyPage, qtbot: QtBot) -> None:
    page.request.batch.enter(4)
    prepared = page.request.prepare()()
    names = [case.name for case in prepared.request.cases]
    assert names == ["hidden.0", "hidden.1"]
    first = prepared.request.cases[0]
    assert (first.m, first.n, first.k) == (32, 4, 784)
    assert dict(prepared.left_out)["head"] == "the classifier"
    assert 0.9 < sum(case.share for case in prepared.request.cases) < 1


def test_a_finished_runs_own_masks_are_measured(open_window: Open, qtbot: QtBot) -> None:
    experiment = small_experiment(training={"epochs": 2, "batch_size": 400}, schedule={"end": 1})
    window = open_window(experiment, start=True)
    qtbot.waitUntil(lambda: window.session.finished_folder is not None, timeout=SECONDS)
    window.pages.latency.request.cases.setCurrentText(RUN)
    first = window.pages.latency.request.prepare()().request.cases[0]
    assert first.mask is not None
    assert sum(byte.bit_count() for byte in first.mask) <= first.m * first.k // 2
    window.pages.setCurrentWidget(window.pages.latency)
    window.pages.latency.tabs.setCurrentIndex(1)
    estimate = window.pages.latency.estimate
    estimate.bar.layers.setCurrentText(OF_RUN)
    qtbot.waitUntil(lambda: bool(estimate.shown), timeout=SECONDS)
    (shown,) = estimate.shown
    assert [layer.case.mask for layer in shown.layers] == [None, None]
    assert shown.layers[0].case.m == 32 and shown.layers[0].estimate is not None
    estimate.bar.layers.setCurrentText(OF_EXPERIMENT)
    window.experiment_panel.form.enter("model.width", 64)
    qtbot.waitUntil(lambda: [one.layers[0].case.m for one in estimate.shown] == [64])
    facts, boxes = window.experiment_panel.facts, {box.text(): box for box in estimate.bar.cards}
    qtbot.waitUntil(lambda: " on A100 (" in facts.text(), timeout=SECONDS)
    for name in ("H100", "A100"):  # chosen, and no longer chosen
        qtbot.mouseClick(boxes[name], Qt.MouseButton.LeftButton, pos=QPoint(8, 8))
    qtbot.waitUntil(lambda: " on H100 (" in facts.text(), timeout=SECONDS)
    assert "A100" not in facts.text()

    folder = window.session.folder
    assert folder is not None
    estimate.bar.layers.setCurrentText(OF_RUN)
    window.starting.open(experiment)
    qtbot.waitUntil(lambda: "No run is finished" in estimate.problem.text(), timeout=SECONDS)
    window.files.open_run(folder)
    qtbot.waitUntil(lambda: bool(estimate.shown), timeout=SECONDS)


def test_results_fill_the_table_and_explain_themselves(
    page: LatencyPage, qtbot: QtBot, tmp_path: Path
) -> None:
    play(page, tmp_path, 8)
    finished(page, qtbot)
    assert page.card.text.startswith("<b>NVIDIA H100 (made up), compute capability 9.0</b>")
    assert cell(page, 0, "case") == "layer 0"
    lines = [line.text for line in page.cases.rows if line.result is None]
    assert any(line.startswith("Launch-bound outside a CUDA graph") for line in lines)
    assert len([line for line in page.cases.rows if line.result is not None]) == 8


def test_cancelling_keeps_what_was_measured(
    page: LatencyPage, qtbot: QtBot, tmp_path: Path
) -> None:
    play(page, tmp_path, 500, pause=0.02)
    qtbot.waitUntil(
        lambda: bool(page.measurements.all) and len(page.measurements.all[0].results) > 2,
        timeout=SECONDS,
    )
    assert any("waiting" in line.text for line in page.cases.rows)
    qtbot.mouseClick(page.request.cancel, Qt.MouseButton.LeftButton)
    finished(page, qtbot)
    assert 2 < len(page.measurements.all[0].results) < 500
    assert not any("waiting" in line.text for line in page.cases.rows)


def test_measurements_are_saved_opened_and_compared(
    page: LatencyPage, qtbot: QtBot, tmp_path: Path
) -> None:
    play(page, tmp_path, 3)
    finished(page, qtbot)
    for name in ("one.json", "one.csv"):
        with qtbot.waitSignal(page.said, timeout=SECONDS):
            page.save_file(tmp_path / name)
    assert load_measurements(tmp_path / "one.json") == page.measurements.all
    assert (tmp_path / "one.csv").read_text().count("cuSPARSELt best") == 6
    page.measurements.pin_baseline()
    page.open_files([tmp_path / "one.json"])
    assert len(page.measurements.all) == 2
    assert [number for number, _ in page.measurements.drawn] == [1, 0]
    assert cell(page, 0, "baseline") == "1.00"
    page.measurements.item(0).setCheckState(Qt.CheckState.Unchecked)
    assert [number for number, _ in page.measurements.drawn] == [1]
    page.measurements.remove_current()
    assert len(page.measurements.all) == 1


def test_measurements_that_cannot_be_saved_are_reported(
    qtbot: QtBot, page: LatencyPage, tmp_path: Path
) -> None:
    said: list[str] = []
    page.failed.connect(lambda sentence, _: said.append(sentence))
    page.said.connect(said.append)
    for name in ("none/a.json", "a\0.json", "a\0.csv"):  # OSError and ValueError
        with qtbot.waitSignal(page.failed, timeout=SECONDS):
            page.save_file(tmp_path / name)
        assert said.pop().startswith(f"{tmp_path / name} could not be written")
    assert not said


def test_a_measurement_that_breaks_off_is_reported_and_the_next_one_can_start(
    page: LatencyPage, qtbot: QtBot
) -> None:
    def prepare() -> Prepared:
        raise MemoryError

    for _ in range(2):
        with qtbot.waitSignal(page.failed, timeout=SECONDS) as failed:
            page.measuring.start(prepare)
        assert failed.args[0] == "The measurement failed: there is not enough memory."
        qtbot.waitUntil(lambda: not page.measuring.running, timeout=SECONDS)


@pytest.mark.parametrize("content", [b"", b"{}", b"\x80\x02pickle", b'{"schema": 9}', b"[1, 2]"])
def test_a_file_that_is_no_measurement_is_reported(
    page: LatencyPage, tmp_path: Path, content: bytes
) -> None:
    said: list[str] = []
    page.failed.connect(lambda sentence, _: said.append(sentence))
    path = tmp_path / "strange.json"
    path.write_bytes(content)
    page.open_files([path, tmp_path / "absent.json"])
    assert len(said) == 2
    assert all(str(tmp_path) in sentence for sentence in said)


def test_the_command_for_a_server_is_one_line_each(page: LatencyPage) -> None:
    page.request.place.setCurrentText(HERE_GPU)
    page.request.cases.setCurrentText("squares")
    page.copy_command()
    lines = QGuiApplication.clipboard().text().splitlines()
    assert len(lines) == 2
    assert all("python3 -c" in line and "latency-bfloat16-" in line for line in lines)


def test_a_command_to_paste_needs_no_hosts_name(page: LatencyPage) -> None:
    said: list[str] = []
    page.said.connect(said.append)
    page.request.place.setCurrentText(SERVER)
    page.request.cases.setCurrentText("squares")
    page.request.backend.setCurrentText("cuSPARSELt")
    page.copy_command()
    (line,) = QGuiApplication.clipboard().text().splitlines()
    assert '"device": "cuda"' in line
    assert said[0].startswith("Copied: 1 line(s) that measure the GPU of the machine")


def test_devices_with_the_same_cases_are_drawn_side_by_side(
    page: LatencyPage, qtbot: QtBot, tmp_path: Path
) -> None:
    play(page, tmp_path, 3)
    finished(page, qtbot)
    first = page.measurements.all[0]
    device = first.device.model_copy(update={"name": "NVIDIA A100"})
    other = first.model_copy(update={"device": device, "results": first.results[1:]})
    save_measurements(tmp_path / "a100.json", (other,))
    page.open_files([tmp_path / "a100.json"])
    assert page.measurements.all[1].source == "a100.json"
    page.plots.show_measurements(page.measurements.drawn)
    key = page.plots.latency._key.text()
    assert "NVIDIA A100 · bfloat16 · cuSPARSELt" in key
    assert "NVIDIA H100 (made up) · bfloat16 · cuSPARSELt" in key
    assert "hollow: fastest dense way" in key
    page.measurements.item(0).setCheckState(Qt.CheckState.Unchecked)
    page.plots.show_measurements(page.measurements.drawn)
    assert "cuSPARSELt best" in page.plots.latency._key.text(), "alone it shows every way"


def test_the_table_fits_its_room_and_its_sentences_take_more_lines(
    page: LatencyPage, qtbot: QtBot, tmp_path: Path
) -> None:
    play(page, tmp_path, 3)
    finished(page, qtbot)
    page.measurements.pin_baseline()
    table = table_of(page)
    sentence = next(row for row, line in enumerate(page.cases.rows) if line.result is None)
    table.resize(740, 300)
    qtbot.waitUntil(lambda: table.viewport().width() <= 740, timeout=SECONDS)
    usual = table.verticalHeader().defaultSectionSize()
    assert table.horizontalHeader().length() <= table.viewport().width()
    assert table.rowHeight(0) == usual
    before = table.rowHeight(sentence)
    table.resize(300, 300)
    assert table.rowHeight(sentence) > before >= usual


def test_columns_that_nothing_fills_are_hidden(
    page: LatencyPage, qtbot: QtBot, tmp_path: Path
) -> None:
    play(page, tmp_path, 2)
    finished(page, qtbot)
    table = table_of(page)
    hidden = {name for at, name in enumerate(HEADERS) if table.isColumnHidden(at)}
    assert hidden == {"baseline"}
    page.measurements.pin_baseline()
    assert not any(table.isColumnHidden(at) for at in range(len(HEADERS)))


def test_rows_are_copied_and_a_row_tells_all_that_was_measured(
    page: LatencyPage, qtbot: QtBot, tmp_path: Path
) -> None:
    play(page, tmp_path, 2)
    finished(page, qtbot)
    table = table_of(page)
    table.copy_rows()
    header, first, *_ = QGuiApplication.clipboard().text().splitlines()
    assert header.split("\t")[:3] == ["case", "m×n×k", "dense µs"]
    assert first.split("\t")[:2] == ["layer 0", "4096×64×4096"]
    tip = str(page.cases.data(page.cases.index(0, 0), Qt.ItemDataRole.ToolTipRole))
    assert "cuSPARSELt best, eager: " in tip
    assert "30 samples" in tip


def test_shipped_measurements_are_offered_where_there_are_any(page: LatencyPage) -> None:
    shipped = list(resource("measurements").glob("*.json"))
    (button,) = [at for at in page.findChildren(QPushButton) if at.text() == "Recorded"]
    assert button.isHidden() == (not shipped)
    button.click()
    assert len({measurement.source for measurement in page.measurements.all}) == len(shipped)
    for row, measurement in enumerate(page.measurements.all):
        page.measurements.setCurrentRow(row)
        processors = "say nothing about 2:4 on a GPU" in page.card.text
        assert processors == (measurement.device.kind == "cpu")
        assert all(time.right for result in measurement.results for time in result.times)


def test_each_plot_says_what_it_draws(page: LatencyPage, qtbot: QtBot, tmp_path: Path) -> None:
    plots = page.plots
    qtbot.waitUntil(lambda: "published, A100" in plots.speed_up._key.text(), timeout=SECONDS)
    play(page, tmp_path, 3)
    finished(page, qtbot)
    qtbot.waitUntil(lambda: "cuSPARSELt best" in plots.latency._key.text(), timeout=SECONDS)
    plots.setCurrentWidget(plots.speed_up)
    assert "NVIDIA H100 (made up)" in plots.speed_up._key.text()
    assert "published, H100 PCIe bfloat16" in plots.speed_up._key.text()
    plots.setCurrentWidget(plots.roofline)
    assert "H100 peaks: 989 dense (┄), 1,978 2:4" in plots.roofline._key.text()


def test_the_window_closes_while_it_measures(
    open_window: Open, qtbot: QtBot, tmp_path: Path
) -> None:
    window = open_window()
    play(window.pages.latency, tmp_path, 1000, pause=0.02)
    qtbot.waitUntil(lambda: bool(window.pages.latency.measurements.all), timeout=SECONDS)
    window.close()
    qtbot.waitUntil(lambda: not window.isVisible(), timeout=SECONDS)
    assert not window.pages.latency.measuring.running


def test_names_below_bars_are_whole_where_there_is_room(qtbot: QtBot) -> None:
    plot = KeyedPlot("Latency (µs)", "", ())
    qtbot.addWidget(plot)
    plot.resize(500, 300)
    plot.show()
    plot.name_cases([f"stages.{at}.blocks.11.mlp" for at in range(8)])

    def cut() -> bool:
        return any("…" in name for _, name in plot.plot.getAxis("bottom")._tickLevels[0])

    assert cut()
    plot.resize(2000, 300)
    qtbot.waitUntil(lambda: not cut(), timeout=SECONDS)
