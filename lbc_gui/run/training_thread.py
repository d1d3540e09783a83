"""The thread that trains."""

from __future__ import annotations

import gc
import os
import traceback
from functools import cache
from pathlib import Path

from PySide6.QtCore import QObject

from lbc.config import Experiment
from lbc.following.remote_control import RemoteControl
from lbc.pictures.moment_copier import MomentCopier
from lbc.runs.new_folder import new_run_path
from lbc.training.control import Control
from lbc_gui.run.snapshot_broker import SnapshotBroker
from lbc_gui.worker import Failed, Worker, describe


@cache
def freeze_imports() -> None:
    """Exclude what torch has imported from later garbage collections.

    Called once, before the first run exists: what is frozen is never collected.
    """
    gc.freeze()


class TrainingThread(Worker):
    """Runs one trainer; afterwards its model can still be looked at until the run is discarded.

    Commands go through ``control``; what the window looks at is copied for ``broker``.
    """

    def __init__(
        self,
        experiment: Experiment,
        runs: Path,
        resumed: Path | None,
        control: Control,
        broker: SnapshotBroker,
        parent: QObject,
    ) -> None:
        """``resumed``: the run that is continued; None: a new one, in a folder below ``runs``."""
        super().__init__(parent)
        self.control = control
        self._experiment = experiment
        self._copier = MomentCopier(broker)
        self._runs, self._resumed = runs, resumed

    def work(self) -> None:
        # Imported here: torch takes seconds to load, and the window is on screen meanwhile.
        import torch

        from lbc.training.failures import TrainingError
        from lbc.training.trainer import Trainer

        freeze_imports()

        # One core is left to the window: with all of them taken it stalls, and training with it.
        torch.set_num_threads(max(1, (os.cpu_count() or 2) - 1))
        remote = RemoteControl(self.control, "the window", self.post, self._copier.watch)
        trainer = Trainer(
            self._experiment,
            self._resumed or new_run_path(self._runs, self._experiment.name),
            self.control,
            remote.emit,
            remote.watch,
            attended=True,
            resume=self._resumed is not None,
        )
        try:
            trainer.train()
        except TrainingError as error:
            self.post(Failed(str(error), traceback.format_exc()))
        finally:
            remote.close()
        trainer.linger()

    def failure(self, error: Exception) -> Failed:
        return describe("Training failed", error)
