"""Runs workers, one for each type and backend, and turns their answers into measurements."""

from __future__ import annotations

import queue
import threading
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from lbc.latency.answers import Ended, Hello, Noise, Started, measurement_of, with_result
from lbc.latency.cases import Case
from lbc.latency.measurement import Backend, Dtype, Measurement, MeasurementError, Result
from lbc.latency.place import HERE, Place
from lbc.latency.process import WorkerProcess

RECOVERIES = 3
RECOVERY_PAUSE = 2.0
NOWHERE = ("connection", "python", "no GPU")
"""Failures that every type and backend would meet alike."""


@dataclass(frozen=True)
class Settings:
    """How to measure; seconds and counts, as the worker's protocol has them."""

    samples: int = 30
    warmup_seconds: float = 0.2
    warmup_calls: int = 25
    budget_seconds: float = 6.0
    case_seconds: float = 120.0
    search: bool = True
    compile: bool = False


@dataclass(frozen=True)
class Request:
    """What to measure, and where. Without cases only the device is asked for."""

    cases: tuple[Case, ...]
    device: str
    dtypes: tuple[Dtype, ...]
    backends: tuple[Backend, ...]
    place: Place = HERE
    settings: Settings = Settings()

    def job(
        self, dtype: Dtype, backend: Backend, first: int = 0, unsearched: Sequence[int] = ()
    ) -> dict[str, Any]:
        """One worker's job, from case ``first`` on; without the search in cases ``unsearched``."""
        return {
            **vars(self.settings),
            "unsearched": list(unsearched),
            "device": self.device,
            "dtype": dtype,
            "backend": backend,
            "first": first,
            "cases": [case.as_job() for case in self.cases],
            "deadline_seconds": 60 + self.settings.case_seconds * len(self.cases),
            "orphan": "stay" if self.place.remote else "end",
            "keep": uuid.uuid4().hex if self.place.remote else None,
        }

    @classmethod
    def on(cls, cases: Sequence[Case], device: str, **more: Any) -> Request:
        """The types and backends that fit the device: a processor has one row of its own."""
        if device == "cpu":
            return cls(
                tuple(cases), device, **{"dtypes": ("float32",), "backends": ("cpu",)} | more
            )
        both: dict[str, Any] = {"dtypes": ("bfloat16",), "backends": ("cusparselt", "cutlass")}
        return cls(tuple(cases), device, **both | more)


@dataclass(frozen=True)
class Ready:
    """A worker answered: its device, before the first case."""

    measurement: Measurement


@dataclass(frozen=True)
class CaseStarted:
    index: int
    dtype: Dtype
    backend: Backend


@dataclass(frozen=True)
class CaseDone:
    """One more result; ``measurement`` holds all so far."""

    measurement: Measurement
    result: Result


@dataclass(frozen=True)
class WorkerFailed:
    """A worker could not measure, or not to the end; a sentence."""

    dtype: Dtype
    backend: Backend
    kind: str
    message: str


@dataclass(frozen=True)
class Said:
    """Something for the log."""

    text: str


Event = Ready | CaseStarted | CaseDone | WorkerFailed | Said


def measure(
    request: Request, tell: Callable[[Event], None], cancel: threading.Event | None = None
) -> tuple[Measurement, ...]:
    """Measure every case with every type and backend; what there is when cancelled or broken off.

    Blocks; ``tell`` is called in this thread. Set ``cancel`` from any thread: the worker, here or
    on its server, ends within seconds.
    """
    cancel = cancel or threading.Event()
    found = []
    for dtype in request.dtypes:
        for backend in request.backends:
            if cancel.is_set():
                break
            campaign = _Campaign(request, dtype, backend, tell, cancel)
            measurement = campaign.run()
            found += [measurement] if measurement else []
            if campaign.failure in NOWHERE:
                return tuple(found)
    return tuple(found)


