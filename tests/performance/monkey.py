"""Seeded random actions in the real window: mouse, keys, menus, drops, resizes, tiny runs.

File dialogs are answered with valid, damaged and missing files. A finding is an exception, a
warning of Qt, or a failure with a traceback. A watching thread records what the event loop does
whenever it does not return for a while: on the clock, and in processor time of its thread, which
other processes do not lengthen. Prints JSON; exit status 1 with findings.

    QT_QPA_PLATFORM=offscreen python -m tests.performance.monkey --seed 1 --actions 10000
"""

from __future__ import annotations

import argparse
import faulthandler
import gc
import json
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from random import Random
from threading import Thread
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"

from PySide6.QtCore import QEvent, QMimeData, QObject, QPoint, QPointF, Qt, QTimer, QUrl
from PySide6.QtGui import QDragEnterEvent, QDropEvent, QWheelEvent
from PySide6.QtWidgets import QApplication, QFileDialog, QTabBar, QWidget
from shiboken6 import isValid

from lbc.queue.commands import clear, read_queue, steer
from lbc.training.allocator import return_freed_memory, share_heap
from lbc_gui.run.session import State
from lbc_gui.settings import Settings
from lbc_gui.theme import set_up
from lbc_gui.window.main_window import MainWindow
from tests.gui.window.test_memory import own_megabytes
from tests.performance.event_loop import Watch
from tests.performance.monkey_input import click, double_click, drag, enter, press_key
from tests.performance.monkey_toys import files_in, is_tiny, tiny
from tests.performance.monkey_warm_up import close_top, menu_actions, open_all
from tests.performance.window_watch import (
    Findings,
    isolate,
    open_nothing,
    run_loop,
    text_of,
    wait_until,
)

CALM_EVERY = 500
"""Actions after which everything is stopped and memory is measured."""

WARM_UP = 2000
MOST_QUEUED = 4

KEYS = [
    Qt.Key.Key_Tab, Qt.Key.Key_Backtab, Qt.Key.Key_Return, Qt.Key.Key_Escape, Qt.Key.Key_Space,
    Qt.Key.Key_Up, Qt.Key.Key_Down, Qt.Key.Key_Left, Qt.Key.Key_Right, Qt.Key.Key_Home,
    Qt.Key.Key_End, Qt.Key.Key_PageUp, Qt.Key.Key_PageDown, Qt.Key.Key_Delete,
    Qt.Key.Key_Backspace, Qt.Key.Key_F1, Qt.Key.Key_F2, Qt.Key.Key_Plus, Qt.Key.Key_Minus,
    Qt.Key.Key_Menu,
]  # fmt: skip
TEXTS = ["2:4", "1", "0.5", "-1", "1e9", "abc", "a b", "=", ":", "accuracy>0.5", "/", "*"]
MODIFIERS = [
    Qt.KeyboardModifier.NoModifier, Qt.KeyboardModifier.NoModifier,
    Qt.KeyboardModifier.ControlModifier, Qt.KeyboardModifier.ShiftModifier,
    Qt.KeyboardModifier.AltModifier,
]  # fmt: skip


