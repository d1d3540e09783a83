"""``lbc layers``: list the layers of an experiment's model, as a table or JSON."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.table import Table

from lbc.cli.allow_import import add_allow_import
from lbc.cli.console import Console
from lbc.config import load_experiment

if TYPE_CHECKING:
    from lbc.config import Experiment
    from lbc.models.layer_cost import LayerRow, LayerTable

Shape = tuple[int, int, int]

DONE, FAILED, INVALID_INPUT = 0, 1, 2


def add_parser(commands: Any) -> None:
    """Add ``layers`` to the commands."""
    layers = commands.add_parser(
        "layers", help="list an experiment's layers, which of them are sparse, and their costs"
    )
    add_experiment(layers)
    layers.add_argument("--json", action="store_true", help="print JSON")


def add_experiment(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``read_table``: an experiment, its settings, and image and classes."""
    parser.add_argument("experiment", type=Path, metavar="EXPERIMENT.yaml")
    parser.add_argument(
        "--set", action="extend", nargs="+", default=[], metavar="KEY=VALUE",
        help="override settings, for example pattern=1:4",
    )  # fmt: skip
    parser.add_argument(
        "--image", type=_shape, metavar="CxHxW", help="image size (default: that of the data)"
    )
    parser.add_argument("--classes", type=int, default=1000, help="with --image (default: 1000)")
    add_allow_import(parser)


def command(options: argparse.Namespace, errors: Console) -> int:
    """Print the table; return the exit status. Raises ExperimentError."""
    experiment = load_experiment(options.experiment, options.set)
    try:
        in_shape, table = read_table(
            experiment, options.image, options.classes, options.allow_import
        )
    except ValueError as error:
        errors.print(str(error))
        return INVALID_INPUT
    from lbc.training.preparation import check_plans

    plans, problem = [row.plan for row in table.rows], ""
    try:
        check_plans(experiment, plans)
    except ValueError as error:
        problem = str(error)
    if options.json:
        print(json.dumps(as_dict(table, in_shape), indent=2))
    else:
        _print(table, in_shape, "" if problem else _kept(experiment, table))
    if problem:
        errors.print(f"This cannot be trained: {problem}")
    return FAILED if problem else DONE


def _kept(experiment: Experiment, table: LayerTable) -> str:
    from lbc.training.fork_points import describe_kept
    from lbc.training.preparation import score_form

    plans = [row.plan for row in table.rows]
    return describe_kept(experiment, plans, table.parameters, score_form(experiment)[0])


def as_dict(table: LayerTable, in_shape: tuple[int, ...]) -> dict[str, object]:
    """Return the table as JSON values."""
    return {
        "image": list(in_shape),
        "parameters": table.parameters,
        "macs": table.macs,
        "share_elsewhere": table.unassigned_share,
        "layers": [_layer(row) for row in table.rows],
    }


def _shape(text: str) -> Shape:
    channels, height, width = (int(part) for part in text.split("x"))
    if min(channels, height, width) < 1:
        raise ValueError
    return channels, height, width


def read_table(
    experiment: Experiment, image: Shape | None, classes: int, allow_import: bool
) -> tuple[Shape, LayerTable]:
    """The shape of an image and the layer table. Raises ValueError.

    ``image`` is that shape, for ``classes``; without it the experiment's data say both.
    """
    from lbc.data import DataError, describe
    from lbc.models import build_on_meta
    from lbc.models.layer_cost import layer_table, model_cost
    from lbc.sparsity.layer_plan import plan_layers

    try:
        in_shape, classes = (image, classes) if image else describe(experiment.data)
    except DataError as error:
        raise ValueError(str(error)) from error
    model = build_on_meta(experiment.model, in_shape, classes, allow_import)
    cost = model_cost(model, in_shape)
    plans = plan_layers(
        model, experiment.pattern, experiment.skip, experiment.layers, example_inputs=cost.roles
    )
    return in_shape, layer_table(model, plans, cost)


def _layer(row: LayerRow) -> dict[str, object]:
    plan, cost = row.plan, row.cost
    return {
        "name": plan.name,
        "kind": plan.kind,
        "shape": list(plan.shape),
        "pattern": str(plan.pattern) if plan.pattern else None,
        "reason": plan.reason,
        "overridden": plan.overridden,
        "blocks": plan.blocks,
        "combinations": row.combinations,
        "parameters": row.parameters,
        "positions": cost.positions,
        "calls": cost.calls,
        "macs": cost.macs,
        "share": row.share,
    }


def _print(table: LayerTable, in_shape: tuple[int, ...], kept: str) -> None:
    output = Table("layer", "kind", "shape", "N:M")
    for name in ("blocks", "combinations", "parameters", "MACs", "share"):
        output.add_column(name, justify="right")
    output.add_column("why dense")
    for row in table.rows:
        output.add_row(*_cells(row), style=None if row.plan.pattern else "dim")
    console = Console(soft_wrap=False)
    console.print(output)
    sparse = [row for row in table.rows if row.plan.pattern]
    elsewhere = table.unassigned_share
    console.print(
        f"{len(sparse)} sparse and {len(table.rows) - len(sparse)} dense layers; "
        f"{table.parameters:,} parameters. One image of {'×'.join(map(str, in_shape))} needs "
        f"{table.macs:,} multiply-adds (MACs, of two FLOPs each), "
        f"{sum(row.share for row in sparse):.1%} of them in sparse layers"
        + (f" and {elsewhere:.1%} outside layers, as in attention." if elsewhere else "."),
        soft_wrap=True,
    )
    if kept:
        console.print(kept, soft_wrap=True)
    if any(row.plan.overridden for row in table.rows):
        console.print("* Pattern set for this layer.")


def _cells(row: LayerRow) -> tuple[str, ...]:
    plan = row.plan
    return (
        plan.name or "model",
        plan.kind,
        "×".join(map(str, plan.shape)),
        str(plan.pattern or "dense") + (" *" if plan.overridden else ""),
        f"{plan.blocks:,}" if plan.pattern else "",
        f"{row.combinations:,}" if plan.pattern else "",
        f"{row.parameters:,}",
        f"{row.cost.macs:,}",
        f"{row.share:.1%}",
        plan.reason,
    )
