"""The page Runs with many runs: first rows, lag of the event loop, and frames while scrolling.

The runs are read once before, so that the index is warm, and what the page and its panes need is
imported, and a plot drawn, as in the window before the page can be opened. Then it is opened, a
filter is typed, the rows are sorted and folded, and the table is scrolled to its end. Prints JSON:
``cpu`` is the CPU time of the window's thread, which is more reliable on a shared machine; it is
counted between two ticks of a timer like the lag.

    QT_QPA_PLATFORM=offscreen python tests/performance/library_page.py --count 10000
"""

from __future__ import annotations

import argparse
import gc
import json
import sys
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory

from pyqtgraph import GraphicsLayoutWidget
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication

from lbc.library.index import Library
from lbc_gui.library.library_page import LibraryPage
from lbc_gui.settings import Settings
from lbc_gui.theme import apply_theme, set_up
from lbc_gui.widgets.plot import add_plot
from lbc_gui.window.completion import MODULES
from tests.performance.library import make_runs
from tests.performance.ui_lag import percentiles, record_lags, run_event_loop, until

FRAME = 1 / 60
FILTER = "accuracy > 95 and n:m = 2:4"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--count", type=int, default=10_000, help="runs to make")
    parser.add_argument("--runs", type=Path, help="a folder of runs instead")
    options = parser.parse_args()
    with TemporaryDirectory() as folder:
        runs = options.runs or Path(folder) / "runs"
        if options.runs is None:
            make_runs(runs, options.count)
        return measure(runs, Settings(Path(folder) / "window.ini"))


def measure(runs: Path, settings: Settings) -> int:
    gc.disable()  # as the window does, which collects in its own thread
    application = QApplication(sys.argv[:1])
    set_up(application, "light")
    apply_theme("light")
    Library(runs).refresh()
    for name in MODULES:
        import_module(name)
    plots = GraphicsLayoutWidget(show=True)
    add_plot(plots)
    application.processEvents()
    plots.close()
    page, jobs = LibraryPage(runs, settings), []
    page.comparison.built.connect(lambda _, job: jobs.append(job) if job else None)
    page.resize(1280, 760)
    started = time.perf_counter()
    with record_lags() as opening, record_lags(time.thread_time) as opening_cpu:
        page.show()
        until(application, lambda: bool(page.table.runs.lines))
        application.processEvents()
        first_rows = time.perf_counter() - started
        run_event_loop(3.0)
    count = len(page.table.runs.lines)
    answers: dict[str, tuple[float, float]] = {}
    with record_lags() as using, record_lags(time.thread_time) as using_cpu:
        for name, act in _acts(page):
            answers[name] = _answer(application, page, act)
            run_event_loop(1.0)
    frames = _scroll(application, page)
    page.hide()
    for job in (page.reader, *jobs):
        job.cancel()
    until(application, lambda: not any(job.running for job in (page.reader, *jobs)))
    print(json.dumps({
        "benchmark": "library_page",
        "runs": count,
        "first_rows_s": round(first_rows, 3),
        "lag_opening_ms": percentiles(opening),
        "lag_opening_cpu_ms": percentiles(opening_cpu),
        "lag_using_ms": percentiles(using),
        "lag_using_cpu_ms": percentiles(using_cpu),
        "answer_ms": {name: _milliseconds(both) for name, both in answers.items()},
        "frames": len(frames),
        "frame_ms": percentiles([whole for whole, _ in frames]),
        "frame_cpu_ms": percentiles([cpu for _, cpu in frames]),
        "dropped_frames": sum(whole > FRAME for whole, _ in frames),
    }))  # fmt: skip
    return 0


def _acts(page: LibraryPage) -> list[tuple[str, Callable[[], None]]]:
    line, commands = page.filter.line, page.table
    typed = [
        (f"filter {FILTER[: at + 1]!r}", lambda key=key: QTest.keyClicks(line, key))
        for at, key in enumerate(FILTER)
    ]
    return [
        *typed,
        ("all again", line.clear),
        ("sort by accuracy", lambda: commands.sort_wanted.emit("accuracy")),
        ("sort by a setting", lambda: commands.sort_wanted.emit("optimizer.lr")),
        ("fold", page.folded.click),
        ("unfold", page.folded.click),
        ("choose all", commands.selectAll),
    ]


def _milliseconds(both: tuple[float, float]) -> dict[str, float]:
    whole, cpu = both
    return {"whole": round(1000 * whole, 1), "cpu": round(1000 * cpu, 1)}


def _answer(
    application: QApplication, page: LibraryPage, act: Callable[[], None]
) -> tuple[float, float]:
    """Seconds until the table shows what the user has asked for, and those of the window's CPU."""
    started, cpu = time.perf_counter(), time.thread_time()
    act()
    until(application, lambda: not page.reader.arranging)
    application.processEvents()
    return time.perf_counter() - started, time.thread_time() - cpu


def _scroll(application: QApplication, page: LibraryPage) -> list[tuple[float, float]]:
    """Seconds of each frame, and of its CPU, while the scroll bar is dragged, slowly and fast."""
    bar, frames = page.table.verticalScrollBar(), []
    for step in (7, 66, 480, 5003):
        bar.setValue(0)
        for at in range(min(250, bar.maximum() // step)):
            started, cpu = time.perf_counter(), time.thread_time()
            bar.setValue(at * step)
            page.table.viewport().repaint()
            frames.append((time.perf_counter() - started, time.thread_time() - cpu))
            application.processEvents()
    return frames


if __name__ == "__main__":
    sys.exit(main())
