"""A hundred runs of a hundred thousand steps: read from their files, drawn, and zoomed.

Makes the runs in a temporary folder first. Prints JSON: ``read_ms`` is the time of reading every
file, ``until_drawn_ms`` that from the request until the pane has read and drawn them all,
``frame_ms`` of a frame that draws them all anew, ``zoom_ms`` of frames from the whole to a
thousandth and back, and ``hover_ms`` of frames in which another line is lit. ``_cpu`` is the CPU
time of the thread that works, which is more reliable on a shared machine. ``memory_mb`` is what the
process has grown by with the curves on screen.

    QT_QPA_PLATFORM=offscreen python tests/performance/run_curves.py
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from PySide6.QtCore import QEventLoop
from PySide6.QtWidgets import QApplication

from lbc.library.run_curves import METRICS, CurveKey, RunCurves
from lbc.library.run_summary import RunSummary
from lbc.pictures.curve import Columns, singles
from lbc.runs.metrics import STEP_COLUMNS
from lbc_gui.compare.curves_item import CurvesPlot
from lbc_gui.compare.curves_pane import AXES, CurvesPane
from lbc_gui.compare.run_selection import RunSelection
from lbc_gui.theme import apply_theme, set_up

ZOOM = 0.7


def main() -> int:
    options = _options()
    application = QApplication(sys.argv[:1])
    set_up(application, "light")
    apply_theme("light")
    with tempfile.TemporaryDirectory() as folder:
        runs = [Path(folder) / f"run{number:03}" for number in range(options.runs)]
        spikes = [write_run(run, options.steps, seed) for seed, run in enumerate(runs)]
        report = read(runs, options) | draw(application, runs, spikes, options)
    print(json.dumps({"benchmark": "run_curves", **vars(options), **report}))
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--runs", type=int, default=100)
    parser.add_argument("--steps", type=int, default=100_000)
    parser.add_argument("--width", type=int, default=1200, help="of the pane, in pixels")
    parser.add_argument("--height", type=int, default=700)
    parser.add_argument("--axis", default="by step", choices=AXES)
    parser.add_argument("--smoothing", default="not smoothed")
    return parser.parse_args()


def write_run(folder: Path, steps: int, seed: int) -> float:
    """A loss that falls with noise and three spikes; the highest value of it."""
    numbers = np.random.default_rng(seed)
    step = np.arange(1, steps + 1)
    loss = 2.3 * np.exp(-(4 + seed / 25) * step / steps) + 0.05 + numbers.gamma(2, 0.03, steps)
    loss[numbers.integers(steps, size=3)] += 3 * numbers.random(3)
    seconds = np.cumsum(numbers.gamma(4, 0.005, steps))
    rows = np.column_stack([step, step / 1000, loss, 0.1 * (1 - step / steps), seconds])
    folder.mkdir()
    head = json.dumps({"columns": STEP_COLUMNS}).encode() + b"\n"
    (folder / "steps.records").write_bytes(head + rows.astype("<f8").tobytes())
    return float(singles(loss).max())


def read(runs: list[Path], options: argparse.Namespace) -> dict[str, object]:
    """Read every file three times over, and take the fastest."""
    keys = [CurveKey(run, METRICS["loss"], AXES[options.axis]) for run in runs]

    def read_all() -> None:
        curves = RunCurves()
        for key in keys:
            curves.read(key)

    return _named("read_ms", [min(_timed(read_all) for _ in range(3))])


def draw(
    application: QApplication, runs: list[Path], spikes: list[float], options: argparse.Namespace
) -> dict[str, object]:
    selection = RunSelection()
    pane = CurvesPane(selection, CurvesPlot())
    pane.resize(options.width, options.height)
    pane.metric_box.setCurrentText(METRICS["loss"].title)
    pane.axis_box.setCurrentText(options.axis)
    pane.smoothing_box.setCurrentText(options.smoothing)
    pane.show()
    application.processEvents()
    before, started = _resident_mb(), time.perf_counter()
    selection.show_runs([RunSummary(run, "finished") for run in runs])
    while len(pane._lines) < len(runs) or not pane._complete:
        application.processEvents(QEventLoop.ProcessEventsFlag.WaitForMoreEvents)
    pane._graphics.viewport().repaint()
    until_drawn, grown = time.perf_counter() - started, _resident_mb() - before
    item, box = pane.item, pane.plot.vb

    def frame() -> None:
        item._images_of = None
        pane._graphics.viewport().repaint()

    def hover(folder: Path | None) -> None:
        selection.hover(folder)
        pane._graphics.viewport().repaint()

    frames = [_timed(frame) for _ in range(5)]
    hovers = [_timed(lambda at=at: hover(at)) for at in (*runs[:20], None, *runs[20:40])]  # type: ignore[misc]
    zoomed = []
    for low, high in _ranges(box.viewRange()[0]):

        def zoom(low: float = low, high: float = high) -> None:
            box.setXRange(low, high, padding=0)
            pane._graphics.viewport().repaint()

        zoomed.append(_timed(zoom))
    columns = Columns(0, max(line.raw.x[-1] for line in pane._lines.values()), options.width)
    highest = [line.raw.trace(columns)[1].max() for line in pane._lines.values()]
    pane.reader.cancel()
    while pane.reader.running:
        application.processEvents()
    return {
        "until_drawn_ms": round(1000 * until_drawn, 1),
        **_named("frame_ms", frames),
        **_named("zoom_ms", zoomed),
        **_named("hover_ms", hovers),
        "memory_mb": round(grown, 1),
        "every_spike_drawn": highest == spikes,
    }


def _ranges(whole: tuple[float, float]) -> Iterator[tuple[float, float]]:
    """From the whole to a thousandth at three places, and back."""
    low, width = whole[0], whole[1] - whole[0]
    for place in (0.1, 0.5, 0.9):
        for step in (*range(1, 21), *range(20, 0, -1)):
            part = width * ZOOM**step
            left = low + place * (width - part)
            yield left, left + part


def _timed(work: Callable[[], None]) -> tuple[float, float]:
    """Milliseconds by the clock, and of this thread's CPU time."""
    clock, thread = time.perf_counter(), time.thread_time()
    work()
    return 1000 * (time.perf_counter() - clock), 1000 * (time.thread_time() - thread)


def _named(name: str, times: list[tuple[float, float]]) -> dict[str, object]:
    def figures(values: list[float]) -> object:
        if len(values) == 1:
            return round(values[0], 1)
        p50, p99 = np.percentile(values, (50, 99))
        return {"p50": round(float(p50), 1), "p99": round(float(p99), 1)}

    return {
        name: figures([clock for clock, _ in times]),
        f"{name}_cpu": figures([thread for _, thread in times]),
    }


def _resident_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


if __name__ == "__main__":
    sys.exit(main())
