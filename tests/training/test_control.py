"""Commands from another thread are obeyed between two steps."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

import pytest

from lbc.training.control import Control


class Loop(threading.Thread):
    """A loop that obeys a control in a thread of its own, as the trainer does."""

    def __init__(self, control: Control) -> None:
        super().__init__(daemon=True)
        self.control = control
        self.steps = 0
        self.idles = 0
        self.lingering = False

    def run(self) -> None:
        while self.control.proceed(self._idle):
            self.steps += 1
            time.sleep(0.001)
        self.lingering = True
        self.control.linger(self._idle)

    def _idle(self) -> None:
        self.idles += 1


def wait(condition: Callable[[], bool]) -> None:
    """Until it holds; a minute is far more than any machine needs."""
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.002)


@pytest.fixture
def loop() -> Iterator[Loop]:
    """A loop that stands before its first step."""
    loop = Loop(Control(paused=True))
    loop.start()
    yield loop
    loop.control.discard()
    loop.join(60)
    assert not loop.is_alive()


def still(loop: Loop) -> int:
    """The steps of a loop that stands; it idles meanwhile."""
    idles = loop.idles
    wait(lambda: loop.idles > idles + 2)
    steps = loop.steps
    wait(lambda: loop.idles > idles + 4)
    assert loop.steps == steps
    return steps


def test_a_paused_loop_stands_and_is_watched(loop: Loop) -> None:
    assert loop.control.paused
    assert still(loop) == 0


def test_run_and_pause(loop: Loop) -> None:
    loop.control.run()
    wait(lambda: loop.steps > 3)
    assert not loop.control.paused
    loop.control.pause()
    assert loop.control.paused
    assert still(loop) > 3


def test_step_takes_exactly_one_each(loop: Loop) -> None:
    loop.control.step()
    wait(lambda: loop.steps == 1)
    assert still(loop) == 1
    for _ in range(3):
        loop.control.step()
    wait(lambda: loop.steps == 4)
    assert still(loop) == 4


def test_step_ends_a_run_after_one_more(loop: Loop) -> None:
    loop.control.run()
    wait(lambda: loop.steps > 3)
    loop.control.step()
    assert loop.control.paused
    before = still(loop)
    assert still(loop) == before


def test_pause_forgets_the_steps_that_were_owed() -> None:
    control = Control(paused=True)
    control.step()
    control.step()
    control.pause()
    asked = []

    def idle() -> None:
        asked.append(1)
        control.stop()

    assert not control.proceed(idle)
    assert asked == [1]


def test_stop_ends_a_paused_loop_which_lingers_until_it_is_discarded(loop: Loop) -> None:
    loop.control.stop()
    wait(lambda: loop.lingering)
    assert loop.control.stopped
    assert still(loop) == 0
    loop.control.discard()
    loop.join(60)
    assert not loop.is_alive()


def test_nothing_restarts_a_stopped_loop(loop: Loop) -> None:
    loop.control.run()
    loop.control.stop()
    wait(lambda: loop.lingering)
    steps = loop.steps
    loop.control.run()
    loop.control.step()
    assert still(loop) == steps
    assert loop.control.stopped


def test_discard_ends_a_running_loop_at_once(loop: Loop) -> None:
    loop.control.run()
    wait(lambda: loop.steps > 0)
    loop.control.discard()
    loop.join(60)
    assert not loop.is_alive()


def test_a_control_runs_unless_told_otherwise() -> None:
    assert Control().proceed(lambda: None)
