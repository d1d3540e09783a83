"""Logarithmic axes have few ticks with true numbers, however far a plot is zoomed out."""

from __future__ import annotations

from math import isfinite, log10

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pytestqt.qtbot import QtBot

from lbc_gui.curves.curves_panel import CurvesPanel
from lbc_gui.run.view_state import ViewState
from lbc_gui.widgets.log_axis import LARGEST, MOST_DECADES, LogAxis, from_log

PLACES = st.one_of(st.floats(-1e9, 1e9), st.floats(-20, 20), st.sampled_from([-1e300, 0.0, 1e300]))


@pytest.mark.usefixtures("qapp")
@given(PLACES, PLACES)
def test_ticks_are_few_within_the_range_and_true(one: float, other: float) -> None:
    low, high = min(one, other), max(one, other)
    axis = LogAxis("left")
    ((_, ticks),) = axis.tickValues(low, high, 300)
    assert len(ticks) <= max(9, MOST_DECADES + 1)
    assert all(low <= tick <= high for tick in ticks)
    for tick, text in zip(ticks, axis.tickStrings(ticks, 1, 1), strict=True):
        assert log10(float(text)) == pytest.approx(tick, abs=1e-5)
    first, last = max(low, -LARGEST), min(high, LARGEST)
    assert ticks or last - first < 30


@pytest.mark.usefixtures("qapp")
def test_usual_ranges_have_a_tick_at_every_decade() -> None:
    axis = LogAxis("left")
    ((_, ticks),) = axis.tickValues(-7.5, 3.2, 300)
    assert ticks == list(range(-7, 4))
    ((_, ticks),) = axis.tickValues(-0.1, 1.1, 300)
    assert axis.tickStrings(ticks, 1, 1) == ["1", "2", "5", "10"]


@given(st.floats(allow_nan=False))
def test_a_place_far_out_is_a_number(place: float) -> None:
    assert isfinite(from_log(place)) and from_log(place) > 0


def test_the_loss_can_be_zoomed_out_without_end(qtbot: QtBot) -> None:
    panel = CurvesPanel(ViewState())
    qtbot.addWidget(panel)
    panel.resize(900, 300)
    panel.show()
    box = panel._plots["loss"].vb
    for reach in (10.0, 400.0, 1e5, 1e12):
        box.setRange(yRange=(-reach, reach), padding=0)
        qtbot.wait(50)
        panel.grab()  # an exception while it is painted fails the test
