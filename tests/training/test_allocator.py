"""Freed memory is reused instead of being returned to the kernel."""

from __future__ import annotations

import subprocess
import sys

import pytest

STEPS = """
import resource
import torch
from lbc.training.allocator import keep_freed_memory

assert keep_freed_memory() and keep_freed_memory()
torch.set_num_threads(1)


def step():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    held = [torch.ones(2_000_000) for _ in range(12)]  # 96 MB
    del held
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


print([step() for _ in range(6)][-1])
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs glibc")
def test_later_steps_fault_no_new_pages() -> None:
    answer = subprocess.run(
        [sys.executable, "-c", STEPS], capture_output=True, text=True, check=True
    )
    assert int(answer.stdout) < 500  # of 24,000 pages