@dataclass
class _Campaign:
    """The workers of one type and backend: a case that hangs or breaks the GPU costs a restart.

    ``open`` is the case that a worker began and has not answered (at ``opened``, of the monotonic
    clock), ``first`` the next one after those answered; all of the worker that runs now, as
    ``hello`` is.
    """

    request: Request
    dtype: Dtype
    backend: Backend
    tell: Callable[[Event], None]
    cancel: threading.Event
    measurement: Measurement | None = None
    hello: Hello | None = None
    first: int = 0
    open: int | None = None
    opened: float = 0.0
    answered: set[int] = field(default_factory=set)
    unsearched: list[int] = field(default_factory=list)
    failure: str = ""

    def run(self) -> Measurement | None:
        over = False
        while not over:
            self.hello, self.open, self.answered = None, None, set()
            job = self.request.job(self.dtype, self.backend, self.first, self.unsearched)
            over = self._after(self._measured(job))
        return self.measurement

    def _measured(self, job: dict[str, Any]) -> Ended:
        """How one worker ended, with what a lost connection to it held back."""
        place = self.request.place
        try:
            process = WorkerProcess(place, job)
        except MeasurementError as error:
            kind = "connection" if place.remote else "python"
            return Ended(how="failed", kind=kind, message=str(error))
        ended = self._follow(process)
        if ended is None and place.remote and self.hello is not None:
            ended = self._recover(job["keep"])
        ended = ended or process.death(self.hello is not None)
        took = time.monotonic() - self.opened
        if ended.kind == "died" and self.open is not None and took >= job["case_seconds"]:
            # A library that keeps the interpreter's lock lets the worker end, but say nothing.
            return Ended(how="timeout", message="The case took too long.", index=self.open)
        return ended

    def _follow(self, process: WorkerProcess) -> Ended | None:
        """The worker's last word; None where it fell silent without one."""
        limit = self.request.settings.case_seconds + 60
        try:
            while not self.cancel.is_set():
                try:
                    answer = process.next_answer(silence=limit, hello=self.hello)
                except queue.Empty:
                    continue
                if answer is None or isinstance(answer, Ended):
                    process.finish()
                    return answer
                self._take(answer)
        except BaseException:
            process.cancel()
            raise
        process.cancel()
        return Ended(how="cancelled")

    def _take(self, answer: Hello | Started | Result | Noise) -> None:
        known = range(len(self.request.cases))
        match answer:
            case Hello():
                self.hello = answer
                if self.measurement is None:
                    self.measurement = measurement_of(answer, self.request.place.name)
                    self.tell(Ready(self.measurement))
            case Started(index=index) if index in known and index not in self.answered:
                if index == self.open:
                    return  # told again after a broken connection
                self.open, self.opened = index, time.monotonic()
                self.tell(CaseStarted(index, self.dtype, self.backend))
            case Result(index=index) if index in known and index not in self.answered:
                self.answered.add(index)
                self.open, self.first = None, index + 1
                self._add(answer)
            case Noise() if answer.line:
                self.tell(Said(answer.line))

    def _add(self, result: Result) -> None:
        if self.measurement is not None:
            self.measurement = with_result(self.measurement, result)
            self.tell(CaseDone(self.measurement, result))

    def _recover(self, keep: str) -> Ended | None:
        """Fetch from the server what the lost connection would have said."""
        for attempt in range(RECOVERIES):
            self.tell(Said(f"The connection to {self.request.place.name} broke; asking again."))
            # When cancelled, ask at once: the worker there must be told.
            self.cancel.wait(RECOVERY_PAUSE * attempt)
            ended = self._follow(WorkerProcess.recovering(self.request.place, keep))
            if ended is not None:
                return ended
        return None

    def _after(self, ended: Ended) -> bool:
        """Whether nothing is left to do, after marking the case that ended its worker."""
        if ended.how in ("done", "cancelled"):
            return True
        poisoned = ended.kind == "poisoned"
        fatal = ended.how == "timeout" or ended.kind == "died" or poisoned
        if not fatal or (self.open is None and not self.answered):
            self.failure = ended.kind
            self.tell(WorkerFailed(self.dtype, self.backend, ended.kind, ended.message))
            return True
        stuck = self.first - 1 if poisoned else self.open
        if stuck is not None:
            self._end_case(stuck, "hung" if ended.how == "timeout" else ended.kind, ended.message)
        return self.first >= len(self.request.cases)

    def _end_case(self, index: int, kind: str, why: str) -> None:
        """Measure a case again without the search, the likely cause; then mark it as failed."""
        searched = self.backend == "cusparselt" and self.request.settings.search
        case = self.request.cases[index]
        if searched and index not in self.unsearched:
            self.unsearched.append(index)
            self.first = index
            self.tell(Said(f"{case.name}: {why} Once more, without the search for an algorithm."))
            return
        self.first = index + 1
        told = {"index": index, "status": "failed", "class": kind, "why": why}
        self._add(Result.model_validate(case.named | told))
