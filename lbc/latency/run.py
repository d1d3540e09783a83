"""Runs a worker for each dtype and backend and collects their answers into measurements."""

from __future__ import annotations

import queue
import threading
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from lbc.latency.answers import (
    Ended,
    Hello,
    OtherLine,
    Started,
    new_measurement,
    with_result,
    with_spread,
)
from lbc.latency.cases import Case
from lbc.latency.measurement import Backend, Dtype, Measurement, MeasurementError, Result
from lbc.latency.place import HERE, Place, command_for_server
from lbc.latency.process import WorkerProcess

RECOVERIES = 3
RECOVERY_PAUSE = 2.0
FATAL_KINDS = ("connection", "python", "no GPU")
"""Kinds of failure that affect every dtype and backend."""


@dataclass(frozen=True)
class Settings:
    """Settings of a measurement, under the keys of the worker's protocol.

    ``case_seconds`` limits a case: by default 30 s on a GPU, and 120 s on a CPU and for compiling.
    """

    samples: int = 30
    warmup_seconds: float = 0.2
    warmup_calls: int = 25
    budget_seconds: float = 6.0
    case_seconds: float = 0.0
    search: bool = True
    compile: bool = False


@dataclass(frozen=True)
class Request:
    """What to measure, and where; without cases, only the device is queried.

    Everything is measured in ``processes`` processes, one after another: the first gives the times,
    and all together the intervals.
    """

    cases: tuple[Case, ...]
    device: str
    dtypes: tuple[Dtype, ...]
    backends: tuple[Backend, ...]
    place: Place = HERE
    settings: Settings = Settings()
    processes: int = 1

    @property
    def case_seconds(self) -> float:
        slow = self.device == "cpu" or self.settings.compile
        return self.settings.case_seconds or (120.0 if slow else 30.0)

    def job(self, dtype: Dtype, backend: Backend, **more: Any) -> dict[str, Any]:
        """Return a worker's job for all cases; ``more`` replaces values of it."""
        return {
            **vars(self.settings),
            "case_seconds": self.case_seconds,
            "uncaptured": [],
            "device": self.device,
            "dtype": dtype,
            "backend": backend,
            "first": 0,
            "cases": [case.as_job() for case in self.cases],
            "deadline_seconds": 60 + self.case_seconds * len(self.cases),
            "orphan": "stay" if self.place.remote else "end",
            "keep": uuid.uuid4().hex if self.place.remote else None,
            **more,
        }

    def commands(self, python: str = "python3") -> list[str]:
        """Return a shell line for each dtype and backend, to paste on a server."""
        return [
            command_for_server(
                self.job(dtype, backend), f"latency-{dtype}-{backend}.ndjson", python
            )
            for dtype in self.dtypes
            for backend in self.backends
        ]

    @classmethod
    def for_device(cls, cases: Sequence[Case], device: str, **more: Any) -> Request:
        """Return a request with the default dtypes and backends of the device."""
        gpu = {"dtypes": ("bfloat16",), "backends": ("cusparselt", "cutlass")}
        cpu = {"dtypes": ("float32",), "backends": ("cpu",)}
        defaults: dict[str, Any] = cpu if device == "cpu" else gpu
        return cls(tuple(cases), device, **defaults | more)


@dataclass(frozen=True)
class Ready:
    """A worker has started; ``measurement`` has its device and no results yet."""

    measurement: Measurement


@dataclass(frozen=True)
class CaseStarted:
    index: int
    dtype: Dtype
    backend: Backend


@dataclass(frozen=True)
class CaseDone:
    """A case is done; ``measurement`` has all results so far."""

    measurement: Measurement
    result: Result


@dataclass(frozen=True)
class WorkerFailed:
    """A worker could not measure, or could not finish; ``message`` is a sentence."""

    dtype: Dtype
    backend: Backend
    kind: str
    message: str


@dataclass(frozen=True)
class LogMessage:
    """A message for the log."""

    text: str


Event = Ready | CaseStarted | CaseDone | WorkerFailed | LogMessage


def measure(
    request: Request, emit: Callable[[Event], None], cancel: threading.Event | None = None
) -> tuple[Measurement, ...]:
    """Measure every case with every dtype and backend; return the results so far if interrupted.

    Blocks, and calls ``emit`` with every event in this thread. ``cancel`` may be set from any
    thread; the worker, also on a server, ends within seconds.
    """
    cancel = cancel or threading.Event()
    measurements = []
    for dtype in request.dtypes:
        for backend in request.backends:
            if cancel.is_set():
                break
            campaign = _Campaign(request, dtype, backend, emit, cancel)
            measurement = campaign.run()
            for _ in range(request.processes - 1):
                if measurement is not None and not cancel.is_set():
                    measurement = _repeat(measurement, campaign)
            measurements += [measurement] if measurement else []
            if campaign.failure in FATAL_KINDS:
                return tuple(measurements)
    return tuple(measurements)


def _repeat(measurement: Measurement, campaign: _Campaign) -> Measurement:
    """Measure once more; return the measurement with the larger intervals of the two."""

    def emit(event: Event) -> None:
        match event:
            case CaseDone():
                whole = with_spread(measurement, event.measurement)
                campaign.emit(CaseDone(whole, event.result))
            case CaseStarted() | LogMessage():
                campaign.emit(event)

    request, cancel = campaign.request, campaign.cancel
    again = _Campaign(request, campaign.dtype, campaign.backend, emit, cancel).run()
    return measurement if again is None else with_spread(measurement, again)