class Monkey(QObject):
    """Does one action after another, also while a menu or a dialog is open."""

    def __init__(
        self, window: MainWindow, runs: Path, files: list[str], seed: int, findings: Findings
    ) -> None:
        super().__init__(window)
        self._window, self._runs, self._files = window, runs, files
        self._chance, self._findings = Random(seed), findings
        self.done: Counter[str] = Counter()
        self._queued = 0
        self._listed: list[QWidget] = []
        self._listed_of: QWidget | None = None
        self._actions: tuple[tuple[Callable[[], None], int], ...] = (
            (self._click, 30), (self._key, 14), (self._type, 8), (self._trigger, 12),
            (self._drag, 6), (self._wheel, 6), (self._tab, 5), (self._drop, 2),
            (self._resize, 1), (self._escape, 6), (self._run, 6), (self._double_click, 3),
            (self._context_menu, 2),
        )  # fmt: skip

    def act(self) -> None:
        """One action. Whatever it raises is a finding of its own."""
        (action,) = self._chance.choices(*zip(*self._actions, strict=True))
        self.done[action.__name__] += 1
        self._hold_back()
        try:
            self._findings.action = f"{sum(self.done.values())} {action.__name__}"
            action()
        except RuntimeError as error:
            if "already deleted" not in str(error):  # of a widget that the action itself closed
                self._findings.add("action", text_of(error))

    def _hold_back(self) -> None:
        """Keep the machine free: no large networks, no long queue."""
        window = self._window
        if not is_tiny(window.experiment_panel.experiment):
            window.starting.open(tiny())
        if not sum(self.done.values()) % 20:
            window.actions_.compare.setEnabled(self._queued < MOST_QUEUED)
            Thread(target=self._shorten_queue).start()  # as another process would

    def _shorten_queue(self) -> None:
        self._queued = len(read_queue(self._runs).entries)
        if self._queued > MOST_QUEUED:
            steer(self._runs, "cancel")
            clear(self._runs)

    # -- where ----------------------------------------------------------------------------------

    def _top(self) -> QWidget:
        application = QApplication.instance()
        assert isinstance(application, QApplication)
        popup, modal = application.activePopupWidget(), application.activeModalWidget()
        others = [at for at in application.topLevelWidgets() if at.isVisible()]
        return popup or modal or self._chance.choice([self._window, *others])

    def _widget(self) -> QWidget:
        """One that is visible: at a random place or, as most are small, any of them."""
        top = self._top()
        if top is not self._listed_of or not self._chance.randrange(50):
            self._listed_of, self._listed = top, top.findChildren(QWidget)
        for _ in range(20 * self._chance.randrange(2)):
            chosen = self._chance.choice(self._listed or [top])
            if isValid(chosen) and chosen.isVisible() and chosen.isEnabled():
                break
        else:
            chosen = top.childAt(self._point(top)) or top
        self._findings.action += f" {type(chosen).__name__} {chosen.objectName()}"
        return chosen

    def _point(self, widget: QWidget) -> QPoint:
        size = widget.size()
        return QPoint(
            self._chance.randrange(max(1, size.width())),
            self._chance.randrange(max(1, size.height())),
        )

    # -- what -----------------------------------------------------------------------------------

    def _click(self) -> None:
        widget = self._widget()
        modifier = self._chance.choice(MODIFIERS[:4])
        click(widget, self._point(widget), modifier)

    def _double_click(self) -> None:
        widget = self._widget()
        double_click(widget, self._point(widget))

    def _context_menu(self) -> None:
        widget = self._widget()
        click(widget, self._point(widget), button=Qt.MouseButton.RightButton)

    def _drag(self) -> None:
        widget = self._widget()
        drag(widget, [self._point(widget) for _ in range(5)])

    def _wheel(self) -> None:
        widget = self._widget()
        at = QPointF(self._point(widget))
        turned = QPoint(0, self._chance.choice((-480, -120, 120, 480)))
        event = QWheelEvent(
            at, widget.mapToGlobal(at), QPoint(), turned, Qt.MouseButton.NoButton,
            self._chance.choice(MODIFIERS), Qt.ScrollPhase.NoScrollPhase, False,
        )  # fmt: skip
        QApplication.sendEvent(widget, event)

    def _key(self) -> None:
        target = QApplication.focusWidget() or self._top()
        key, modifier = self._chance.choice(KEYS), self._chance.choice(MODIFIERS)
        self._findings.action += f" {key.name} {modifier.name} in {type(target).__name__}"
        press_key(target, key, modifier)

    def _type(self) -> None:
        target = QApplication.focusWidget() or self._widget()
        enter(target, self._chance.choice(TEXTS))

    def _escape(self) -> None:
        press_key(self._top(), Qt.Key.Key_Escape)

    def _trigger(self) -> None:
        """An action of the menu bar; those of context menus are clicked there."""
        chosen = self._chance.choice(menu_actions(self._window))
        self._findings.action += f" {chosen.text()}"
        chosen.trigger()

    def _tab(self) -> None:
        bars = [at for at in self._window.findChildren(QTabBar) if at.isVisible() and at.count()]
        if bars:
            bar = self._chance.choice(bars)
            click(bar, bar.tabRect(self._chance.randrange(bar.count())).center())

    def _drop(self) -> None:
        data, window = QMimeData(), self._window
        chosen = self._chance.sample(self._files, self._chance.choice((1, 1, 2)))
        data.setUrls([QUrl.fromLocalFile(at) for at in chosen])
        self._findings.action += f" {chosen}"
        at, copy = self._point(window), Qt.DropAction.CopyAction
        left, none = Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier
        QApplication.sendEvent(window, QDragEnterEvent(at, copy, data, left, none))
        QApplication.sendEvent(window, QDropEvent(QPointF(at), copy, data, left, none))

    def _resize(self) -> None:
        self._window.resize(self._chance.randrange(500, 1600), self._chance.randrange(300, 1100))

    def _run(self) -> None:
        """What a user does most: run, pause, step, stop, and reset."""
        actions = self._window.actions_
        possible = [actions.run, actions.run, actions.pause, actions.step, actions.stop]
        for action in self._chance.sample(possible, len(possible)):
            if action.isEnabled():
                action.trigger()
                return

    # -- answers --------------------------------------------------------------------------------

    def answer_dialogs(self) -> None:
        """Let no file dialog open: each is answered at once, sometimes with nothing."""

        def one(*_: Any, **__: Any) -> tuple[str, str]:
            return self._chance.choice([*self._files, ""]), ""

        def several(*_: Any, **__: Any) -> tuple[list[str], str]:
            return self._chance.sample(self._files, 2), ""

        def folder(*_: Any, **__: Any) -> str:
            return self._chance.choice([*(at for at in self._files if Path(at).is_dir()), ""])

        def saved(*_: Any, **__: Any) -> tuple[str, str]:
            ending = self._chance.choice(("yaml", "png", "svg", "csv", "html", "npz", "json", ""))
            places = (str(self._runs.parent / f"saved.{ending}"), "/nowhere/saved.png", "")
            return self._chance.choice(places), ""

        for name, given in (
            ("getOpenFileName", one), ("getOpenFileNames", several),
            ("getExistingDirectory", folder), ("getSaveFileName", saved),
        ):  # fmt: skip
            setattr(QFileDialog, name, staticmethod(given))


