"""The checkpoints that runs were started from here, to notice when one of them has changed."""

from __future__ import annotations

from contextlib import suppress
from hashlib import sha256
from pathlib import Path

from platformdirs import user_state_path

from lbc.files.atomic import write_atomically
from lbc.files.small_file import read_small

DIGEST_SIZE = 64


def remember_weights(path: Path, digest: str) -> None:
    """Record that a run starts from the checkpoint. Without a state folder, do nothing."""
    record = _record(path)
    with suppress(OSError):
        record.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(record, lambda file: file.write(digest.encode()))


def last_digest(path: Path) -> str:
    """The SHA-256 of the checkpoint when a run was last started from it; "" if none was."""
    with suppress(OSError):
        return read_small(_record(path), DIGEST_SIZE).decode("ascii", "replace")
    return ""


def _record(path: Path) -> Path:
    name = sha256(str(path.resolve()).encode()).hexdigest()
    return user_state_path("lbc-explorer") / "initial-weights" / name
