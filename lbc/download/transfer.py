"""Download one file: resume an interrupted transfer, keep the file only if its checksum matches.

pooch checks for an existing file and verifies checksums. Its own downloader deletes the partial
file when the connection breaks, so the transfer itself is implemented here.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pooch
import requests
import urllib3

from lbc.download.datasets import RemoteFile

TIMEOUT_SECONDS = 30
CHUNK_BYTES = 1 << 16

Progress = Callable[[int, int | None], None]
"""Called with (bytes received, total or None)."""


class DownloadError(Exception):
    """A download failed; the message is one sentence that says what to do."""


def fetch(remote: RemoteFile, folder: Path, progress: Progress = lambda done, total: None) -> Path:
    """Download a file into ``folder``, unless it already exists with the right checksum.

    The next call resumes an interrupted download. Raises DownloadError, and OSError if the folder
    cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    pooch.get_logger().setLevel(logging.WARNING)  # ``progress`` replaces its messages
    downloader = _ResumingDownloader(remote, folder / f"{remote.name}.part", progress)
    try:
        pooch.retrieve(
            remote.url, f"sha256:{remote.sha256}", remote.name, folder, downloader=downloader
        )
    except requests.HTTPError as error:
        status = error.response.status_code if error.response is not None else "nothing"
        raise DownloadError(
            f"{remote.url} returned {status}: try again later, or put {remote.name} into {folder} "
            f"yourself."
        ) from error
    except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
        raise DownloadError(
            f"{remote.url} could not be downloaded ({_reason(error)}): check the network "
            f"connection and run the command again, which resumes the download."
        ) from error
    except ValueError as error:  # how pooch reports a wrong checksum
        raise DownloadError(
            f"{remote.url} sent a file whose SHA-256 is not {remote.sha256}; it was deleted: run "
            f"the command again, or get {remote.name} from another source."
        ) from error
    return folder / remote.name


class _ResumingDownloader:
    """A downloader for pooch that keeps an interrupted download in ``part`` and resumes it."""

    def __init__(self, remote: RemoteFile, part: Path, progress: Progress) -> None:
        self._remote = remote
        self._part = part
        self._progress = progress

    def __call__(self, url: str, output: str | Path, _: Any) -> None:
        # A compressed transfer could not be resumed by byte range.
        headers = {"Accept-Encoding": "identity"}
        received = self._part.stat().st_size if self._part.exists() else 0
        if received:
            headers["Range"] = f"bytes={received}-"
        with requests.get(url, headers=headers, stream=True, timeout=TIMEOUT_SECONDS) as response:
            if not received or response.status_code != requests.codes.range_not_satisfiable:
                response.raise_for_status()
                self._receive(response, received)
            elif _content_range(r"bytes \*/(\d+)", response) != received:  # not complete: restart
                self._part.unlink()
                self(url, output, _)
                return
        self._part.replace(output)

    def _receive(self, response: requests.Response, received: int) -> None:
        if response.status_code != requests.codes.partial_content:
            received = 0
        elif _content_range(r"bytes (\d+)-", response) != received:
            raise requests.ConnectionError("the server sent a different range than requested")
        total = self._remote.size
        length = response.headers.get("Content-Length", "")
        self._check(received + int(length) if length.isdecimal() else total)
        self._progress(received, total)
        with self._part.open("ab" if received else "wb") as file:
            for chunk in response.raw.stream(CHUNK_BYTES, decode_content=False):
                if received + len(chunk) > total:
                    self._check(received + len(chunk))
                received += file.write(chunk)
                self._progress(received, total)
        if received < total:
            raise requests.ConnectionError("the connection was lost")

    def _check(self, size: int) -> None:
        """Raise DownloadError if a server sends ``size`` bytes that are not those of the file."""
        if size != self._remote.size:
            self._part.unlink(missing_ok=True)
            raise DownloadError(
                f"{self._remote.url} sends {size:,} bytes instead of {self._remote.size:,}; "
                f"nothing was kept: get {self._remote.name} from another source."
            )


def _content_range(pattern: str, response: requests.Response) -> int | None:
    """The number that ``pattern`` captures at the start of the Content-Range header."""
    found = re.match(pattern, response.headers.get("Content-Range", ""))
    return int(found[1]) if found else None


def _reason(error: BaseException) -> str:
    """The message of the innermost cause, which is the most specific one."""
    while (
        inner := getattr(error, "reason", None) or error.__cause__ or _nested(error)
    ) is not None:
        error = inner
    message = getattr(error, "strerror", None) or re.sub(r"^.*?>: ", "", str(error))
    return str(message).partition("\n")[0].rstrip(".") or type(error).__name__


def _nested(error: BaseException) -> BaseException | None:
    return next((value for value in error.args if isinstance(value, BaseException)), None)