@dataclass
class _Campaign:
    """The workers of one dtype and backend, restarted after a case that hangs or breaks the GPU.

    ``current`` is the case that the present worker has started and not answered, ``started`` the
    monotonic time of its start, and ``first`` the case after the last answered one. After a case
    that hung or broke the GPU, ``search`` is off; ``suspect`` is this case. ``uncaptured`` names
    the ways whose capture in a CUDA graph failed.
    """

    request: Request
    dtype: Dtype
    backend: Backend
    emit: Callable[[Event], None]
    cancel: threading.Event
    measurement: Measurement | None = None
    hello: Hello | None = None
    first: int = 0
    current: int | None = None
    started: float = 0.0
    answered: set[int] = field(default_factory=set)
    search: bool = False
    suspect: int = -1
    uncaptured: list[str] = field(default_factory=list)
    failure: str = ""

    def run(self) -> Measurement | None:
        self.search = self.request.settings.search and self.backend == "cusparselt"
        over = False
        while not over:
            self.hello, self.current, self.answered = None, None, set()
            more = {"first": self.first, "search": self.search, "uncaptured": self.uncaptured}
            job = self.request.job(self.dtype, self.backend, **more)
            over = self._handle_end(self._run_worker(job))
        return self.measurement

    def _run_worker(self, job: dict[str, Any]) -> Ended:
        """Run one worker, recovering its answers if the connection breaks."""
        place = self.request.place
        try:
            process = WorkerProcess(place, job)
        except MeasurementError as error:
            kind = "connection" if place.remote else "python"
            return Ended(how="failed", kind=kind, message=str(error))
        ended = self._read_answers(process)
        if ended is None and place.remote and self.hello is not None:
            ended = self._recover(job["keep"])
        ended = ended or process.describe_exit(self.hello is not None)
        elapsed = time.monotonic() - self.started
        if ended.kind == "died" and self.current is not None and elapsed >= job["case_seconds"]:
            # A library that holds the GIL prevents the worker from reporting its timeout.
            return Ended(how="timeout", message="The case took too long.", index=self.current)
        return ended

    def _read_answers(self, process: WorkerProcess) -> Ended | None:
        """Handle all answers; return how the worker ended, or None if it did not report that."""
        limit = self.request.case_seconds + 60
        try:
            while not self.cancel.is_set():
                try:
                    answer = process.next_answer(silence=limit, hello=self.hello)
                except queue.Empty:
                    continue
                if answer is None or isinstance(answer, Ended):
                    process.finish()
                    return answer
                self._handle(answer)
        except BaseException:
            process.cancel()
            raise
        process.cancel()
        return Ended(how="cancelled")

    def _handle(self, answer: Hello | Started | Result | OtherLine) -> None:
        known = range(len(self.request.cases))
        match answer:
            case Hello():
                self.hello = answer
                if self.measurement is None:
                    self.measurement = new_measurement(answer, self.request.place.name)
                    self.emit(Ready(self.measurement))
            case Started(index=index) if index in known and index not in self.answered:
                if index == self.current:
                    return  # repeated after a broken connection
                self.current, self.started = index, time.monotonic()
                self.emit(CaseStarted(index, self.dtype, self.backend))
            case Result(index=index) if index in known and index not in self.answered:
                self.answered.add(index)
                self.current, self.first = None, index + 1
                self._add(answer)
            case OtherLine() if answer.line:
                self.emit(LogMessage(answer.line))

    def _add(self, result: Result) -> None:
        if self.measurement is not None:
            self.measurement = with_result(self.measurement, result)
            self.emit(CaseDone(self.measurement, result))

    def _recover(self, keep: str) -> Ended | None:
        """Fetch the answers that a broken connection has lost from the server."""
        for attempt in range(RECOVERIES):
            self.emit(
                LogMessage(f"The connection to {self.request.place.name} broke; reconnecting.")
            )
            # When cancelled, reconnect at once to cancel the worker there.
            self.cancel.wait(RECOVERY_PAUSE * attempt)
            ended = self._read_answers(WorkerProcess.recover(self.request.place, keep))
            if ended is not None:
                return ended
        return None

    def _handle_end(self, ended: Ended) -> bool:
        """Record the case that ended the worker, if any; return True if nothing is left to do."""
        if ended.how in ("done", "cancelled"):
            return True
        poisoned = ended.kind == "poisoned"
        fatal = ended.how == "timeout" or ended.kind == "died" or poisoned
        if not fatal or (self.current is None and not self.answered):
            self.failure = ended.kind
            self.emit(WorkerFailed(self.dtype, self.backend, ended.kind, ended.message))
            return True
        answered = self.first - 1 if poisoned else None
        stuck = answered if self.current is None else self.current
        if stuck is not None:
            self._end_case(stuck, ended)
        return self.first >= len(self.request.cases)

    def _end_case(self, index: int, ended: Ended) -> None:
        """Repeat a case without the likely cause: a capture, or else the search.

        The search then stays off, because each failure costs a new process; if the repeated case
        fails too, the search was not the cause.
        """
        case, self.first = self.request.cases[index], index
        if ended.way and ended.way not in self.uncaptured:
            self.uncaptured.append(ended.way)
            remedy = "measuring this way without a graph"
        elif self.search:
            self.search, self.suspect = False, index
            remedy = "repeating it and measuring the others without the algorithm search"
        else:
            self.search, self.first = self.suspect == index, index + 1
            kind = "hung" if ended.how == "timeout" else ended.kind
            failed = {"index": index, "status": "failed", "class": kind, "why": ended.message}
            self._add(Result.model_validate(case.identity | failed))
            return
        self.emit(LogMessage(f"{case.name}: {ended.message.rstrip('.')}; {remedy}."))
