"""The model of an experiment before training: its layers, form of scores and score memory."""

from __future__ import annotations

import threading
from collections.abc import Collection, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import lru_cache

from torch import nn

from lbc.config import EXTERNAL, Experiment, Model
from lbc.data import Dataset, Loader, batch_sizes
from lbc.data.batches import MIN_BATCH_SIZE
from lbc.files.memory import physical_memory
from lbc.models import build, build_on_meta
from lbc.models.layer_cost import LayerTable, ModelCost, layer_table, model_cost
from lbc.runs.events import LayerInfo, Prepared
from lbc.sparsity.layer_plan import LayerPlan, plan_layers
from lbc.sparsity.method_options import Form
from lbc.sparsity.private_random import PrivateRandom
from lbc.sparsity.score_memory import ADAM_COPIES, check_memory, plan_memory
from lbc.sparsity.sparsification import check_layers, sparsify_planned
from lbc.sparsity.sparsifier import Sparsifier
from lbc.training.fork_points import describe_kept
from lbc.training.initial_weights import InitialWeights
from lbc.training.ranks import Ranks

SGD_COPIES = 3

_one_at_a_time = threading.Lock()


@dataclass(frozen=True)
class Preview:
    """The layers of an experiment's model; ``score_memory`` in bytes."""

    plans: tuple[LayerPlan, ...]
    form: Form | None
    score_memory: int
    parameters: int
    table: LayerTable


def score_form(experiment: Experiment) -> tuple[Form | None, int]:
    """Return the form of the scores and the number of float copies of them held in training.

    ``auto`` selects per-weight scores with SGD, where they are exact, and per-combination scores
    otherwise. Of methods that train no scores the form is None.
    """
    forms = experiment.method.score_forms
    if not forms:
        return None, 0
    sgd = experiment.optimizer.name == "sgd"
    copies = (SGD_COPIES if sgd else ADAM_COPIES) + experiment.method.score_copies
    if len(forms) == 1:
        return forms[0], copies
    if experiment.scores == "auto":
        return ("per_weight" if sgd else "per_combination"), copies
    return experiment.scores, copies


def check_plans(experiment: Experiment, plans: Sequence[LayerPlan]) -> None:
    """Raise ValueError where the method, or the memory for scores, does not allow these layers."""
    form, copies = score_form(experiment)
    check_layers(plans, experiment.method)
    check_memory(plans, form or "per_weight", experiment.score_memory_limit, copies)


def preview(
    experiment: Experiment,
    in_shape: tuple[int, int, int],
    classes: int,
    sparse: Collection[str] | None = None,
) -> Preview:
    """Inspect the model without allocating memory for it. External code is not run.

    ``sparse`` as in ``prepare``.
    Raises ValueError if the model is external or does not accept the images, if an override is
    invalid, if the scores exceed the memory limit or the model that of the machine, or if no layer
    qualifies.
    """
    model = build_on_meta(experiment.model, in_shape, classes)
    return _preview(experiment, model, _own_cost(experiment.model, in_shape, classes), sparse)


def _own_cost(model: Model, in_shape: tuple[int, int, int], classes: int) -> ModelCost:
    with _one_at_a_time:  # the form and the trainer ask for the same network at the same time
        return _find_own_cost(model, in_shape, classes)


@lru_cache(maxsize=16)
def _find_own_cost(model: Model, in_shape: tuple[int, int, int], classes: int) -> ModelCost:
    # The window asks again after every edit, and few of them change the network.
    return model_cost(build_on_meta(model, in_shape, classes), in_shape)


def min_batch_size(experiment: Experiment, processes: int) -> int:
    """Return the smallest batch size that gives each accumulated part of each process 2 images."""
    return MIN_BATCH_SIZE * processes * experiment.training.accumulate


