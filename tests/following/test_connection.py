"""Servers that cannot be followed, each with one sentence, and hostile ones."""

from __future__ import annotations

import io
import struct
import sys
import zlib
from contextlib import closing
from pathlib import Path

import pytest

import lbc
from lbc.following.address import Address
from lbc.following.messages import Begin, Part, encode, read_from_server, read_from_viewer
from lbc.following.mirror import Mirror
from lbc.following.server import Server
from tests.following.sources import begin_run, program, wait_for

GREETING = b'Welcome!\nno newline here@lbc-follow {"protocol": 1, "version": "0.1.0"}\n'


def framed(document: bytes, data: bytes = b"") -> bytes:
    content = struct.pack("<I", len(document)) + document + data
    return struct.pack("<IIB", len(content), len(content), 0) + content


def ended(tmp_path: Path, command: list[str]) -> Mirror:
    """A mirror whose server has failed or is broken."""
    mirror = Mirror(Address("gpu-07", "/run", "ann", 2222), tmp_path / "copy", command=command)
    with closing(mirror):
        mirror.start()
        wait_for(lambda: bool(mirror.state.message))
    return mirror


@pytest.mark.parametrize(
    ("said", "status", "sentence", "over"),
    [
        ("sh: 1: python3: not found", 127,
         "ann@gpu-07 has no python3: name the Python that has lbc there.", True),
        ("sh: 1: /x/python: Permission denied", 126,
         "ann@gpu-07 has no python3: name the Python that has lbc there.", True),
        ("/usr/bin/python3: No module named lbc", 1,
         "python3 on ann@gpu-07 has no lbc: install LBC Explorer there, or name the Python that "
         "has it.", True),
        ("lbc: error: argument {train}: invalid choice: 'follow' (choose from train)", 2,
         "The version of LBC Explorer on ann@gpu-07 is too old to be followed: install "
         f"{lbc.__version__} there.",
         True),
        ("No ED25519 host key is known.\nHost key verification failed.", 255,
         "The key of ann@gpu-07 is unknown to ssh: connect once with 'ssh -p 2222 ann@gpu-07' in a "
         "terminal, and accept the key if it is the server's.", True),
        ("@ REMOTE HOST IDENTIFICATION HAS CHANGED! @\nHost key verification failed.", 255,
         "The key of ann@gpu-07 is not the one that ssh knows: ask whoever runs the server, and "
         "correct known_hosts only if it was renewed.", True),
        ("ann@gpu-07: Permission denied (publickey,password).", 255,
         "ann@gpu-07 lets no one in from here without a password: set up a key, for example with "
         "'ssh-copy-id -p 2222 ann@gpu-07'.", True),
        ("ssh: connect to host gpu-07 port 2222: Connection refused", 255,
         "ann@gpu-07 cannot be reached (ssh: connect to host gpu-07 port 2222: Connection "
         "refused): try 'ssh -p 2222 ann@gpu-07' in a terminal.", False),
        ("\x1b[2Jnonsense", 3,
         "ann@gpu-07 did not answer as lbc does (\\x1b[2Jnonsense): try 'ssh -p 2222 ann@gpu-07' "
         "in a terminal.", False),
    ],
)  # fmt: skip
def test_a_server_that_cannot_be_followed_is_explained(
    tmp_path: Path, said: str, status: int, sentence: str, over: bool
) -> None:
    text = f"import sys\nprint({said!r}, file=sys.stderr)\nsys.exit({status})"
    mirror = ended(tmp_path, program(text))
    assert mirror.state.message == sentence
    assert mirror.state.over is over


def test_without_ssh_the_package_is_named(tmp_path: Path) -> None:
    mirror = ended(tmp_path, [str(tmp_path / "no-ssh")])
    assert mirror.state.message == "The ssh command was not found: install the OpenSSH client."


def test_a_folder_without_a_run_is_explained(tmp_path: Path) -> None:
    mirror = ended(tmp_path, [sys.executable, "-m", "lbc", "follow", str(tmp_path)])
    assert mirror.state.message == (
        f"ann@gpu-07: {tmp_path} holds no run: it needs the run.json and experiment.yaml of one."
    )


