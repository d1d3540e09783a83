"""Inputs that fuzzing has found: each is read, or refused with the reader's own sentence."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

if sys.platform == "win32":
    pytest.skip("needs fork and limits on memory", allow_module_level=True)

from tests.faults.fuzz import CORPUS, check
from tests.faults.readers import READERS, write_everything


def test_every_reader_reads_or_refuses_what_fuzzing_has_found(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_everything(tmp_path)
    unknown = {folder.name for folder in CORPUS.iterdir()} - READERS.keys()
    assert not unknown
    outcomes = set()
    for name, reader in READERS.items():
        place = tmp_path / reader.file
        valid = place.read_bytes() if place.exists() else None
        for file in sorted((CORPUS / name).glob("*")):
            try:
                outcomes.add(bool(check(reader, place, file.read_bytes())))
            except Exception as error:
                raise AssertionError(f"The reader of {name} fails at {file}.") from error
        if valid is None:
            place.unlink(missing_ok=True)
        else:
            place.write_bytes(valid)
    assert not caplog.records  # which a terminal would show
    assert outcomes == {True, False}  # some are read
