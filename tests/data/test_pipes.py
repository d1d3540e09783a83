"""A pipe that an experiment names as its data is named in a sentence, and not waited for."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from lbc.data import DataError, cifar, image_file, npz

SECONDS = 20


def open_image(path: Path) -> None:
    with image_file.opened(path):
        pass


@pytest.mark.skipif(sys.platform == "win32", reason="no pipes with a name")
@pytest.mark.parametrize(
    "read", [npz.read_arrays, open_image, lambda path: cifar.read_records(path, 1)]
)
def test_a_pipe_is_no_data_file(tmp_path: Path, read: Callable[[Path], object]) -> None:
    os.mkfifo(tmp_path / "pipe")
    told: list[str] = []

    def work() -> None:
        try:
            read(tmp_path / "pipe")
        except DataError as error:
            told.append(str(error))

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(SECONDS)
    assert told and "it is not a regular file" in told[0]
