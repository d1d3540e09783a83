"""A place for one value between two threads."""

from __future__ import annotations

from collections import deque
from typing import Generic, TypeVar

T = TypeVar("T")


class Mailbox(Generic[T]):
    """Holds the newest value until it is taken. Thread safe, as a deque is."""

    def __init__(self) -> None:
        self._values: deque[T] = deque(maxlen=1)

    @property
    def full(self) -> bool:
        return bool(self._values)

    def put(self, value: T) -> None:
        """Replace the value, if there is one."""
        self._values.append(value)

    def take(self) -> T | None:
        """Remove and return the value; None if there is none."""
        try:
            return self._values.pop()
        except IndexError:
            return None
