"""Trained models, loaded from a run's checkpoint with their masks applied."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from torch import Tensor, nn

from lbc.config import Experiment
from lbc.files.small_file import read_regular
from lbc.sparsity.compliance import check
from lbc.sparsity.pattern import Pattern
from lbc.sparsity.weight_sites import find_site
from lbc.training import checkpoint as checkpoints
from lbc.training.failures import TrainingError
from lbc.training.preparation import build_sparse
from lbc.training.tensor_file import check_size
from lbc.training.weight_average import load_average


class ExportError(Exception):
    """A model cannot be exported, or not to that path; the message is one sentence."""


@dataclass(frozen=True, eq=False)
class TrainedModel:
    """A model on the CPU of plain modules, with zeros in the weights of its sparse layers.

    By module name, ``patterns`` gives the pattern of each sparse layer and ``dense`` the reason for
    each dense one. ``decided`` is False if the search was unfinished; each block then has its best
    combination so far. ``accuracy`` is that of the last completed epoch.
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
        site = find_site(self.model, name)
        return site.canonical(site.value.detach())


def load_trained_model(path: Path, allow_import: bool = False) -> TrainedModel:
    """Load the model of a run folder or its checkpoint.pt, with averaged weights if there are any.

    ``allow_import``: the user has asked to run the code of an external model.

    Raises ExportError if the file does not exist or cannot be used.
    """
    file = path / checkpoints.FILE if path.is_dir() else path
    try:
        checkpoint = checkpoints.read_checkpoint(read_regular(file), file)
        experiment = checkpoints.parse_stored_experiment(checkpoint, file)
        stated = experiment.model, checkpoint.in_shape, checkpoint.classes
        check_size(*stated, checkpoint.model, file)
        model, sparsifier, _ = build_sparse(
            experiment, checkpoint.in_shape, checkpoint.classes, checkpoint.sparse, allow_import
        )
        checkpoints.load_model(model, checkpoint.model, file)
        if checkpoint.average:
            load_average(sparsifier, checkpoint.average, file)
    except FileNotFoundError as error:
        raise ExportError(
            f"{file} does not exist: give a run folder or its checkpoint.pt."
        ) from error
    except (TrainingError, ValueError) as error:
        raise ExportError(str(error)) from error
    decided, dense = not sparsifier.searching, sparsifier.left_dense
    layers = sparsifier.layers.items()
    patterns = {name: layer.pattern for name, layer in layers if name not in dense}
    sparsifier.finalize().eval()
    trained = TrainedModel(
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
            raise ExportError(f"{file} is damaged: its layer {name!r} violates {pattern}.")
    return trained


def require_new_file(path: Path) -> None:
    """Raise ExportError if the file exists or its folder does not."""
    if path.exists():
        raise ExportError(f"{path} already exists: choose another file with --out.")
    if not path.parent.is_dir():
        raise ExportError(f"The folder {path.parent} does not exist: create it first.")
