"""Options of the methods, and what is known of a method before training; without torch.

The options of ``lbc/sparsity/methods/NAME.py`` are the class ``Options`` of ``NAME.py`` here, apart
from the method so that reading an experiment does not load torch. A method without such a file has
no options and is described by ``MethodOptions``.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from functools import cache
from importlib import import_module
from typing import Any, ClassVar, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, create_model

from lbc.sparsity.method_names import check_method, method_names
from lbc.sparsity.pattern import Pattern
from lbc.sparsity.schedule import Schedule, density_bounds

Form = Literal["per_weight", "per_combination"]


class Recipe(NamedTuple):
    """The settings of a run that a method may not fit; ``pattern`` is that of most layers."""

    pattern: Pattern
    schedule: Schedule
    epochs: int
    optimizer: str
    averaged: bool
    """Whether a running average of the weights is tested."""
    trained: bool
    """Whether training may start from trained weights."""


class Obstacle(NamedTuple):
    """Why a method does not fit: the dotted key to change, and a sentence."""

    key: str
    sentence: str


class Course(NamedTuple):
    """A quantity of a method over the epochs, as it is known before training.

    ``at`` maps an epoch to its value; ``unit`` is empty for a share from 0 to 1.
    """

    label: str
    at: Callable[[float], float]
    unit: str = ""


class MethodOptions(BaseModel):
    """The options of a method that has none, whose mask obeys N:M from the first step.

    Subclasses add their options as fields, with bounds and descriptions: experiment files, forms,
    the command line and errors know them from here.
    """

    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, allow_inf_nan=False, validate_default=True
    )

    name: str = Field(default="", description="Training method.")

    schedule_settings: ClassVar[tuple[str, ...]] = ()
    """The settings of ``schedule`` that the method uses."""
    score_forms: ClassVar[tuple[Form, ...]] = ()
    """The forms in which the scores that it trains can be stored."""
    keeps_all: ClassVar[bool] = True
    """Whether every weight stays trainable to the end: nothing is removed for good."""
    prunes: ClassVar[bool] = True
    """Whether the finished model obeys the pattern."""
    score_copies: ClassVar[int] = 0
    """How many tensors as large as the scores it keeps beside them, their gradient and moments."""
    one_shot: ClassVar[bool] = False
    """Whether it can prune a trained model at once: dense until it decides, it needs no training
    to decide."""
    trained_state: ClassVar[str] = ""
    """What it trains beside the weights from the first step, so that no other method's run can
    continue with it; empty if nothing."""

    @property
    def evaluation_share(self) -> float:
        """The share of the training images that is held out for ``Run.evaluate``."""
        return 0.0

    def live(self, schedule: Schedule, pattern: Pattern, epoch: float) -> int:
        """How many combinations of a block are live at ``epoch``."""
        return 1

    def density(self, schedule: Schedule, pattern: Pattern, epoch: float) -> tuple[float, float]:
        """The least and the greatest share of weights that the network uses at ``epoch``."""
        return density_bounds(pattern, self.live(schedule, pattern, epoch))

    def decision(self, schedule: Schedule, epochs: int) -> float:
        """The epoch at which ``Conductor.decide`` is called; by default the last."""
        return epochs

    def courses(self, schedule: Schedule, epochs: int) -> tuple[Course, ...]:
        """Quantities that change by the clock, for the preview."""
        return ()

    def layer_obstacle(self, pattern: Pattern, shape: tuple[int, ...]) -> str:
        """Why the method cannot train a weight (O, I, *kernel), as a clause; empty if it can."""
        return ""

    def obstacle(self, recipe: Recipe) -> Obstacle | None:
        """Why the method does not fit the other settings; None if it does."""
        return None


class RemovalAtEnd(MethodOptions):
    """Options of methods that train dense until ``schedule.end`` (t_f) and then fix a mask."""

    schedule_settings: ClassVar[tuple[str, ...]] = ("end", "every")
    keeps_all: ClassVar[bool] = False

    def live(self, schedule: Schedule, pattern: Pattern, epoch: float) -> int:
        return pattern.count if epoch < schedule.end else 1

    def decision(self, schedule: Schedule, epochs: int) -> float:
        return schedule.end


class CalibrationAtEnd(RemovalAtEnd):
    """Options of methods that choose the mask at ``schedule.end`` by the inputs of the layers."""

    one_shot: ClassVar[bool] = True
    images: int = Field(
        default=128, ge=1, description="Training images by whose activations layers are pruned."
    )


def group_obstacle(pattern: Pattern, single: str) -> str:
    """The clause of a method that treats weights singly, as ``single`` says."""
    return "" if pattern.width == 1 else f"{single}, not groups of {pattern.width} weights"


def untrained_obstacle(recipe: Recipe, reason: str) -> Obstacle | None:
    """The obstacle of a method that needs trained weights, because of ``reason``."""
    if recipe.trained:
        return None
    said = f"{reason}: start from trained weights, with training.weights or lbc train --from."
    return Obstacle("training.weights", said)


class UnknownOptionError(ValueError):
    """A method has no such option; ``path`` is its key in an experiment."""

    def __init__(self, method: str, key: str, known: Sequence[str]) -> None:
        close = get_close_matches(key.lower(), known, 1)
        valid = f"its options are {', '.join(known)}" if known else "it has none"
        hint = f"did you mean {close[0]!r}?" if close else f"{valid}."
        super().__init__(f"{method} has no such option; {hint}")
        self.path = ("method", key)


@cache
def options_class(name: str) -> type[MethodOptions]:
    """The options of a method. Raises ValueError with the choices if there is no such method."""
    module = check_method(name).replace("-", "_")
    base: type[MethodOptions] = MethodOptions
    if any(found.name == module for found in pkgutil.iter_modules(__path__)):
        base = import_module(f"{__name__}.{module}").Options
    field = Field(default=name, description=MethodOptions.model_fields["name"].description)
    kind: Any = Literal.__getitem__(name)
    return create_model(base.__name__, __base__=base, __doc__=base.__doc__, name=(kind, field))


def one_shot_methods() -> tuple[str, ...]:
    """The names of the methods that can prune a trained model at once."""
    return tuple(name for name in method_names() if options_class(name).one_shot)


def read_options(value: str | Mapping[str, object] | MethodOptions) -> MethodOptions:
    """The options that a name, or a mapping with ``name``, stands for.

    Raises ValueError if there is no such method, and pydantic's ValidationError, which is one, for
    an option that is out of bounds, or UnknownOptionError.
    """
    if isinstance(value, MethodOptions):
        return value
    if isinstance(value, str):
        return options_class(value)()
    if not isinstance(value, Mapping):
        raise ValueError(f"{value!r} is not a method: write its name, like lbc, or its options.")
    name = value.get("name", "lbc")
    if not isinstance(name, str):
        raise ValueError(f"{name!r} is not the name of a method: write one, like lbc.")
    chosen = options_class(name)
    for key in value:
        if key not in chosen.model_fields:
            raise UnknownOptionError(name, str(key), [*chosen.model_fields][1:])
    return chosen.model_validate({**value, "name": name})
