"""``lbc compare``: train several methods under the same recipe and compare them.

Exit status: 0 success, 1 a run has failed, 2 invalid input, 130 stopped.
"""

from __future__ import annotations

import argparse
import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lbc.cli.allow_import import add_allow_import
from lbc.cli.console import Console

if TYPE_CHECKING:
    from lbc.comparison.trials import MethodChoice, Trial
    from lbc.config import Experiment
    from lbc.queue.entries import Entry

DONE, FAILED, INVALID_INPUT, STOPPED = 0, 1, 2, 130
BASELINE = "lbc"
POLL_SECONDS = 0.2


def add_parser(commands: Any) -> None:
    """Add ``compare`` to the commands."""
    parser = commands.add_parser(
        "compare", help="train methods, patterns and seeds alike; test the differences"
    )
    parser.add_argument("experiment", type=Path, metavar="EXPERIMENT.yaml")
    parser.add_argument(
        "--methods", default="dense,asp,sr-ste,lbc", metavar="A,B",
        help="methods; options in parentheses, as in maxq(end=6)",
    )  # fmt: skip
    parser.add_argument("--patterns", default="2:4", metavar="N:M,…", help="for example 2:4,1:16")
    parser.add_argument(
        "--seeds", type=int, default=5, help="number of seeds, starting at the experiment's"
    )
    parser.add_argument(
        "--set", action="extend", nargs="+", default=[], metavar="KEY=VALUE",
        help="override settings of every run",
    )  # fmt: skip
    parser.add_argument(
        "--start", metavar="METHOD",
        help="start every other run from the weights of this method's run with the same seed",
    )  # fmt: skip
    parser.add_argument(
        "--then", action="extend", nargs="+", default=[], metavar="KEY=VALUE",
        help="settings of the runs that start from those of --start",
    )  # fmt: skip
    parser.add_argument(
        "--baseline", metavar="METHOD", help="what the others are tested against (default: lbc)"
    )
    parser.add_argument(
        "--jobs", type=int, metavar="N",
        help="runs at a time (default: 2 on a CPU with two cores or more, else 1)",
    )  # fmt: skip
    parser.add_argument(
        "--threads", type=int, metavar="N",
        help="threads of each run, on which its last bits depend (default: half of the cores)",
    )  # fmt: skip
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="default: comparisons/NAME; resumes if stopped"
    )
    add_allow_import(parser)


def command(options: argparse.Namespace, errors: Console) -> int:
    """Train the missing runs, then write and print the tables; return the exit status."""
    from lbc.comparison.trials import parse_methods
    from lbc.config import check_import, load_experiment
    from lbc.data import DataError
    from lbc.queue.supervisor import usual_jobs
    from lbc.queue.trials import check_trials, queue_trials

    experiment = load_experiment(options.experiment, options.set)
    out: Path = options.out or Path("comparisons") / experiment.name
    console = Console()
    try:
        check_import(experiment.model, options.allow_import)
        methods = parse_methods(options.methods)
        trials = _plan(options, experiment, methods, out)
        baseline = _baseline(options.baseline, trials)
        check_trials(trials)
        jobs = usual_jobs(experiment) if options.jobs is None else options.jobs
        queue_trials(out, trials, jobs, options.threads)
    except (DataError, ValueError) as error:
        errors.print(str(error))
        return INVALID_INPUT
    status = _train(out, trials, console, errors)
    _report(out, trials, baseline, console)
    if status == STOPPED:
        console.print("Stopped: run the same command to continue.")
    return status


def _plan(
    options: argparse.Namespace,
    experiment: Experiment,
    methods: Sequence[MethodChoice],
    out: Path,
) -> tuple[Trial, ...]:
    from lbc.comparison.trials import parse_methods, plan_trials
    from lbc.sparsity.pattern import Pattern

    patterns = [Pattern.parse(text.strip()) for text in options.patterns.split(",")]
    start = None
    if options.start is not None:
        start, *more = parse_methods(options.start)
        if more:
            raise ValueError(f"--start {options.start}: give one method.")
    return plan_trials(
        experiment, methods, list(dict.fromkeys(patterns)), options.seeds, out, start, options.then
    )


def _baseline(chosen: str | None, trials: Sequence[Trial]) -> str:
    """The label of the method that the others are tested against. Raises ValueError."""
    labels = list(dict.fromkeys(trial.label for trial in trials))
    if chosen is None:
        return BASELINE if BASELINE in labels else labels[-1]
    if chosen not in labels:
        raise ValueError(f"--baseline {chosen}: choose one of {', '.join(labels)}.")
    return chosen


def _train(out: Path, trials: Sequence[Trial], console: Console, errors: Console) -> int:
    """Let the queue of ``out`` be trained, and show how far it is; return the exit status."""
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    from lbc.queue.commands import read_queue, steer, working
    from lbc.queue.entries import QueueError
    from lbc.queue.progress import progress_of
    from lbc.queue.supervisor import work

    names = {trial.folder.name for trial in trials}
    entries: list[Entry] = []

    def show() -> None:
        entries[:] = (entry for entry in read_queue(out).entries if entry.folder in names)
        finished = sum(entry.state == "finished" for entry in entries)
        progress.update(
            task,
            total=sum(entry.epochs for entry in entries),
            completed=sum(progress_of(out, entry).epoch for entry in entries),
            description=f"{finished} of {len(entries)} runs finished",
        )

    columns = TextColumn("{task.description}", markup=False), BarColumn(), TimeRemainingColumn()
    with _interruption() as interrupted, Progress(*columns, console=console) as progress:
        task = progress.add_task("")
        # A daemon: were the disk to go away, it would try for ever to go on.
        training = threading.Thread(target=work, args=(out, progress.console.print), daemon=True)
        training.start()
        while training.is_alive() or working(out):
            show()
            if interrupted.wait(POLL_SECONDS):
                interrupted.clear()
                try:
                    steer(out, "pause")
                except QueueError as error:  # another computer trains it
                    errors.print(str(error))
        show()
    for entry in entries:
        if entry.state == "failed":
            errors.print(f"{entry.folder} has failed: {entry.reason}")
    states = {entry.state for entry in entries}
    return FAILED if "failed" in states else DONE if states == {"finished"} else STOPPED


@contextmanager
def _interruption() -> Iterator[threading.Event]:
    """An event that is set by Ctrl-C and SIGTERM."""
    interrupted = threading.Event()
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.signal(number, lambda *_: interrupted.set()) for number in numbers}
    try:
        yield interrupted
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _report(out: Path, trials: Sequence[Trial], baseline: str, console: Console) -> None:
    """Write and print the results of the runs that are finished."""
    from lbc.library.comparison_report import (
        explain_results,
        list_results,
        summarise_trials,
        write_report,
    )
    from lbc.library.formats import format_plain
    from lbc.library.method_agreement import EXPLANATION, compare_methods

    rows = summarise_trials(trials, baseline)
    if not rows:
        return
    agreements = compare_methods(trials)
    tables = [list_results(rows, baseline), *(one.table for one in agreements)]
    texts = [explain_results(rows, baseline), *([EXPLANATION] if agreements else [])]
    for text in (*map(format_plain, tables), *texts):
        console.print(text)
    for path in write_report(out, trials, rows, agreements, baseline):
        console.print(f"Wrote {path}")
