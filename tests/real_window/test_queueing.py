"""Variations queued from the form of a real window, counted click by click and key by key."""

from __future__ import annotations

import pytest

from lbc.queue.commands import read_queue, steer, working
from lbc.runs.annotations import read_annotations
from tests.real_window.conftest import Desktop

pytestmark = pytest.mark.timeout(180)

VALUES = "100,150,200,250,300"
MOST = 6


def test_five_values_and_three_seeds_take_six_clicks_or_keys(desktop: Desktop) -> None:
    desktop.until(lambda state: state["queue"] == [])
    used = []

    desktop.mouse(desktop.place("editor", path="schedule.end"), 3)
    used.append("right-click")
    desktop.mouse(desktop.place("menu item", text="Vary…"), 1)
    used.append("Vary…")
    desktop.type(VALUES)
    desktop.keys("Tab")
    used.append("Tab")
    desktop.type("3")
    used.append("3")
    desktop.keys("Return")
    used.append("Return")

    queue = desktop.until(lambda state: len(state["queue"]) == 15)["queue"]
    assert len(used) <= MOST
    settings = [varied for varied, _ in queue]
    assert settings == [
        f"schedule.end={end}, seed={seed}" for seed in range(3) for end in VALUES.split(",")
    ]
    third = settings[2]
    start = desktop.place("queued row", index=2, down=0)
    desktop.drag(start, desktop.place("queued row", index=1, down=-8))
    desktop.until(lambda state: state["queue"][1][0] == third)
    # They are trained at once, in a process that would outlive the window.
    desktop.until(lambda state: state["queue"][0][1] == "running")
    folder = desktop.runs / read_queue(desktop.runs).entries[0].folder
    desktop.until(lambda _: read_annotations(folder).group == "driven: schedule.end")
    steer(desktop.runs, "cancel")
    desktop.until(lambda state: {state for _, state in state["queue"]} == {"cancelled"})
    desktop.until(lambda _: not working(desktop.runs))
    assert {entry.group for entry in read_queue(desktop.runs).entries} == {"driven: schedule.end"}
