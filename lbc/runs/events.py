"""The events that a training run emits, in this order."""

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
    """Data and model are loaded; no step has been taken and nothing is on disk yet.

    ``data_notes``: sentences on what was done with the files of the data.
    """

    layers: tuple[LayerInfo, ...]
    skipped: tuple[tuple[str, str], ...]
    parameters: int
    form: str | None
    score_memory: int
    steps_per_epoch: int
    epochs: int
    table: LayerTable
    data_notes: tuple[str, ...] = ()

    @property
    def steps(self) -> int:
        return self.steps_per_epoch * self.epochs


@dataclass(frozen=True)
class Started:
    """The first step follows; ``folder`` is the run folder."""

    folder: Path | None


@dataclass(frozen=True)
class StepDone:
    """One optimiser step; ``epoch`` is a fraction, and ``seconds`` excludes pauses."""

    step: int
    epoch: float
    loss: float
    lr: float
    seconds: float


@dataclass(frozen=True)
class RemovalProgress:
    """A removal is running; ``share`` is the completed fraction, 1 at its end.

    Short removals emit none.
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
    """A run resumes; ``steps`` and ``epochs`` are those done before, oldest first.

    Of earlier epochs only the live combinations of the largest layer are known. ``warning`` says
    if the last checkpoint was damaged and the one before is used.
    """

    folder: Path
    steps: tuple[StepDone, ...]
    epochs: tuple[EpochDone, ...]
    warning: str = ""


@dataclass(frozen=True)
class Intervention:
    """A request that a combination wins or is removed, in one block or, if None, in every block."""

    action: Literal["pin", "ban"]
    layer: str
    combination: int
    block: int | None = None

    @property
    def described(self) -> str:
        """The intervention as a sentence without a full stop."""
        done = "pinned" if self.action == "pin" else "banned"
        where = "every block" if self.block is None else f"block {self.block}"
        return f"Combination {self.combination} was {done} in {where} of layer {self.layer!r}"

    def touches(self, layer: str, block: int) -> bool:
        """Whether the intervention applies to a block."""
        return self.layer == layer and self.block in (None, block)


@dataclass(frozen=True)
class Intervened:
    """An intervention took effect, after ``step`` steps and ``epoch`` epochs.

    ``moment`` is the index of the first moment in the history that includes it.
    """

    intervention: Intervention
    step: int
    epoch: float
    moment: int


@dataclass(frozen=True)
class InterventionRefused:
    """An intervention is impossible, and nothing has changed; ``message`` says why."""

    message: str


Command = Literal["run", "pause", "step", "stop"]


@dataclass(frozen=True)
class Commanded:
    """Another process gave a command to this run, and it is carried out."""

    command: Command

    @property
    def described(self) -> str:
        """The command as a sentence."""
        done = {
            "run": "Training continues",
            "pause": "Training is paused",
            "step": "One step is trained",
            "stop": "The run is stopped",
        }
        return f"{done[self.command]} by a command from another process."


@dataclass(frozen=True)
class Untrained:
    """Layers have lost combinations before any of their scores was updated; ``message`` says so."""

    message: str


@dataclass(frozen=True)
class StorageProblem:
    """The run folder could not be written; training pauses, and retries when it continues."""

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
    | Commanded
    | Untrained
    | StorageProblem
    | Finished
)
