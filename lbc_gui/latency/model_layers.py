"""The layers of the open model or of a well-known network as cases, read in a thread."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from PySide6.QtCore import QObject, Slot

from lbc.config import EXTERNAL, Experiment, load_experiment
from lbc.config.strict_yaml import ExperimentError
from lbc.latency.cases import Case
from lbc.runs.own_runs import may_import
from lbc_gui.worker import Failed, Job, Worker, describe


@dataclass(frozen=True)
class ModelLayers:
    """The products of a model, and the layers left out, each with a reason."""

    cases: tuple[Case, ...]
    left_out: tuple[tuple[str, str], ...] = ()


Read = Callable[[], ModelLayers]


def layers_of_experiment(
    experiment: Experiment, allow_import: bool, batch: int, image: int | None
) -> ModelLayers:
    """The layers of a model with ``batch`` images, ``image`` pixels a side or as in the data.

    Raises ValueError, also if the model is code that the user has not approved.
    """
    # Imported here: torch takes seconds to load, and this is not the window's thread.
    from lbc.latency.model_cases import cases_of_experiment

    if isinstance(experiment.model, EXTERNAL) and not allow_import:
        raise ValueError(
            f"The model is code, {experiment.model.label}, which runs only after you press Run or "
            "Reset: do so first if you trust it."
        )
    cases, left_out = cases_of_experiment(experiment, batch, image, allow_import)
    return ModelLayers(cases, tuple(left_out.items()))


def layers_of_run(folder: Path, batch: int, image: int | None) -> ModelLayers:
    """The layers of a finished run, with its masks. Raises ValueError, ExperimentError."""
    from lbc.latency.model_cases import cases_of_run

    model = load_experiment(folder / "experiment.yaml").model
    cases, left_out = cases_of_run(folder, batch, image, may_import(folder, model))
    return ModelLayers(cases, tuple(left_out.items()))


def scaled(cases: Sequence[Case], factor: int) -> list[Case]:
    """Cases of one image or token, with ``factor`` of them at a time."""
    return [
        replace(case, n=case.n * factor)
        if case.convolution is None
        else replace(case, n=case.n * factor, convolution=replace(case.convolution, batch=factor))
        for case in cases
    ]


class LayersThread(Worker):
    """Reads the layers of one model, and posts them with what they were asked for as."""

    def __init__(self, key: object, read: Read, parent: QObject) -> None:
        super().__init__(parent)
        self._key, self._read = key, read

    def work(self) -> None:
        self.post((self._key, self._read()))

    def failure(self, error: Exception) -> Failed:
        return describe(
            "The layers of the model could not be read", error, ValueError, ExperimentError
        )


class LayersReader(Job):
    """Reads one model at a time; of those asked for meanwhile, the last."""

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._next: tuple[object, Read] | None = None

    def read(self, key: object, read: Read) -> None:
        """Call ``read`` in a thread; ``arrived`` brings a list of ``(key, ModelLayers)``."""
        if self.running:
            self._next = key, read
        else:
            self._launch(LayersThread(key, read, self))

    @Slot()
    def cancel(self) -> None:
        super().cancel()
        self._next = None

    def _worker_ended(self, worker: Worker) -> None:
        if self._next is not None:
            (key, read), self._next = self._next, None
            self.read(key, read)
