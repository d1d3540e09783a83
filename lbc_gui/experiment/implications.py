"""What an experiment implies for its network, found in a thread: it takes up to half a second."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, Slot

from lbc.config import Experiment
from lbc.runs.events import Prepared
from lbc_gui.experiment.pattern_gain import GainEstimator
from lbc_gui.settings import EstimateChoice
from lbc_gui.worker import Failed, Job, Worker, describe

if TYPE_CHECKING:
    from lbc.training.preparation import Preview


@dataclass(frozen=True)
class Implied:
    """The network of ``experiment`` as ``seen``, or why it is ``refused``."""

    experiment: Experiment
    seen: Preview | Prepared | None = None
    assumed: str = ""
    """A sentence about what replaces data that cannot be read."""
    refused: str = ""
    gain: str = ""
    """The estimated gain of the experiment's N:M; "" if there is none."""


class Examination(Worker):
    """Posts what ``known`` lacks; with ``choice``, also the gain on that card."""

    def __init__(self, known: Implied, choice: EstimateChoice | None, parent: QObject) -> None:
        super().__init__(parent)
        self._known, self._choice = known, choice

    def work(self) -> None:
        implied = self._known if self._known.seen else examine(self._known.experiment)
        if self._choice is not None and implied.seen is not None:
            gains = GainEstimator(implied.seen.table.rows, self._choice)
            implied = replace(implied, gain=gains.gain(implied.experiment.pattern))
        self.post(implied)

    def failure(self, error: Exception) -> Failed:
        return describe("The network could not be examined", error)


class Implications(Job):
    """Examines one experiment after another; of those that wait, only the last."""

    def __init__(self, parent: QObject) -> None:
        super().__init__(parent)
        self._next: tuple[Implied, EstimateChoice | None] | None = None

    def ask(self, known: Implied, choice: EstimateChoice | None) -> None:
        """Examine ``known.experiment``, unless it is ``seen`` already; ``arrived`` follows.

        ``choice``: for which card the gain is estimated.
        """
        self._next = known, choice
        if not self.running:
            self._begin()

    @Slot()
    def cancel(self) -> None:
        self._next = None
        super().cancel()

    def _begin(self) -> None:
        if self._next is not None:
            (known, choice), self._next = self._next, None
            self._launch(Examination(known, choice, self))

    def _worker_ended(self, worker: Worker) -> None:
        self._begin()


def examine(experiment: Experiment) -> Implied:
    """Inspect the network of an experiment, which is not external."""
    # Here, because they load torch, which the first window does not wait for.
    from lbc.data import DataError, describe, usual_shape
    from lbc.training.preparation import preview

    assumed = refused = ""
    try:
        shape, classes = describe(experiment.data)
    except DataError as error:
        refused, usual = str(error), usual_shape(experiment.data)
        if usual is None:
            return Implied(experiment, refused=refused)
        shape, classes = usual
        size = "×".join(map(str, shape))
        assumed = f" Without the data, images of {size} and {classes:,} classes are assumed."
    try:
        seen = preview(experiment, shape, classes)
    except (ValueError, OSError) as error:
        return Implied(experiment, refused=refused or str(error))
    return Implied(experiment, seen, assumed, refused)
