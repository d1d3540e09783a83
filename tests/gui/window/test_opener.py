"""Whatever can be opened is opened by a drop and again from the menu of recent files."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from PySide6.QtGui import QAction, QDragLeaveEvent
from PySide6.QtWidgets import QApplication, QLabel
from pytestqt.qtbot import QtBot
from safetensors.torch import save_file

from lbc.config import Experiment, dump_experiment
from lbc.files.home import shortened
from lbc.files.resources import resource
from lbc.training.control import Control
from lbc.training.trainer import Trainer
from lbc_gui.comparisons.comparison_page import OpenedComparison
from lbc_gui.library.library_page import LibraryPage
from lbc_gui.run.session import State
from lbc_gui.settings import MOST_RECENT, Settings
from lbc_gui.window.file_kinds import Kind, find_kind
from lbc_gui.window.main_window import MainWindow
from tests.gui.conftest import SECONDS, drag, drop, small_experiment
from tests.gui.inspector.conftest import finished
from tests.library.run_folders import write_run


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
    (tmp_path / "run").mkdir()
    (tmp_path / "run/run.json").touch()
    assert find_kind(tmp_path) is Kind.COMPARISON
    (tmp_path / "run.json").touch()
    assert find_kind(tmp_path) is Kind.RUN


def test_recent_files_are_the_newest_and_each_is_once(tmp_path: Path) -> None:
    first, second = Settings(tmp_path / "a.ini"), Settings(tmp_path / "a.ini")
    for number in range(MOST_RECENT + 3):
        (first if number % 2 else second).add_recent_file(f"/runs/{number}, ä;")
    second.add_recent_file("/runs/9, ä;")
    first.add_recent_file("/runs/14, ä;")
    assert first.recent_files[0] == "/runs/14, ä;"
    first.wait()  # then it knows of what the other has opened
    assert first.recent_files[:3] == ["/runs/14, ä;", "/runs/9, ä;", "/runs/13, ä;"]
    assert len(first.recent_files) == len(set(first.recent_files)) == MOST_RECENT
    first.add_recent_file("/runs/new")
    first.clear_recent_files()
    first.wait()
    assert first.recent_files == Settings(tmp_path / "a.ini").recent_files == []
    first._change({"files/recent": "[3]"})
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
    second = tmp_path / "second.yaml"
    second.write_text(dump_experiment(Experiment(name="second")))
    paths = (measurement, checkpoint, weights, run, experiment, second, tmp_path / "absent.pt")
    drop(window, *paths)
    assert "absent.pt does not exist" in window.message.text
    assert "not opened: second.yaml" in window.message.text
    qtbot.waitUntil(lambda: window.session.state is State.OPENED, timeout=SECONDS)
    assert window.pages.run_page is window.scores  # of the last file that is shown
    assert window.session.experiment == short
    form = window.experiment_panel.form
    assert form.experiment == Experiment(name="dropped") and form.changes
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


def selected(qtbot: QtBot, page: LibraryPage, *runs: Path) -> None:
    """Wait until these runs are selected, and the first is the baseline."""
    wanted = {run.absolute() for run in runs}
    now = page.selection
    qtbot.waitUntil(
        lambda: {run.absolute() for run in now.selection.selected} == wanted, timeout=SECONDS
    )
    baseline = now.selection.baseline
    assert baseline is not None and baseline.absolute() == runs[0].absolute()


def test_runs_that_are_dropped_together_are_compared(
    use_window: Callable[..., MainWindow], tmp_path: Path, qtbot: QtBot
) -> None:
    window = use_window()
    pages, below = window.pages, window.session.runs
    for folder in (tmp_path / "elsewhere", below):
        for at, name in enumerate(("b", "a", "c")):
            write_run(folder / name, {"name": name, "seed": at}, accuracy=0.9)
    drop(window, below / "c", below / "a")
    assert pages.currentWidget() is pages.library
    selected(qtbot, pages.library, below / "c", below / "a")
    elsewhere = tmp_path / "elsewhere"
    drop(window, elsewhere / "b", elsewhere / "c")
    assert pages.currentWidget() is pages.comparisons and pages.comparisons.shown is not None
    selected(qtbot, pages.comparisons.shown.library, elsewhere / "b", elsewhere / "c")
    drop(window, elsewhere / "a", below / "b")  # without a folder in common that has few runs
    qtbot.waitUntil(lambda: "only runs there are compared" in window.message.text, timeout=SECONDS)
    drop(window, below)  # the folder of a comparison
    assert pages.currentWidget() is pages.comparisons and pages.comparisons.folder == below
    for opened in window.findChildren(OpenedComparison):
        opened.following.cancel()  # which else follows as long as the window is open
        qtbot.waitUntil(lambda: not opened.following.running, timeout=SECONDS)  # noqa: B023


def test_a_drag_says_what_dropping_does(
    use_window: Callable[..., MainWindow], tmp_path: Path
) -> None:
    window = use_window()
    notice = window.findChild(QLabel, "drop")
    assert isinstance(notice, QLabel)
    for name in ("a.yaml", "b.yaml", "<b>a.pt", "b.pt"):
        (tmp_path / name).touch()
    for names, said in (
        (("b.pt",), "Drop to inspect b.pt."),
        (("a.yaml", "b.yaml"), "Drop to edit a.yaml. Not opened: b.yaml."),
        (("a.yaml", "b.pt", "<b>a.pt"), "Drop to edit a.yaml and inspect b.pt beside <b>a.pt."),
    ):
        data = drag(window, *(tmp_path / name for name in names))
        assert notice.isVisible() and notice.text() == said
        assert window.rect().contains(notice.geometry())
        QApplication.sendEvent(window, QDragLeaveEvent())
        assert notice.isHidden() and data.hasUrls()
