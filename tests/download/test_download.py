"""Downloads from a local server resume, are verified, and fail with clear messages."""

from __future__ import annotations

import hashlib
import io
import re
import socket
import tarfile
import threading
import zipfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from lbc import config
from lbc.cli import main as cli
from lbc.data import load
from lbc.download.archive import unpack
from lbc.download.datasets import DATASETS, RemoteFile
from lbc.download.transfer import DownloadError, fetch
from tests.data.test_cifar import TEN, ten

CONTENT = np.random.default_rng(0).bytes(300_000)


class Server(ThreadingHTTPServer):
    """Serves ``files``, closes after ``breaks_after`` bytes, and records requested ranges."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files: dict[str, bytes] = {}
        self.breaks_after: int | None = None
        self.supports_ranges = True
        self.declares_length = True
        self.absurd = False
        self.ranges: list[str] = []

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def remote(self, name: str, content: bytes = CONTENT) -> RemoteFile:
        self.files[f"/{name}"] = content
        digest = hashlib.sha256(content).hexdigest()
        return RemoteFile(f"{self.address}/{name}", name, len(content), digest)


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        requested = self.headers.get("Range", "")
        self.server.ranges.append(requested)
        content = self.server.files.get(self.path)
        if content is None:
            self.send_error(404)
            return
        start = int(requested[6:-1]) if requested and self.server.supports_ranges else 0
        if start >= len(content):
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(content)}")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self.send_response(206 if start else 200)
        if self.server.absurd:
            self.send_header("Content-Range", f"bytes {'9' * 5000}-")
            self.send_header("Content-Length", "9" * 5000)
        elif start:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        if self.server.declares_length and not self.server.absurd:
            self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        with suppress(ConnectionError):  # the client leaves when it has seen enough
            self.wfile.write(content[start:][: self.server.breaks_after])

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


def error_message(remote: RemoteFile, folder: Path) -> str:
    with pytest.raises(DownloadError) as caught:
        fetch(remote, folder)
    sentence = str(caught.value)
    assert remote.url in sentence and "\n" not in sentence and sentence.endswith(".")
    return sentence


def test_a_file_is_downloaded_once_and_progress_is_reported(server: Server, tmp_path: Path) -> None:
    reported: list[tuple[int, int | None]] = []
    remote = server.remote("a.bin")
    path = fetch(remote, tmp_path / "new" / "folder", lambda *now: reported.append(now))
    assert path == tmp_path / "new" / "folder" / "a.bin" and path.read_bytes() == CONTENT
    assert reported[0] == (0, len(CONTENT)) and reported[-1] == (len(CONTENT), len(CONTENT))
    assert fetch(remote, path.parent) == path
    assert len(server.ranges) == 1
    assert [file.name for file in path.parent.iterdir()] == ["a.bin"]


def test_an_interrupted_download_is_resumed(server: Server, tmp_path: Path) -> None:
    remote = server.remote("a.bin")
    server.breaks_after = 120_000
    for part in (120_000, 240_000):
        assert "which resumes the download" in error_message(remote, tmp_path)
        assert (tmp_path / "a.bin.part").stat().st_size == part
    reported: list[int] = []
    fetch(remote, tmp_path, lambda received, _: reported.append(received))
    assert (tmp_path / "a.bin").read_bytes() == CONTENT
    assert server.ranges == ["", "bytes=120000-", "bytes=240000-"] and reported[0] == 240_000
    assert [file.name for file in tmp_path.iterdir()] == ["a.bin"]


def test_a_download_restarts_if_the_server_ignores_ranges(server: Server, tmp_path: Path) -> None:
    remote = server.remote("a.bin")
    (tmp_path / "a.bin.part").write_bytes(b"x" * 1000)
    server.supports_ranges = False
    assert fetch(remote, tmp_path).read_bytes() == CONTENT


def test_a_partial_file_that_is_complete_or_too_long_is_handled(
    server: Server, tmp_path: Path
) -> None:
    remote = server.remote("a.bin")
    (tmp_path / "a.bin.part").write_bytes(CONTENT)
    assert fetch(remote, tmp_path).read_bytes() == CONTENT
    assert server.ranges == ["bytes=300000-"]
    (tmp_path / "a.bin").unlink()
    (tmp_path / "a.bin.part").write_bytes(CONTENT + b"more")
    assert fetch(remote, tmp_path).read_bytes() == CONTENT


def test_a_wrong_checksum_leaves_no_file_and_a_damaged_file_is_replaced(
    server: Server, tmp_path: Path
) -> None:
    good = server.remote("a.bin")
    server.files["/a.bin"] = CONTENT[:-1] + b"?"
    assert f"whose SHA-256 is not {good.sha256}" in error_message(good, tmp_path)
    assert not list(tmp_path.iterdir())
    server.remote("a.bin")
    (tmp_path / "a.bin").write_bytes(b"damaged")
    assert fetch(good, tmp_path).read_bytes() == CONTENT


def test_a_partial_download_of_another_file_is_rejected(server: Server, tmp_path: Path) -> None:
    remote = server.remote("a.bin")
    (tmp_path / "a.bin.part").write_bytes(b"x" * 1000)
    assert "whose SHA-256 is not" in error_message(remote, tmp_path)
    assert fetch(remote, tmp_path).read_bytes() == CONTENT


def test_a_missing_file_and_no_network_are_clear_errors(server: Server, tmp_path: Path) -> None:
    missing = RemoteFile(f"{server.address}/b.bin", "b.bin", 9, "0" * 64)
    assert "returned 404" in error_message(missing, tmp_path)
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # bound, but not listening
        port = unused.getsockname()[1]
        silent = RemoteFile(f"http://127.0.0.1:{port}/a.bin", "a.bin", 9, "0" * 64)
        assert "could not be downloaded (" in error_message(silent, tmp_path)


def test_an_error_names_a_file_where_a_folder_is_needed(
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


def test_an_archive_is_unpacked_where_its_loader_expects_it(server: Server, tmp_path: Path) -> None:
    ten(tmp_path / "made")
    content = archive_of(tmp_path / "made", "cifar-10-batches-bin")
    unpack(fetch(server.remote("cifar-10-binary.tar.gz", content), tmp_path / "got"))
    assert {file.name for file in (tmp_path / "got" / "cifar-10-batches-bin").iterdir()} == {*TEN}
    assert load(config.Cifar10(folder=tmp_path / "got")).classes == 10


def test_a_zip_is_unpacked_and_an_invalid_archive_is_rejected(
    server: Server, tmp_path: Path
) -> None:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("gzip/emnist-x.gz", b"abc")
    unpack(fetch(server.remote("emnist.zip", content.getvalue()), tmp_path))
    assert (tmp_path / "gzip" / "emnist-x.gz").read_bytes() == b"abc"
    for name in ("b.zip", "b.tar.gz"):
        (tmp_path / name).write_bytes(b"invalid")
        with pytest.raises(DownloadError, match=re.escape(name)):
            unpack(tmp_path / name)


def test_the_command_downloads_every_file_from_the_mirror(
    server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    chosen = DATASETS["mnist"]
    files = tuple(server.remote(file.name, CONTENT[:1000]) for file in chosen.files)
    own = type(chosen)(chosen.title, files, chosen.settings)
    monkeypatch.setitem(DATASETS, "mnist", own)
    monkeypatch.chdir(tmp_path)
    assert cli.main(["data", "download", "mnist", "--mirror", f"{server.address}/"]) == 0
    out = capsys.readouterr().out
    assert f"data: {{name: idx, folder: {tmp_path / 'data' / 'mnist'}}}" in out
    assert len(list((tmp_path / "data" / "mnist").iterdir())) == 4


def test_a_checksum_that_differs_from_the_published_one_fails_the_command(
    server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    server.remote("gzip.zip", b"not EMNIST")
    (emnist,) = DATASETS["emnist"].files
    small = (replace(emnist, size=10),)
    monkeypatch.setitem(DATASETS, "emnist", replace(DATASETS["emnist"], files=small))
    command = ["data", "download", "emnist", "--to", str(tmp_path), "--mirror", server.address]
    assert cli.main(command) == 1
    assert f"SHA-256 is not {emnist.sha256}" in capsys.readouterr().err


def test_every_data_set_has_a_size_a_sha256_and_an_encrypted_address() -> None:
    assert set(DATASETS) == {"mnist", "fashion-mnist", "kmnist", "emnist", "cifar-10", "cifar-100"}
    files = [file for chosen in DATASETS.values() for file in chosen.files]
    assert len({file.sha256 for file in files}) == len({file.size for file in files}) == 15
    assert all(re.fullmatch("[0-9a-f]{64}", file.sha256) for file in files)
    assert all(file.url.startswith("https://") for file in files)


@pytest.mark.parametrize("declared", [True, False])
def test_a_server_cannot_fill_the_disk(server: Server, tmp_path: Path, declared: bool) -> None:
    remote = server.remote("a.bin")
    server.files["/a.bin"] = CONTENT * 40
    server.declares_length = declared
    message = error_message(remote, tmp_path)
    assert "instead of 300,000; nothing was kept" in message
    assert (f"sends {len(CONTENT) * 40:,} bytes" in message) == declared
    assert not list(tmp_path.iterdir())


def test_a_server_that_sends_another_file_or_nonsense_is_named(
    server: Server, tmp_path: Path
) -> None:
    remote = server.remote("a.bin")
    server.files["/a.bin"] = CONTENT[:100]
    assert "sends 100 bytes instead of 300,000" in error_message(remote, tmp_path)
    server.files["/a.bin"] = b""  # which this server answers as if a range had been asked for
    assert "returned 416" in error_message(remote, tmp_path)


def test_numbers_of_a_server_that_are_absurd_are_ignored(server: Server, tmp_path: Path) -> None:
    remote = server.remote("a.bin")
    server.absurd = True
    assert fetch(remote, tmp_path).read_bytes() == CONTENT
    (tmp_path / "a.bin").unlink()
    (tmp_path / "a.bin.part").write_bytes(CONTENT[:100])
    assert "could not be downloaded" in error_message(remote, tmp_path)
