"""``lbc allocate``: an N:M for every layer within a budget, as an experiment of its own."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.table import Table

from lbc.cli.console import Console
from lbc.cli.layers import add_experiment, read_table
from lbc.cli.new_file import require_new
from lbc.config import dump_experiment, load_experiment
from lbc.files.atomic import write_atomically
from lbc.sparsity.allocation import RULES

if TYPE_CHECKING:
    from lbc.models.layer_budget import Allocation
    from lbc.models.layer_cost import LayerTable
    from lbc.sparsity.pattern import Pattern

DONE, INVALID_INPUT = 0, 2


def add_parser(commands: Any) -> None:
    """Add ``allocate`` to the commands."""
    parser = commands.add_parser(
        "allocate", help="choose the N:M of each layer for a budget of multiply-adds or weights"
    )
    add_experiment(parser)
    parser.add_argument(
        "--macs", type=float, metavar="SHARE",
        help="keep at most this share of the network's multiply-adds, for example 0.5",
    )  # fmt: skip
    parser.add_argument(
        "--weights", type=float, metavar="SHARE",
        help="keep at most this share of the network's weights",
    )  # fmt: skip
    parser.add_argument(
        "--from-run", type=Path, metavar="RUN",
        help="instead, take what the layers of a run have kept, such as one of the method elsa",
    )  # fmt: skip
    parser.add_argument(
        "--rule", choices=list(RULES), default="erk",
        help="the same N everywhere, or more in small layers (default: erk)",
    )  # fmt: skip
    parser.add_argument(
        "--out", type=Path, metavar="NEW.yaml", help="write the experiment with these layers"
    )


def command(options: argparse.Namespace, errors: Console) -> int:
    """Print the layers and write the experiment; return the status. Raises ExperimentError."""
    given = {"macs": options.macs, "weights": options.weights}
    shares = {unit: share for unit, share in given.items() if share is not None}
    if bool(shares) == (options.from_run is not None):
        errors.print(
            "Give a budget: --macs SHARE, --weights SHARE, or both, for example 0.5; or "
            "--from-run RUN."
        )
        return INVALID_INPUT
    experiment = load_experiment(options.experiment, options.set)
    try:
        require_new(options.out, "--out")
        from lbc.models.layer_budget import allocate_layers, allocation_of

        _, table = read_table(experiment, options.image, options.classes, options.allow_import)
        if options.from_run is None:
            chosen = allocate_layers(table, experiment.pattern, shares, options.rule)
        else:
            chosen = allocation_of(table, _kept_in(options.from_run, table))
    except (OSError, ValueError) as error:
        errors.print(str(error))
        return INVALID_INPUT
    _print(table, chosen)
    if options.out is not None:
        patterns = {name: one or "dense" for name, one in chosen.patterns.items()}
        found = options.from_run is not None
        layers = {**experiment.layers, **patterns} if found else {**patterns, **experiment.layers}
        text = dump_experiment(experiment.model_copy(update={"layers": layers})).encode()
        write_atomically(options.out, lambda file: file.write(text), follow=True)
        Console().print(f"Experiment: {options.out}")
    return DONE


def _kept_in(run: Path, table: LayerTable) -> dict[str, Pattern | None]:
    """The strictest N:M that each layer of a run obeys, of layers that are sparse in ``table``,
    or None for dense.

    Raises OSError or ValueError, a sentence, if the run has not decided or is of another network.
    """
    from lbc.comparison.run_masks import read_masks

    masks = read_masks(run, load_experiment(run / "experiment.yaml").method.name)
    if not masks.decided:
        raise ValueError(f"{run} has not decided what its layers keep: let it train on.")
    sparse = {row.plan.name: row.plan for row in table.rows if row.plan.pattern}
    for name, plan in sparse.items():
        mask = masks.layers.get(name)
        if mask is None or mask.shape != plan.shape:
            raise ValueError(
                f"{run} has no sparse layer {name!r} of the shape that it has in the experiment: "
                "give an experiment of the same network."
            )
    return {name: masks.layers[name].tightest for name in sparse}


def _print(table: LayerTable, chosen: Allocation) -> None:
    output = Table("layer", "shape", "N:M")
    for name in ("density", "MACs", "weights"):
        output.add_column(name, justify="right")
    for row in table.rows:
        plan = row.plan
        pattern = chosen.patterns.get(plan.name, plan.pattern)
        density = pattern.density if pattern else 1.0
        output.add_row(
            plan.name or "model",
            "×".join(map(str, plan.shape)),
            str(pattern or "dense"),
            f"{density:.1%}",
            f"{row.cost.macs * density:,.0f}",
            f"{plan.weights * density:,.0f}",
            style=None if plan.name in chosen.patterns else "dim",
        )
    console = Console(soft_wrap=False)
    console.print(output)
    reached = chosen.reached
    console.print(
        f"{reached['macs']:.2%} of the network's multiply-adds and {reached['weights']:.2%} of its "
        "weights are left.",
        soft_wrap=True,
    )
