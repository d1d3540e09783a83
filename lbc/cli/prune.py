"""``lbc prune``: prune a trained model at once, by magnitude or by calibration images."""

from __future__ import annotations

import argparse
import json
import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.progress import BarColumn, Progress, TextColumn
from rich.table import Table

from lbc.cli.allow_import import add_allow_import
from lbc.cli.console import Console
from lbc.config import Experiment, check_import, load_experiment
from lbc.config.one_shot import METHOD, one_shot_experiment
from lbc.runs.effective_experiment import effective_experiment
from lbc.runs.own_runs import may_import
from lbc.runs.run_state import run_of
from lbc.sparsity.method_options import one_shot_methods

if TYPE_CHECKING:
    from lbc.training.one_shot import PrunedLayer, PrunedModel

DONE, FAILED, INVALID_INPUT, STOPPED = 0, 1, 2, 130


def add_parser(commands: Any) -> None:
    """Add ``prune`` to the commands."""
    prune = commands.add_parser("prune", help="prune a trained model at once, without training")
    prune.add_argument(
        "checkpoint", type=Path, metavar="CHECKPOINT",
        help="run folder, or trained weights of any format that 'lbc inspect' reads",
    )  # fmt: skip
    prune.add_argument(
        "--method", default=METHOD,
        help=f"{', '.join(one_shot_methods())} (default: %(default)s)",
    )  # fmt: skip
    prune.add_argument("--pattern", default="", metavar="N:M", help="default: the experiment's")
    prune.add_argument(
        "--calibrate", type=_count, default=0, metavar="IMAGES",
        help="training images by which layers are pruned and compared (default: 128)",
    )  # fmt: skip
    prune.add_argument(
        "--experiment", type=Path, metavar="EXPERIMENT.yaml",
        help="model and data of the checkpoint (default: those of the run that it is of)",
    )  # fmt: skip
    prune.add_argument(
        "--set", action="extend", nargs="+", default=[], metavar="KEY=VALUE",
        help="override settings, for example method.damping=0.1 layers.head=dense",
    )  # fmt: skip
    prune.add_argument(
        "--out", type=Path, metavar="FILE.safetensors",
        help="new file (default: NAME-METHOD-N-M.safetensors)",
    )  # fmt: skip
    prune.add_argument(
        "--keep-statistics", action="store_true",
        help="keep the BatchNorm statistics of the dense model (default: measure them anew)",
    )  # fmt: skip
    prune.add_argument("--json", action="store_true", help="print JSON")
    add_allow_import(prune)


def command(options: argparse.Namespace, errors: Console) -> int:
    """Write the file and print what was measured; return the exit status."""
    try:
        run = run_of(options.checkpoint)
        file = options.experiment or (run / "experiment.yaml" if run else None)
        try:
            options.checkpoint.stat()
        except FileNotFoundError as error:
            raise ValueError(f"{options.checkpoint} does not exist: check the path.") from error
        if file is None:
            raise ValueError(
                f"{options.checkpoint} is no part of a run: name the experiment with its model and "
                "data by --experiment EXPERIMENT.yaml."
            )
        experiment = _experiment(options, run)
        own = run is not None and may_import(run, experiment.model)
        check_import(experiment.model, own or options.allow_import)
        pruned = _prune(options, experiment, errors)
    except ValueError as error:
        errors.print(str(error))
        return INVALID_INPUT
    except KeyboardInterrupt:
        errors.print("Pruning was stopped; nothing has been written.")
        return STOPPED
    if pruned is None:
        return FAILED
    if options.json:
        print(json.dumps(as_dict(pruned, options.checkpoint), indent=2))
    else:
        _print(pruned, _training_on(pruned, file, options.set))
    return DONE


def as_dict(pruned: PrunedModel, checkpoint: Path) -> dict[str, object]:
    """Return the result as JSON values."""
    return {
        "checkpoint": str(checkpoint),
        "file": str(pruned.file),
        "method": pruned.method,
        "pattern": str(pruned.pattern),
        "accuracy_before": pruned.before,
        "accuracy_after": pruned.after,
        "seconds": round(pruned.seconds, 3),
        "layers": [
            {
                "name": layer.name,
                "shape": list(layer.shape),
                "pattern": str(layer.pattern),
                "density": layer.density,
                "error": layer.error,
            }
            for layer in pruned.layers
        ],
    }


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of images: give 1 or more.")
    return int(text)


def _experiment(options: argparse.Namespace, run: Path | None) -> Experiment:
    if options.experiment is None:
        assert run is not None
        base = effective_experiment(run)
    else:
        base = load_experiment(options.experiment)
    chosen = (options.method, options.pattern, options.calibrate, options.set)
    return one_shot_experiment(base, options.checkpoint, *chosen)


def _prune(
    options: argparse.Namespace, experiment: Experiment, errors: Console
) -> PrunedModel | None:
    from lbc.training.failures import TrainingError
    from lbc.training.one_shot import new_file, prune

    pattern = experiment.pattern
    out = options.out or new_file(Path(), options.checkpoint, options.method, pattern)
    columns = (TextColumn("{task.description}", markup=False), BarColumn())
    quiet = options.json or not errors.is_terminal
    try:
        with Progress(*columns, console=errors, transient=True, disable=quiet) as bar:
            task = bar.add_task("", total=1)
            return prune(
                experiment, out, options.calibrate,
                lambda what, share: bar.update(task, description=what, completed=share),
                allow_import=True, keep_statistics=options.keep_statistics,
            )  # fmt: skip
    except TrainingError as error:
        errors.print(str(error))
        return None


def _training_on(pruned: PrunedModel, experiment: Path, settings: list[str]) -> str:
    """The command that trains the pruned model on, with the ``settings`` that it was made with."""
    ours = ("method", "pattern", "scores")
    kept = [text for text in settings if re.split(r"[.=]", text, maxsplit=1)[0] not in ours]
    return shlex.join([
        "lbc", "train", str(experiment), "--from", str(pruned.file),
        "--set", "method=fixed", f"pattern={pruned.pattern}", *kept,
    ])  # fmt: skip


def _print(pruned: PrunedModel, training_on: str) -> None:
    table = Table("layer", "shape", "N:M")
    for name in ("kept", "output error"):
        table.add_column(name, justify="right")
    for layer in pruned.layers:
        table.add_row(*_cells(layer))
    console = Console(soft_wrap=False)
    console.print(table)
    said = Console()
    said.print(
        f"Pruned by {pruned.method} in {pruned.seconds:.1f} s: {pruned.before:.2%} accuracy on the "
        f"test split before, {pruned.after:.2%} after."
    )
    said.print(f"Wrote {pruned.file}. To train it on under this mask:")
    said.print(f"    {training_on}")


def _cells(layer: PrunedLayer) -> tuple[str, ...]:
    shape = "×".join(map(str, layer.shape))
    error = "not seen" if layer.error is None else f"{layer.error:.4f}"
    return layer.name or "model", shape, str(layer.pattern), f"{layer.density:.1%}", error
