"""What the page shows of names, clocks and errors that come from outside."""

from __future__ import annotations

import os
from pathlib import Path

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QLabel
from pytestqt.qtbot import QtBot

from lbc.latency.files import load_measurements
from lbc_gui.latency.latency_page import LatencyPage
from tests.gui.conftest import SECONDS, small_experiment
from tests.gui.latency.conftest import finished, play
from tests.latency.conftest import STREAMS


def test_missing_data_are_named_by_measure_and_copy_command(qtbot: QtBot) -> None:
    missing = small_experiment(data={"name": "cifar10", "folder": "/no/such"})
    page = LatencyPage(lambda: missing, lambda: None)
    qtbot.addWidget(page)
    for command in (page.copy_command, page.measure):
        with qtbot.waitSignal(page.failed, timeout=SECONDS) as failed:
            command()
        sentence, details = failed.args
        assert sentence.startswith("/no/such is not a folder")
        assert details == ""
    finished(page, qtbot)


def test_names_from_files_are_shown_as_written(
    page: LatencyPage, qtbot: QtBot, tmp_path: Path
) -> None:
    play(page, tmp_path, 3)
    finished(page, qtbot)
    name = "<img src='file:/dev/zero'><b>"
    (measurement,) = page.measurements.all
    device = measurement.device.model_copy(update={"name": name})
    results = [one.model_copy(update={"name": name}) for one in measurement.results]
    hostile = {"source": name, "device": device, "results": tuple(results)}
    page.measurements.add([measurement.model_copy(update=hostile)])
    for widget in page.findChildren(QLabel):
        if "<img" in widget.text():
            assert widget.textFormat() == Qt.TextFormat.PlainText
    assert name in page.measurements.item(1).text()
    assert "&lt;img" in page.card.text
    assert "&lt;img" in page.plots.latency._key.text()
    tip = str(page.cases.data(page.cases.index(0, 0), Qt.ItemDataRole.ToolTipRole))
    assert "&lt;img" in tip


def test_a_file_whose_name_is_no_text_can_be_opened_and_exported(
    qtbot: QtBot, page: LatencyPage, tmp_path: Path
) -> None:
    path = tmp_path / os.fsdecode(b"gpu-\xff.ndjson")
    path.write_text((STREAMS / "h100-synthetic.ndjson").read_text())
    page.open_files([path])
    assert "gpu-\\udcff.ndjson" in page.measurements.item(0).text()
    for name in ("one.json", "one.csv"):
        with qtbot.waitSignal(page.said, timeout=SECONDS):
            page.save_file(tmp_path / name)
    assert load_measurements(tmp_path / "one.json") == page.measurements.all
    assert "gpu-\\udcff.ndjson" in (tmp_path / "one.csv").read_text()


def test_the_card_shows_the_range_of_clocks_and_where_none_were_read(
    page: LatencyPage, qtbot: QtBot, tmp_path: Path
) -> None:
    play(page, tmp_path, 2)
    finished(page, qtbot)
    (measurement,) = page.measurements.all
    clocks = (
        {"readings": 3.0, "clocks_sm": 1700.0, "clocks_sm_min": 1500.0, "clocks_sm_max": 1980.0},
        {"readings": 0.0, "clocks_sm": 1600.0},
    )
    results = [one.model_copy(update={"clocks": at})
               for one, at in zip(measurement.results, clocks, strict=True)]  # fmt: skip
    page.card.show_measurement(measurement.model_copy(update={"results": tuple(results)}))
    assert "clock 1500–1980 MHz" in page.card.text
    assert "No clocks were read during the samples of layer 1." in page.card.text


def test_a_long_name_below_the_bars_keeps_what_tells_layers_apart(
    page: LatencyPage, qtbot: QtBot, tmp_path: Path
) -> None:
    play(page, tmp_path, 12)
    finished(page, qtbot)
    (measurement,) = page.measurements.all
    results = [
        one.model_copy(update={"name": f"backbone.stages.{one.index}.mlp.{one.index}"})
        for one in measurement.results
    ]
    page.measurements.grow(measurement.model_copy(update={"results": tuple(results)}))
    page.plots.show_measurements(page.measurements.drawn)
    (ticks,) = page.plots.latency.plot.getAxis("bottom")._tickLevels
    assert [text.strip().rpartition(".")[2] for _, text in ticks] == [str(at) for at in range(12)]
