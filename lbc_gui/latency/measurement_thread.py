"""The QThread that measures, so that the window goes on."""

from __future__ import annotations

import threading
import traceback
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from PySide6.QtCore import QThread

from lbc.latency.run import Event, Request, measure


@dataclass(frozen=True)
class MeasuringFailed:
    """No worker could be started: a sentence, and details for a bug report."""

    message: str
    details: str = ""


@dataclass(frozen=True)
class Prepared:
    """The request, now that the model's layers are known, and the layers left out with why."""

    request: Request
    left_out: tuple[tuple[str, str], ...]


Prepare = Callable[[], Prepared]


class MeasuringThread(QThread):
    """Prepares and runs one request; ``events`` is drained in the window's thread."""

    def __init__(self, prepare: Prepare) -> None:
        super().__init__()
        self.events: deque[Event | Prepared | MeasuringFailed] = deque()
        self.cancel = threading.Event()
        self._prepare = prepare

    def run(self) -> None:
        """Measure; whatever goes wrong becomes a ``MeasuringFailed``."""
        try:
            prepared = self._prepare()
            self.events.append(prepared)
            measure(prepared.request, self.events.append, self.cancel)
        except (ValueError, OSError) as error:
            self.events.append(MeasuringFailed(str(error)))
        except Exception as error:
            sentence = f"The measurement could not go on: {type(error).__name__}: {error}"
            self.events.append(MeasuringFailed(sentence, traceback.format_exc()))
