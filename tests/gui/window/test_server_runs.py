"""Runs on servers in the window: the dialog, connecting, and connections that break."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path

import pytest
from PySide6.QtCore import Qt
from PySide6.QtGui import QAction
from PySide6.QtWidgets import QToolButton
from pytestqt.qtbot import QtBot

from lbc.following.frame import Frame
from lbc.following.watch import WatchedRun, as_watch_request
from lbc.pictures.moment_copier import CopyRequest
from lbc.pictures.score_snapshot import draw
from lbc.runs.metrics import read_steps
from lbc_gui.run.session import State
from lbc_gui.window.main_window import MainWindow
from lbc_gui.window.server_dialog import ServerDialog
from lbc_gui.window.server_runs import ServerRuns
from tests.comparison.recorded_runs import record_search
from tests.following.processes import Trained
from tests.following.sources import begin_run, wait_for
from tests.following.test_live_pictures import check
from tests.gui.conftest import SECONDS, answer, small_experiment

SSH = """#!/bin/sh
test -e {folder}/broken && {{ echo 'ssh: connect to host gpu-07: refused' >&2; exit 255; }}
echo $$ >> {folder}/pids
for last; do :; done
exec /bin/sh -c "$last"
"""
"""In place of ssh: runs the command here, unless there is a file ``broken``."""

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="ssh is imitated by a script")


@pytest.fixture
def ssh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put a fake ssh first in PATH; the folder in which it writes its process ids."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "ssh").write_text(SSH.format(folder=tmp_path))
    (tmp_path / "bin" / "ssh").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}/bin{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path


@pytest.fixture
def run(tmp_path: Path) -> Path:
    record_search(tmp_path / "first")
    begin_run(tmp_path / "first")
    return tmp_path / "first"


def type_address(qtbot: QtBot, dialog: ServerDialog, text: str) -> None:
    dialog.address.selectAll()
    qtbot.keyClicks(dialog.address, text)
    qtbot.keyClick(dialog.address, Qt.Key.Key_Return)


def leave(qtbot: QtBot, window: MainWindow) -> None:
    """Show something else, and wait until the connection has ended."""
    window.starting.open(small_experiment())
    (servers,) = window.findChildren(ServerRuns)
    qtbot.waitUntil(lambda: not servers.running, timeout=SECONDS)


def break_connection(ssh: Path) -> None:
    (ssh / "broken").touch()
    last = int((ssh / "pids").read_text().split()[-1])
    os.killpg(last, signal.SIGKILL)


def click(qtbot: QtBot, window: MainWindow, action: QAction) -> None:
    (button,) = (one for one in window.findChildren(QToolButton) if one.defaultAction() is action)
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)


def first(take: Callable[[], Sequence[tuple[str, Frame]]]) -> Frame:
    taken: list[tuple[str, Frame]] = []

    def arrived() -> bool:
        taken.extend(take())
        return bool(taken)

    wait_for(arrived)
    return taken[0][1]


def dialog_of(qtbot: QtBot, window: MainWindow) -> ServerDialog:
    qtbot.keyClick(
        window, Qt.Key.Key_O, Qt.KeyboardModifier.ControlModifier | Qt.KeyboardModifier.AltModifier
    )
    qtbot.waitUntil(lambda: bool(window.findChildren(ServerDialog)))
    (dialog,) = window.findChildren(ServerDialog)
    return dialog


def test_a_run_on_a_server_is_opened_and_followed_through_a_broken_connection(
    use_window: Callable[..., MainWindow], qtbot: QtBot, ssh: Path, run: Path
) -> None:
    window = use_window()
    dialog = dialog_of(qtbot, window)
    type_address(qtbot, dialog, "ssh://-oProxyCommand=id/run")
    assert "is not a host: write it as for ssh" in dialog.problem.text()

    (ssh / "broken").touch()
    dialog.python.setText(sys.executable)
    type_address(qtbot, dialog, f"ssh://gpu-07{run}")
    assert dialog.progress.isVisible()
    assert not dialog.address.isEnabled()
    qtbot.waitUntil(lambda: "cannot be reached" in dialog.problem.text(), timeout=SECONDS)
    assert dialog.address.isEnabled()

    (ssh / "broken").unlink()
    qtbot.mouseClick(dialog.open_button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: window.session.folder is not None, timeout=SECONDS)
    assert window.session.folder is not None
    assert window.session.folder.name == "first"
    assert window.session.folder != run
    qtbot.waitUntil(lambda: not window.findChildren(ServerDialog))
    assert window.settings.recent_servers[0].startswith(f"ssh://gpu-07{run}?python=")

    break_connection(ssh)
    qtbot.waitUntil(lambda: "connecting is tried again" in window.message.text, timeout=SECONDS)
    assert window.message.isVisible()
    assert "opened on gpu-07, not connected" in window.windowTitle()
    (ssh / "broken").unlink()
    qtbot.waitUntil(window.message.isHidden, timeout=SECONDS)

    os.rename(run, ssh / "elsewhere")  # noqa: PTH104
    qtbot.waitUntil(lambda: "was deleted on the server" in window.message.text, timeout=SECONDS)
    assert window.session.folder.is_dir()
    assert window.session.state is State.OPENED
    leave(qtbot, window)


def test_a_run_that_a_server_trains_is_seen_and_commanded(
    use_window: Callable[..., MainWindow], qtbot: QtBot, ssh: Path, tmp_path: Path
) -> None:
    experiment = small_experiment(training={"epochs": 1000, "batch_size": 200})
    trained = Trained(experiment, tmp_path / "elsewhere")
    window = use_window()
    session, scores = window.session, window.scores
    dialog = dialog_of(qtbot, window)
    dialog.python.setText(sys.executable)
    type_address(qtbot, dialog, f"ssh://ann@gpu-07{trained.folder}")
    qtbot.waitUntil(lambda: session.state is State.RUNNING, timeout=SECONDS)
    assert " · running on ann@gpu-07, trained by lbc train on " in window.windowTitle()
    click(qtbot, window, window.actions_.pause)
    qtbot.waitUntil(lambda: session.state is State.PAUSED, timeout=SECONDS)
    assert trained.state == "paused"

    now = read_steps(trained.folder)[-1].epoch
    qtbot.waitUntil(lambda: getattr(scores._snapshot, "epoch", -1) == now, timeout=SECONDS)
    shown = scores._snapshot
    assert shown is not None
    assert session.trainer is not None
    with closing(WatchedRun(trained.folder)) as here:
        here.ask(as_watch_request(session.trainer.token, CopyRequest(1, shown.request.watch)))
        moment = first(here.take).moments[0]
    check(shown, draw(moment, shown.request), scores.heatmap.part)

    steps = trained.steps
    click(qtbot, window, window.actions_.step)
    qtbot.waitUntil(lambda: trained.steps == steps + 1, timeout=SECONDS)
    break_connection(ssh)
    qtbot.waitUntil(lambda: "not connected" in window.windowTitle(), timeout=SECONDS)
    click(qtbot, window, window.actions_.stop)
    refusal = "The command was not sent: there is no connection to ann@gpu-07."
    qtbot.waitUntil(lambda: window.message.text == refusal, timeout=SECONDS)
    (ssh / "broken").unlink()
    qtbot.waitUntil(lambda: "not connected" not in window.windowTitle(), timeout=SECONDS)
    trained.kill()
    qtbot.waitUntil(lambda: "which can be resumed there" in window.message.text, timeout=SECONDS)
    assert session.state is State.OPENED
    leave(qtbot, window)


def test_who_keeps_training_is_not_connected(
    use_window: Callable[..., MainWindow], qtbot: QtBot, ssh: Path, run: Path
) -> None:
    window = use_window(small_experiment(training={"epochs": 1000}), start=True)
    qtbot.waitUntil(lambda: window.session.state is State.RUNNING, timeout=SECONDS)
    dialog = dialog_of(qtbot, window)
    dialog.python.setText(sys.executable)
    type_address(qtbot, dialog, f"ssh://gpu-07{run}")
    assert "Stop it and open first?" in answer(qtbot, window, "Keep training")
    (servers,) = window.findChildren(ServerRuns)
    qtbot.waitUntil(lambda: not servers.running, timeout=SECONDS)
    assert window.session.state is State.RUNNING


def test_connecting_is_cancelled_with_the_dialog(
    use_window: Callable[..., MainWindow], qtbot: QtBot, ssh: Path
) -> None:
    window = use_window()
    (ssh / "bin" / "ssh").write_text("#!/bin/sh\nsleep 60\n")
    dialog = dialog_of(qtbot, window)
    type_address(qtbot, dialog, "ssh://gpu-07/run")
    folder, state = window.session.folder, window.session.state
    qtbot.mouseClick(dialog.cancel_button, Qt.MouseButton.LeftButton)
    (servers,) = window.findChildren(ServerRuns)
    qtbot.waitUntil(lambda: not servers.running, timeout=SECONDS)
    assert not window.findChildren(ServerDialog)
    assert (window.session.folder, window.session.state) == (folder, state)
