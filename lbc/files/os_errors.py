"""What to do when the operating system refuses a file."""

from __future__ import annotations

import errno

_REMEDIES = {
    errno.EACCES: "change its permissions, or choose another",
    errno.EPERM: "check its owner and attributes, or choose another",
    errno.EROFS: "choose a folder on a disk that can be written",
    errno.ENOSPC: "free disk space",
    errno.EDQUOT: "delete files of yours, or have your disk quota raised",
    errno.EFBIG: "choose a smaller file or another disk, or raise the limit on the size of files",
    errno.ENOENT: "check the path",
    errno.ENOTDIR: "choose another path, as a part of this one is a file",
    errno.EISDIR: "choose a file, not a folder",
    errno.EEXIST: "choose another name",
    errno.ENAMETOOLONG: "choose a shorter name",
    errno.ELOOP: "choose another path, as the links of this one lead in a circle",
    errno.EIO: "check the disk and its connection",
    errno.EMFILE: "close other files, or raise the limit on open files",
    errno.ENFILE: "close other programs",
    errno.EBUSY: "close the program that uses it",
    errno.EAGAIN: "wait for the program that uses it",
}


def remedy(error: OSError) -> str:
    """What the user can do, as an imperative without a full stop."""
    return _REMEDIES.get(error.errno or 0, "check the path and the disk")


def explain(error: OSError, what: str) -> str:
    """A sentence: ``what`` failed, why, and what to do."""
    return f"{what} ({error.strerror or error}): {remedy(error)}."
