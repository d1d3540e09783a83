"""Clocks are read while a case is sampled, by whatever nvidia-smi the machine has."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from lbc.latency import worker
from tests.gpu.pretended import Gpu, pretend
from tests.latency.conftest import write_program

SMI = f"""#!{sys.executable}
import sys, time
if {{unknown!r}} in " ".join(sys.argv):
    sys.exit("Field is not a valid field to query.")
count = 1000 if "-lms" in sys.argv else 1
if count > 1 and {{silent!r}}:
    time.sleep(60)
whole = any("power.draw" in argument for argument in sys.argv)
for number in range(count):
    clock, reasons = 1000 + 10 * number, hex(4 * (number % 2))
    print(f"{{{{clock}}}}, 2600, 300.5, 40, {{{{reasons}}}}" if whole else reasons, flush=True)
    time.sleep(0.02)
"""

Read = Callable[..., dict[str, Any]]


@pytest.fixture
def read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Read]:
    """Read clocks for a while with a made-up nvidia-smi."""
    worker.throttle_field.cache_clear()
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")

    def read(
        unknown: str = "throttle", silent: bool = False, seconds: float = 1.0
    ) -> dict[str, Any]:
        write_program(tmp_path / "nvidia-smi", SMI.format(unknown=unknown, silent=silent))
        with pretend(Gpu()):
            clocks = worker.ClockReader(torch, torch.device("cuda"))
        with clocks:
            time.sleep(seconds)
        return clocks.values

    yield read
    worker.throttle_field.cache_clear()


@pytest.mark.parametrize("unknown", ["event", "throttle"])
def test_the_range_of_all_readings_is_kept(read: Read, unknown: str) -> None:
    values = read(unknown)
    assert values["readings"] > 1
    assert values["clocks_sm_min"] == 1000
    assert values["clocks_sm_max"] == 1000 + 10 * (values["readings"] - 1)
    assert values["clocks_sm_min"] < values["clocks_sm"] < values["clocks_sm_max"]
    assert (values["clocks_mem"], values["power_draw"]) == (2600, 300.5)
    assert values["throttle_reasons"] == "0x4", "of any reading"


def test_a_reading_after_the_samples_is_marked(read: Read) -> None:
    values = read(silent=True, seconds=0.1)
    assert (values["readings"], values["clocks_sm"]) == (0, 1000)


def test_without_nvidia_smi_there_are_no_clocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    worker.throttle_field.cache_clear()
    with pretend(Gpu()):
        clocks = worker.ClockReader(torch, torch.device("cuda"))
    with clocks:
        pass
    assert clocks.values == {}
