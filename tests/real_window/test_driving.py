"""A user with mouse and keyboard: every test looks at a real window on a real X server."""

from __future__ import annotations

import re

import pytest
import torch

from lbc.sparsity.pattern import Pattern
from tests.real_window.conftest import SECONDS, Desktop

pytestmark = pytest.mark.timeout(180)


def test_start_pause_continue_and_close(desktop: Desktop) -> None:
    desktop.press("Run")
    desktop.until(lambda state: state["state"] == "running" and len(state["losses"]) > 10)
    desktop.press("Pause")
    desktop.until(lambda state: state["state"] == "paused")
    standing = len(desktop.until(lambda state: True)["losses"])
    desktop.keys("F5")
    desktop.until(lambda state: len(state["losses"]) > standing + 10)
    desktop.keys("ctrl+q")
    desktop.mouse(desktop.place("dialog button", text="Stop and close"), 1)
    desktop.application.join(SECONDS)
    assert desktop.application.exitcode == 0
    assert desktop.run_file()["status"] == "stopped"


def test_steps_after_a_reset_are_the_same_and_the_screen_says_what_the_library_holds(
    desktop: Desktop,
) -> None:
    def three_steps() -> list[float]:
        for count in (1, 2, 3):
            desktop.press("Step")
            desktop.until(lambda state, count=count: len(state["losses"]) == count)  # type: ignore[misc]
        losses: list[float] = desktop.ask("state")["losses"]
        return losses

    first = three_steps()
    desktop.keys("ctrl+r")
    desktop.mouse(desktop.place("dialog button", text="Stop and reset"), 1)
    desktop.until(lambda state: state["state"] == "ready" and not state["losses"])
    assert three_steps() == first
    place = desktop.place("block", index=777)
    desktop.mouse(place, 4, 4, 4, 4, 4, 4, 4, 4)
    desktop.mouse(desktop.place("block", index=777), 1)
    told = desktop.until(lambda state: "block 777" in state["block"] and len(state["rows"]) == 6)
    desktop.keys("shift+F5")
    desktop.until(lambda state: state["state"] == "stopped")
    assert desktop.run_file()["status"] == "stopped"
    checkpoint = torch.load(desktop.newest_run() / "checkpoint.pt", weights_only=True)
    beta = next(value for name, value in checkpoint["model"].items() if name.endswith("beta"))
    pattern = Pattern(2, 4)
    scores = pattern.to_blocks(beta)[777][pattern.members].sum(dim=1)
    assert [row[1] for row in told["rows"]] == [f"{score:.5f}" for score in scores.tolist()]
    best = int(scores.argmax())
    assert [row[3] == "1st" for row in told["rows"]] == [c == best for c in range(6)]


def test_another_pattern_typed_into_the_form_is_what_runs(desktop: Desktop) -> None:
    desktop.mouse(desktop.ask("editor", path="pattern"), 1)
    desktop.keys("ctrl+a")
    desktop.type("5:4")
    desktop.until(lambda state: "cannot keep 5" in state["problem"])
    desktop.keys("ctrl+a")
    desktop.type("4:8")
    state = desktop.until(lambda state: state["pattern"] == "4:8" and state["state"] == "ready")
    assert "70 combinations" in state["facts"]
    desktop.press("Run")
    desktop.until(lambda state: len(state["losses"]) > 3)
    assert desktop.run_file()["pattern"] == "4:8"


def test_a_block_is_zoomed_to_and_back_and_read_during_training(desktop: Desktop) -> None:
    desktop.mouse(desktop.ask("editor", path="pattern"), 1)  # the keyboard is in the form
    place = desktop.place("block", index=1000)
    neighbour = desktop.place("block", index=1001)
    desktop.mouse(place, 4, 4, 4, 4, 4, 4)
    desktop.until(
        lambda _: (
            desktop.place("block", index=1001)[0] - desktop.place("block", index=1000)[0]
            > 2 * (neighbour[0] - place[0])
        )
    )
    assert "block 1000 " in desktop.until(lambda state: "block 1000 " in state["hover"])["hover"]
    desktop.keys("BackSpace")
    desktop.until(lambda _: desktop.place("block", index=1000) == place)
    assert desktop.ask("state")["problem"] == ""  # nothing was deleted from the N:M
    desktop.mouse(desktop.place("block", index=1234), 1)
    state = desktop.until(lambda state: "block 1234" in state["block"])
    assert [row[0] for row in state["rows"]] == ["■■□□", "■□■□", "■□□■", "□■■□", "□■□■", "□□■■"]
    assert {row[1] for row in state["rows"]} == {"0.33333"}
    assert re.search(r"block 1234 · output \d+ · inputs \d+–\d+ · [■□]{4} ·", state["hover"])
    desktop.press("Run")
    trained = desktop.until(lambda state: len({row[1] for row in state["rows"]}) == 6)
    best = max(trained["rows"], key=lambda row: float(row[1]))
    assert best[3] == "1st"
