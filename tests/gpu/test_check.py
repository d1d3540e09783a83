"""The check of a GPU, on a pretended one: all of it runs, and what is wrong is listed last."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from lbc.latency.files import load_measurements

SCRIPT = Path(__file__).with_name("check.py")
ROOT = SCRIPT.parents[2]


def environment(folder: Path, gpu: str) -> dict[str, str]:
    """For the script's steps: a pretended GPU, and of lbc's dependencies torch and pydantic."""
    (folder / "sitecustomize.py").write_text(
        "import sys\n"
        "sys.modules |= dict.fromkeys(['rich', 'yaml', 'safetensors', 'PIL'])\n"
        f"if {str(SCRIPT)!r} in sys.orig_argv:\n"
        "    sys.modules['torch'] = None\n"  # only its steps, which are processes, need a GPU
        "else:\n"
        "    from tests.gpu.pretended import Gpu, pretend\n"
        f"    gpu = pretend({gpu})\n"
        "    gpu.__enter__()\n"
    )
    path = f"{folder}{os.pathsep}{ROOT}"
    return os.environ | {"PYTHONPATH": path, "OUT": str(folder / "out"), "OMP_NUM_THREADS": "1"}


def check(folder: Path, *steps: str, gpu: str = "Gpu()") -> tuple[int, str, dict[str, object]]:
    """Run steps of the script; its status, its output, and what it found."""
    done = subprocess.run(
        [sys.executable, SCRIPT, "--rehearse", *steps],
        capture_output=True, text=True, timeout=300, env=environment(folder, gpu), cwd=folder,
    )  # fmt: skip
    lines = (folder / "out" / "checks.ndjson").read_text().splitlines()
    found = {one["check"]: one["met"] for one in map(json.loads, lines)}
    return done.returncode, done.stdout, found


def test_everything_is_checked_and_the_worker_s_figures_can_be_opened(tmp_path: Path) -> None:
    status, out, found = check(tmp_path, "facts", "products-fp16", "worker-int8", "training")
    assert (status, [name for name, met in found.items() if met is False]) == (0, []), out
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "checks.ndjson", "raw.ndjson", "stderr.log"
    }  # fmt: skip
    assert {"facts: facts", "products-fp16: float16 128x128x128 layer", "worker-int8: 64×32×128",
            "training: masks on CUDA as on the CPU, per_weight"} <= set(found)  # fmt: skip
    (measurement,) = load_measurements(tmp_path / "out" / "raw.ndjson")
    assert [result.status for result in measurement.results] == ["measured"] * 2
    assert " 0 missed, " in out.splitlines()[-1]


def test_what_is_missed_is_listed_last(tmp_path: Path) -> None:
    unlike = "Gpu(seconds=lambda kind, n=iter(range(10**9)): 1e-4 * 1.0001 ** next(n))"
    status, out, found = check(tmp_path, "clock", gpu=unlike)
    assert status == 1
    assert found["clock: cublas, cublaslt, cublas"] is False
    assert out.splitlines()[-1].startswith("MISS clock: cublas, cublaslt, cublas")


def test_a_worker_that_breaks_the_gpu_is_replaced(tmp_path: Path) -> None:
    breaks = (
        "Gpu(fails=lambda gpu, name, captured: name == 'mm_search' and "
        "(setattr(gpu, 'broken', 'illegal instruction'), gpu.synchronize()))"
    )
    _, out, found = check(tmp_path, "worker-int8", gpu=breaks)
    assert found["worker-int8: worker"] is False
    assert found["worker-int8 ended"] is True, out


def test_without_a_gpu_nothing_is_checked(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, SCRIPT], capture_output=True, text=True, timeout=300, cwd=tmp_path,
        env=os.environ | {"OUT": str(tmp_path), "CUDA_VISIBLE_DEVICES": ""},
    )  # fmt: skip
    assert done.returncode == 3
    assert done.stdout.splitlines()[-1].startswith("Nothing was checked")


def test_a_script_that_is_cut_off_leaves_no_process(tmp_path: Path) -> None:
    hangs = "Gpu(fails=lambda gpu, name, captured: __import__('time').sleep(1000))"
    script = subprocess.Popen(
        [sys.executable, SCRIPT, "--rehearse", "worker-int8"],
        stdout=subprocess.DEVNULL, env=environment(tmp_path, hangs), cwd=tmp_path,
    )  # fmt: skip
    raw = tmp_path / "out" / "raw.ndjson"
    while not (raw.exists() and b'"start"' in raw.read_bytes()):
        assert script.poll() is None
        time.sleep(0.1)
    pid = next(json.loads(line.partition(b" ")[2])["pid"]
               for line in raw.read_bytes().splitlines() if b'"hello"' in line)  # fmt: skip
    script.send_signal(signal.SIGTERM)
    assert script.wait(timeout=60) == 143
    assert not Path(f"/proc/{pid}").exists()
