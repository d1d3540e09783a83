"""Workers are started, cancelled and replaced; no case is lost or reported twice."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lbc.latency.cases import Case, square
from lbc.latency.place import Place
from lbc.latency.process import WorkerProcess
from lbc.latency.run import (
    CaseDone,
    CaseStarted,
    Event,
    LogMessage,
    Ready,
    Request,
    Settings,
    WorkerFailed,
    measure,
)
from tests.latency.conftest import (
    ENDLESS,
    SMALL,
    answer,
    cpu,
    ends,
    hello,
    indices,
    jobs_of,
    stream,
)

H100_CASES = [square(4096), square(1024), Case("odd", 1000, 2048, 4096)]


def failures(events: list[Event]) -> list[WorkerFailed]:
    return [event for event in events if isinstance(event, WorkerFailed)]


def recorded_run(python: str, **more: Any) -> Request:
    place = Place(python=python)
    return Request.for_device(H100_CASES, "cuda", place=place, backends=("cusparselt",), **more)


def result_line(index: int) -> str:
    case: dict[str, Any] = {"index": index, "name": f"case {index}", "m": 8, "n": 8, "k": 8}
    time = {"way": "dense", "mode": "eager", "dense": True, "median_us": 5, "p10_us": 4,
            "p90_us": 6, "samples": 7, "right": True}  # fmt: skip
    return answer("result", **case, status="measured", times=[time])


def test_this_cpu_is_measured_with_trained_masks_and_in_order() -> None:
    mask = np.packbits(np.tile([1, 1, 1, 0, 1, 0, 0, 0], (8, 4))).tobytes()
    cases = [SMALL[0], Case("trained", 8, 4, 32, mask=mask, share=0.5)]
    events: list[Event] = []
    (measurement,) = measure(cpu(cases), events.append)
    assert [type(event) for event in events if not isinstance(event, LogMessage)] == [
        Ready, CaseStarted, CaseDone, CaseStarted, CaseDone
    ]  # fmt: skip
    assert measurement.device.kind == "cpu"
    assert measurement.device.torch
    first, second = measurement.results
    assert [result.status for result in measurement.results] == ["measured"] * 2
    assert (first.share_valid, second.share_valid) == (1.0, 0.5)
    assert (second.name, second.share) == ("trained", 0.5)


def test_a_killed_worker_loses_only_its_current_case(
    counting_python: str, pids: Callable[[], list[int]]
) -> None:
    events: list[Event] = []

    def emit(event: Event) -> None:
        events.append(event)
        if isinstance(event, CaseStarted) and event.index == 1:
            os.kill(pids()[-1], signal.SIGKILL)

    cases = [SMALL[0], square(2048), SMALL[1]]  # the second takes seconds
    (measurement,) = measure(cpu(cases, place=Place(python=counting_python)), emit)
    assert [result.status for result in measurement.results] == ["measured", "failed", "measured"]
    failed = measurement.results[1]
    assert (failed.kind, failed.why) == ("died", "The worker was killed (signal 9).")
    assert sorted(indices(events)) == [0, 1, 2]
    assert len(pids()) == 2
    assert all(ends(pid) for pid in pids())


def test_the_worker_ends_a_case_that_hangs() -> None:
    hanging = Settings(warmup_seconds=1e6, case_seconds=0.3)
    (measurement,) = measure(cpu(SMALL[:1], hanging), lambda event: None)
    (result,) = measurement.results
    assert (result.kind, result.why) == ("hung", "The case took too long.")


def test_the_cases_after_a_hung_one_are_measured(recorded: Callable[..., str]) -> None:
    timeout = answer("timeout", what="case", index=0, seconds=1.0)
    python = recorded(
        hello() + answer("start", index=0) + timeout,
        hello() + answer("start", index=1) + result_line(1) + answer("done"),
    )
    events: list[Event] = []
    (measurement,) = measure(cpu(SMALL[:2], place=Place(python=python)), events.append)
    assert [result.kind for result in measurement.results] == ["hung", ""]
    assert indices(events) == [0, 1]
    assert failures(events) == []


def test_a_case_that_breaks_the_gpu_is_repeated_without_search(
    recorded: Callable[..., str],
) -> None:
    whole = stream("h100-synthetic")
    start = whole.index('\n@lbc-latency {"kind": "start", "index": 1}')
    python = recorded(
        stream("h100-synthetic-poisoned"), stream("h100-synthetic-poisoned").partition("\n\n")[0]
        + whole[whole.index("\n@lbc-latency") : whole.index('\n@lbc-latency {"kind": "start"')]
        + whole[start:],
    )  # fmt: skip
    events: list[Event] = []
    (measurement,) = measure(recorded_run(python), events.append)
    assert [result.status for result in measurement.results] == ["measured"] * 3
    log = [event.text for event in events if isinstance(event, LogMessage)]
    assert any(
        "illegal instruction" in text and "without the algorithm search" in text for text in log
    )
    searches = [(job["first"], job["search"]) for job in jobs_of(python)]
    assert searches == [(0, True), (1, False)], "and the cases after it without one too"


def test_a_case_that_breaks_the_gpu_twice_fails_and_the_next_is_measured(
    recorded: Callable[..., str],
) -> None:
    poisoned, whole = stream("h100-synthetic-poisoned"), stream("h100-synthetic")
    third = whole[: whole.index('\n@lbc-latency {"kind": "start", "index": 0}')]
    third += whole[whole.index('\n@lbc-latency {"kind": "start", "index": 2}') :]
    python = recorded(poisoned, poisoned, third)
    (measurement,) = measure(recorded_run(python), lambda event: None)
    assert [result.kind for result in measurement.results] == ["", "poisoned", ""]
    assert "illegal instruction" in measurement.results[1].why
    searches = [(job["first"], job["search"]) for job in jobs_of(python)]
    assert searches == [(0, True), (1, False), (2, True)], "the search was not the cause"


def test_a_way_that_cannot_be_captured_is_then_measured_without_a_graph(
    recorded: Callable[..., str],
) -> None:
    failed = {"class": "poisoned", "message": "x cannot be captured in a CUDA graph.", "way": "x"}
    start, whole = hello() + answer("start", index=0), result_line(0) + answer("done")
    python = recorded(start + answer("failed", **failed), start + whole)
    events: list[Event] = []
    place = Place(python=python)
    request = Request.for_device(SMALL[:1], "cuda", place=place, backends=("cusparselt",))
    (measurement,) = measure(request, events.append)
    assert [result.status for result in measurement.results] == ["measured"]
    assert [(job["uncaptured"], job["search"]) for job in jobs_of(python)] == [
        ([], True), (["x"], True)
    ]  # fmt: skip
    assert any("measuring this way without a graph" in str(event) for event in events)


def test_a_case_has_half_a_minute_on_a_gpu_and_longer_on_a_cpu_and_for_compiling() -> None:
    gpu = Request.for_device(SMALL, "cuda")
    assert gpu.job("bfloat16", "cusparselt")["case_seconds"] == 30
    assert cpu(SMALL).job("float32", "cpu")["case_seconds"] == 120
    compiling = Request.for_device(SMALL, "cuda", settings=Settings(compile=True))
    assert compiling.case_seconds == 120


def test_without_search_a_case_that_breaks_the_gpu_is_not_repeated(
    recorded: Callable[..., str],
) -> None:
    whole = stream("h100-synthetic")
    third = whole[: whole.index('\n@lbc-latency {"kind": "start", "index": 0}')]
    third += whole[whole.index('\n@lbc-latency {"kind": "start", "index": 2}') :]
    python = recorded(stream("h100-synthetic-poisoned"), third)
    request = recorded_run(python, settings=Settings(search=False))
    (measurement,) = measure(request, lambda event: None)
    assert [result.kind for result in measurement.results] == ["", "poisoned", ""]


def test_the_intervals_of_several_processes_are_shown_together(
    recorded: Callable[..., str],
) -> None:
    first = stream("h100-synthetic")
    (once,) = measure(recorded_run(recorded(first)), lambda event: None)
    python = recorded(
        first, first.replace('"low": 1.', '"low": 0.').replace('"high": 1', '"high": 2')
    )
    events: list[Event] = []
    (twice,) = measure(recorded_run(python, processes=2), events.append)
    for one, two in zip(once.results, twice.results, strict=True):
        assert one.times == two.times
        for a, b in zip(one.ratios, two.ratios, strict=True):
            assert b.ratio == a.ratio
            assert b.low == pytest.approx(a.low - 1 if a.low >= 1 else a.low)
            assert b.high == pytest.approx(a.high + 1 if a.high >= 1 else a.high)
    assert [event.measurement for event in events if isinstance(event, CaseDone)][-1] == twice


def test_a_worker_that_dies_between_two_cases_loses_neither(recorded: Callable[..., str]) -> None:
    python = recorded(
        hello() + answer("start", index=0) + result_line(0),
        hello() + answer("start", index=1) + result_line(1) + answer("done"),
    )
    (measurement,) = measure(cpu(SMALL[:2], place=Place(python=python)), lambda event: None)
    assert [result.status for result in measurement.results] == ["measured", "measured"]


def test_a_replacement_that_dies_at_once_ends_the_measurement(recorded: Callable[..., str]) -> None:
    python = recorded(hello() + answer("start", index=0) + result_line(0), "", "", "")
    events: list[Event] = []
    (measurement,) = measure(cpu(SMALL, place=Place(python=python)), events.append)
    assert [result.index for result in measurement.results] == [0]
    (failure,) = failures(events)
    assert "did not start" in failure.message


def test_a_replacement_that_dies_before_any_case_ends_the_measurement(
    recorded: Callable[..., str],
) -> None:
    python = recorded(hello() + answer("start", index=0) + result_line(0), hello(), hello())
    events: list[Event] = []
    (measurement,) = measure(cpu(SMALL, place=Place(python=python)), events.append)
    assert [result.index for result in measurement.results] == [0]
    (failure,) = failures(events)
    assert failure.message == "The worker died (0)."


def test_damaged_lines_unknown_indices_and_repeats_are_ignored(
    recorded: Callable[..., str],
) -> None:
    python = recorded(
        "Welcome!" + hello() + answer("start", index=7) + answer("start", index=0)
        + "\n@lbc-latency {half\n" + result_line(9) + result_line(0) + result_line(0)
        + answer("start", index=0) + answer("news", of="the day") + answer("done") + "@lbc-lat"
    )  # fmt: skip
    events: list[Event] = []
    (measurement,) = measure(cpu(SMALL[:1], place=Place(python=python)), events.append)
    assert indices(events) == [0]
    assert [result.index for result in measurement.results] == [0]
    log = [event.text for event in events if isinstance(event, LogMessage)]
    assert "Welcome!" in log
    assert any("damaged" in text for text in log)


def test_a_silent_worker_is_killed(recorded: Callable[..., str]) -> None:
    python = recorded(hello() + answer("start", index=0) + "\n(silence)", "")
    settings = Settings(case_seconds=-59.5)  # the limit for silence is a minute longer
    events: list[Event] = []
    (measurement,) = measure(cpu(SMALL[:1], settings, place=Place(python=python)), events.append)
    (result,) = measurement.results
    assert (result.kind, result.why) == ("hung", "The case took too long.")


def test_a_child_that_keeps_the_pipe_open_causes_no_delay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lbc.latency.process.END_SECONDS", 0.1)
    python = tmp_path / "python"
    python.write_text(f"#!/bin/sh\ncat > /dev/null &\nsleep 30 &\necho '{hello().strip()}'\nexit 1")
    python.chmod(0o755)
    events: list[Event] = []
    thread = threading.Thread(
        target=lambda: measure(cpu(SMALL[:1], place=Place(python=str(python))), events.append)
    )
    thread.start()
    thread.join(25)
    assert not thread.is_alive()
    assert failures(events)[0].kind == "died"


def test_a_worker_that_does_not_read_its_job_can_be_cancelled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lbc.latency.process.CANCEL_SECONDS", 0.2)
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\nexec sleep 1000\n")
    python.chmod(0o755)
    case = Case("masked", 8000, 8, 4000, mask=bytes(4_000_000))
    process = WorkerProcess(Place(python=str(python)), cpu([case]).job("float32", "cpu"))
    thread = threading.Thread(target=process.cancel)
    thread.start()
    thread.join(20)
    assert not thread.is_alive()


def test_cancelling_ends_the_worker_and_keeps_the_results(
    counting_python: str, pids: Callable[[], list[int]]
) -> None:
    cancel = threading.Event()
    request = cpu(SMALL[:2], ENDLESS, place=Place(python=counting_python))
    measurements = measure(
        request, lambda event: cancel.set() if isinstance(event, CaseStarted) else None, cancel
    )
    assert [measurement.results for measurement in measurements] == [()]
    assert ends(pids()[0])


def test_a_failure_of_every_backend_is_reported_once(recorded: Callable[..., str]) -> None:
    refusal = answer("failed", **{"class": "no GPU", "message": "No GPU here."})
    place = Place(python=recorded(refusal, refusal))
    events: list[Event] = []
    assert measure(Request.for_device(SMALL, "cuda", place=place), events.append) == ()
    assert [failure.message for failure in failures(events)] == ["No GPU here."]


def test_a_missing_python_is_reported() -> None:
    events: list[Event] = []
    assert measure(cpu([], place=Place(python="/no/such/python")), events.append) == ()
    (failure,) = failures(events)
    assert (failure.kind, "/no/such/python cannot be started" in failure.message) == (
        "python", True
    )  # fmt: skip


def test_an_exception_in_the_callback_leaves_no_worker_running(
    counting_python: str, pids: Callable[[], list[int]]
) -> None:
    def emit(event: Event) -> None:
        raise RuntimeError("the window is closed")

    with pytest.raises(RuntimeError, match="the window is closed"):
        measure(cpu(SMALL, ENDLESS, place=Place(python=counting_python)), emit)
    assert ends(pids()[0])


def test_a_worker_ends_when_its_parent_is_killed(
    tmp_path: Path, counting_python: str, pids: Callable[[], list[int]]
) -> None:
    code = (
        "import sys\n"
        "from lbc.latency.place import Place\n"
        "from lbc.latency.run import CaseStarted, measure\n"
        "from tests.latency.conftest import ENDLESS, SMALL, cpu\n"
        "request = cpu(SMALL, ENDLESS, place=Place(python=sys.argv[1]))\n"
        "measure(request, lambda event: print('started', flush=True)"
        " if isinstance(event, CaseStarted) else None)\n"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", code, counting_python], stdout=subprocess.PIPE, text=True
    )
    assert parent.stdout is not None
    assert parent.stdout.readline() == "started\n"
    parent.kill()
    parent.wait()
    parent.stdout.close()
    assert ends(pids()[0])
