"""Reads and compares the masks of several runs in a thread of its own, then how each was found."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from PySide6.QtCore import QObject, QThread, Slot

from lbc.comparison.mask_agreement import MaskAgreement, compare_masks
from lbc.comparison.run_masks import RunMasks, read_masks
from lbc.comparison.search_course import SearchCourse, read_course
from lbc.library.run_summary import RunSummary
from lbc.runs.history_reader import FILE
from lbc_gui.worker import Failed, Job, Worker, describe

LARGEST_CACHE = 256 << 20
"""Bytes of masks that are kept for the next comparison: those of 180 ResNet-18."""

T = TypeVar("T", RunMasks, SearchCourse)


@dataclass(frozen=True)
class Reading:
    """What is being read, and the completed fraction, 0 to 1, of that."""

    what: str
    share: float


@dataclass(frozen=True, eq=False)
class Compared:
    """The agreement of the masks of ``runs``, those of the request whose masks could be read.

    ``problems`` has one sentence for each of the others.
    """

    request: Sequence[RunSummary]
    runs: tuple[RunSummary, ...]
    masks: tuple[RunMasks, ...]
    agreement: MaskAgreement
    problems: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class CourseFound:
    """How the search of one run went."""

    request: Sequence[RunSummary]
    run: RunSummary
    course: SearchCourse


class _Cancelled(Exception):  # noqa: N818 - nothing went wrong
    """Another comparison is wanted."""


class SearchCache:
    """What was read last, up to ``LARGEST_CACHE`` bytes; a history that has grown is read again.

    For one thread at a time.
    """

    def __init__(self) -> None:
        self._known: OrderedDict[object, tuple[RunMasks | SearchCourse, int]] = OrderedDict()

    def get(self, run: RunSummary, kind: type[T], read: Callable[[], T]) -> T:
        """What is known of a run, or else what ``read`` returns. Raises as that."""
        key = kind, run.folder, run.method, _stamp(run.folder / FILE)
        if key in self._known:
            self._known.move_to_end(key)
            found = self._known[key][0]
            assert isinstance(found, kind)
            return found
        found = read()
        self._known[key] = found, _bytes(found)
        while sum(size for _, size in self._known.values()) > LARGEST_CACHE:
            self._known.popitem(last=False)
        return found


class SearchThread(Worker):
    """Reads the masks of all runs, posts their agreement, then the course of one after another."""

    def __init__(self, request: Sequence[RunSummary], cache: SearchCache, parent: Job) -> None:
        super().__init__(parent)
        self._request, self._cache = request, cache

    def work(self) -> None:
        with suppress(_Cancelled):
            for run in self._compare():
                self._report(f"Reading the search of {run.title}", 0.0)
                with suppress(OSError, ValueError):  # deleted or damaged since its masks were read
                    course = self._course(run)
                    self.post(CourseFound(self._request, run, course))

    def failure(self, error: Exception) -> Failed:
        return describe("The masks could not be compared", error)

    def _compare(self) -> tuple[RunSummary, ...]:
        """Post the agreement; returns the runs whose masks could be read."""
        found: list[tuple[RunSummary, RunMasks]] = []
        problems = []
        for at, run in enumerate(self._request):
            self._report(f"Reading the masks of {run.title}", at / len(self._request))
            try:
                if run.status == "unreadable":
                    raise ValueError(run.problem)
                masks = self._cache.get(run, RunMasks, lambda: read_masks(run.folder, run.method))  # noqa: B023 - called at once
                found.append((run, masks))
            except Exception as error:  # damage shows in many ways; the others are unharmed
                what = f"{run.folder.name} cannot be compared"
                problems.append(describe(what, error, ValueError).message)
        runs, masks_of = tuple(run for run, _ in found), tuple(masks for _, masks in found)
        agreement = compare_masks(masks_of, lambda share: self._report("Comparing masks", share))
        self.post(Compared(self._request, runs, masks_of, agreement, tuple(problems)))
        return runs

    def _course(self, run: RunSummary) -> SearchCourse:
        what = f"Reading the search of {run.title}"

        def read() -> SearchCourse:
            return read_course(run.folder, run.method, lambda share: self._report(what, share))

        return self._cache.get(run, SearchCourse, read)

    def _report(self, what: str, share: float) -> None:
        if self.cancelled.is_set():
            raise _Cancelled
        self.post(Reading(what, share))


class SearchReader(Job):
    """Reads one comparison at a time, the latest that is wanted."""

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._cache = SearchCache()
        self._wanted: Sequence[RunSummary] | None = None

    def read(self, request: Sequence[RunSummary]) -> None:
        """Compare these runs; what another comparison still posts has another ``request``."""
        super().cancel()
        self._wanted = request
        if not self.running:
            self._begin()

    @Slot()
    def cancel(self) -> None:
        self._wanted = None
        super().cancel()

    def _begin(self) -> None:
        if self._wanted is not None:
            worker = SearchThread(self._wanted, self._cache, self)
            self._wanted = None
            self._launch(worker, QThread.Priority.LowPriority)

    def _worker_ended(self, worker: Worker) -> None:
        self._begin()


def _stamp(file: Path) -> tuple[int, int] | None:
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size


def _bytes(found: RunMasks | SearchCourse) -> int:
    if isinstance(found, RunMasks):
        return sum(mask.bits.nbytes for mask in found.layers.values())
    return sum(layer.flips.nbytes + layer.final.nbytes for layer in found.layers.values())
