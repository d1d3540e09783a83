"""A place for one value between two threads."""

from __future__ import annotations

import threading
from typing import Generic, TypeVar

T = TypeVar("T")


class Mailbox(Generic[T]):
    """Holds the newest value until it is taken; ``changed`` is notified of both. Thread safe."""

    def __init__(self, changed: threading.Condition) -> None:
        self._changed = changed
        self._value: T | None = None

    @property
    def full(self) -> bool:
        return self._value is not None

    def put(self, value: T) -> None:
        """Replace the value, if there is one."""
        with self._changed:
            self._value = value
            self._changed.notify_all()

    def take(self) -> T | None:
        """Remove and return the value; None if there is none."""
        with self._changed:
            value, self._value = self._value, None
            if value is not None:
                self._changed.notify_all()
            return value
