"""Why a checkpoint cannot be inspected, as sentences that name the file."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError


class InspectionError(Exception):
    """The checkpoint cannot be inspected; the message is one sentence that names the file."""


class LayerProblem(Exception):  # noqa: N818  (the error for callers is InspectionError)
    """What is wrong with something in a file, in a sentence that does not yet name the file."""


@contextmanager
def errors_named(file: Path) -> Iterator[None]:
    """Turn what a damaged file makes the readers raise into a sentence with its name."""
    try:
        yield
    except LayerProblem as problem:
        raise InspectionError(f"{file}: {problem}") from problem
    except (SafetensorError, OSError) as error:
        raise InspectionError(
            f"{file} cannot be read ({error}): it is cut off or not of the kind its name says."
        ) from error
    except (RuntimeError, TypeError, MemoryError) as error:
        # A header may claim a type or a size that torch cannot hold.
        raise InspectionError(
            f"{file} holds a tensor that torch cannot work with ({type(error).__name__})."
        ) from error
