"""The one QThread that trains."""

from __future__ import annotations

import os
import traceback
from collections import deque
from dataclasses import dataclass
from pathlib import Path

from PySide6.QtCore import QThread

from lbc.config import Experiment
from lbc.runs.events import Event
from lbc.training.control import Control
from lbc_gui.run.snapshot_broker import Desk


@dataclass(frozen=True)
class Failed:
    """The run could not start or go on: a sentence, and the traceback for a bug report."""

    message: str
    details: str


class TrainingThread(QThread):
    """Runs one trainer; after its end it goes on serving snapshots until stopped.

    Events are appended to ``events`` in the training thread and drained in the window's. Commands
    go through ``control``, what the window looks at through the desk.
    """

    def __init__(
        self,
        experiment: Experiment,
        folder: Path | None,
        desk: Desk,
        paused: bool,
        resume: bool = False,
    ) -> None:
        super().__init__()
        self.experiment = experiment
        self.control = Control(paused)
        self.events: deque[Event | Failed] = deque()
        self._desk = desk
        desk.begin(self.control)
        self._folder = folder
        self._resume = resume

    def run(self) -> None:
        """Train; whatever goes wrong becomes a ``Failed`` event."""
        try:
            self._train()
        except Exception as error:
            self.events.append(Failed(_sentence(error), traceback.format_exc()))

    def _train(self) -> None:
        # Imported here: torch takes seconds to load, and the window is on screen meanwhile.
        import torch

        from lbc.training.failures import TrainingError
        from lbc.training.trainer import Trainer

        # One core is left to the window: with all of them taken it stalls, and training with it.
        torch.set_num_threads(max(1, (os.cpu_count() or 2) - 1))
        trainer = Trainer(
            self.experiment,
            self._folder,
            self.control,
            self.events.append,
            self._desk.watch,
            attended=True,
            resume=self._resume,
        )
        try:
            trainer.train()
        except TrainingError as error:
            self.events.append(Failed(str(error), traceback.format_exc()))
        trainer.linger()


def _sentence(error: Exception) -> str:
    return f"Training could not go on: {type(error).__name__}: {error}"


class DrawingThread(QThread):
    """Turns the moments on a desk into pictures until the desk is closed."""

    def __init__(self, desk: Desk) -> None:
        super().__init__()
        self._desk = desk

    def run(self) -> None:
        self._desk.serve()
