"""The events that a training run emits, in this order."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

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

    ``notes``: sentences on the files of the data and of initial weights, and on the disk space of
    kept checkpoints. ``weights_sha256``: that of the initial weights, if they were read;
    ``teacher_sha256``: that of the teacher, if there is one.
    """

    layers: tuple[LayerInfo, ...]
    skipped: tuple[tuple[str, str], ...]
    parameters: int
    form: str | None
    score_memory: int
    steps_per_epoch: int
    epochs: int
    table: LayerTable
    notes: tuple[str, ...] = ()
    weights_sha256: str = ""
    teacher_sha256: str = ""

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
class MethodNumbers:
    """Quantities of the method at the end of an epoch, by their labels."""

    epoch: float
    numbers: Mapping[str, float]


@dataclass(frozen=True)
class Resumed:
    """A run resumes; ``steps`` and ``epochs`` are those done before, oldest first; so are
    ``numbers``, which most methods do not have.

    Of earlier epochs only the live combinations of the largest layer are known. ``warning`` says
    if the last checkpoint was damaged and the one before is used.
    """

    folder: Path
    steps: tuple[StepDone, ...]
    epochs: tuple[EpochDone, ...]
    warning: str = ""
    numbers: tuple[MethodNumbers, ...] = ()


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


STEERABLE = {
    "optimizer.lr": "the learning rate",
    "optimizer.weight_decay": "the weight decay",
    "schedule.end": "the end of the removal schedule",
    "training.epochs": "the number of epochs",
}
"""Settings that can be changed during a run, by dotted key, and what a sentence calls them."""

Settings = tuple[tuple[str, int | float], ...]
"""Values by dotted key."""


@dataclass(frozen=True)
class Steering:
    """A request to train on with other ``settings``, of those in ``STEERABLE``.

    ``before`` are the values that were replaced; none in a request.
    """

    settings: Settings
    before: Settings = ()
    action: ClassVar[Literal["steer"]] = "steer"

    @property
    def described(self) -> str:
        """The change as a sentence without a full stop."""
        old = dict(self.before)
        parts = [
            f"{STEERABLE.get(key, key)} {'was changed ' if not at else ''}"
            + (f"from {old[key]:g} to {value:g}" if key in old else f"to {value:g}")
            for at, (key, value) in enumerate(self.settings)
        ]
        return _sentence(parts)


def _sentence(parts: list[str]) -> str:
    text = " and ".join(filter(None, [", ".join(parts[:-1]), *parts[-1:]]))
    return text[:1].upper() + text[1:]


@dataclass(frozen=True)
class Intervened:
    """An intervention took effect, after ``step`` steps and ``epoch`` epochs.

    ``moment`` is the index of the first moment in the history that includes it.
    """

    intervention: Intervention | Steering
    step: int
    epoch: float
    moment: int

    @property
    def epochs(self) -> int:
        """The number of epochs from now on, if it was changed, else 0."""
        steering = self.intervention if isinstance(self.intervention, Steering) else None
        return int(dict(steering.settings).get("training.epochs", 0)) if steering else 0


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
class CheckpointNotKept:
    """A checkpoint for forks alone takes more than ``training.keep.at_most``."""

    message: str = (
        "No checkpoint is kept for forks, as one alone takes more than training.keep.at_most: "
        "stop the run and resume it with a larger limit."
    )


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
    | MethodNumbers
    | Intervened
    | InterventionRefused
    | Commanded
    | Untrained
    | CheckpointNotKept
    | StorageProblem
    | Finished
)
