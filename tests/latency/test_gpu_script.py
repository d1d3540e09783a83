"""``tests/gpu/run_all.sh`` runs from its first step to its verdict, or reports why it cannot."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from tests.latency.conftest import answer
from tests.latency.made_up_worker import write_worker

SCRIPT = Path(__file__).parents[1] / "gpu" / "run_all.sh"


def run_all(folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["sh", str(SCRIPT), str(folder)],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=300,
        env=os.environ | {"PYTHON": sys.executable, "LBC_PYTHON": sys.executable} | environment,
    )


def test_without_a_gpu_it_says_so_and_checks_nothing(
    tmp_path: Path, recorded: Callable[..., str]
) -> None:
    reason = "torch 2.12.0 finds no NVIDIA GPU on this machine."
    refusal = answer("failed", **{"class": "no GPU", "message": reason})
    done = run_all(tmp_path / "results", PYTHON=recorded(refusal, refusal))
    assert done.returncode == 3
    assert reason in done.stderr
    assert done.stderr.endswith("Nothing was checked: this machine has no usable GPU.\n")
    assert not (tmp_path / "results" / "verdict.json").exists()


def test_a_missing_python_is_invalid_input(tmp_path: Path) -> None:
    done = run_all(tmp_path, PYTHON="no-such-python")
    assert (done.returncode, "no-such-python was not found" in done.stderr) == (2, True)


def test_all_steps_run_and_each_requirement_is_checked(tmp_path: Path) -> None:
    done = run_all(tmp_path / "results", PYTHON=str(write_worker(tmp_path)))
    assert done.returncode == 1, done.stderr
    checks = json.loads((tmp_path / "results" / "verdict.json").read_text())
    met = {check["name"]: check["met"] for check in checks}
    # The made-up GPU has no A/A control and no independent measurement.
    assert [name for name, passed in met.items() if not passed] == [
        "A/A within 1.5%", "independent"
    ]  # fmt: skip
    assert {"default run", "correct: int8", "correct: cutlass", "square 8192 cutlass"} <= set(met)
    assert "FAIL  independent" in done.stdout
    measured = json.loads((tmp_path / "results" / "measurement.json").read_text())
    assert len(measured["measurements"]) == 4
