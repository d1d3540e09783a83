"""What the command line and the window do with the queue of a folder of runs."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from lbc.config import Experiment, load_experiment
from lbc.config.strict_yaml import ExperimentError
from lbc.files.printable import printable
from lbc.queue.entries import (
    GROUP_LENGTH,
    Action,
    Entry,
    Place,
    Queue,
    QueueError,
    cleared,
    moved,
    steered,
    with_jobs,
)
from lbc.queue.process import find_process, is_working, start_working, stop
from lbc.queue.queue_file import QueueFile
from lbc.queue.variations import Variations, vary
from lbc.runs.new_folder import new_run_path
from lbc.runs.own_runs import remember_own


def read_queue(runs: Path) -> Queue:
    """The queue below a folder, empty if there is none. Raises OSError."""
    return QueueFile(runs).read()


def add(runs: Path, experiment: Experiment) -> Entry:
    """Add a run at the end. Raises OSError."""
    return _add(runs, [(experiment, "")], lambda queue: "")[0]


def add_run(runs: Path, folder: Path) -> Entry:
    """Add a run that has begun in a folder below ``runs``, such as a fork, to be resumed.

    Raises OSError, and ExperimentError if its experiment cannot be read.
    """
    experiment = load_experiment(folder / "experiment.yaml")
    return _add(runs, [(experiment, "")], lambda queue: "", folder.name)[0]


def add_repetition(runs: Path, experiment: Experiment, seeds: Collection[int] = ()) -> Entry:
    """Add the run of an experiment with the lowest seed that is above ``seeds``, those of its runs,
    and that no entry with the same settings has. Raises OSError."""
    file, used = QueueFile(runs), {experiment.seed, *seeds}
    for entry in read_queue(runs).entries:
        with suppress(ExperimentError):  # it is reported when it starts
            queued = file.experiment_of(entry)
            if queued.model_copy(update={"seed": experiment.seed}) == experiment:
                used.add(queued.seed)
    return add(runs, experiment.model_copy(update={"seed": 1 + max(used)}))


def add_group(
    runs: Path, name: str, experiment: Experiment, variations: Variations, seeds: int = 1
) -> tuple[Entry, ...]:
    """Add every combination of the values of settings, by dotted key, with a number of seeds.

    Raises QueueError or ExperimentError if one is impossible, and OSError; then none is added.
    """
    return _add(runs, vary(experiment, variations, seeds), lambda queue: name)


def add_variations(
    runs: Path, experiment: Experiment, variations: Variations, seeds: int = 1
) -> tuple[Entry, ...]:
    """``add_group`` under a new name, made of the experiment's and what is varied."""
    keys = ", ".join(variations) or "seeds"
    varied = vary(experiment, variations, seeds)
    return _add(runs, varied, lambda queue: _unused_name(queue, f"{experiment.name}: {keys}"))


def steer(runs: Path, action: Action, ids: Collection[int] | None = None) -> Queue:
    """Pause, resume, cancel or retry some entries or, with None, all for which it is possible.

    A running one that is paused or cancelled saves its run and ends. Raises QueueError or OSError.
    """
    file = QueueFile(runs)

    def is_to_end(entry: Entry) -> bool:
        return entry.state in ("paused", "cancelled") and (ids is None or entry.id in ids)

    def change(queue: Queue) -> Queue:
        changed = steered(queue, action, ids)
        for entry in filter(is_to_end, changed.entries):
            _, computer = find_process(file, entry)
            if computer:
                raise QueueError(f"Entry {entry.id} is trained on {computer}: {action} it there.")
        return changed

    queue = file.change(change)
    for entry in filter(is_to_end, queue.entries):
        stop(file, entry)
    return queue


def move(runs: Path, ids: Collection[int], place: Place | int) -> Queue:
    """Move entries one place, to an end, or before the entry with an id; raises as ``steer``."""
    return QueueFile(runs).change(lambda queue: moved(queue, ids, place))


def clear(runs: Path, ids: Collection[int] | None = None) -> Queue:
    """Remove entries, by default those finished or cancelled; their run folders stay."""
    return QueueFile(runs).change(lambda queue: cleared(queue, ids))


def set_jobs(runs: Path, jobs: int) -> Queue:
    """Set the number of runs at a time; raises as ``steer``. Those in training continue."""
    runs.mkdir(parents=True, exist_ok=True)
    return QueueFile(runs).change(lambda queue: with_jobs(queue, jobs))


def start(runs: Path) -> None:
    """Start the process that trains the entries, unless there is one. Raises OSError."""
    start_working(QueueFile(runs))


def working(runs: Path) -> bool:
    """Whether a process trains the entries."""
    return is_working(QueueFile(runs))


def _add(
    runs: Path,
    experiments: Sequence[tuple[Experiment, str]],
    name_group: Callable[[Queue], str],
    begun: str = "",
) -> tuple[Entry, ...]:
    """Add entries; ``begun`` is the folder of the only one, if that is to be resumed."""
    file = QueueFile(runs)
    added: list[Entry] = []

    def change(queue: Queue) -> Queue:
        group = printable(name_group(queue))[:GROUP_LENGTH]
        first = file.next_id(queue)
        for number, (experiment, varied) in enumerate(experiments, first):
            folder = begun or f"{new_run_path(runs, experiment.name).name}-q{number}"
            entry = Entry(
                number, experiment.name, folder, experiment.training.epochs, group, varied,
                directory=printable(str(Path.cwd())),
            )  # fmt: skip
            added.append(entry)
            file.add(entry, experiment)
            remember_own(runs / folder, experiment.model)
        return replace(queue, entries=(*queue.entries, *added))

    runs.mkdir(parents=True, exist_ok=True)
    try:
        file.change(change)
    except OSError:
        for entry in added:
            file.file_of(entry.id, "yaml").unlink(missing_ok=True)
        raise
    return tuple(added)


def _unused_name(queue: Queue, name: str) -> str:
    taken = {entry.group for entry in queue.entries}
    number = 2
    unused = name
    while unused in taken:
        unused, number = f"{name} ({number})", number + 1
    return unused
