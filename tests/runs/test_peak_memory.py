"""What a run has cost: its steps, and the most memory of the process that trained it."""

from __future__ import annotations

import sys
from mmap import mmap
from pathlib import Path

import pytest

from lbc.library.run_summary import summarize_run
from lbc.runs.peak_memory import PeakMemory
from lbc.runs.run_state import read_state
from lbc.training.trainer import Trainer
from tests.training.resumption import MakeExperiment, stop_at

LARGE = 100_000_000


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux can reset the peak of a process")
def test_the_peak_counts_what_was_given_back_but_not_what_was_before() -> None:
    before = PeakMemory()
    low = before.bytes
    with mmap(-1, LARGE) as pages:  # as malloc may keep what is given back to it
        pages.write(b"x" * LARGE)
    assert before.bytes - low > 0.9 * LARGE
    assert abs(PeakMemory().bytes - low) < LARGE / 2


def test_a_run_records_its_steps_and_memory(tmp_path: Path, quick: MakeExperiment) -> None:
    folder = tmp_path / "run"
    stop_at(3, quick(), folder)
    stopped = read_state(folder)
    assert stopped.steps == 3 and stopped.peak_memory > 0
    text = (folder / "run.json").read_text()
    least = 1 << 50
    (folder / "run.json").write_text(text.replace(str(stopped.peak_memory), str(least)))
    Trainer(quick(), folder, resume=True).train()
    finished = read_state(folder)
    assert finished.steps == 16
    assert finished.peak_memory == least  # the highest of all processes that trained it
    run = summarize_run(folder)
    assert run.speed == pytest.approx(16 / finished.seconds)
    assert run.memory == pytest.approx(least / 1e6)
