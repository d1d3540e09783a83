"""Commands from other threads take effect between steps."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

import pytest

from lbc.training.control import Control


class Loop(threading.Thread):
    """A loop in its own thread, controlled as the trainer is."""

    def __init__(self, control: Control) -> None:
        super().__init__(daemon=True)
        self.control = control
        self.steps = 0
        self.idles = 0
        self.lingering = False

    def run(self) -> None:
        while self.control.wait_for_step(self._idle):
            self.steps += 1
            time.sleep(0.001)
        self.lingering = True
        self.control.linger(self._idle)

    def _idle(self) -> None:
        self.idles += 1


def wait(condition: Callable[[], bool]) -> None:
    """Wait until the condition is true, for at most a minute."""
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.002)


@pytest.fixture
def loop() -> Iterator[Loop]:
    """A loop paused before its first step."""
    loop = Loop(Control(paused=True))
    loop.start()
    yield loop
    loop.control.discard()
    loop.join(60)
    assert not loop.is_alive()


def steps_while_paused(loop: Loop) -> int:
    """Check that the loop idles without taking steps; return its number of steps."""
    idles = loop.idles
    wait(lambda: loop.idles > idles + 2)
    steps = loop.steps
    wait(lambda: loop.idles > idles + 4)
    assert loop.steps == steps
    return steps


def test_a_paused_loop_takes_no_step_but_calls_idle(loop: Loop) -> None:
    assert loop.control.paused
    assert steps_while_paused(loop) == 0


def test_run_and_pause(loop: Loop) -> None:
    loop.control.run()
    wait(lambda: loop.steps > 3)
    assert not loop.control.paused
    loop.control.pause()
    assert loop.control.paused
    assert steps_while_paused(loop) > 3


def test_each_step_command_takes_exactly_one_step(loop: Loop) -> None:
    loop.control.step()
    wait(lambda: loop.steps == 1)
    assert steps_while_paused(loop) == 1
    for _ in range(3):
        loop.control.step()
    wait(lambda: loop.steps == 4)
    assert steps_while_paused(loop) == 4


def test_step_pauses_a_running_loop_after_one_more_step(loop: Loop) -> None:
    loop.control.run()
    wait(lambda: loop.steps > 3)
    loop.control.step()
    assert loop.control.paused
    before = steps_while_paused(loop)
    assert steps_while_paused(loop) == before


def test_pause_drops_queued_steps() -> None:
    control = Control(paused=True)
    control.step()
    control.step()
    control.pause()
    idles = []

    def idle() -> None:
        idles.append(1)
        control.stop()

    assert not control.wait_for_step(idle)
    assert idles == [1]


def test_a_stopped_loop_lingers_until_it_is_discarded(loop: Loop) -> None:
    loop.control.stop()
    wait(lambda: loop.lingering)
    assert loop.control.stopped
    assert steps_while_paused(loop) == 0
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
    assert steps_while_paused(loop) == steps
    assert loop.control.stopped


def test_discard_ends_a_running_loop_at_once(loop: Loop) -> None:
    loop.control.run()
    wait(lambda: loop.steps > 0)
    loop.control.discard()
    loop.join(60)
    assert not loop.is_alive()


def test_a_control_is_not_paused_by_default() -> None:
    assert Control().wait_for_step(lambda: None)


def test_a_paused_loop_can_give_others_a_sign_of_life() -> None:
    control = Control(paused=True)
    assert control.wait_for_step(lambda: None, patience=0.01) is None
    control.run()
    assert control.wait_for_step(lambda: None, patience=0.01) is True
    control.stop()
    assert control.wait_for_step(lambda: None, patience=0.01) is False
