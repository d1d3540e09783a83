"""Computes what trained networks cost, in a thread, for the columns that need it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from PySide6.QtCore import QObject

from lbc.library.run_cost import CostReader, RunCost
from lbc_gui.worker import Failed, Job, Worker, describe


class CostWorker(Worker):
    """Posts the cost of every run, in a tuple with its folder."""

    def __init__(self, reader: CostReader, folders: Iterable[Path], parent: QObject) -> None:
        super().__init__(parent)
        self._reader, self._folders = reader, tuple(folders)

    def work(self) -> None:
        for folder in self._folders:
            if self.cancelled.is_set():
                return
            self.post((folder, self._reader.read(folder)))

    def failure(self, error: Exception) -> Failed:
        return describe("The costs of the runs could not be computed", error)


class RunCosts(Job):
    """The costs that are known; every run's is read once."""

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.known: dict[Path, RunCost] = {}
        self._asked: set[Path] = set()
        self._reader = CostReader()
        self.arrived.connect(self.known.update)

    def ask(self, folders: Iterable[Path]) -> None:
        """Read what is not known of these runs; ``arrived`` follows, in parts."""
        new = [folder for folder in folders if folder not in self._asked]
        if new and not self.running:
            self._asked.update(new)
            self._launch(CostWorker(self._reader, new, self))
