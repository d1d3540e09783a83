"""The runs of a comparison as the queue of its folder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from lbc.comparison.trials import Trial, check_folder
from lbc.config import EXTERNAL
from lbc.data import describe
from lbc.files.printable import printable
from lbc.queue.entries import Entry, Queue, QueueError, with_jobs
from lbc.queue.process import is_alive
from lbc.queue.queue_file import QueueFile
from lbc.queue.supervisor import threads_of
from lbc.runs.own_runs import remember_own
from lbc.training.preparation import preview

LEFT_OUT = "It is not part of the comparison that was started last."


def usual_threads() -> int:
    """The threads of a run unless they are chosen: half of the cores, however many run at a time.

    A run is exact only with the same number of threads.
    """
    return threads_of(2)


def check_trials(trials: Sequence[Trial]) -> None:
    """Raise ValueError if the network cannot take a method or pattern, and DataError if the data
    are not there.

    A network that is the user's own code is not built.
    """
    kinds = {(trial.label, trial.pattern): trial.experiment for trial in reversed(trials)}
    data, shape = None, None
    for experiment in reversed(kinds.values()):
        if isinstance(experiment.model, EXTERNAL):
            continue
        if shape is None or experiment.data != data:  # an image folder takes a while
            data, shape = experiment.data, describe(experiment.data)
        preview(experiment, *shape)


def queue_trials(
    out: Path, trials: Sequence[Trial], jobs: int, threads: int | None = None
) -> Queue:
    """Let the queue of ``out`` have the runs of ``trials`` that are missing, ``jobs`` at a time.

    What was stopped, has failed or was deleted waits for its turn again; entries of other runs are
    paused. All runs have the ``threads`` of those queued before, if any. Raises ComparisonError or
    QueueError if that is impossible, and OSError.
    """
    if threads is not None and threads < 1:
        raise QueueError(f"{threads} threads are not possible: choose 1 or more.")
    with_jobs(Queue(), jobs)  # before anything is written
    for trial in trials:
        check_folder(trial)
    out.mkdir(parents=True, exist_ok=True)
    file = QueueFile(out)

    def change(queue: Queue) -> Queue:
        known = {entry.folder: entry for entry in queue.entries}
        number = file.next_id(queue)
        used = threads or next((one.threads for one in known.values() if one.threads), None)
        entries: dict[str, Entry] = {}
        for trial in trials:
            name = trial.folder.name
            old = known.pop(name, None)
            here = printable(str(Path.cwd()))
            entry = old or Entry(number, name, name, 0, directory=here, pictures=False)
            number += old is None
            if entry.state != "running" or not is_alive(file, entry):
                entry = replace(
                    entry,
                    epochs=trial.experiment.training.epochs,
                    state="finished" if trial.is_finished else "waiting",
                    reason="",
                    threads=entry.threads or used or usual_threads(),
                    after=None if trial.start is None else entries[trial.start.name].id,
                )
                file.add(entry, trial.experiment)
            entries[name] = entry
            remember_own(trial.folder, trial.experiment.model)
        others = (
            replace(one, state="paused", reason=LEFT_OUT) if one.state == "waiting" else one
            for one in known.values()
        )
        return with_jobs(replace(queue, entries=(*entries.values(), *others)), jobs)

    return file.change(change)
