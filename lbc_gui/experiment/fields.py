"""The rows of the experiment form: which setting, under which label, with which editor."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Literal, get_args

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from lbc.config import Experiment
from lbc.config.data import SOURCES
from lbc.config.model import FAMILIES
from lbc.config.values import fields_by_key, variant_names
from lbc.sparsity.method_names import method_names
from lbc.sparsity.method_options import one_shot_methods, options_class
from lbc.sparsity.schedule import KINDS
from lbc_gui.widgets.pattern_choices import PATTERNS

Editor = Literal[
    "text",
    "choice",
    "editable choice",
    "whole",
    "number",
    "numbers",
    "yes/no",
    "file",
    "folder",
    "checkpoint",
    "arguments",
]

EMNIST = ("none", "balanced", "byclass", "bymerge", "digits", "letters", "mnist")
KEEP = ("1 epoch", "5 epochs", "removal", "never")


@dataclass(frozen=True)
class Row:
    """One setting. ``when`` names another setting and the values under which this one does
    anything, no values for all but the empty one; where the other one does nothing, neither does
    this."""

    path: str
    label: str
    editor: Editor
    choices: tuple[str, ...] = ()
    when: tuple[str, tuple[str, ...]] | None = None

    @property
    def description(self) -> str:
        """The setting's own sentence, from the experiment's schema."""
        return describe(self.path)


METHODS = {name: options_class(name) for name in method_names()}

VARIANTS: dict[str, dict[str, type[BaseModel]]] = {
    "model": {name: family for family in FAMILIES for name in variant_names(family)},
    "data": {name: source for source in SOURCES for name in variant_names(source)},
    "method": {**METHODS},
}


def _of_variants(path: str, label: str, editor: Editor, choices: tuple[str, ...] = ()) -> Row:
    """A row for every ``name`` of its section whose variant has the setting."""
    section, _, key = path.partition(".")
    having = tuple(
        name for name, variant in VARIANTS[section].items() if key in fields_by_key(variant)
    )
    return Row(path, label, editor, choices, when=(f"{section}.name", having))


def _option_rows() -> tuple[Row, ...]:
    """A row for every option of a method; methods share those of the same key."""
    found = {key: field for one in METHODS.values() for key, field in one.model_fields.items()}
    del found["name"]
    return tuple(
        _of_variants(f"method.{key}", field.title or key.replace("_", " "), *_editor(field))
        for key, field in found.items()
    )


def _editor(field: FieldInfo) -> tuple[Editor, tuple[str, ...]]:
    """The editor that fits the type of an option, and its choices."""
    kinds: dict[object, Editor] = {bool: "yes/no", int: "whole", float: "number"}
    if choices := get_args(field.annotation):
        return "choice", choices
    return kinds.get(field.annotation, "text"), ()


def _of_schedule(key: str, label: str, editor: Editor, choices: tuple[str, ...] = ()) -> Row:
    """A row for the methods that use a setting of the schedule."""
    using = tuple(name for name, options in METHODS.items() if key in options.schedule_settings)
    return Row(f"schedule.{key}", label, editor, choices, when=("method.name", using))


_SCORED = ("method.name", tuple(name for name, one in METHODS.items() if len(one.score_forms) > 1))

PATTERN_ROWS = (
    Row("pattern", "N:M", "editable choice", PATTERNS),
    Row("optimizer.lr", "Learning rate", "number"),
    Row("training.epochs", "Epochs", "whole"),
    Row("seed", "Seed", "whole"),
    Row("method.name", "Method", "choice", method_names()),
    *_option_rows(),
    _of_schedule("kind", "Removal schedule", "choice", KINDS),
    _of_schedule("start", "from epoch", "number"),
    _of_schedule("end", "to epoch", "number"),
    Row("schedule.exponent", "exponent", "number", when=("schedule.kind", ("polynomial",))),
    Row("schedule.steps", "steps", "whole", when=("schedule.kind", ("step",))),
    _of_schedule("every", "remove every", "choice", ("epoch", "step")),
)

_NAME = Row("name", "Name of the run", "text")
_WEIGHT_DECAY = Row("optimizer.weight_decay", "Weight decay", "number")

FORK_ROWS = (*PATTERN_ROWS, _WEIGHT_DECAY, _NAME)
"""What can be changed where a run is forked."""

_ONE_SHOT = one_shot_methods()

PRUNE_ROWS = (
    PATTERN_ROWS[0],
    Row("method.name", "Method", "choice", _ONE_SHOT),
    *(row for row in _option_rows() if row.when and {*row.when[1]} & {*_ONE_SHOT}),
)
"""What is chosen where a trained model is pruned at once."""

_COSINE = ("optimizer.lr_schedule", ("cosine",))
_PADDED = ("data.augment.crop", ("pad",))
_RESIZED = ("data.augment.crop", ("resized",))
_SGD = ("optimizer.name", ("sgd",))
_TAUGHT = ("training.teacher.source", ())
_STEP = ("optimizer.lr_schedule", ("step",))

GROUPS: dict[str, tuple[Row, ...]] = {
    "Model and data": (
        Row("model.name", "Model", "choice", tuple(VARIANTS["model"])),
        _of_variants("model.width", "width", "whole"),
        _of_variants("model.depth", "depth", "whole"),
        _of_variants("model.patch", "patch", "whole"),
        _of_variants("model.drop_path", "drop path", "number"),
        _of_variants("model.import", "function", "text"),
        _of_variants("model.model", "its name", "text"),
        _of_variants("model.kwargs", "arguments", "arguments"),
        Row("data.name", "Data", "choice", tuple(VARIANTS["data"])),
        _of_variants("data.file", "file", "file"),
        _of_variants("data.folder", "folder", "folder"),
        Row("data.take", "first images", "whole"),
        Row("data.test_share", "test share", "number"),
        _of_variants("data.emnist", "part of EMNIST", "choice", EMNIST),
        _of_variants("data.labels", "labels", "choice", ("fine", "coarse")),
        _of_variants("data.size", "image side", "whole"),
        _of_variants("data.resize", "resized to", "whole"),
        _of_variants("data.interpolation", "resizing", "choice", ("bilinear", "bicubic")),
        Row("data.workers", "worker processes", "whole"),
    ),
    "Training": (
        Row("training.weights", "Start from", "checkpoint"),
        Row("training.teacher.source", "Teacher", "checkpoint"),
        Row("training.teacher.weight", "its weight", "number", when=_TAUGHT),
        Row("training.teacher.temperature", "temperature", "number", when=_TAUGHT),
        Row("training.batch_size", "Batch size", "whole"),
        Row("training.accumulate", "in parts", "whole"),
        Row("training.label_smoothing", "Label smoothing", "number"),
        Row("training.ema_decay", "Averaging", "number"),
        Row("training.clip_norm", "Clip gradients", "number"),
        Row("training.precision", "Precision", "choice", ("float32", "bfloat16", "float16")),
        Row("training.keep.every", "Keep for forks", "editable choice", KEEP),
        Row("training.keep.at_most", "at most", "text"),
        Row("device", "Device", "editable choice", ("cpu", "cuda", "mps")),
        _NAME,
    ),
    "Optimiser": (
        Row("optimizer.name", "Optimiser", "choice", ("sgd", "adam", "adamw")),
        Row("optimizer.lr_schedule", "over the epochs", "choice", ("cosine", "step", "constant")),
        Row("optimizer.final_lr", "at the end", "number", when=_COSINE),
        Row("optimizer.lr_milestones", "falls at", "numbers", when=_STEP),
        Row("optimizer.lr_factor", "by", "number", when=_STEP),
        Row("optimizer.warmup_epochs", "Warm-up epochs", "number"),
        Row("optimizer.momentum", "Momentum", "number", when=_SGD),
        Row("optimizer.nesterov", "Nesterov", "yes/no", when=_SGD),
        _WEIGHT_DECAY,
        Row("scores", "Scores", "choice", ("auto", "per_weight", "per_combination"), when=_SCORED),
    ),
    "Augmentation": (
        Row("data.augment.crop", "Crop", "choice", ("none", "pad", "resized")),
        Row("data.augment.padding", "padding", "whole", when=_PADDED),
        Row("data.augment.smallest_area", "smallest area", "number", when=_RESIZED),
        Row("data.augment.flip", "Flip", "yes/no"),
        Row("data.augment.color_jitter", "Colour jitter", "number"),
        Row("data.augment.lighting", "Lighting", "number"),
        Row("data.augment.rand_augment", "RandAugment", "number"),
        Row("data.augment.rand_augment_std", "its deviation", "number"),
        Row("data.augment.erasing", "Random erasing", "number"),
        Row("data.augment.mixup", "Mixup", "number"),
        Row("data.augment.cutmix", "CutMix", "number"),
        Row("data.augment.repeats", "Repeats", "whole"),
    ),
}


@cache
def describe(path: str) -> str:
    """The description of a setting, or of its section.

    Where variants of the section describe it differently: one line for each description, which
    begins with the names of the variants.
    """
    *sections, name = path.split(".")
    owners: dict[str, type[BaseModel]] = {"": Experiment}
    for key in sections:
        owners = VARIANTS.get(key) or {"": _section(next(iter(owners.values())), key)}
    having: dict[str, list[str]] = {}
    for variant, owner in owners.items():
        if name in fields_by_key(owner):
            having.setdefault(fields_by_key(owner)[name].description or "", []).append(variant)
    if len(having) > 1:
        return "\n".join(f"{', '.join(names)}: {said}" for said, names in having.items())
    return "".join(having) or describe(".".join(sections))


def _section(owner: type[BaseModel], key: str) -> type[BaseModel]:
    annotation = fields_by_key(owner)[key].annotation
    assert isinstance(annotation, type) and issubclass(annotation, BaseModel)
    return annotation
