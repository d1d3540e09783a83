"""``lbc data download``: download a well-known data set.

Exit status: 0 success, 1 failure; a partial download is kept.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskID,
    TextColumn,
    TransferSpeedColumn,
)

from lbc.cli.console import Console
from lbc.download.datasets import DATASETS, RemoteFile

if TYPE_CHECKING:
    from collections.abc import Sequence

DONE, FAILED = 0, 1


def add_parser(commands: Any) -> None:
    """Add ``data`` with its subcommand to the commands."""
    data = commands.add_parser("data", help="download training data")
    which = data.add_subparsers(dest="data", required=True, metavar="ACTION")
    download = which.add_parser(
        "download", help="download a well-known data set; resumes a partial download"
    )
    download.add_argument("set", choices=DATASETS, metavar="SET", help=", ".join(DATASETS))
    download.add_argument("--to", type=Path, metavar="DIR", help="default: data/SET")
    download.add_argument(
        "--mirror", metavar="URL", help="folder on another server with the same files"
    )


def command(options: argparse.Namespace, errors: Console) -> int:
    """Download a set and print the line for an experiment; return the exit status."""
    from lbc.download.transfer import DownloadError

    chosen = DATASETS[options.set]
    folder = options.to or Path("data") / options.set
    files = [_mirrored(remote, options.mirror) for remote in chosen.files]
    try:
        _download(files, folder)
    except DownloadError as error:
        errors.print(str(error))
        return FAILED
    console = Console()
    console.print(f"{chosen.title} is in {folder}. To use it, write in the experiment:")
    console.print(f"data: {{{chosen.settings}, folder: {folder.resolve()}}}")
    return DONE


def _download(files: Sequence[RemoteFile], folder: Path) -> None:
    from lbc.download.archive import ARCHIVES, unpack
    from lbc.download.transfer import fetch

    columns = (TextColumn("{task.description}", markup=False), BarColumn(), DownloadColumn())
    with Progress(*columns, TransferSpeedColumn(), console=Console(stderr=True)) as progress:
        for remote in files:
            bar = progress.add_task(remote.name, total=None)
            path = fetch(remote, folder, partial(_show, progress, bar))
            size = path.stat().st_size
            _show(progress, bar, size, size)
            if path.name.endswith(ARCHIVES):
                progress.update(bar, description=f"{remote.name}: unpacking")
                unpack(path)


def _show(progress: Progress, bar: TaskID, done: int, total: int | None) -> None:
    progress.update(bar, completed=done, total=total)


def _mirrored(remote: RemoteFile, mirror: str | None) -> RemoteFile:
    if mirror is None:
        return remote
    return replace(remote, url=f"{mirror.rstrip('/')}/{remote.url.rpartition('/')[2]}")