BOMB = zlib.compress(bytes(1 << 24), 9)


@pytest.mark.parametrize(
    "sent",
    [
        b'@lbc-follow {"protocol": 2, "version": "9.0"}\n',
        b"@lbc-follow [1]\n",
        b"x" * (1 << 17),
        GREETING + struct.pack("<IIB", 1 << 30, 1 << 30, 0),
        GREETING + struct.pack("<IIB", len(BOMB), 100, 1) + BOMB,
        GREETING + struct.pack("<IIB", len(BOMB), 1 << 31, 1) + BOMB,
        GREETING + struct.pack("<IIB", 0, 0, 0),
        GREETING + framed(b"{}"),
        GREETING + framed(b"[" * 100_000),
        GREETING + framed(b'{"kind": "begin", "held": {}}'),
        GREETING + framed(b'{"kind": "part", "name": "../../outside", "offset": 0}', b"data"),
        GREETING + framed(b'{"kind": "part", "name": "mirror.json", "offset": 0}', b"data"),
        GREETING + framed(b'{"kind": "part", "name": "steps.records", "offset": 99}', b"data"),
        GREETING + framed(b'{"kind": "part", "name": "steps.records", "offset": -1}', b"data"),
        GREETING + framed(b'{"kind": "whole", "name": "/etc/x", "exists": true}', b"data"),
        GREETING + framed(b'{"kind": "whole", "name": "run.json", "exists": true}', bytes(2 << 20)),
        GREETING + framed(b'{"kind": "status", "trained": true, "missing": -1, "ready": true}'),
    ],
)
def test_a_hostile_server_is_left_with_a_sentence(tmp_path: Path, sent: bytes) -> None:
    (tmp_path / "sent").write_bytes(sent)
    text = (
        "import sys, shutil, time\nshutil.copyfileobj(open(sys.argv[1], 'rb'), sys.stdout.buffer)"
    )
    text += "\nsys.stdout.flush()\ntime.sleep(60)"
    mirror = ended(tmp_path, program(text, str(tmp_path / "sent")))
    assert mirror.state.over
    assert mirror.state.message.startswith("ann@gpu-07: ")
    assert mirror.state.message.endswith(".")
    assert {path.name for path in mirror.folder.iterdir()} == {"mirror.json"}
    assert {path.name for path in tmp_path.iterdir()} == {"copy", "sent"}


def test_another_version_names_both(tmp_path: Path) -> None:
    text = """print('@lbc-follow {"protocol": 2, "version": "9.0"}', flush=True)"""
    assert ended(tmp_path, program(text)).state.message == (
        "ann@gpu-07: LBC Explorer 9.0 there speaks version 2 of this protocol, and "
        f"{lbc.__version__} here version 1: install the same version on both."
    )


@pytest.mark.parametrize(
    "sent",
    [
        framed(b'{"kind": "begin", "held": {"checkpoint.pt": {"size": 0, "sums": []}}}'),
        framed(b'{"kind": "begin", "held": {"../x": {"size": 0, "sums": []}}}'),
        framed(b'{"kind": "begin", "held": {"steps.records": {"size": 9, "sums": []}}}'),
        framed(b'{"kind": "begin", "held": {"steps.records": {"size": -1, "sums": []}}}'),
        framed(b'{"kind": "alive"}'),
        struct.pack("<IIB", 1 << 31, 1 << 31, 0),
        b"",
    ],
)
def test_a_hostile_viewer_gets_nothing(tmp_path: Path, sent: bytes) -> None:
    begin_run(tmp_path / "run")
    output = io.BytesIO()
    Server(tmp_path / "run", io.BytesIO(sent), output).serve()
    greeting, _, rest = output.getvalue().strip(b"\n").partition(b"\n")
    assert greeting.startswith(b"@lbc-follow ")
    assert b"steps" not in rest


def test_messages_arrive_as_they_were_sent() -> None:
    part = Part("scores.history", 12345, data=bytes(range(256)) * 100)
    read = io.BytesIO(encode(part)).read
    assert read_from_server(read) == part
    assert len(encode(part)) < len(part.data)
    assert read_from_viewer(io.BytesIO(encode(Begin({}))).read) == Begin({})
