"""``lbc queue``: runs that wait for their turn, trained without a window.

Exit status: 0 success, 1 a file cannot be used, 2 invalid input.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from lbc.cli.console import Console
from lbc.files.priority import NICENESS, give_way
from lbc.queue.entries import PLACES
from lbc.runs.new_folder import RUNS

if TYPE_CHECKING:
    from lbc.queue.entries import Entry, Queue
    from lbc.queue.progress import Progress

DONE, INVALID_INPUT = 0, 2

ID_DIGITS = 16

STEERING = {
    "pause": "save their state and stop, until they are resumed",
    "resume": "put paused runs back into the queue",
    "cancel": "cancel; run folders are kept",
    "retry": "put failed or cancelled runs back into the queue",
}
RANGES = "values such as 4,6,8 or 4..8 (whole numbers), 0.1..0.3/5 (five), 1e-4..0.1/4log (ratios)"


def add_parser(commands: Any) -> None:
    """Add ``queue`` and its subcommands to the commands."""
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument(
        "--runs", type=Path, default=argparse.SUPPRESS, metavar="DIR",
        help=f"folder of the runs (default: {RUNS})",
    )  # fmt: skip
    listing = argparse.ArgumentParser(add_help=False)
    listing.add_argument(
        "--json", action="store_true", default=argparse.SUPPRESS, help="print JSON"
    )
    queue = commands.add_parser(
        "queue", parents=[shared, listing], help="queue runs, and train them one after the other"
    )
    queue.set_defaults(action="list")
    actions = queue.add_subparsers(metavar="ACTION")

    def add(name: str, text: str, *parents: argparse.ArgumentParser) -> argparse.ArgumentParser:
        parser = actions.add_parser(name, help=text, parents=[shared, *parents])
        parser.set_defaults(action=name)
        return cast("argparse.ArgumentParser", parser)

    add("list", "list the entries (the default)", listing)
    _add_options(add("add", "queue an experiment, or variations of it"))
    for name, text in STEERING.items():
        _add_ids(add(name, text))
    move = add("move", "change the order")
    _add_ids(move)
    move.add_argument("place", choices=PLACES)
    clear = add("clear", "remove entries from the list; run folders stay")
    clear.add_argument("ids", type=int, nargs="*", metavar="ID", help="default: all that are over")
    add("jobs", "set how many run at a time").add_argument("jobs", type=int, metavar="N")
    add("start", "train the entries in the background, until none is left")
    add("work", "train the entries in this process")


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("experiment", type=Path, metavar="EXPERIMENT.yaml")
    parser.add_argument(
        "--set", action="extend", nargs="+", default=[], metavar="KEY=VALUE",
        help="override settings of every run",
    )  # fmt: skip
    parser.add_argument(
        "--vary", action="extend", nargs="+", default=[], metavar="KEY=VALUES", help=RANGES
    )
    parser.add_argument("--seeds", type=int, default=1, help="seeds, counted up (default: 1)")
    parser.add_argument("--group", default="", metavar="NAME", help="name of the variations")
    parser.add_argument("--start", action="store_true", help="start training, too")


def _add_ids(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("ids", nargs="+", metavar="ID|all", help="numbers in the list, or all")


def command(options: argparse.Namespace, errors: Console) -> int:
    """Run an action; return the exit status. Raises ExperimentError and OSError."""
    from lbc.queue.entries import QueueError

    options.runs = getattr(options, "runs", RUNS)
    options.json = getattr(options, "json", False)
    try:
        return _act(options)
    except QueueError as error:
        errors.print(str(error))
        return INVALID_INPUT


def _act(options: argparse.Namespace) -> int:
    from lbc.queue import commands

    runs: Path = options.runs
    match options.action:
        case "list":
            _list(commands.read_queue(runs), runs, commands.working(runs), options.json)
        case "add":
            _add(options)
        case "move":
            commands.move(runs, _ids(options.ids, commands.read_queue(runs)), options.place)
        case "clear":
            commands.clear(runs, options.ids or None)
        case "jobs":
            commands.set_jobs(runs, options.jobs)
        case "start":
            _start(runs)
        case "work":
            return _work(runs)
        case action:
            everything = options.ids == ["all"]
            ids = None if everything else _ids(options.ids, commands.read_queue(runs))
            queue = commands.steer(runs, action, ids)
            if action in ("resume", "retry") and queue.count("waiting"):
                _say_whether_working(runs)
    return DONE


def _ids(texts: Sequence[str], queue: Queue) -> Collection[int]:
    from lbc.queue.entries import QueueError

    if texts == ["all"]:
        return {entry.id for entry in queue.entries}
    for text in texts:
        if not text.isdecimal() or len(text) > ID_DIGITS:
            raise QueueError(f"{text!r} is not the number of an entry: 'lbc queue' lists them.")
    return set(map(int, texts))


def _add(options: argparse.Namespace) -> None:
    from lbc.config import load_experiment
    from lbc.queue import commands
    from lbc.queue.entries import QueueError
    from lbc.queue.variations import parse_values

    experiment = load_experiment(options.experiment, options.set)
    variations: dict[str, Sequence[object]] = {}
    for setting in options.vary:
        key, equals, text = setting.partition("=")
        if not equals or not key:
            raise QueueError(f"--vary {setting}: write it as KEY=VALUES, like schedule.end=4,6,8.")
        if key in variations:
            raise QueueError(f"--vary has {key} twice: give all its values at once.")
        variations[key] = parse_values(text)
    runs, seeds = options.runs, options.seeds
    if not variations and seeds == 1 and not options.group:
        added: tuple[Entry, ...] = (commands.add(runs, experiment),)
    elif options.group:
        added = commands.add_group(runs, options.group, experiment, variations, seeds)
    else:
        added = commands.add_variations(runs, experiment, variations, seeds)
    for entry in added:
        Console().print(f"{entry.id}: {' '.join(filter(None, (entry.name, entry.varied)))}")
    if options.start:
        commands.start(runs)
    _say_whether_working(runs, options.start)


def _start(runs: Path) -> None:
    from lbc.queue import commands

    if commands.read_queue(runs).count("waiting", "running"):
        commands.start(runs)
        Console().print("The queue is being trained in the background: 'lbc queue' shows it.")
    else:
        Console().print("No entry is waiting: queue one with 'lbc queue add'.")


def _work(runs: Path) -> int:
    give_way(NICENESS)  # before all that it imports
    from lbc.queue.supervisor import work

    console = Console()
    if not work(runs, console.print):
        console.print("Another process trains this queue.")
    return DONE


def _say_whether_working(runs: Path, started: bool = False) -> None:
    from lbc.queue import commands

    if not started and not commands.working(runs):
        Console().print("No process trains the queue: start one with 'lbc queue start'.")


def _list(queue: Queue, runs: Path, working: bool, as_json: bool) -> None:
    from lbc.queue.progress import progress_of

    if queue.notice:
        Console(stderr=True).print(queue.notice)
    progress = {entry.id: progress_of(runs, entry) for entry in queue.entries}
    if as_json:
        entries = [
            asdict(entry) | {
                "folder": str(runs / entry.folder),
                "epoch": progress[entry.id].epoch,
                "accuracy": progress[entry.id].accuracy,
            }
            for entry in queue.entries
        ]  # fmt: skip
        document = {"working": working, "jobs": queue.jobs, "notice": queue.notice}
        print(json.dumps(document | {"entries": entries}, indent=2))
        return
    if not queue.entries:
        Console().print("The queue is empty: add a run with 'lbc queue add EXPERIMENT.yaml'.")
        return
    _print(queue, progress)
    if queue.count("waiting", "running"):
        _say_whether_working(runs, working)


def _print(queue: Queue, progress: Mapping[int, Progress]) -> None:
    from rich.table import Table

    table = Table("id", "state", "experiment", "varied", "group", "epoch", "accuracy", "reason")
    for entry in queue.entries:
        at = progress[entry.id]
        accuracy = "" if at.accuracy is None else f"{at.accuracy:.2%}"
        table.add_row(
            str(entry.id), entry.state, entry.name, entry.varied, entry.group,
            f"{at.epoch}/{entry.epochs}", accuracy, entry.reason,
        )  # fmt: skip
    console = Console(soft_wrap=False)
    console.print(table)
    console.print(f"{queue.jobs} at a time.")
