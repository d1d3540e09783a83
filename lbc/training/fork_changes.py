"""Which settings a fork may change, and why it may not change the others."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from math import floor
from typing import Any, Final

from lbc.config import EXTERNAL, Experiment
from lbc.runs.events import LayerInfo
from lbc.sparsity.method_options import MethodOptions
from lbc.sparsity.pattern import Pattern
from lbc.sparsity.stricter_pattern import obstacle
from lbc.training.checkpoint import CHANGEABLE, LIVE_SETS_KEY, changes, sparse_weights
from lbc.training.preparation import preview, score_form

STRUCTURAL: Final = ("method.name", "pattern", "layers.", "skip")
"""Settings that decide which layers there are."""

FREE: Final = (
    *CHANGEABLE, *STRUCTURAL, "method.", "schedule.", "optimizer.", "score_memory_limit",
    "training.epochs",
    "training.label_smoothing", "training.clip_norm", "training.compile",
    "training.sync_batchnorm", "training.teacher.",
)  # fmt: skip
"""Settings that no state depends on, and those whose state can be taken over.

Those of the optimiser are stored with its state, and replaced there.
"""

FIXED: Final = {
    "data.": "its steps and epochs are those of the parent's images",
    "model.": "its weights are those of the parent's network",
    "training.weights": "its weights are those of the parent at that moment",
    "training.batch_size": "its steps and epochs count the parent's batches",
    "training.accumulate": "BatchNorm has seen the parent's parts of a batch",
    "training.precision": "the parent's loss scale and rounding are in its state",
    "training.channels_last": "its momentum lies in memory as the parent's weights do",
}
"""Why other settings are those of the parent."""


def is_structural(old: Experiment, new: Experiment) -> bool:
    """Whether layers change, and not settings alone: another method or N:M."""
    return any(_under(key, STRUCTURAL) for key in changes(old, new))


def find_obstacles(
    content: Mapping[str, Any], old: Experiment, new: Experiment, layers: Sequence[LayerInfo]
) -> Iterator[str]:
    """Why a fork of ``old`` cannot have the settings ``new``, a sentence each.

    ``content`` is that of the checkpoint, without the values of its tensors; ``layers`` are those
    of the parent's history.
    """
    moment = content["step"] / content["steps_per_epoch"]
    changed = changes(old, new)
    for key, change in changed.items():
        if reason := _reason(key, old, new, moment):
            yield f"A fork cannot change {key}, which {change}: {reason}."
    if new.training.epochs < moment:
        yield (
            f"A fork that begins after epoch {moment:g} cannot end at epoch "
            f"{new.training.epochs}: raise training.epochs, or fork earlier."
        )
    removed = not old.method.keeps_all and not all(_complete(content, layers).values())
    yield from method_obstacles(old.method, new.method, removed)
    patterns = [key for key in changed if _under(key, (*STRUCTURAL[1:], "score_memory_limit"))]
    name = old.method.name
    if patterns and removed and not old.method.score_forms:
        yield f"A fork cannot change the N:M of {name} once it has removed: fork before its t_f."
    elif patterns and name != "lbc" and old.method.trained_state:
        kept = old.method.trained_state
        yield f"A fork cannot change the N:M of {name}: its {kept} belong to the parent's."
    elif patterns and not isinstance(old.model, EXTERNAL):
        yield from _pattern_obstacles(content, old, new, layers)


def method_obstacles(old: MethodOptions, new: MethodOptions, removed: bool) -> Iterator[str]:
    """Why a run of one method cannot continue with another, as a sentence; nothing if it can.

    ``removed``: combinations have been removed for good, by ``lbc`` or at the t_f of ``asp``.

    - To a method with trained state of its own, such as the scores of ``lbc``: never. It is trained
      from the first step, and no other method has any.
    - To a method that knows nothing but the weights and the momentum, such as ``dense``, ``asp`` or
      ``sr-ste``: from any method that has removed nothing for good. Until their first removal
      ``lbc`` and ``asp`` train every weight as ``dense`` does, to the same bits; and ``sr-ste``
      trains every weight too, through the mask of each step. After a removal the new method would
      bring back weights that have been removed, and no run of it could have come to such a state.
    """
    reason = ""
    if old.name == new.name:
        return
    if new.trained_state:
        reason = (
            f"{new.name} trains {new.trained_state} from its first step, and {old.name} has none; "
            "start a run from its weights with lbc train --from"
        )
    elif removed:
        reason = (
            f"{old.name} has removed combinations for good, which {new.name} would bring back; "
            "fork before the first removal"
        )
    if reason:
        yield f"A fork cannot change the method from {old.name} to {new.name}: {reason}."


def describe_changes(
    old: Experiment, new: Experiment, moment: float, layers: Sequence[LayerInfo]
) -> list[str]:
    """What a fork of ``old`` after ``moment`` epochs changes, and what its schedule does first."""
    changed = "; ".join(f"{key} {change}" for key, change in changes(old, new).items())
    sentences = [f"Changed: {changed}." if changed else "Nothing is changed."]
    if new.method.keeps_all or old.schedule == new.schedule or is_structural(old, new):
        return sentences
    done = moment if old.schedule.every == "step" else floor(moment)
    widest = max({layer.pattern for layer in layers}, key=lambda pattern: pattern.count)
    left = old.method.live(old.schedule.as_schedule(), widest, done)
    schedule = new.schedule.as_schedule()
    asked = new.method.live(schedule, widest, moment)
    if left == 1:
        sentences.append("Every block is decided already, so its schedule has no effect.")
    elif asked > left:
        ends = range(floor(moment) + 1, new.training.epochs + 1)
        next_removal = next(at for at in ends if new.method.live(schedule, widest, at) < left)
        sentences.append(
            f"Its schedule asks for {asked:,} combinations of {widest} where {left:,} are left: "
            f"nothing is removed until it asks for fewer, after epoch {next_removal}."
        )
    return sentences


def layer_obstacle(old: LayerInfo, new: Pattern | None, complete: bool, dense: str) -> str:
    """Why a fork cannot change the N:M of a layer, as a sentence; empty if it can.

    ``new`` is None if the layer would be dense, because of ``dense``.
    """
    name = old.name
    if new is None:
        return (
            f"Layer {name!r} would be dense in the fork ({dense}), which is looser than "
            f"{old.pattern}: a fork can only have a stricter N:M."
        )
    if old.pattern == new or not (why := obstacle(old.pattern, new, complete)):
        return ""
    return f"The N:M of layer {name!r} cannot change from {old.pattern} to {new}: {why}."


def _reason(key: str, old: Experiment, new: Experiment, moment: float) -> str:
    """Why a fork cannot change a setting; empty if it can."""
    optimizers = {old.optimizer.name, new.optimizer.name}
    match key:
        case "optimizer.name" if "sgd" in optimizers:
            return "the momentum of SGD and the moments of Adam cannot become each other"
        case "training.ema_decay":
            return "" if old.training.ema_decay else "the parent has averaged no weights"
        case "seed":
            within = "within an epoch it would train on some images twice; fork at the end of one"
            return within if moment % 1 else ""
        case "scores":
            same = score_form(old)[0] == score_form(new)[0]
            return "" if same else "the parent's scores have another form"
    if _under(key, FREE):
        return ""
    return next((why for start, why in FIXED.items() if _under(key, (start,))), "its state may "
                "depend on it")  # fmt: skip


def _pattern_obstacles(
    content: Mapping[str, Any], old: Experiment, new: Experiment, layers: Sequence[LayerInfo]
) -> Iterator[str]:
    """Why the N:M of layers cannot change; the network's code is the program's own."""
    images = tuple(content["in_shape"]), content["classes"]
    try:
        planned = preview(new, *images, sparse_weights(content["model"]))
        fresh, before = (
            {plan.name for plan in preview(one, *images).plans if plan.pattern}
            for one in (new, old)
        )
    except ValueError as error:
        yield str(error)
        return
    complete = _complete(content, layers)
    plans = {plan.name: plan for plan in planned.plans}
    for layer in layers:
        known, plan = complete[layer.name] or old.method.keeps_all, plans[layer.name]
        if why := layer_obstacle(layer, plan.pattern, known, plan.reason):
            yield why
    for name in sorted(fresh - before - {layer.name for layer in layers}):
        yield f"Layer {name!r} is dense in the parent, and has learned nothing for an N:M."


def _complete(content: Mapping[str, Any], layers: Sequence[LayerInfo]) -> dict[str, bool]:
    """By layer, whether nothing has been removed.

    Live sets are stored as one row until something is removed. Of a layer of one block they always
    are: ``fork_run`` looks at the bits.
    """
    rows = {
        name: content["model"][key].shape[0]
        for key in content["model"]
        if LIVE_SETS_KEY.fullmatch(key)
        for name in sparse_weights([key])
    }
    return {layer.name: rows.get(layer.name, 1) == 1 for layer in layers}


def _under(key: str, starts: Sequence[str]) -> bool:
    return any(key == start or (start[-1] == "." and key.startswith(start)) for start in starts)
