"""The files of a mirror: what the server sends is written, and nothing else."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path
from typing import get_args

from lbc.files.atomic import write_atomically
from lbc.files.small_file import open_regular
from lbc.following.block_sums import BlockSums
from lbc.following.messages import Grown, Held, Part, ProtocolError, Whole
from lbc.following.run_files import LARGEST_SMALL

LARGEST_COPY = 1 << 33
"""Bytes of one file."""

LEAST_FREE = 1 << 28
"""Bytes that stay free on the disk."""


class MirrorFiles:
    """Writes into one folder. The names are those that ``Part`` and ``Whole`` allow."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def held(self) -> dict[Grown, Held]:
        """How much there is of each file that grows. Raises OSError."""
        found: dict[Grown, Held] = {}
        for name in get_args(Grown):
            path = self._folder / name
            if path.exists():
                with open_regular(path) as file:
                    sums = BlockSums.of(file)
                found[name] = Held(sums.size, tuple(sums.sums))
        return found

    def write_part(self, part: Part) -> None:
        """Write what follows ``offset``; what was there is replaced, and the rest cut off.

        Raises OSError, and ProtocolError if the part does not join what there is.
        """
        if shutil.disk_usage(self._folder).free < LEAST_FREE + len(part.data):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self._folder))
        path, end = self._folder / part.name, part.offset + len(part.data)
        size = path.stat().st_size if path.exists() else 0
        if part.offset > size or end > LARGEST_COPY:
            raise ProtocolError(f"It sent a part of {part.name} that does not follow.")
        flags = os.O_WRONLY | os.O_CREAT | getattr(os, "O_BINARY", 0)
        with os.fdopen(os.open(path, flags, 0o644), "wb") as file:
            file.seek(part.offset)
            file.write(part.data)
            file.flush()
            if part.offset < size:  # at last, so that a reader finds as much as possible
                file.truncate(end)

    def write_whole(self, whole: Whole) -> None:
        """Replace or delete a small file. Raises OSError or ProtocolError."""
        path = self._folder / whole.name
        if len(whole.data) > LARGEST_SMALL:
            raise ProtocolError(f"It sent a {whole.name} that is too large.")
        if whole.exists:
            write_atomically(path, lambda file: file.write(whole.data))
        elif whole.name not in ("run.json", "experiment.yaml"):
            path.unlink(missing_ok=True)
