"""A local sshd with its own keys, for the tests of what goes over ssh."""

from __future__ import annotations

import getpass
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

SSHD = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
CLIENT = shutil.which("ssh")
HOST = "gpu-07"
"""The name by which ssh knows the server."""


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def install_ssh(folder: Path, monkeypatch: pytest.MonkeyPatch, settings: str) -> None:
    """Put the real client first in PATH, with its own settings; it writes its process ids."""
    (folder / "config").write_text(settings)
    (folder / "bin").mkdir()
    program = folder / "bin" / "ssh"
    program.write_text(
        f'#!/bin/sh\necho $$ >> {folder}/pids\nexec {CLIENT} -F {folder}/config "$@"\n'
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}/bin{os.pathsep}{os.environ['PATH']}")


@contextmanager
def running_sshd(
    folder: Path, monkeypatch: pytest.MonkeyPatch, environment: str = ""
) -> Iterator[int]:
    """Run sshd and let ssh know it as ``HOST``; its port. Skips the test where there is none."""
    if SSHD is None or CLIENT is None or shutil.which("ssh-keygen") is None:
        pytest.skip("OpenSSH server and client are not installed")
    for name in ("host", "user"):
        keygen = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)]
        subprocess.run(keygen, check=True)
    shutil.copy(folder / "user.pub", folder / "authorized_keys")
    port = free_port()
    (folder / "banner").write_text("Authorised use only.\n")
    (folder / "sshd_config").write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {folder}/host\nStrictModes no\n"
        f"AuthorizedKeysFile {folder}/authorized_keys\nUsePAM no\nPidFile none\n"
        f"Banner {folder}/banner\n"
        f"SetEnv XDG_CACHE_HOME={folder}/cache OMP_NUM_THREADS=1 {environment}\n"
    )
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)
    sshd = subprocess.Popen(
        [SSHD, "-D", "-e", "-f", str(folder / "sshd_config")],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    install_ssh(
        folder,
        monkeypatch,
        f"Host {HOST}\nHostName 127.0.0.1\nPort {port}\nUser {getpass.getuser()}\n"
        f"IdentityFile {folder}/user\nIdentitiesOnly yes\nStrictHostKeyChecking no\n"
        f"UserKnownHostsFile {folder}/known_hosts\n",
    )
    try:
        for _ in range(100):
            if subprocess.run(["ssh", HOST, "true"], capture_output=True).returncode == 0:
                break
            if sshd.poll() is not None:
                pytest.skip("this machine's sshd does not start")
            time.sleep(0.05)
        else:
            pytest.skip("this machine's sshd accepts no login")
        yield port
    finally:
        sshd.terminate()
        sshd.wait()
