"""Whatever can be opened is opened by a drop and again from the menu of recent files."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from PySide6.QtGui import QAction
from pytestqt.qtbot import QtBot
from safetensors.torch import save_file

from lbc.config import Experiment, dump_experiment
from lbc.files.home import shortened
from lbc.files.resources import resource
from lbc.training.control import Control
from lbc.training.trainer import Trainer
from lbc_gui.run.session import State
from lbc_gui.settings import MOST_RECENT, Settings
from lbc_gui.window.file_kinds import Kind, find_kind
from lbc_gui.window.main_window import MainWindow
from tests.gui.conftest import SECONDS, drop, small_experiment
from tests.gui.inspector.conftest import finished


def recent(window: MainWindow) -> dict[str, QAction]:
    menu = window.actions_.recent
    menu.aboutToShow.emit()
    return {action.statusTip(): action for action in menu.actions() if not action.isSeparator()}


@pytest.mark.parametrize(
    ("name", "content", "kind"),
    [
        ("a.YAML", b"", Kind.EXPERIMENT),
        ("a.yml", b"", Kind.EXPERIMENT),
        ("a.ndjson", b"", Kind.MEASUREMENT),
        ("a.json", b'{"schema": 1}', Kind.MEASUREMENT),
        ("model.safetensors.index.json", b'{"weight_map": {}}', Kind.CHECKPOINT),
        ("a.pt", b"", Kind.CHECKPOINT),
        ("a.onnx", b"", Kind.CHECKPOINT),
        ("notes", b"", Kind.CHECKPOINT),
    ],
)
def test_the_kind_of_a_file(tmp_path: Path, name: str, content: bytes, kind: Kind) -> None:
    (tmp_path / name).write_bytes(content)
    assert find_kind(tmp_path / name) is kind
    assert find_kind(tmp_path) is Kind.CHECKPOINT
    (tmp_path / "run.json").touch()
    assert find_kind(tmp_path) is Kind.RUN


def test_recent_files_are_the_newest_and_each_is_once(tmp_path: Path) -> None:
    first, second = Settings(tmp_path / "a.ini"), Settings(tmp_path / "a.ini")
    for number in range(MOST_RECENT + 3):
        (first if number % 2 else second).add_recent_file(f"/runs/{number}, ä;")
    second.add_recent_file("/runs/9, ä;")
    assert first.recent_files[:3] == ["/runs/9, ä;", "/runs/14, ä;", "/runs/13, ä;"]
    assert len(first.recent_files) == len(set(first.recent_files)) == MOST_RECENT
    first.clear_recent_files()
    assert first.recent_files == []
    first._store.setValue("files/recent", "[3]")
    assert first.recent_files == []


def test_paths_below_the_home_folder_are_shortened(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/someone")
    assert shortened("/home/someone/runs/a") == "~/runs/a"
    assert shortened("/home/someone") == "~"
    assert shortened("/home/someone2/a") == "/home/someone2/a"


def test_everything_is_dropped_at_once_and_opened_again(
    use_window: Callable[..., MainWindow], tmp_path: Path, qtbot: QtBot
) -> None:
    run, experiment = tmp_path / "run", tmp_path / "other & co.yaml"
    short = small_experiment(training={"epochs": 1, "batch_size": 1000}, schedule={"end": 1})
    Trainer(short, run, Control()).train()
    experiment.write_text(dump_experiment(Experiment(name="dropped")))
    checkpoint, weights = tmp_path / "a.safetensors", tmp_path / "b.pt"
    save_file({"fc.weight": torch.ones(2, 4)}, checkpoint)
    torch.save({"fc.weight": torch.ones(2, 4)}, weights)
    measurement = tmp_path / "latency.json"
    recorded = min(resource("measurements").glob("*.json"), key=lambda path: path.stat().st_size)
    measurement.write_bytes(recorded.read_bytes())
    nothing = tmp_path / "nothing.json"
    nothing.write_text(json.dumps({}))

    window = use_window()
    drop(window, measurement, checkpoint, weights, run, experiment, tmp_path / "absent.pt")
    assert "absent.pt does not exist" in window.message.text
    assert "not opened: other & co.yaml" in window.message.text
    qtbot.waitUntil(lambda: window.session.state is State.OPENED, timeout=SECONDS)
    inspector, latency = window.pages.inspector, window.pages.latency
    finished(qtbot, inspector)
    opening = inspector.reading.opening
    assert opening is not None and (opening.file, opening.against) == (checkpoint, weights)
    assert len(latency.measurements.all) >= 1
    drop(window, experiment)
    qtbot.waitUntil(lambda: window.session.state is State.READY, timeout=SECONDS)
    drop(window, nothing)
    assert "nothing.json" in window.message.text

    listed = recent(window)
    known = [name for name in listed if name.startswith("Open ")]
    assert known[0] == f"Open {experiment} again"
    assert set(known) == {f"Open {at} again" for at in (measurement, checkpoint, run, experiment)}
    experiment.unlink()
    assert not recent(window)[f"Open {experiment} again"].isEnabled()
    recent(window)[f"Open {run} again"].trigger()
    qtbot.waitUntil(lambda: window.session.state is State.OPENED, timeout=SECONDS)
    assert recent(window)[f"Open {run} again"] is window.actions_.recent.actions()[0]
    recent(window)["Forget which files were opened"].trigger()
    assert list(recent(window)) == ["Forget which files were opened"]
