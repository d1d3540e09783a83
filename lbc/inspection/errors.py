"""Errors of checkpoint inspection, as sentences that name the file."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lbc.files.printable import SentenceError


class InspectionError(SentenceError):
    """The checkpoint cannot be inspected; the message is one sentence that names the file."""


class LayerError(Exception):
    """Internal error whose message continues a sentence that begins with the file."""


class DamagedError(LayerError):
    """A part of the file does not have the content that was written."""


@contextmanager
def name_file_in_errors(file: Path) -> Iterator[None]:
    """Convert the exceptions of the readers to an InspectionError that names the file."""
    try:
        yield
    except LayerError as error:
        raise InspectionError(f"{file} {error}") from error
    except OSError as error:
        raise InspectionError(f"{file} cannot be read: {error.strerror or error}.") from error
