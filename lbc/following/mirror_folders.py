"""Where the copies of runs on servers are: in the user's cache, which may be deleted."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from hashlib import sha256
from pathlib import Path

from platformdirs import user_cache_path

from lbc.files.lock import lock
from lbc.following.address import Address

KEPT_DAYS = 30
"""Days after which a copy that was not opened is deleted."""

MOST_BYTES = 4 << 30
"""Bytes of all copies; the oldest are deleted first."""

LOCK = "lock"


@contextmanager
def mirror_folder(address: Address) -> Iterator[Path]:
    """The folder for the copy of a run, which no other process uses meanwhile.

    The last copy of the same run is completed, unless another process uses it. Raises OSError.
    """
    root = user_cache_path("lbc-explorer") / "followed"
    digest = sha256(address.text.encode()).hexdigest()[:12]
    number = 0
    while True:
        holder = root / f"{digest}-{number}"
        holder.mkdir(parents=True, exist_ok=True)
        with (holder / LOCK).open("ab") as guard:
            if lock(guard):
                (holder / LOCK).touch()
                _delete_old(root)
                yield holder / address.name
                return
        number += 1


def _delete_old(root: Path) -> None:
    """Delete copies that are old or too many, unless they are in use."""
    found = []
    for holder in root.iterdir():
        with suppress(OSError):
            size = sum(file.stat().st_size for file in holder.rglob("*") if file.is_file())
            found.append(((holder / LOCK).stat().st_mtime, size, holder))
    total = 0
    for opened, size, holder in sorted(found, reverse=True):
        total += size
        if total <= MOST_BYTES and time.time() - opened < KEPT_DAYS * 86_400:
            continue
        with suppress(OSError), (holder / LOCK).open("ab") as guard:
            if lock(guard):
                shutil.rmtree(holder, ignore_errors=True)
