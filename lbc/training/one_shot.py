"""Prune a trained model at once: its layers decided by a one-shot method, without training.

The model and its data are those of an experiment, its weights those of any checkpoint. The result
is a file as runs write it, with what became of each layer and of the accuracy in its metadata.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from torch import Tensor

from lbc.config import Experiment
from lbc.data import Loader, load
from lbc.files.os_errors import explain
from lbc.inspection.checkpoint import PruningRecord
from lbc.runs.model_file import finalized, write_model
from lbc.runs.run_state import run_of
from lbc.sparsity.calibration.calibrated_layer import Pruning
from lbc.sparsity.calibration.output_errors import output_errors
from lbc.sparsity.pattern import Pattern
from lbc.training.evaluation import evaluate
from lbc.training.failures import TrainingError, describe_error
from lbc.training.initial_weights import InitialWeights
from lbc.training.method_run import CALIBRATION_BATCH, calibration_batches
from lbc.training.norm_statistics import renew_statistics
from lbc.training.optimizer import build_optimizer
from lbc.training.placement import place_model, resolve_device
from lbc.training.preparation import build_sparse
from lbc.training.ranks import SINGLE_PROCESS
from lbc.training.step import Stepper

Progress = Callable[[str, float], None]
"""Called with what is being done, and the completed fraction of that."""


IMAGES = 128
"""The most images by which errors are measured, unless a number is asked for."""


class Cancelled(Exception):  # noqa: N818  (it is no error)
    """To be raised by ``Progress``: nothing is written then."""


@dataclass(frozen=True)
class PrunedLayer:
    """A layer after pruning. ``error`` is ‖(W − W̃) X‖² / ‖W X‖² for its inputs X from the pruned
    layers before it; None if they cannot be seen."""

    name: str
    shape: tuple[int, ...]
    pattern: Pattern
    density: float
    error: float | None


@dataclass(frozen=True)
class PrunedModel:
    """What pruning made of a model: a file, its layers, and the accuracy on the test split.

    ``seconds`` are those of pruning, without the tests.
    """

    file: Path
    method: str
    pattern: Pattern
    layers: tuple[PrunedLayer, ...]
    before: float
    after: float
    seconds: float


def new_file(folder: Path, checkpoint: Path, method: str, pattern: object) -> Path:
    """A path in ``folder`` that does not exist, for the pruned model of a checkpoint."""
    named = (run_of(checkpoint) or checkpoint).absolute()
    name = named.stem if named.is_file() else named.name
    stem = f"{name}-{method}-{str(pattern).replace(':', '-')}"
    path, number = folder / f"{stem}.safetensors", 2
    while path.exists():
        path, number = folder / f"{stem}-{number}.safetensors", number + 1
    return path


def prune(
    experiment: Experiment,
    file: Path,
    images: int = 0,
    progress: Progress = lambda _what, _share: None,
    allow_import: bool = False,
    keep_statistics: bool = False,
) -> PrunedModel:
    """Prune the weights of ``one_shot_experiment`` and write them to ``file``, which is new.

    ``images`` are those by which BatchNorm statistics are measured anew, unless
    ``keep_statistics``, and errors if the method does not; 0 for as many as is usual. The
    statistics of the dense model are wrong for what the pruned weights compute, by far if few are
    kept. Raises TrainingError, and Cancelled if ``progress`` does; nothing has been written then.
    """
    try:
        if file.exists():
            raise TrainingError(f"{file} exists already: choose another file.")
        if not file.absolute().parent.is_dir():
            raise TrainingError(f"The folder {file.parent} does not exist: create it first.")
        job = _OneShot(experiment, images, progress, allow_import)
        pruned = job.run(file, keep_statistics)
    except (Cancelled, TrainingError):
        raise
    except OSError as error:
        raise TrainingError(explain(error, f"{error.filename or file} cannot be used")) from error
    except Exception as error:
        raise TrainingError(describe_error(error)) from error
    return pruned


class _OneShot:
    """One pruning: a model that is dense, then decided."""

    def __init__(
        self, experiment: Experiment, images: int, progress: Progress, allow_import: bool
    ) -> None:
        self._experiment, self._progress = experiment, progress
        progress("Loading", 0)
        device = resolve_device(experiment.device)
        self._data = load(experiment.data)
        self._images = self._checked(images)
        weights = experiment.training.weights
        assert isinstance(weights, Path)
        initial = InitialWeights(weights, complete=True)
        given = (self._data.in_shape, self._data.classes)
        model, self._sparsifier, _ = build_sparse(
            experiment, *given, allow_import=allow_import, initial=initial
        )
        model = place_model(model, device, experiment.training)
        self._sparsifier.model = model
        optimizer = build_optimizer(model, experiment.optimizer)
        self._stepper = Stepper(
            self._sparsifier, optimizer, experiment.training, experiment.seed, device,
            SINGLE_PROCESS,
        )  # fmt: skip

    def run(self, file: Path, keep_statistics: bool) -> PrunedModel:
        before = self._accuracy("Testing the dense model")
        started = time.perf_counter()
        sparsifier = self._sparsifier
        self._decide()
        if not keep_statistics:
            renew_statistics(sparsifier.model, self._images_for("Measuring BatchNorm statistics"))
        seconds = time.perf_counter() - started
        errors = self._errors()
        after = self._accuracy("Testing the pruned model")
        layers = tuple(
            PrunedLayer(name, layer.shape, layer.pattern, layer.density, errors.get(name))
            for name, layer in sparsifier.layers.items()
        )
        record = PruningRecord(
            method=self._experiment.method.name, before=before, after=after, errors=errors
        )
        weights, manifest = finalized(sparsifier)
        about = manifest | {"pruned": record.model_dump(mode="json")}
        write_model(file, weights, about, follow=True)
        pattern = self._experiment.pattern
        return PrunedModel(file, record.method, pattern, layers, before, after, seconds)

    def _checked(self, images: int) -> int:
        """The number of images for errors. Raises TrainingError if there are fewer than asked."""
        present = len(self._data.train.labels)
        asked = max(images, getattr(self._experiment.method, "images", 0))
        if asked > present:
            raise TrainingError(
                f"There are {present:,} training images, and {asked:,} are wanted for "
                "calibration: calibrate with fewer."
            )
        return images or min(IMAGES, present)

    def _decide(self) -> None:
        report = partial(self._progress, "Pruning")
        report(0)
        self._sparsifier.conduct(
            None, 1, 1, self._experiment.schedule.as_schedule(),
            seed=self._experiment.seed, batches=self._batches, progress=report,
        )  # fmt: skip
        self._sparsifier.decide()
        self._sparsifier.remove(1, progress=report)

    def _batches(self, count: int) -> Iterator[Tensor]:
        return calibration_batches(self._data, self._experiment.seed, self._stepper, count)

    def _images_for(self, what: str) -> Iterator[Tensor]:
        """Batches of the images, whose number is reported as progress."""
        report = self._counted(what, -(-self._images // CALIBRATION_BATCH))
        for batch in self._batches(self._images):
            report()
            yield batch

    def _errors(self) -> dict[str, float]:
        """The errors of the layers' outputs: those that the method has seen, or measured now."""
        conductor = self._sparsifier.conductor
        if isinstance(conductor, Pruning):
            return conductor.errors
        report = partial(self._progress, "Comparing outputs")
        return output_errors(self._sparsifier.model, self._batches(self._images), report)

    def _accuracy(self, what: str) -> float:
        loader = Loader(self._data, self._experiment.data, self._experiment.training.batch_size)
        try:
            return evaluate(self._stepper, loader, self._counted(what, loader.test_steps))[1]
        finally:
            loader.close()

    def _counted(self, what: str, count: int) -> Callable[[], None]:
        """A callback for each of ``count`` parts of a piece of work that begins now."""
        done = iter(range(1, count + 1))
        self._progress(what, 0)
        return lambda: self._progress(what, next(done) / count)
