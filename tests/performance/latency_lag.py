"""Lag of the window's event loop while latency results arrive at 100 lines per second.

A separate process imitates a worker on a GPU with made-up figures. Prints JSON.

    QT_QPA_PLATFORM=offscreen python -m tests.performance.latency_lag --seconds 20
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path

from PySide6.QtWidgets import QApplication

from lbc.config import Experiment
from lbc.latency.cases import Case
from lbc.latency.place import Place
from lbc.latency.run import Request
from lbc_gui.latency.measurement_session import Prepared
from lbc_gui.run.session import State
from lbc_gui.settings import Settings
from lbc_gui.window.main_window import MainWindow
from tests.latency.made_up_worker import write_worker
from tests.performance.ui_lag import measure_lag, percentiles, until

LINES_PER_SECOND = 100


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--seconds", type=float, default=20)
    seconds = parser.parse_args().seconds
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        application = QApplication(sys.argv[:1])
        application.setStyle("Fusion")
        window = MainWindow(Experiment(), folder / "runs", Settings(folder / "window.ini"))
        window.resize(1280, 800)
        window.show()
        window.begin()
        until(application, lambda: window.session.state is State.READY)
        window.pages.setCurrentWidget(window.pages.latency)
        # Each case has two lines: its start and its result.
        cases = [Case(f"case {at}", 4096, 16 * (at + 1), 4096) for at in range(int(seconds * 60))]
        worker = write_worker(folder, pause=1 / LINES_PER_SECOND)
        request = Request.for_device(
            cases, "cuda", place=Place(python=str(worker)), backends=("cusparselt",)
        )
        page = window.pages.latency
        page.measuring.start(lambda: Prepared(request, ()))
        until(application, lambda: bool(page.measurements.all))
        before = len(page.cases.rows)
        lags = measure_lag(seconds)
        shown = len(page.measurements.all[0].results)
        page.measuring.cancel()
        until(application, lambda: not page.measuring.running)
        window.session.close()
        until(application, lambda: not window.session.live)
        window.close()
    report = {
        "benchmark": "latency_lag",
        "seconds": seconds,
        "lines_a_second": round(2 * shown / seconds),
        "results": shown,
        "rows": before,
        "ticks": len(lags),
        "lag_ms": percentiles(lags),
    }
    print(json.dumps(report))
    return 0


if __name__ == "__main__":
    sys.exit(main())
