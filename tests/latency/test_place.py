"""The commands that start a worker on this machine or a server."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from pathlib import Path

import pytest

from lbc.latency.cases import Case
from lbc.latency.place import HERE, Place, command_for_server
from tests.latency.conftest import cpu, write_program


def test_on_this_machine_python_runs_the_worker_file() -> None:
    python, unbuffered, path, job = HERE.command("-")
    assert (python, unbuffered, job) == (sys.executable, "-u", "-")
    assert Path(path).name == "worker.py"
    assert (HERE.remote, HERE.name, HERE.opening()) == (False, "this machine", b"")


def test_on_a_server_ssh_never_prompts_and_the_source_is_sent_first() -> None:
    place = Place("user@server", "/opt/my python/bin/python")
    ssh, *options, host, command = place.command("-")
    assert (ssh, host, place.name) == ("ssh", "user@server", "user@server")
    assert "BatchMode=yes" in options
    assert "ConnectTimeout=10" in options
    assert command.startswith("'/opt/my python/bin/python' -u -c ")
    length, _, source = place.opening().partition(b"\n")
    assert int(length) == len(source)


@pytest.mark.parametrize("host", ["-oProxyCommand=touch x", "a b", "server\n", "\tserver"])
def test_an_ssh_option_is_not_a_host(host: str) -> None:
    with pytest.raises(ValueError, match="is not a host: write it as for ssh"):
        Place(host)


def test_the_line_to_paste_may_exceed_the_length_of_an_argument(tmp_path: Path) -> None:
    mask = bytes(1_000_000)
    job = cpu([Case("masked", 8000, 8, 1000, mask=mask)]).job("float32", "cpu")
    python = write_program(tmp_path / "it's python", '#!/bin/sh\ntest "$3" = - && exec cat\n')
    line = command_for_server(job, "its job.ndjson", str(python))
    assert "\n" not in line
    subprocess.run(["sh"], input=line, text=True, cwd=tmp_path, check=True)
    received = json.loads((tmp_path / "its job.ndjson").read_text())
    assert base64.b64decode(received["cases"][0]["mask"]) == mask
    assert (received["keep"], received["orphan"]) == (None, "stay")
