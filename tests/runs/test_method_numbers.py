"""What a method gives at the end of each epoch is kept beside the epochs."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest

from lbc.runs.events import MethodNumbers
from lbc.runs.method_numbers import FILE, NumbersLog, read_numbers

FIRST = MethodNumbers(1, {"temperature": 4.0, "decay factor": 1.0})
SECOND = MethodNumbers(2, {"temperature": 2.0, "decay factor": 0.5})


def test_numbers_are_read_as_they_were_written(tmp_path: Path) -> None:
    assert read_numbers(tmp_path) == ()
    with closing(NumbersLog(tmp_path)) as log:
        log.truncate(5)  # of a method without numbers
        assert not (tmp_path / FILE).exists()
        log.append(FIRST)
        log.append(SECOND)
    assert read_numbers(tmp_path) == (FIRST, SECOND)


def test_a_resumed_run_drops_the_epochs_after_its_checkpoint(tmp_path: Path) -> None:
    with closing(NumbersLog(tmp_path)) as log:
        log.append(FIRST)
        log.append(SECOND)
    other = MethodNumbers(2, {"temperature": 3.0, "decay factor": 0.7})
    with closing(NumbersLog(tmp_path)) as log:
        log.truncate(1)
        log.append(other)
    assert read_numbers(tmp_path) == (FIRST, other)


def test_a_damaged_file_is_one_sentence(tmp_path: Path) -> None:
    for content in (b"nonsense\n", b'{"columns": ["loss"]}\n'):
        (tmp_path / FILE).write_bytes(content)
        with pytest.raises(ValueError, match=FILE):
            read_numbers(tmp_path)
