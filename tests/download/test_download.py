"""Data sets are fetched from a server here: gone on with when it breaks, checked, explained."""

from __future__ import annotations

import hashlib
import io
import re
import socket
import tarfile
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from lbc import config
from lbc.cli import main as cli
from lbc.data import load
from lbc.download.sets import SETS, Remote
from lbc.download.transfer import DownloadError, fetch, unpack
from tests.data.test_cifar import TEN, ten

CONTENT = np.random.default_rng(0).bytes(300_000)


class Server(ThreadingHTTPServer):
    """Serves ``files``; breaks off after ``breaks_after`` bytes; keeps what was asked for."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files: dict[str, bytes] = {}
        self.breaks_after: int | None = None
        self.knows_ranges = True
        self.asked: list[str] = []

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def remote(self, name: str, content: bytes = CONTENT) -> Remote:
        self.files[f"/{name}"] = content
        return Remote(f"{self.address}/{name}", name, hashlib.md5(content).hexdigest())


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        wanted = self.headers.get("Range", "")
        self.server.asked.append(wanted)
        content = self.server.files.get(self.path)
        if content is None:
            self.send_error(404)
            return
        begin = int(wanted[6:-1]) if wanted and self.server.knows_ranges else 0
        if begin >= len(content):
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(content)}")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self.send_response(206 if begin else 200)
        if begin:
            self.send_header("Content-Range", f"bytes {begin}-{len(content) - 1}/{len(content)}")
        self.send_header("Content-Length", str(len(content) - begin))
        self.end_headers()
        self.wfile.write(content[begin:][: self.server.breaks_after])

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def refusal(remote: Remote, folder: Path) -> str:
    with pytest.raises(DownloadError) as caught:
        fetch(remote, folder)
    sentence = str(caught.value)
    assert remote.url in sentence and "\n" not in sentence and sentence.endswith(".")
    return sentence


def test_a_file_is_fetched_once_and_told_as_it_comes(server: Server, tmp_path: Path) -> None:
    told: list[tuple[int, int | None]] = []
    remote = server.remote("a.bin")
    path = fetch(remote, tmp_path / "new" / "folder", lambda *now: told.append(now))
    assert path == tmp_path / "new" / "folder" / "a.bin" and path.read_bytes() == CONTENT
    assert told[0] == (0, len(CONTENT)) and told[-1] == (len(CONTENT), len(CONTENT))
    assert fetch(remote, path.parent) == path
    assert len(server.asked) == 1
    assert [file.name for file in path.parent.iterdir()] == ["a.bin"]


def test_a_broken_download_is_gone_on_with(server: Server, tmp_path: Path) -> None:
    remote = server.remote("a.bin")
    server.breaks_after = 120_000
    for part in (120_000, 240_000):
        assert "what came so far is kept" in refusal(remote, tmp_path)
        assert (tmp_path / "a.bin.part").stat().st_size == part
    told: list[int] = []
    fetch(remote, tmp_path, lambda done, _: told.append(done))
    assert (tmp_path / "a.bin").read_bytes() == CONTENT
    assert server.asked == ["", "bytes=120000-", "bytes=240000-"] and told[0] == 240_000
    assert [file.name for file in tmp_path.iterdir()] == ["a.bin"]


def test_a_server_that_cannot_go_on_begins_anew(server: Server, tmp_path: Path) -> None:
    remote = server.remote("a.bin")
    (tmp_path / "a.bin.part").write_bytes(b"x" * 1000)
    server.knows_ranges = False
    assert fetch(remote, tmp_path).read_bytes() == CONTENT


def test_a_part_that_is_whole_or_too_long_is_no_obstacle(server: Server, tmp_path: Path) -> None:
    remote = server.remote("a.bin")
    (tmp_path / "a.bin.part").write_bytes(CONTENT)
    assert fetch(remote, tmp_path).read_bytes() == CONTENT
    assert server.asked == ["bytes=300000-"]
    (tmp_path / "a.bin").unlink()
    (tmp_path / "a.bin.part").write_bytes(CONTENT + b"more")
    assert fetch(remote, tmp_path).read_bytes() == CONTENT


def test_a_wrong_checksum_leaves_nothing_and_damage_is_replaced(
    server: Server, tmp_path: Path
) -> None:
    good = server.remote("a.bin")
    server.files["/a.bin"] = CONTENT[:-1] + b"?"
    assert f"another checksum than {good.md5}" in refusal(good, tmp_path)
    assert not list(tmp_path.iterdir())
    server.remote("a.bin")
    (tmp_path / "a.bin").write_bytes(b"damaged")
    assert fetch(good, tmp_path).read_bytes() == CONTENT


def test_a_part_of_another_file_does_not_pass(server: Server, tmp_path: Path) -> None:
    remote = server.remote("a.bin")
    (tmp_path / "a.bin.part").write_bytes(b"x" * 1000)
    assert "another checksum" in refusal(remote, tmp_path)
    assert fetch(remote, tmp_path).read_bytes() == CONTENT


def test_what_is_not_there_and_no_network_are_sentences(server: Server, tmp_path: Path) -> None:
    missing = Remote(f"{server.address}/b.bin", "b.bin", "0" * 32)
    assert "answers 404" in refusal(missing, tmp_path)
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # and nobody listens
        port = unused.getsockname()[1]
        silent = Remote(f"http://127.0.0.1:{port}/a.bin", "a.bin", "0" * 32)
        assert "cannot be reached (" in refusal(silent, tmp_path)


def test_a_file_in_place_of_the_folder_is_named(
    server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    command = ["data", "download", "mnist", "--to", str(tmp_path / "file")]
    assert cli.main([*command, "--mirror", server.address]) == 1
    assert str(tmp_path / "file") in capsys.readouterr().err


def archive_of(folder: Path, name: str) -> bytes:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w:gz") as archive:
        archive.add(folder, name)
    return content.getvalue()


def test_an_archive_is_unpacked_where_its_loader_looks(server: Server, tmp_path: Path) -> None:
    ten(tmp_path / "made")
    content = archive_of(tmp_path / "made", "cifar-10-batches-bin")
    unpack(fetch(server.remote("cifar-10-binary.tar.gz", content), tmp_path / "got"))
    assert {file.name for file in (tmp_path / "got" / "cifar-10-batches-bin").iterdir()} == {*TEN}
    assert load(config.Cifar10(folder=tmp_path / "got")).classes == 10


def test_a_zip_is_unpacked_and_foreign_bytes_are_not(server: Server, tmp_path: Path) -> None:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("gzip/emnist-x.gz", b"abc")
    unpack(fetch(server.remote("emnist.zip", content.getvalue()), tmp_path))
    assert (tmp_path / "gzip" / "emnist-x.gz").read_bytes() == b"abc"
    for name in ("b.zip", "b.tar.gz"):
        (tmp_path / name).write_bytes(b"foreign")
        with pytest.raises(DownloadError, match=re.escape(name)):
            unpack(tmp_path / name)


def test_the_command_asks_the_mirror_for_every_file(
    server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    chosen = SETS["mnist"]
    files = tuple(server.remote(file.name, CONTENT[:1000]) for file in chosen.files)
    own = type(chosen)(chosen.title, files, chosen.settings)
    monkeypatch.setitem(SETS, "mnist", own)
    monkeypatch.chdir(tmp_path)
    assert cli.main(["data", "download", "mnist", "--mirror", f"{server.address}/"]) == 0
    said = capsys.readouterr().out
    assert f"data: {{name: idx, folder: {tmp_path / 'data' / 'mnist'}}}" in said
    assert len(list((tmp_path / "data" / "mnist").iterdir())) == 4


def test_a_checksum_that_is_not_the_published_one_ends_the_command(
    server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    server.remote("gzip.zip", b"not EMNIST")
    command = ["data", "download", "emnist", "--to", str(tmp_path), "--mirror", server.address]
    assert cli.main(command) == 1
    assert "another checksum than 58c8d27c78d21e728a6bc7b3cc06412e" in capsys.readouterr().err


def test_every_set_is_described_well() -> None:
    assert set(SETS) == {"mnist", "fashion-mnist", "kmnist", "emnist", "cifar-10", "cifar-100"}
    checksums = [file.md5 for chosen in SETS.values() for file in chosen.files]
    assert len(set(checksums)) == len(checksums) == 15
    assert all(re.fullmatch("[0-9a-f]{32}", one) for one in checksums)