def prepare(
    experiment: Experiment,
    data: Dataset,
    processes: int = 1,
    sparse: Collection[str] | None = None,
) -> tuple[nn.Module, Sparsifier, Prepared]:
    """Build the model from torch's current random state and make it sparse.

    ``sparse`` names the sparse weights of the run that is resumed; without it, the experiment's
    initial weights are read. Raises ValueError as ``preview`` does, and if a batch is too small
    for the processes, and TrainingError if the initial weights cannot be used.
    """
    fewest, size = min_batch_size(experiment, processes), experiment.training.batch_size
    count = len(data.train.labels)
    if min(size, count) < fewest and fewest > MIN_BATCH_SIZE:
        raise ValueError(
            f"A batch of {min(size, count)} images is too small for {processes} process(es) with "
            f"accumulate {experiment.training.accumulate}: every part needs {MIN_BATCH_SIZE}."
        )
    source = experiment.initial_weights if sparse is None else None
    initial = InitialWeights(source) if source else None
    model, sparsifier, seen = build_sparse(
        experiment, data.in_shape, data.classes, sparse, allow_import=True, initial=initial
    )
    kept = describe_kept(experiment, seen.plans, seen.parameters, seen.form)
    prepared = Prepared(
        layers=tuple(
            LayerInfo(name, layer.shape, layer.pattern, layer.blocks)
            for name, layer in sparsifier.layers.items()
        ),
        skipped=tuple(sparsifier.skipped.items()),
        parameters=seen.parameters,
        form=seen.form,
        score_memory=seen.score_memory,
        steps_per_epoch=len(batch_sizes(count, size, fewest)),
        epochs=experiment.training.epochs,
        table=seen.table,
        notes=(*data.notes, *(initial.notes if initial else ()), *filter(None, [kept])),
        weights_sha256=initial.sha256 if initial else "",
    )
    return model, sparsifier, prepared


def open_loader(experiment: Experiment, data: Dataset, ranks: Ranks) -> Loader:
    """The batches of this rank."""
    return Loader(
        data,
        experiment.data,
        experiment.training.batch_size,
        experiment.seed,
        min_batch_size(experiment, ranks.count),
        ranks.rank,
        ranks.count,
    )


def build_sparse(
    experiment: Experiment,
    in_shape: tuple[int, int, int],
    classes: int,
    sparse: Collection[str] | None = None,
    allow_import: bool = False,
    initial: InitialWeights | None = None,
) -> tuple[nn.Module, Sparsifier, Preview]:
    """Build the experiment's model for images of ``in_shape`` and make it sparse.

    ``sparse`` as in ``prepare``; ``initial`` replaces the random weights. Raises ValueError as
    ``build`` and ``preview`` do, and TrainingError as ``InitialWeights``.
    """
    # Weights from elsewhere need no numbers of the state that a run in another thread draws from.
    replaced = initial is not None and initial.complete
    drawing = PrivateRandom() if replaced else nullcontext()
    if isinstance(experiment.model, EXTERNAL):
        with drawing:
            model = build(experiment.model, in_shape, classes, allow_import)
        cost = model_cost(model, in_shape)
    else:
        cost = _own_cost(experiment.model, in_shape, classes)
        on_meta = build_on_meta(experiment.model, in_shape, classes)
        _preview(experiment, on_meta, cost, sparse)  # before gigabytes are allocated
        with drawing:
            model = build(experiment.model, in_shape, classes)
    seen = _preview(experiment, model, cost, sparse)
    if initial is not None:
        initial.fill(model)
    form = seen.form or "per_combination"
    return model, sparsify_planned(model, seen.plans, experiment.method, form), seen


def _preview(
    experiment: Experiment,
    model: nn.Module,
    cost: ModelCost,
    sparse: Collection[str] | None = None,
) -> Preview:
    form, copies = score_form(experiment)
    plans = plan_layers(
        model, experiment.pattern, experiment.skip, experiment.layers, cost.roles, sparse
    )
    check_plans(experiment, plans)
    table = layer_table(model, plans, cost)
    memory = plan_memory(plans, form or "per_weight", copies)
    _check_machine(table.parameters, memory if experiment.device == "cpu" else 0)
    return Preview(plans, form, memory, table.parameters, table)


def _check_machine(parameters: int, score_memory: int) -> None:
    """Raise ValueError if weights, gradients and scores exceed the memory of this machine."""
    needed, present = 8 * parameters + score_memory, physical_memory()
    if needed > present:
        raise ValueError(
            f"The model has {parameters / 1e9:.1f} billion parameters and needs at least "
            f"{needed / 2**30:,.0f} GiB of memory, and this machine has {present / 2**30:,.0f}: "
            "choose a smaller width or depth."
        )
