"""Download one file: resume an interrupted transfer, keep the file only if its checksum matches."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from pathlib import Path

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
    path, part = folder / remote.name, folder / f"{remote.name}.part"
    if path.is_file() and _sha256(path) == remote.sha256:
        return path
    try:
        _download(remote, part, progress)
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
    if _sha256(part) != remote.sha256:
        part.unlink()
        raise DownloadError(
            f"{remote.url} sent a file whose SHA-256 is not {remote.sha256}; it was deleted: run "
            f"the command again, or get {remote.name} from another source."
        )
    part.replace(path)
    return path


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _download(remote: RemoteFile, part: Path, progress: Progress) -> None:
    """Complete ``part``, which may hold the beginning of the file."""
    # A compressed transfer could not be resumed by byte range.
    headers = {"Accept-Encoding": "identity"}
    received = part.stat().st_size if part.exists() else 0
    if received:
        headers["Range"] = f"bytes={received}-"
    with requests.get(
        remote.url, headers=headers, stream=True, timeout=TIMEOUT_SECONDS
    ) as response:
        if not received or response.status_code != requests.codes.range_not_satisfiable:
            response.raise_for_status()
            _receive(remote, response, part, progress, received)
        elif _content_range(r"bytes \*/(\d{1,18})", response) != received:  # not complete: restart
            part.unlink()
            _download(remote, part, progress)


def _receive(
    remote: RemoteFile, response: requests.Response, part: Path, progress: Progress, received: int
) -> None:
    if response.status_code != requests.codes.partial_content:
        received = 0
    elif _content_range(r"bytes (\d{1,18})-", response) != received:
        raise requests.ConnectionError("the server sent a different range than requested")
    length = response.headers.get("Content-Length", "")
    if re.fullmatch(r"\d{1,18}", length) and received + int(length) != remote.size:
        raise _wrong_size(remote, part, received + int(length))
    progress(received, remote.size)
    with part.open("ab" if received else "wb") as file:
        for chunk in response.raw.stream(CHUNK_BYTES, decode_content=False):
            if received + len(chunk) > remote.size:
                raise _wrong_size(remote, part, received + len(chunk))
            received += file.write(chunk)
            progress(received, remote.size)
    if received < remote.size:
        raise requests.ConnectionError("the connection was lost")


def _wrong_size(remote: RemoteFile, part: Path, size: int) -> DownloadError:
    """Delete what was received, and say how much the server sends."""
    part.unlink(missing_ok=True)
    return DownloadError(
        f"{remote.url} sends {size:,} bytes instead of {remote.size:,}; nothing was kept: get "
        f"{remote.name} from another source."
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