def calm(window: MainWindow) -> None:
    """Close what is open, end the run, and show the tiny experiment."""
    for _ in range(10):
        close_top()
    window.starting.open(tiny())
    for _ in range(20):  # a form that was just edited may prepare its experiment after this
        window.session.hold(tiny())
        wait_until(lambda: window.session.state is State.WAITING, 3)
        if not window.session.live:
            break
    QApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)


def settled_megabytes() -> float:
    """The least memory within a second: to prepare an experiment takes 50 MB for a moment."""
    found = []
    for _ in range(5):
        run_loop(0.2)
        gc.collect()
        return_freed_memory()  # which is kept for the next step, and is no growth
        found.append(own_megabytes())
    return min(found)


def play(window: MainWindow, monkey: Monkey, count: int, seconds: float) -> list[float]:
    """Do ``count`` actions, or as many as ``seconds`` allow.

    Returns the memory in MB after every ``CALM_EVERY`` of them.
    """
    end = time.monotonic() + seconds
    memory: list[float] = []
    done = 0

    def step() -> None:
        nonlocal done
        if done >= target and not close_top():
            return
        QTimer.singleShot(1, step)  # before the action, which may open a menu and wait for it
        if done >= target:
            return
        done += 1
        monkey.act()

    while done < count and time.monotonic() < end:
        target = min(count, done + CALM_EVERY)
        QTimer.singleShot(0, step)
        wait_until(lambda: done >= target, 3600)  # noqa: B023
        calm(window)
        memory.append(round(settled_megabytes(), 1))
        print(f"\r{done} actions, {memory[-1]} MB ", end="", file=sys.__stderr__, flush=True)
    return memory


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--actions", type=int, default=10_000)
    parser.add_argument("--minutes", type=float, default=240, help="at most")
    options = parser.parse_args()
    faulthandler.enable()
    findings = Findings()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        report = _play_in(Path(name), options, findings)
    findings.end()
    print(json.dumps({**report, "findings": dict(findings.counts)}, indent=1))
    return int(bool(findings.counts))


def _play_in(folder: Path, options: argparse.Namespace, findings: Findings) -> dict[str, object]:
    isolate(folder)
    share_heap()  # before files_in trains, as the window does before it trains
    files = files_in(folder)
    os.chdir(folder)
    for library in ("onnx.reference", "sympy"):  # 50 MB each when they are first needed: no growth
        if find_spec(library.partition(".")[0]):
            import_module(library)
    findings.watch_failures()
    application = QApplication(sys.argv[:1])
    set_up(application, "light")
    swallow = open_nothing()
    runs = folder / "runs"
    window = MainWindow(tiny(), runs, Settings(folder / "window.ini"))
    window.show()
    window.begin()
    wait_until(lambda: window.complete and window.session.state is State.READY, 300)
    window.actions_.quit.setEnabled(False)  # also where the palette offers it
    monkey = Monkey(window, runs, files, options.seed, findings)
    monkey.answer_dialogs()
    open_all(window)
    calm(window)
    watch = Watch(lambda: findings.action)
    begun = time.monotonic()
    watch.begin()
    memory = play(window, monkey, options.actions, 60 * options.minutes)
    watch.end()
    del swallow
    if not window.isVisible():
        findings.add("window", "it was closed, and the rest of the actions did nothing")
    _end(window, runs)
    warm = memory[min(len(memory) - 1, WARM_UP // CALM_EVERY - 1)]
    return {
        "benchmark": "monkey",
        "seed": options.seed,
        "actions": dict(monkey.done),
        "seconds": round(time.monotonic() - begun),
        **watch.report(),
        "memory_mb": memory,
        "growth_after_warm_up_mb": round(memory[-1] - warm, 1),
    }


def _end(window: MainWindow, runs: Path) -> None:
    """Cancel what is queued, and close the window; leave no process behind."""
    if read_queue(runs).entries:
        steer(runs, "cancel")
        wait_until(lambda: not read_queue(runs).count("running"), 60)
    window.closing.start()
    wait_until(lambda: not window.isVisible(), 120)


if __name__ == "__main__":
    sys.exit(main())
