"""Freed memory is reused instead of being returned to the kernel, until that is asked for."""

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

THREADS = """
from pathlib import Path
from threading import Barrier, Thread
from lbc.training.allocator import keep_freed_memory, return_freed_memory, share_heap

keep_freed_memory()
share_heap()


def resident():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon"))


def work():
    held = [bytearray(100_000) for _ in range(100)]  # 10 MB
    everybody.wait()


before, everybody = resident(), Barrier(8)
threads = [Thread(target=work) for _ in range(8)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
kept = resident() - before
return_freed_memory()
print(kept, resident() - before)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs glibc")
def test_later_steps_fault_no_new_pages() -> None:
    answer = subprocess.run(
        [sys.executable, "-c", STEPS], capture_output=True, text=True, check=True
    )
    assert int(answer.stdout) < 500  # of 24,000 pages


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs glibc")
def test_what_threads_have_freed_can_be_returned() -> None:
    answer = subprocess.run(
        [sys.executable, "-c", THREADS], capture_output=True, text=True, check=True
    )
    kept, left = (int(kilobytes) for kilobytes in answer.stdout.split())
    assert kept > 60_000 and left < 8_000
