"""Errors of checkpoint inspection, as sentences that name the file."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError


class InspectionError(Exception):
    """The checkpoint cannot be inspected; the message is one sentence that names the file."""


class LayerError(Exception):
    """Internal error whose message does not name the file; callers get InspectionError."""


@contextmanager
def name_file_in_errors(file: Path) -> Iterator[None]:
    """Convert the exceptions of the readers to an InspectionError that names the file."""
    try:
        yield
    except LayerError as error:
        raise InspectionError(f"{file}: {error}") from error
    except (SafetensorError, OSError) as error:
        raise InspectionError(
            f"{file} cannot be read ({error}): it is truncated, or not of the format of its suffix."
        ) from error
    except (RuntimeError, TypeError, MemoryError) as error:
        # A header may state a type or a size that torch does not support.
        raise InspectionError(
            f"{file} has a tensor that torch does not support ({type(error).__name__}): save or "
            "copy it again."
        ) from error
