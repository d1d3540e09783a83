"""Measuring over ssh: banners, broken connections, recovery and cancelling.

The tests use a fake ssh command and, if installed, OpenSSH.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lbc.latency.cases import square
from lbc.latency.place import Place
from lbc.latency.run import CaseDone, CaseStarted, Event, LogMessage, WorkerFailed, measure
from tests.latency.conftest import ENDLESS, SMALL, answer, cpu, ends, hello, indices
from tests.ssh_server import CLIENT, HOST, free_port, install_ssh, running_sshd

SERVER = Place("user@server", sys.executable)


def failure(events: list[Event]) -> WorkerFailed:
    (found,) = [event for event in events if isinstance(event, WorkerFailed)]
    return found


def log_of(events: list[Event]) -> list[str]:
    return [event.text for event in events if isinstance(event, LogMessage)]


@pytest.mark.parametrize("lines", [1, 4])
def test_a_broken_connection_loses_no_case_and_repeats_none(
    ssh: Path, monkeypatch: pytest.MonkeyPatch, lines: int
) -> None:
    monkeypatch.setenv("FAKE_SSH_LINES", str(lines))
    events: list[Event] = []
    (measurement,) = measure(cpu(SMALL, place=SERVER), events.append)
    assert ssh.exists(), "the connection broke"
    assert indices(events) == [0, 1, 2, 3]
    assert [event.index for event in events if isinstance(event, CaseStarted)] == [0, 1, 2, 3]
    assert [result.status for result in measurement.results] == ["measured"] * 4
    assert measurement.source == "user@server"
    assert "Welcome to user@server." in log_of(events)
    assert any("broke; reconnecting" in text for text in log_of(events))


def test_cancelling_reaches_the_server(
    ssh: Path, counting_python: str, pids: Callable[[], list[int]]
) -> None:
    cancel = threading.Event()
    events: list[Event] = []

    def emit(event: Event) -> None:
        events.append(event)
        if isinstance(event, CaseStarted):
            cancel.set()

    place = Place("user@server", counting_python)
    (measurement,) = measure(cpu(SMALL, ENDLESS, place=place), emit, cancel)
    assert measurement.results == ()
    assert ends(pids()[0])


def test_cancelling_reaches_a_server_whose_connection_has_broken(
    ssh: Path, monkeypatch: pytest.MonkeyPatch, counting_python: str, pids: Callable[[], list[int]]
) -> None:
    monkeypatch.setenv("FAKE_SSH_LINES", "2")
    monkeypatch.setattr("lbc.latency.process.CANCEL_SECONDS", 30.0)
    cancel = threading.Event()

    def emit(event: Event) -> None:
        if isinstance(event, LogMessage) and "broke" in event.text:
            cancel.set()

    place = Place("user@server", counting_python)
    measure(cpu(SMALL[:2], ENDLESS, place=place), emit, cancel)
    assert ssh.exists(), "the connection broke"
    assert len(pids()) == 2
    assert all(ends(pid) for pid in pids())


def test_a_worker_killed_on_the_server_loses_one_case(
    ssh: Path, counting_python: str, pids: Callable[[], list[int]]
) -> None:
    events: list[Event] = []

    def emit(event: Event) -> None:
        events.append(event)
        if isinstance(event, CaseStarted) and event.index == 0 and len(pids()) == 1:
            os.kill(pids()[0], signal.SIGKILL)

    place = Place("user@server", counting_python)
    (measurement,) = measure(cpu([square(2048), SMALL[1]], place=place), emit)
    assert [result.kind for result in measurement.results] == ["died", ""]


def test_a_server_without_the_python_is_reported(ssh: Path) -> None:
    events: list[Event] = []
    measure(cpu(SMALL, place=Place("user@server", "no-such-python")), events.append)
    assert failure(events).kind == "python"
    assert failure(events).message == (
        "user@server has no no-such-python: give a Python that has torch."
    )


def test_a_missing_ssh_command_is_reported_with_the_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    events: list[Event] = []
    assert measure(cpu(SMALL, place=SERVER), events.append) == ()
    assert failure(events).kind == "connection"
    assert "install the OpenSSH client" in failure(events).message


def test_results_missing_on_the_server_are_reported(
    ssh: Path, recorded: Callable[..., str]
) -> None:
    python = recorded(
        hello(), answer("failed", **{"class": "lost", "message": "The server has no results."})
    )
    events: list[Event] = []
    measure(cpu(SMALL, place=Place("user@server", python)), events.append)
    assert failure(events).message == "The server has no results."


# -- OpenSSH --------------------------------------------------------------------------------------


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    """A local sshd with its own keys, known to ssh as gpu-07."""
    with running_sshd(tmp_path, monkeypatch):
        yield Place(HOST, sys.executable)


def test_a_real_server_continues_after_a_broken_connection(
    server: Place, pids: Callable[[], list[int]]
) -> None:
    events: list[Event] = []

    def emit(event: Event) -> None:
        events.append(event)
        if isinstance(event, CaseDone) and event.result.index == 0:
            os.kill(pids()[-1], signal.SIGKILL)

    (measurement,) = measure(cpu(SMALL, place=server), emit)
    assert indices(events) == [0, 1, 2, 3]
    assert [result.status for result in measurement.results] == ["measured"] * 4


@pytest.mark.skipif(CLIENT is None, reason="the OpenSSH client is not installed")
@pytest.mark.parametrize("host", ["127.0.0.1", "no-such-host.invalid"])
def test_an_unreachable_server_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, host: str
) -> None:
    install_ssh(tmp_path, monkeypatch, f"Host *\nPort {free_port()}\n")
    events: list[Event] = []
    assert measure(cpu(SMALL, place=Place(host)), events.append) == ()
    assert failure(events).kind == "connection"
    assert failure(events).message.startswith(f"{host} cannot be reached (ssh: ")
    assert failure(events).message.endswith(f"try 'ssh {host}'.")
