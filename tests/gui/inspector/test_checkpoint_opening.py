"""Checkpoints open from files, drops and the command line; a bad file changes nothing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PySide6.QtCore import QEvent, QMimeData, QPoint, QPointF, Qt, QUrl
from PySide6.QtGui import QDragEnterEvent, QDropEvent
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot
from safetensors.torch import save_file

from lbc.config import Experiment, dump_experiment
from lbc.training.control import Control
from lbc.training.trainer import Trainer
from lbc_gui.app import _parser
from lbc_gui.inspector.inspector_page import InspectorPage
from lbc_gui.run.session import State
from tests.gui.conftest import SECONDS, drop, small_experiment
from tests.gui.inspector.conftest import Open, choose, column, finished, read


@pytest.mark.parametrize("name", ["bad.safetensors", "bad.pt", "bad.pth", "bad.onnx", "bad.txt"])
def test_a_bad_file_is_a_sentence_and_what_is_open_stays(
    page: InspectorPage, checkpoint: Path, tmp_path: Path, qtbot: QtBot, name: str
) -> None:
    read(qtbot, page, checkpoint)
    said: list[tuple[str, str]] = []
    page.failed.connect(lambda sentence, details: said.append((sentence, details)))
    (tmp_path / name).write_bytes(b"\x80\x02nonsense")
    read(qtbot, page, tmp_path / name)
    assert len(said) == 1
    assert str(tmp_path / name) in said[0][0] and said[0][1] == ""
    assert page.reading.opening is not None and page.reading.opening.file == checkpoint
    choose(qtbot, page, "fc")
    page.compare_with(tmp_path / name)
    finished(qtbot, page)
    assert len(said) == 2
    assert page.reading.opening.against is None
    choose(qtbot, page, "stem")


def test_a_damaged_layer_is_reported_and_the_others_are_read(
    page: InspectorPage, tmp_path: Path, qtbot: QtBot
) -> None:
    onnx = pytest.importorskip("onnx")
    tensors = [
        onnx.numpy_helper.from_array(np.arange(1, 33, dtype=np.float32).reshape(4, 8), name)
        for name in ("one.weight", "two.weight")
    ]
    tensors[0].raw_data = tensors[0].raw_data[:-8]
    nodes = [
        onnx.helper.make_node("Gemm", ["x", "one.weight"], ["h"], transB=1),
        onnx.helper.make_node("Gemm", ["h", "two.weight"], ["y"], transB=1),
    ]
    graph = onnx.helper.make_graph(nodes, "graph", [], [], tensors)
    onnx.save(onnx.helper.make_model(graph), str(tmp_path / "a.onnx"))
    said: list[str] = []
    page.failed.connect(lambda sentence, _: said.append(sentence))
    read(qtbot, page, tmp_path / "a.onnx")
    assert f"{tmp_path / 'a.onnx'}: one is not judged: its data are damaged." in said
    assert column(page, "N:M")[0] == "not judged"
    assert column(page, "N:M")[1] != ""
    choose(qtbot, page, "two")


def test_a_file_that_has_gone_meanwhile_is_a_sentence(
    page: InspectorPage, checkpoint: Path, qtbot: QtBot
) -> None:
    read(qtbot, page, checkpoint)
    said: list[str] = []
    page.failed.connect(lambda sentence, _: said.append(sentence))
    save_file({"fc.weight": torch.ones(2, 4)}, checkpoint)
    page.panel.table.selectRow(2)
    finished(qtbot, page)
    checkpoint.unlink()
    page.panel.table.selectRow(1)
    finished(qtbot, page)
    assert "has no layer stem" in said[0] and "does not exist" in said[1]


def test_cancelling_keeps_what_has_been_read(
    page: InspectorPage, large: Path, qtbot: QtBot
) -> None:
    page.open([large])
    qtbot.waitUntil(lambda: page.layer.picture is not None, timeout=SECONDS)
    page.head.cancel.click()
    finished(qtbot, page)
    unread = column(page, "N:M").count("…")
    assert 0 < unread < 2000
    assert page.panel.summary.endswith(f" {unread} layers were not read.")
    choose(qtbot, page, "layer1999")


def test_opening_another_file_while_one_is_read_shows_the_other(
    page: InspectorPage, checkpoint: Path, large: Path, tmp_path: Path, qtbot: QtBot
) -> None:
    page.open([large])
    page.open([tmp_path / "absent.pt"])
    page.open([checkpoint])
    finished(qtbot, page)
    assert column(page, "layer") == ["conv", "fc", "stem"]
    assert page.reading.opening is not None and page.reading.opening.file == checkpoint


def test_files_are_dropped_anywhere_on_the_window(
    use_window: Open, checkpoint: Path, other: Path, qtbot: QtBot
) -> None:
    window = use_window()
    assert drop(window, checkpoint, other)
    assert window.pages.currentWidget() is window.pages.inspector
    finished(qtbot, window.pages.inspector)
    opening = window.pages.inspector.reading.opening
    assert opening is not None and (opening.file, opening.against) == (checkpoint, other)
    assert drop(window, checkpoint.with_name("notes.txt"))
    finished(qtbot, window.pages.inspector)
    assert "notes.txt does not exist" in window.message.text
    assert not drop(window)


def test_the_command_line_names_checkpoints() -> None:
    options = _parser().parse_args(["--inspect", "a.pt", "b.onnx"])
    assert options.inspect == [Path("a.pt"), Path("b.onnx")]
    assert list(_parser().parse_args([]).inspect) == []


def test_the_window_closes_while_it_reads(open_window: Open, large: Path, qtbot: QtBot) -> None:
    window = open_window()
    window.inspecting.open([large])
    assert window.pages.inspector.reading.running
    window.close()
    qtbot.waitUntil(lambda: not window.isVisible(), timeout=SECONDS)
    assert not window.pages.inspector.reading.running


def test_a_message_disappears_when_a_good_file_is_open(
    use_window: Open, checkpoint: Path, qtbot: QtBot
) -> None:
    window = use_window()
    window.inspecting.open([checkpoint.with_name("absent.pt")])
    finished(qtbot, window.pages.inspector)
    assert window.message.isVisible()
    window.inspecting.open([checkpoint])
    finished(qtbot, window.pages.inspector)
    assert not window.message.isVisible()


def test_a_dropped_experiment_and_a_dropped_run_are_opened(
    use_window: Open, tmp_path: Path, qtbot: QtBot
) -> None:
    run = tmp_path / "run"
    short = {"epochs": 1, "batch_size": 1000}
    Trainer(small_experiment(training=short, schedule={"end": 1}), run, Control()).train()
    window = use_window()
    path = tmp_path / "other.yaml"
    path.write_text(dump_experiment(Experiment(name="dropped")))
    assert drop(window, path)
    qtbot.waitUntil(lambda: window.session.experiment is not None and
                    window.session.experiment.name == "dropped", timeout=SECONDS)  # fmt: skip
    assert drop(window, run)
    qtbot.waitUntil(lambda: window.session.state is State.OPENED, timeout=SECONDS)
    assert window.pages.currentWidget() is not window.pages.inspector


def test_text_fields_do_not_take_dropped_files(
    use_window: Open, checkpoint: Path, qtbot: QtBot
) -> None:
    window = use_window()
    data = QMimeData()
    data.setUrls([QUrl.fromLocalFile(str(checkpoint))])
    data.setText(str(checkpoint))
    button, none = Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier
    place = QPointF(window.experiment_panel.mapTo(window, QPoint(60, 40)))
    copy, handle = Qt.DropAction.CopyAction, window.windowHandle()
    QApplication.sendEvent(handle, QDragEnterEvent(place.toPoint(), copy, data, button, none))
    QApplication.sendEvent(handle, QDropEvent(place, copy, data, button, none, QEvent.Type.Drop))
    finished(qtbot, window.pages.inspector)
    opening = window.pages.inspector.reading.opening
    assert opening is not None and opening.file == checkpoint
