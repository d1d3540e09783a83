"""Where a worker runs, as the commands that start it."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from pathlib import Path

import pytest

from lbc.latency.cases import Case
from lbc.latency.place import HERE, Place, command_for_server
from tests.latency.conftest import cpu, program


def test_here_it_is_a_file_that_this_python_runs() -> None:
    python, unbuffered, path, job = HERE.command("-")
    assert (python, unbuffered, job) == (sys.executable, "-u", "-")
    assert Path(path).name == "worker.py"
    assert (HERE.remote, HERE.name, HERE.opening()) == (False, "this machine", b"")


def test_there_ssh_is_asked_nothing_and_the_source_comes_first() -> None:
    place = Place("user@server", "/opt/my python/bin/python")
    ssh, *options, host, command = place.command("-")
    assert (ssh, host, place.name) == ("ssh", "user@server", "user@server")
    assert "BatchMode=yes" in options
    assert "ConnectTimeout=10" in options
    assert command.startswith("'/opt/my python/bin/python' -u -c ")
    length, _, source = place.opening().partition(b"\n")
    assert int(length) == len(source)


@pytest.mark.parametrize("host", ["-oProxyCommand=touch x", "a b", "server\n", "\tserver"])
def test_what_ssh_would_read_as_an_option_is_no_host(host: str) -> None:
    with pytest.raises(ValueError, match="is no host: write it as ssh does"):
        Place(host)


def test_the_line_to_paste_holds_a_job_longer_than_any_argument_may_be(tmp_path: Path) -> None:
    mask = bytes(1_000_000)
    job = cpu([Case("masked", 8000, 8, 1000, mask=mask)]).job("float32", "cpu")
    python = program(tmp_path / "it's python", '#!/bin/sh\ntest "$3" = - && exec cat\n')
    line = command_for_server(job, "its job.ndjson", str(python))
    assert "\n" not in line
    subprocess.run(["sh"], input=line, text=True, cwd=tmp_path, check=True)
    told = json.loads((tmp_path / "its job.ndjson").read_text())
    assert base64.b64decode(told["cases"][0]["mask"]) == mask
    assert (told["keep"], told["orphan"]) == (None, "stay")
