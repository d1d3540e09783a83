"""Unpack an archive that may have been made to write elsewhere, or to fill the disk."""

from __future__ import annotations

import errno
import os
import stat
import tarfile
import zipfile
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from lbc.download.transfer import DownloadError

MAX_UNPACKED_BYTES = 2 << 30
"""More than twice what the largest data set unpacks to."""

OF_ARCHIVES = {None, errno.EINVAL, errno.ENAMETOOLONG, errno.EISDIR, errno.ENOTDIR}
"""The numbers of errors to which damaged lengths and names lead; the disk's own have others."""

LONGEST_NAME = 255
"""Bytes of a file's name, on every file system that matters."""

ARCHIVES = (".zip", ".tar.gz")


def unpack(archive: Path) -> None:
    """Unpack a .zip or .tar.gz into its own folder.

    Raises DownloadError if it is neither or damaged, or if any member is not a plain file or folder
    below that folder; then nothing is written.
    """
    try:
        if archive.suffix == ".zip":
            with zipfile.ZipFile(archive) as file:
                _check(
                    (info.filename, info.file_size, _is_plain(info), info.is_dir())
                    for info in file.infolist()
                )
                file.extractall(archive.parent)
        else:
            with tarfile.open(archive, "r:gz") as tar:
                _check((one.name, one.size, one.isreg() or one.isdir(), one.isdir()) for one in tar)
                if filter_ := getattr(tarfile, "data_filter", None):  # Python ≥ 3.11.4
                    tar.extraction_filter = filter_
                tar.extractall(archive.parent)
    except Exception as error:  # a damaged archive makes its reader raise almost anything
        if isinstance(error, OSError) and error.errno not in OF_ARCHIVES:
            raise
        raise DownloadError(
            f"{archive} cannot be unpacked ({error}): delete it and run the command again."
        ) from error


def _check(members: Iterable[tuple[str, int, bool, bool]]) -> None:
    """Raise ValueError unless all members (name, size, is it plain, a folder) are harmless."""
    total, files, folders = 0, set[PurePosixPath](), {PurePosixPath()}
    for name, size, plain, folder in members:
        path = PurePosixPath(name)
        folders.update(path.parents if not folder else (path, *path.parents))
        if not folder:
            files.add(path)
        if any(len(os.fsencode(part)) > LONGEST_NAME for part in path.parts):
            raise ValueError(f"its member {name[:80]!r}… has a name that is too long")
        if path.is_absolute() or ".." in path.parts or "\\" in name or ":" in name:
            raise ValueError(f"its member {name!r} lies outside")
        if not plain:
            raise ValueError(f"its member {name!r} is a link or device")
        total += size
        if total > MAX_UNPACKED_BYTES:
            raise ValueError(f"it unpacks to more than {MAX_UNPACKED_BYTES:,} bytes")
    if both := files & folders:
        raise ValueError(f"its member {str(min(both))!r} is a file and a folder")


def _is_plain(info: zipfile.ZipInfo) -> bool:
    kind = stat.S_IFMT(info.external_attr >> 16)
    return kind in (0, stat.S_IFREG, stat.S_IFDIR)
