"""The first five minutes of a new user, click by click."""

from __future__ import annotations

import pytest

from tests.real_window.conftest import Desktop

pytestmark = pytest.mark.timeout(180)


def test_the_first_five_minutes(desktop: Desktop) -> None:
    # Start, and understand: what a cell is, and what the parts of the window are.
    assert desktop.until(lambda state: state["strip"])["state"] == "ready"
    desktop.press("Take the tour")
    desktop.until(lambda state: "1 of 5" in state["tour"] and not state["strip"])
    desktop.press("Next")
    desktop.until(lambda state: "2 of 5" in state["tour"])
    desktop.press("Skip the tour")
    desktop.until(lambda state: not state["tour"])

    # Change N:M, and see what it implies before anything runs.
    assert max(desktop.ask("state")["preview"]) == 6
    desktop.mouse(desktop.ask("editor", path="pattern"), 1)
    desktop.keys("ctrl+a")
    desktop.type("1:8")
    state = desktop.until(lambda state: state["pattern"] == "1:8" and state["state"] == "ready")
    assert max(state["preview"]) == 8
    assert "8 combinations" in state["facts"]

    # Run, and pin a block.
    desktop.press("Run")
    desktop.until(lambda state: state["state"] == "running" and state["moments"] > 4)
    desktop.mouse(desktop.place("block", index=500), 1)
    desktop.until(lambda state: "block 500" in state["block"] and len(state["rows"]) == 8)

    # Travel in time while training continues, and return.
    trained = len(desktop.ask("state")["losses"])
    desktop.mouse(desktop.place("moment", index=0), 1)
    desktop.until(lambda state: state["moment"] == 0 and len(state["losses"]) > trained)
    desktop.keys("ctrl+l")
    desktop.until(lambda state: state["moment"] is None)

    # Pause, look closely, and undo the zoom.
    desktop.press("Pause")
    desktop.until(lambda state: state["state"] == "paused")
    place = desktop.place("block", index=500)
    whole = desktop.ask("state")["view"]
    desktop.mouse(place, 4, 4, 4)
    desktop.until(lambda state: state["view"] != whole)
    desktop.keys("BackSpace")
    desktop.until(lambda state: state["view"] == whole)

    # Edit the experiment, and undo that too.
    desktop.mouse(desktop.ask("tab", text="Experiment"), 1)
    desktop.mouse(desktop.ask("editor", path="pattern"), 1)
    desktop.keys("ctrl+a")
    desktop.type("2:4")
    desktop.until(lambda state: state["facts"].startswith("2:4"))
    desktop.keys("ctrl+z")
    desktop.until(lambda state: state["facts"].startswith("1:8"))

    # End the run, go back to its start, and run again.
    desktop.press("Stop")
    desktop.until(lambda state: state["state"] == "stopped")
    desktop.press("Reset")
    desktop.until(lambda state: state["state"] == "ready" and not state["losses"])
    desktop.press("Run")
    desktop.until(lambda state: len(state["losses"]) > 3)
    assert len(list(desktop.runs.iterdir())) == 2  # the first run is kept
