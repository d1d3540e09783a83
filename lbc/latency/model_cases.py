"""The layers of an experiment's model as cases, with random masks or those of a run."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

import numpy as np
from safetensors import safe_open
from torch import Tensor, nn

from lbc.config import Experiment, load_experiment
from lbc.data import DataError, describe
from lbc.files.os_errors import explain
from lbc.files.small_file import open_regular
from lbc.inspection.checkpoint import read_metadata
from lbc.latency.cases import Case, Convolution
from lbc.models import build_on_meta
from lbc.models.layer_cost import LayerCost, model_cost
from lbc.models.probe import run_on_zeros
from lbc.sparsity.layer_plan import LayerPlan, plan_layers
from lbc.sparsity.pattern import Pattern
from lbc.sparsity.role_trace import RoleTrace

Shape = tuple[int, ...]
MODEL_FILE = "model.safetensors"


def cases_of_experiment(
    experiment: Experiment, batch: int, image: int | None = None, allow_import: bool = False
) -> tuple[tuple[Case, ...], dict[str, str]]:
    """Return a case for each sparse layer with ``batch`` images, and a reason for each other one.

    ``image`` is the image size in pixels, by default that of the data. ``allow_import``: the user
    has asked to run the code of an external model. Raises ValueError if that is needed and not
    allowed, or the model does not accept the images.
    """
    cases, skipped, _ = _planned_cases(experiment, batch, image, allow_import)
    return cases, skipped


def _planned_cases(
    experiment: Experiment,
    batch: int,
    image: int | None,
    allow_import: bool,
    sparse: Collection[str] | None = None,
) -> tuple[tuple[Case, ...], dict[str, str], dict[str, LayerPlan]]:
    """Return the cases, a reason for each other layer, and all plans by name."""
    try:
        in_shape, classes = describe(experiment.data)
    except DataError as error:
        raise ValueError(str(error)) from error
    model = build_on_meta(experiment.model, in_shape, classes, allow_import)
    if image:
        in_shape = (in_shape[0], image, image)
    cost, shapes = model_cost(model, in_shape), _image_shapes(model, in_shape)
    plans = plan_layers(
        model, experiment.pattern, experiment.skip, experiment.layers, cost.roles, sparse
    )
    layers = {plan.name: model.get_submodule(plan.module) for plan in plans}
    cases, skipped = [], {}
    for plan in plans:
        layer = layers[plan.name]
        reason = _reason(plan, layer, cost.layers[plan.name])
        if reason:
            skipped[plan.name] = reason
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
    return tuple(cases), skipped, {plan.name: plan for plan in plans}


def cases_of_run(
    folder: Path, batch: int, image: int | None = None, allow_import: bool = False
) -> tuple[tuple[Case, ...], dict[str, str]]:
    """Return the cases of a finished run, with its masks; ``allow_import`` as for an experiment.

    Raises ValueError, ExperimentError.
    """
    weights = folder / MODEL_FILE
    if not weights.exists():
        raise ValueError(f"{folder} has no {MODEL_FILE}: give the folder of a finished run.")
    experiment = load_experiment(folder / "experiment.yaml")
    try:
        with open_regular(weights), safe_open(weights, "pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            sparse = read_metadata(file.metadata() or {}).layers or None
    except OSError as error:
        raise ValueError(explain(error, f"{weights} cannot be read")) from error
    except Exception as error:
        raise ValueError(
            f"{weights} cannot be read: it is damaged or not a safetensors file."
        ) from error
    cases, skipped, plans = _planned_cases(experiment, batch, image, allow_import, sparse)
    masked = []
    for case in cases:
        plan = plans[case.name]
        weight = tensors.get(plan.key)
        if weight is None or weight.numel() != case.m * case.k:
            raise ValueError(
                f"{weights} has no layer {case.name} of the size that the model needs."
            )
        masked.append(replace(case, mask=pack_mask(plan.canonical(weight), case.pattern)))
    return tuple(masked), skipped


def pack_mask(weight: Tensor, pattern: Pattern) -> bytes:
    """Pack the mask of non-zero weights in the order of blocks, most significant bit first."""
    return np.packbits(pattern.to_blocks(weight != 0).numpy()).tobytes()


def _image_shapes(model: nn.Module, in_shape: Shape) -> dict[str, Shape]:
    """Return the channels, height and width of the input of every 2-D convolution."""
    shapes: dict[str, Shape] = {}

    def record(name: str, inputs: tuple[Tensor, ...]) -> None:
        shapes[name] = tuple(inputs[0].shape[1:])

    hooks = [
        module.register_forward_pre_hook(lambda _, inputs, name=name: record(name, inputs))
        for name, module in model.named_modules()
        if isinstance(module, nn.Conv2d)
    ]
    try:
        run_on_zeros(model, in_shape, RoleTrace(model))
    finally:
        for hook in hooks:
            hook.remove()
    return shapes


def _reason(plan: LayerPlan, layer: nn.Module, cost: LayerCost) -> str:
    if plan.pattern is None:
        return plan.reason
    if getattr(layer, "groups", 1) != 1:
        return "a grouped convolution consists of several small products"
    if getattr(layer, "transposed", False):
        return "a transposed convolution adds up overlapping products"
    if not cost.calls:
        return "the model does not call it as a layer"
    return ""


def _convolution(layer: nn.Module, batch: int, shape: Shape | None) -> Convolution | None:
    """Return the geometry of a k×k convolution, or None for other layers."""
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
