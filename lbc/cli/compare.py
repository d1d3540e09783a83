"""``lbc compare``: train several methods under the same recipe and compare them."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.table import Table

from lbc.cli.allow_import import add_allow_import
from lbc.cli.console import Console

if TYPE_CHECKING:
    from lbc.comparison.trials import Trial

DONE, FAILED, INVALID_INPUT, STOPPED = 0, 1, 2, 130
BASELINE = "lbc"


def add_parser(commands: Any) -> None:
    """Add ``compare`` to the commands."""
    parser = commands.add_parser(
        "compare", help="train methods, patterns and seeds alike; test the differences"
    )
    parser.add_argument("experiment", type=Path, metavar="EXPERIMENT.yaml")
    parser.add_argument("--methods", default="dense,asp,sr-ste,lbc", metavar="A,B")
    parser.add_argument("--patterns", default="2:4", metavar="N:M,…", help="for example 2:4,1:16")
    parser.add_argument(
        "--seeds", type=int, default=5, help="number of seeds, starting at the experiment's"
    )
    parser.add_argument("--set", action="extend", nargs="+", default=[], metavar="KEY=VALUE")
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="default: comparisons/NAME; resumes if stopped"
    )
    add_allow_import(parser)


def command(options: argparse.Namespace, errors: Console) -> int:
    """Train the missing runs, then write and print the table; return the exit status."""
    from lbc.comparison.report import summarise_trials
    from lbc.comparison.trials import ComparisonError, plan_trials
    from lbc.config import check_import, load_experiment
    from lbc.runs.run_state import RunError
    from lbc.sparsity.method_names import check_method
    from lbc.sparsity.pattern import Pattern
    from lbc.training.failures import TrainingError

    experiment = load_experiment(options.experiment, options.set)
    out: Path = options.out or Path("comparisons") / experiment.name
    console = Console()
    try:
        check_import(experiment.model, options.allow_import)
        methods = [check_method(name.strip()) for name in options.methods.split(",")]
        patterns = [Pattern.parse(text.strip()) for text in options.patterns.split(",")]
        if options.seeds < 1:
            raise ValueError(f"--seeds {options.seeds}: at least 1 seed is needed.")
        trials = plan_trials(experiment, methods, patterns, options.seeds, out)
        stopped = not _complete(trials, console)
    except (ComparisonError, RunError, ValueError) as error:
        errors.print(str(error))
        return INVALID_INPUT
    except TrainingError as error:
        errors.print(str(error))
        return FAILED
    baseline = BASELINE if BASELINE in methods else methods[-1]
    rows = summarise_trials(trials, patterns, methods, baseline)
    if rows:
        _print(rows, trials, out, baseline, console)
    if stopped:
        console.print("Stopped: run the same command to continue.")
    return STOPPED if stopped else DONE


def _complete(trials: tuple[Trial, ...], console: Console) -> bool:
    """Train the missing runs; return False if the user stopped one."""
    from lbc.cli.terminal import train_in_terminal
    from lbc.comparison.trials import ComparisonError, is_begun

    for number, trial in enumerate(trials, start=1):
        begun = is_begun(trial)
        if trial.accuracy is not None:
            continue
        console.print(f"{number} of {len(trials)}: {trial.folder.name}")
        finished = train_in_terminal(trial.experiment, trial.folder, console, begun, "lbc compare")
        if finished.status == "stopped":
            return False
        if trial.accuracy is None:
            raise ComparisonError(f"The run {trial.folder} did not finish: run the command again.")
    return True


def _print(
    rows: Any, trials: tuple[Trial, ...], out: Path, baseline: str, console: Console
) -> None:
    from lbc.comparison.report import format_row, write_report

    table = Table("N:M", "method", "accuracy %", "±", "runs", f"minus {baseline}", "p")
    for row in rows:
        table.add_row(*format_row(row))
    console.print(table)
    for path in write_report(out, trials, rows, baseline):
        console.print(f"Wrote {path}")
