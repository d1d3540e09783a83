"""What a training run tells the world, in the order it happens."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from lbc.sparsity.pattern import Pattern

if TYPE_CHECKING:
    from lbc.models.layer_cost import LayerTable


@dataclass(frozen=True)
class LayerInfo:
    """One sparse layer: its weight's shape, pattern and number of blocks."""

    name: str
    shape: tuple[int, ...]
    pattern: Pattern
    blocks: int


@dataclass(frozen=True)
class Prepared:
    """Data and model are loaded; no step has been taken and nothing is on disk yet."""

    layers: tuple[LayerInfo, ...]
    skipped: tuple[tuple[str, str], ...]
    parameters: int
    form: str | None
    score_memory: int
    steps_per_epoch: int
    epochs: int
    table: LayerTable

    @property
    def steps(self) -> int:
        return self.steps_per_epoch * self.epochs


@dataclass(frozen=True)
class Started:
    """The first step is about to be taken; ``folder`` is where the run is kept."""

    folder: Path | None


@dataclass(frozen=True)
class StepDone:
    """One optimiser step. ``epoch`` counts finished steps in epochs; pauses are not in seconds."""

    step: int
    epoch: float
    loss: float
    lr: float
    seconds: float


@dataclass(frozen=True)
class RemovalProgress:
    """Combinations are being removed, and a ``share`` of that is done, from 0 to 1 at its end.

    Only removals that take a while tell of themselves.
    """

    epoch: float
    share: float


@dataclass(frozen=True)
class EpochDone:
    """An epoch has ended: combinations were removed, then the test split was evaluated."""

    epoch: int
    train_loss: float
    test_loss: float
    accuracy: float
    live: tuple[int, ...]
    density: float
    seconds: float


@dataclass(frozen=True)
class Resumed:
    """A run goes on where it was left: what had been done by then, oldest first.

    Of an earlier epoch only the largest layer's live combinations are known.
    """

    folder: Path
    steps: tuple[StepDone, ...]
    epochs: tuple[EpochDone, ...]


@dataclass(frozen=True)
class Intervention:
    """A user's wish that a combination wins or goes, in one block, or in every one where None."""

    action: Literal["pin", "ban"]
    layer: str
    combination: int
    block: int | None = None

    @property
    def described(self) -> str:
        """What is done, in words."""
        done = "pinned" if self.action == "pin" else "banned"
        where = "every block" if self.block is None else f"block {self.block}"
        return f"Combination {self.combination} was {done} in {where} of layer {self.layer!r}"

    def touches(self, layer: str, block: int) -> bool:
        """Whether it is about a block."""
        return self.layer == layer and self.block in (None, block)


@dataclass(frozen=True)
class Intervened:
    """An intervention was carried out, after ``step`` steps and ``epoch`` epochs.

    ``moment`` is the first in the run's history that shows it.
    """

    intervention: Intervention
    step: int
    epoch: float
    moment: int


@dataclass(frozen=True)
class InterventionRefused:
    """An intervention that cannot be: why, in a sentence; nothing has changed."""

    message: str


@dataclass(frozen=True)
class StorageProblem:
    """The run folder could not be written; training pauses and tries again when resumed."""

    message: str


@dataclass(frozen=True)
class Finished:
    """The run has ended, completely or because it was stopped."""

    status: Literal["finished", "stopped"]
    accuracy: float | None
    density: float
    seconds: float
    folder: Path | None


Event = (
    Prepared
    | Resumed
    | Started
    | StepDone
    | RemovalProgress
    | EpochDone
    | Intervened
    | InterventionRefused
    | StorageProblem
    | Finished
)
