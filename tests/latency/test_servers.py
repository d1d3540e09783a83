"""Measuring over ssh: banners, broken connections, recovery and cancelling.

The tests use a fake ssh command and, if installed, OpenSSH.
"""

from __future__ import annotations

import getpass
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lbc.latency.cases import square
from lbc.latency.place import Place
from lbc.latency.run import CaseDone, CaseStarted, Event, LogMessage, WorkerFailed, measure
from tests.latency.conftest import ENDLESS, SMALL, answer, cpu, ends, hello, indices, write_program

SSHD = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
CLIENT = shutil.which("ssh")

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


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def install_ssh(folder: Path, monkeypatch: pytest.MonkeyPatch, settings: str) -> None:
    """Put the real client first in PATH, with its own settings; it writes its process ids."""
    (folder / "config").write_text(settings)
    (folder / "bin").mkdir()
    write_program(
        folder / "bin" / "ssh",
        f'#!/bin/sh\necho $$ >> {folder}/pids\nexec {CLIENT} -F {folder}/config "$@"\n',
    )
    monkeypatch.setenv("PATH", f"{folder}/bin{os.pathsep}{os.environ['PATH']}")


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    """A local sshd with its own keys, known to ssh as gpu-07."""
    if SSHD is None or CLIENT is None or shutil.which("ssh-keygen") is None:
        pytest.skip("OpenSSH server and client are not installed")
    for name in ("host", "user"):
        keygen = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / name)]
        subprocess.run(keygen, check=True)
    shutil.copy(tmp_path / "user.pub", tmp_path / "authorized_keys")
    port = free_port()
    (tmp_path / "banner").write_text("Authorised use only.\n")
    (tmp_path / "sshd_config").write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {tmp_path}/host\nStrictModes no\n"
        f"AuthorizedKeysFile {tmp_path}/authorized_keys\nUsePAM no\nPidFile none\n"
        f"Banner {tmp_path}/banner\nSetEnv XDG_CACHE_HOME={tmp_path}/cache OMP_NUM_THREADS=1\n"
    )
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)
    sshd = subprocess.Popen(
        [SSHD, "-D", "-e", "-f", str(tmp_path / "sshd_config")],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    install_ssh(
        tmp_path,
        monkeypatch,
        f"Host gpu-07\nHostName 127.0.0.1\nPort {port}\nUser {getpass.getuser()}\n"
        f"IdentityFile {tmp_path}/user\nIdentitiesOnly yes\nStrictHostKeyChecking no\n"
        f"UserKnownHostsFile {tmp_path}/known_hosts\n",
    )
    try:
        for _ in range(100):
            if subprocess.run(["ssh", "gpu-07", "true"], capture_output=True).returncode == 0:
                break
            if sshd.poll() is not None:
                pytest.skip("this machine's sshd does not start")
            time.sleep(0.05)
        else:
            pytest.skip("this machine's sshd accepts no login")
        yield Place("gpu-07", sys.executable)
    finally:
        sshd.terminate()
        sshd.wait()


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
