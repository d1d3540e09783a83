"""The layers of an experiment's network as cases, with random masks or a run's own."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from safetensors.torch import load_file
from torch import Tensor, nn

from lbc.config import Experiment, load_experiment
from lbc.data import describe
from lbc.latency.cases import Case, Convolution
from lbc.models import build_on_meta
from lbc.models.layer_cost import LayerCost, model_cost
from lbc.models.probe import run_on_zeros
from lbc.sparsity.layer_plan import LayerPlan, plan_layers
from lbc.sparsity.pattern import Pattern

Shape = tuple[int, ...]
MODEL_FILE = "model.safetensors"


def cases_of_experiment(
    experiment: Experiment, batch: int, image: int | None = None
) -> tuple[tuple[Case, ...], dict[str, str]]:
    """Every sparse layer of the network for ``batch`` images, and the others with their reason.

    ``image`` is the side of the images in pixels, the data's own by default. Raises ValueError
    where the network cannot take them.
    """
    cases, left_out, _ = _planned_cases(experiment, batch, image)
    return cases, left_out


def _planned_cases(
    experiment: Experiment, batch: int, image: int | None
) -> tuple[tuple[Case, ...], dict[str, str], dict[str, LayerPlan]]:
    """The cases, the other layers with their reasons, and all plans by name."""
    in_shape, classes = describe(experiment.data)
    model = build_on_meta(experiment.model, in_shape, classes)
    seen = (in_shape[0], image, image) if image else in_shape
    cost, shapes = model_cost(model, seen), _image_shapes(model, seen)
    plans = plan_layers(
        model, experiment.pattern, experiment.skip, experiment.layers, example_inputs=cost.roles
    )
    layers = {plan.name: model.get_submodule(plan.module) for plan in plans}
    cases, left_out = [], {}
    for plan in plans:
        layer = layers[plan.name]
        reason = _reason(plan, layer, cost.layers[plan.name])
        if reason:
            left_out[plan.name] = reason
        elif plan.pattern is not None:
            layer_cost = cost.layers[plan.name]
            case = Case(
                plan.name,
                m=plan.shape[0],
                n=batch * layer_cost.positions // layer_cost.calls,
                k=plan.weights // plan.shape[0],
                pattern=plan.pattern,
                share=layer_cost.macs / cost.macs,
            )
            shape = _convolution(layers[plan.name], batch, shapes.get(plan.name))
            cases.append(replace(case, convolution=shape))
    return tuple(cases), left_out, {plan.name: plan for plan in plans}


def cases_of_run(
    folder: Path, batch: int, image: int | None = None
) -> tuple[tuple[Case, ...], dict[str, str]]:
    """The same with the masks that a finished run found. Raises ValueError, ExperimentError."""
    weights = folder / MODEL_FILE
    if not weights.is_file():
        raise ValueError(f"{folder} holds no {MODEL_FILE}: give the folder of a finished run.")
    experiment = load_experiment(folder / "experiment.yaml")
    cases, left_out, plans = _planned_cases(experiment, batch, image)
    try:
        tensors = load_file(weights)
    except Exception as error:
        raise ValueError(f"{weights} cannot be read: it is damaged or no such file.") from error
    found = []
    for case in cases:
        plan = plans[case.name]
        weight = tensors.get(f"{plan.module}.{plan.tensor}".removeprefix("."))
        if weight is None or weight.numel() != case.m * case.k:
            raise ValueError(f"{weights} has no layer {case.name} of this network's size.")
        rows = weight.movedim(plan.input_dim, 1)
        found.append(replace(case, mask=packed_mask(rows, case.pattern)))
    return tuple(found), left_out


def packed_mask(weight: Tensor, pattern: Pattern) -> bytes:
    """Bits of the non-zero weights in the order of their blocks, most significant first."""
    return np.packbits(pattern.to_blocks(weight != 0).numpy()).tobytes()


def _image_shapes(model: nn.Module, in_shape: Shape) -> dict[str, Shape]:
    """Channels, height and width of what goes into every 2-D convolution."""
    seen: dict[str, Shape] = {}

    def note(name: str, given: tuple[Tensor, ...]) -> None:
        seen[name] = tuple(given[0].shape[1:])

    hooks = [
        module.register_forward_pre_hook(lambda _, given, name=name: note(name, given))
        for name, module in model.named_modules()
        if isinstance(module, nn.Conv2d)
    ]
    try:
        run_on_zeros(model, in_shape)
    finally:
        for hook in hooks:
            hook.remove()
    return seen


def _reason(plan: LayerPlan, layer: nn.Module, cost: LayerCost) -> str:
    if plan.pattern is None:
        return plan.reason
    if getattr(layer, "groups", 1) != 1:
        return "a grouped convolution is several small products"
    if getattr(layer, "transposed", False):
        return "a transposed convolution adds up overlapping products"
    if not cost.calls:
        return "the network does not call it as a layer"
    return ""


def _convolution(layer: nn.Module, batch: int, shape: Shape | None) -> Convolution | None:
    """What the k×k convolution needs beside its product; None for the other layers."""
    if not isinstance(layer, nn.Conv2d) or shape is None or isinstance(layer.padding, str):
        return None
    if layer.kernel_size == (1, 1):
        return None
    channels, height, width = shape
    return Convolution(
        batch,
        channels,
        height,
        width,
        kernel=_pair(layer.kernel_size),
        stride=_pair(layer.stride),
        padding=_pair(layer.padding),
        dilation=_pair(layer.dilation),
    )


def _pair(value: tuple[int, ...]) -> tuple[int, int]:
    return value[0], value[1]
