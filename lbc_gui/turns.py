"""Turns of the event loop, and of the threads in the interpreter."""

from __future__ import annotations

import sys
from collections.abc import Callable

from PySide6.QtCore import QObject, QTimer

NEXT_TURN = 1
"""Milliseconds until work that has a turn of the event loop of its own. For 0 Qt posts an event,
and handles posted events one after the other before timers and input."""

SWITCH_SECONDS = 0.0002
"""How long a thread computes in Python before another may."""


def call_later(context: QObject, call: Callable[[], object], milliseconds: int = NEXT_TURN) -> None:
    """Call it in a later turn of the event loop, unless ``context`` is deleted before.

    It is wrapped, because PySide6 6.11 keeps a weak reference for each method that it is given.
    """
    QTimer.singleShot(milliseconds, context, lambda: call())


def shorten_turns() -> None:
    """Let threads that compute in Python take turns 25 times as often as by default.

    The window's thread gives up its turn in every call of Qt that draws or lays out something:
    after each it would wait for 5 ms while a thread reads or prepares a run.
    """
    sys.setswitchinterval(SWITCH_SECONDS)
