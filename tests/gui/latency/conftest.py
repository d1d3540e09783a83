"""A Latency page, and measurements made up by a process."""

from __future__ import annotations

from pathlib import Path

import pytest
from pytestqt.qtbot import QtBot

from lbc.latency.cases import Case
from lbc.latency.place import Place
from lbc.latency.run import Request
from lbc_gui.latency.latency_page import LatencyPage
from lbc_gui.latency.measurement_session import Prepared
from tests.gui.conftest import SECONDS, small_experiment
from tests.latency.made_up_worker import write_worker


@pytest.fixture
def page(qtbot: QtBot) -> LatencyPage:
    page = LatencyPage(small_experiment, lambda: None)
    qtbot.addWidget(page)
    page.resize(1280, 700)
    page.show()
    return page


def play(page: LatencyPage, folder: Path, count: int, pause: float = 0.0) -> None:
    """Measure with a process that makes its figures up."""
    cases = [Case(f"layer {at}", 4096, 64 << at % 8, 4096) for at in range(count)]
    place = Place(python=str(write_worker(folder, pause)))
    request = Request.for_device(cases, "cuda", place=place, backends=("cusparselt",))
    page.measuring.start(lambda: Prepared(request, (("head", "the classifier"),)))


def finished(page: LatencyPage, qtbot: QtBot) -> None:
    qtbot.waitUntil(lambda: not page.measuring.running, timeout=SECONDS)
