"""One file from the internet: begun again where it broke off, and kept only if it is the right one.

pooch decides whether a file is there already and checks what has come; it downloads into a file
that it removes when the connection breaks, so downloading itself is done here.
"""

from __future__ import annotations

import logging
import re
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pooch
import requests
import urllib3

from lbc.download.sets import Remote

SECONDS = 30
"""How long a server may be silent."""

PIECE = 1 << 16

Progress = Callable[[int, int | None], None]
"""Is told how many bytes of how many are there; None where the server does not say."""


class DownloadError(Exception):
    """A file could not be had; one sentence that says what to do."""


def fetch(remote: Remote, folder: Path, progress: Progress = lambda done, total: None) -> Path:
    """The file in ``folder``, downloaded unless it is there already and right.

    A connection that broke is taken up by the next call. Raises DownloadError; OSError where the
    folder cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    pooch.get_logger().setLevel(logging.WARNING)  # progress says it better
    downloader = _Resuming(folder / f"{remote.name}.part", progress)
    try:
        pooch.retrieve(remote.url, f"md5:{remote.md5}", remote.name, folder, downloader=downloader)
    except requests.HTTPError as error:
        status = error.response.status_code if error.response is not None else "nothing"
        raise DownloadError(
            f"{remote.url} answers {status}: try again later, or put {remote.name} into {folder} "
            f"yourself."
        ) from error
    except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
        raise DownloadError(
            f"{remote.url} cannot be reached ({_reason(error)}): see whether this machine has a "
            f"network and give the command again; what came so far is kept."
        ) from error
    except ValueError as error:  # pooch's word for a wrong checksum
        raise DownloadError(
            f"{remote.url} sent a file with another checksum than {remote.md5}, which was thrown "
            f"away: give the command again, or get {remote.name} elsewhere."
        ) from error
    return folder / remote.name


def unpack(archive: Path) -> None:
    """Unfold a .zip or .tar.gz beside itself. Raises DownloadError where it is neither."""
    processor = pooch.Unzip if archive.suffix == ".zip" else pooch.Untar
    try:
        processor(extract_dir=".")(str(archive), "download", None)
    except (tarfile.TarError, zipfile.BadZipFile, EOFError, ValueError) as error:
        raise DownloadError(f"{archive} cannot be unpacked ({error}): delete it.") from error


class _Resuming:
    """pooch's downloader: a broken download stays in ``part`` and is gone on with."""

    def __init__(self, part: Path, progress: Progress) -> None:
        self._part = part
        self._progress = progress

    def __call__(self, url: str, output: str | Path, _: Any) -> None:
        # Of the file as it is stored: a server that packs it on the way could not go on with it.
        headers = {"Accept-Encoding": "identity"}
        there = self._part.stat().st_size if self._part.exists() else 0
        if there:
            headers["Range"] = f"bytes={there}-"
        with requests.get(url, headers=headers, stream=True, timeout=SECONDS) as answer:
            if answer.status_code != requests.codes.range_not_satisfiable:
                answer.raise_for_status()
                self._take(answer, there)
            elif _total(answer) != there:  # else all of it is there
                self._part.unlink()
                self(url, output, _)
                return
        self._part.replace(output)

    def _take(self, answer: requests.Response, there: int) -> None:
        resumed = answer.status_code == requests.codes.partial_content
        begin = there if resumed and _begin(answer) == there else 0
        if resumed and not begin:
            raise requests.ConnectionError("the server sent another part than was asked for")
        length = answer.headers.get("Content-Length")
        total = begin + int(length) if length else None
        self._progress(begin, total)
        with self._part.open("ab" if begin else "wb") as file:
            for piece in answer.raw.stream(PIECE, decode_content=False):
                begin += file.write(piece)
                self._progress(begin, total)
        if total is not None and begin < total:
            raise requests.ConnectionError("the connection broke")


def _begin(answer: requests.Response) -> int | None:
    """Where the part that is sent begins."""
    found = re.match(r"bytes (\d+)-", answer.headers.get("Content-Range", ""))
    return int(found[1]) if found else None


def _total(answer: requests.Response) -> int | None:
    """How long the whole file is, as a server says that has nothing left to send."""
    found = re.fullmatch(r"bytes \*/(\d+)", answer.headers.get("Content-Range", ""))
    return int(found[1]) if found else None


def _reason(error: BaseException) -> str:
    """The innermost cause, which is the one that says something."""
    while (inner := getattr(error, "reason", None) or error.__cause__ or _first(error)) is not None:
        error = inner
    said = getattr(error, "strerror", None) or re.sub(r"^.*?>: ", "", str(error))
    return str(said).partition("\n")[0].rstrip(".") or type(error).__name__


def _first(error: BaseException) -> BaseException | None:
    found = [given for given in error.args if isinstance(given, BaseException)]
    return found[0] if found else None
