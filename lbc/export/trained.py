"""A run's checkpoint as a plain model that obeys its patterns."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from torch import Tensor, nn

from lbc.config import Experiment
from lbc.sparsity.compliance import check
from lbc.sparsity.pattern import Pattern
from lbc.sparsity.weight_sites import find_site
from lbc.training import checkpoint as saved
from lbc.training.failures import TrainingError
from lbc.training.preparation import build_sparse
from lbc.training.weight_average import load_average


class ExportError(Exception):
    """Nothing can be exported, or not there; the message is one sentence."""


@dataclass(frozen=True, eq=False)
class Trained:
    """A model on the CPU, ready to use: plain modules, zeros in the weights of sparse layers.

    ``patterns`` are those of the sparse layers and ``dense`` says why each other layer is dense;
    both by module name. ``decided`` is False where the search was not over: the best combination
    so far was then taken in every block. ``accuracy`` is that of the last finished epoch.
    """

    model: nn.Module
    experiment: Experiment
    in_shape: tuple[int, int, int]
    patterns: dict[str, Pattern]
    dense: dict[str, str]
    decided: bool
    epoch: int
    accuracy: float | None

    def weight(self, name: str) -> Tensor:
        """The weight of a layer, (O, I, *kernel)."""
        return find_site(self.model, name).canonical.detach()


def load_trained(path: Path) -> Trained:
    """The model in a run folder or its checkpoint.pt; the averaged one where there is one.

    Raises ExportError where there is no such file or it cannot be used.
    """
    file = path / saved.FILE if path.is_dir() else path
    try:
        checkpoint = saved.read_checkpoint(file.read_bytes(), file)
        experiment = saved.experiment_of(checkpoint, file)
        model, sparsifier, _ = build_sparse(experiment, checkpoint.in_shape, checkpoint.classes)
        saved.load_model(model, checkpoint.model, file)
        if checkpoint.average:
            load_average(sparsifier, checkpoint.average, file)
    except FileNotFoundError as error:
        raise ExportError(
            f"{file} does not exist: name the folder of a run, or the checkpoint.pt of one."
        ) from error
    except (TrainingError, ValueError) as error:
        raise ExportError(str(error)) from error
    patterns = {name: layer.pattern for name, layer in sparsifier.layers.items()}
    decided, dense = not sparsifier.searching, dict(sparsifier.skipped)
    sparsifier.finalize().eval()
    trained = Trained(
        model=model,
        experiment=experiment,
        in_shape=checkpoint.in_shape,
        patterns=patterns,
        dense=dense,
        decided=decided,
        epoch=checkpoint.epoch,
        accuracy=checkpoint.last.accuracy if checkpoint.last else None,
    )
    for name, pattern in patterns.items():
        if not check(trained.weight(name), pattern).valid:
            raise ExportError(f"{file} is damaged: layer {name!r} in it breaks {pattern}.")
    return trained


def refuse_existing(path: Path) -> None:
    """Raises ExportError where a file would be overwritten, or its folder is not there."""
    if path.exists():
        raise ExportError(f"{path} exists already: name another file with --out.")
    if not path.parent.is_dir():
        raise ExportError(f"The folder {path.parent} does not exist: make it first.")
