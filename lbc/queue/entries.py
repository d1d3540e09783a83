"""The entries of a queue, and what a user can do with them. Values only; files are elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from typing import Annotated, Literal, get_args

from pydantic import Field

State = Literal["waiting", "running", "paused", "finished", "failed", "cancelled"]
Action = Literal["pause", "resume", "cancel", "retry"]
Place = Literal["up", "down", "top", "bottom"]

ACTIONS: dict[Action, tuple[tuple[State, ...], State]] = {
    "pause": (("waiting", "running"), "paused"),
    "resume": (("paused",), "waiting"),
    "cancel": (("waiting", "running", "paused", "failed"), "cancelled"),
    "retry": (("failed", "cancelled"), "waiting"),
}
"""For each action, the states in which it is possible and the state that it leads to."""

PLACES: tuple[Place, ...] = get_args(Place)
STATES: tuple[State, ...] = get_args(State)

GROUP_LENGTH = 200


class QueueError(ValueError):
    """The queue cannot do what was asked; the message is one sentence."""


@dataclass(frozen=True)
class Entry:
    """One queued run.

    ``folder`` is its run folder, below the folder of the runs. ``varied`` are the settings in
    which it differs from the others of its ``group``. ``threads`` is decided when it first starts,
    because a run is exact only with the same number; 0 leaves it to torch. ``directory`` is the
    working directory in which it was queued, where the code of an external model is looked for.
    It waits until the entry ``after``, from whose weights it starts, is finished. ``pictures`` are
    drawn at its end.
    """

    id: Annotated[int, Field(ge=1, lt=1 << 53)]
    name: str
    folder: Annotated[str, Field(pattern=r"^[^./\\\x00][^/\\\x00]*$", max_length=255)]
    epochs: Annotated[int, Field(ge=0, lt=1 << 53)]
    group: Annotated[str, Field(max_length=GROUP_LENGTH)] = ""
    varied: str = ""
    state: State = "waiting"
    reason: str = ""
    threads: Annotated[int, Field(ge=0, lt=1 << 16)] | None = None
    directory: str = ""
    after: Annotated[int, Field(ge=1, lt=1 << 53)] | None = None
    pictures: bool = True


@dataclass(frozen=True)
class Queue:
    """Entries in the order in which they start, and how many run at a time.

    ``notice`` is a sentence on a file that could not be read, or empty.
    """

    jobs: int = 1
    entries: tuple[Entry, ...] = ()
    notice: str = field(default="", compare=False)

    def find(self, ids: Collection[int]) -> tuple[Entry, ...]:
        """The entries with these ids, in their order. Raises QueueError if one is missing."""
        missing = sorted(set(ids) - {entry.id for entry in self.entries})
        if missing:
            raise QueueError(f"The queue has no entry {missing[0]}: 'lbc queue' lists them.")
        return tuple(entry for entry in self.entries if entry.id in ids)

    def put(self, *changed: Entry) -> Queue:
        """The queue with entries replaced by those of the same ids."""
        new = {entry.id: entry for entry in changed}
        return replace(self, entries=tuple(new.get(old.id, old) for old in self.entries))

    def count(self, *states: State) -> int:
        """The number of entries in one of ``states``."""
        return sum(entry.state in states for entry in self.entries)


def steered(queue: Queue, action: Action, ids: Collection[int] | None = None) -> Queue:
    """The queue after an action on some entries or, with None, on all for which it is possible.

    Raises QueueError if it is impossible for one of ``ids``.
    """
    possible, state = ACTIONS[action]
    chosen = queue.entries if ids is None else queue.find(ids)
    for entry in chosen:
        if ids is not None and entry.state not in possible:
            raise QueueError(
                f"Entry {entry.id} is {entry.state}: only one that is {' or '.join(possible)} can "
                f"be {_PARTICIPLES[action]}."
            )
    return queue.put(*(
        replace(entry, state=state, reason="") for entry in chosen if entry.state in possible
    ))  # fmt: skip


_PARTICIPLES = {
    "pause": "paused", "resume": "resumed", "cancel": "cancelled", "retry": "retried",
}  # fmt: skip


def without_orphans(queue: Queue) -> Queue:
    """The queue in which a waiting entry has failed if the one that it starts from has."""
    for entry in queue.entries:
        first = _first(queue, entry)
        if entry.state == "waiting" and first and first.state in ("failed", "cancelled"):
            reason = f"It starts from the run of entry {first.id}, which has {_ENDED[first.state]}."
            queue = queue.put(replace(entry, state="failed", reason=reason))
    return queue


def may_start(queue: Queue, entry: Entry) -> bool:
    """Whether an entry waits for nothing but its turn."""
    first = _first(queue, entry)
    return entry.state == "waiting" and (first is None or first.state == "finished")


def _first(queue: Queue, entry: Entry) -> Entry | None:
    """The entry that it starts from; one off the list is over."""
    return next((one for one in queue.entries if one.id == entry.after), None)


_ENDED = {"failed": "failed", "cancelled": "been cancelled"}


def moved(queue: Queue, ids: Collection[int], place: Place | int) -> Queue:
    """The queue with entries moved by one place, to an end, or before the entry with an id."""
    chosen = queue.find(ids)
    rest = [entry for entry in queue.entries if entry.id not in ids]
    match place:
        case "top":
            order = [*chosen, *rest]
        case "bottom":
            order = [*rest, *chosen]
        case "up":
            order = _raised(queue.entries, ids)
        case "down":
            order = _raised(queue.entries[::-1], ids)[::-1]
        case int():
            (before,) = queue.find({place})
            at = rest.index(before) if before in rest else len(rest)
            order = [*rest[:at], *chosen, *rest[at:]]
    return replace(queue, entries=tuple(order))


def cleared(queue: Queue, ids: Collection[int] | None = None) -> Queue:
    """The queue without some entries or, with None, without those finished or cancelled.

    Raises QueueError if one of ``ids`` is running.
    """
    if ids is None:
        ids = {entry.id for entry in queue.entries if entry.state in ("finished", "cancelled")}
    for entry in queue.find(ids):
        if entry.state == "running":
            raise QueueError(f"Entry {entry.id} is running: cancel it first.")
    return replace(queue, entries=tuple(entry for entry in queue.entries if entry.id not in ids))


def with_jobs(queue: Queue, jobs: int) -> Queue:
    """The queue that trains ``jobs`` entries at a time. Raises QueueError below 1."""
    if not 1 <= jobs <= MOST_JOBS:
        raise QueueError(f"{jobs} runs at a time are not possible: choose 1 to {MOST_JOBS}.")
    return replace(queue, jobs=jobs)


MOST_JOBS = 1000

Change = Callable[[Queue], Queue]


def _raised(entries: Sequence[Entry], ids: Collection[int]) -> list[Entry]:
    order = list(entries)
    for at in range(1, len(order)):
        if order[at].id in ids and order[at - 1].id not in ids:
            order[at - 1], order[at] = order[at], order[at - 1]
    return order
