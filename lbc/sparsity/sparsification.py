"""Put the layers of a model under an N:M pattern."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from torch import nn

from lbc.sparsity.attachment import attach, refuse_other_states
from lbc.sparsity.layer_plan import LayerPlan, PatternLike, plan_layers
from lbc.sparsity.method_options import Form, MethodOptions, read_options
from lbc.sparsity.methods import load_method
from lbc.sparsity.score_memory import ADAM_COPIES, SCORE_MEMORY_LIMIT, check_memory
from lbc.sparsity.sparsifier import Sparsifier


def sparsify(
    model: nn.Module,
    pattern: PatternLike,
    method: str | Mapping[str, object] | MethodOptions = "lbc",
    scores: Literal["auto", "per_weight", "per_combination"] = "auto",
    skip: Sequence[str] | str | None = None,
    overrides: Mapping[str, PatternLike | None] | None = None,
    memory_limit: int = SCORE_MEMORY_LIMIT,
    example_inputs: object = None,
) -> Sparsifier:
    """Put every qualifying layer of ``model`` under an N:M pattern, in place.

    ``method`` is the name of one of ``lbc.sparsity.methods``, or a mapping of its ``name`` and its
    options. What a method does outside its layers is called by the training loop: see
    ``Sparsifier.conduct``.

    Build the optimiser afterwards, from ``model.parameters()``: these include the scores, which
    need the learning rate, momentum and weight decay of the weights.

    ``scores="per_weight"`` is exact under SGD and costs one float per weight for any N:M;
    ``"per_combination"`` is right for every optimiser and costs C / M floats per weight; ``"auto"``
    is the latter here, where the optimiser is not known. ``skip``, ``overrides`` and
    ``example_inputs`` are as in ``lbc.sparsity.layer_plan.plan_layers``.

    Raises ValueError as ``plan_layers`` does, for an unknown method or form, and if combinations
    are too many to enumerate or to keep in ``memory_limit`` bytes.
    """
    options = read_options(method)
    if scores not in ("auto", "per_weight", "per_combination"):
        raise ValueError(
            f"The scores {scores!r} are unknown: choose auto, per_weight or per_combination."
        )
    form: Form = "per_weight" if scores == "per_weight" else "per_combination"
    if options.score_forms and form not in options.score_forms:
        raise ValueError(f"The method {options.name} cannot store scores {form}: leave scores out.")
    plans = plan_layers(model, pattern, skip, overrides, example_inputs)
    memory_form = form if options.score_forms else "per_weight"
    check_memory(plans, memory_form, memory_limit, ADAM_COPIES + options.score_copies)
    return sparsify_planned(model, plans, options, form)


def sparsify_planned(
    model: nn.Module, plans: Sequence[LayerPlan], options: MethodOptions, form: Form
) -> Sparsifier:
    """Do to ``model`` what ``plan_layers`` has planned for it, whatever memory it takes.

    Raises ValueError if the method cannot train one of the weights; nothing has changed then.
    """
    check_layers(plans, options)
    chosen = load_method(options.name)
    orders = {plan.module: tuple(model.get_submodule(plan.module)._parameters) for plan in plans}
    layers = {}
    for plan in plans:
        if plan.pattern:
            weight = plan.canonical(model.get_parameter(plan.key).detach())
            layer = chosen.attach(plan.name, weight, plan.pattern, form)
            layer.options, layer.method = options, options.name
            layer.parameter_order = orders[plan.module]
            attach(model, plan, layer)
            layers[plan.name] = layer
    model.register_load_state_dict_pre_hook(refuse_other_states)  # type: ignore[no-untyped-call]
    skipped = {plan.name: plan.reason for plan in plans if not plan.pattern}
    return Sparsifier(model, layers, skipped, {plan.name: plan for plan in plans}, options)


def check_layers(plans: Sequence[LayerPlan], options: MethodOptions) -> None:
    """Raise ValueError if the method cannot train a weight that is to be sparse."""
    for plan in plans:
        if plan.pattern and (why := options.layer_obstacle(plan.pattern, plan.shape)):
            raise ValueError(f"{options.name} cannot train layer {plan.name!r}: {why}.")
