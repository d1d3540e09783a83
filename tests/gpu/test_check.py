"""The check of a GPU, on a pretended one: all of it runs, and what is wrong is listed last."""

from __future__ import annotations

import json
import os
import runpy
import signal
import subprocess
import sys
import time
import traceback
from functools import partial
from pathlib import Path
from typing import IO, Any

import pytest

from lbc.latency.files import load_measurements
from tests import warm
from tests.gpu import pretended

if sys.platform == "win32":
    pytest.skip("needs a fork server", allow_module_level=True)

SCRIPT = Path(__file__).with_name("check.py")
ROOT = SCRIPT.parents[2]
ABSENT = ["rich", "yaml", "safetensors", "PIL"]
POPEN = subprocess.Popen


def environment(folder: Path, gpu: str) -> dict[str, str]:
    """For the script's steps: a pretended GPU, and of lbc's dependencies torch and pydantic."""
    (folder / "sitecustomize.py").write_text(
        "import sys\n"
        f"sys.modules |= dict.fromkeys({ABSENT})\n"
        f"if {str(SCRIPT)!r} in sys.orig_argv:\n"
        "    sys.modules['torch'] = None\n"  # only its steps, which are processes, need a GPU
        "else:\n"
        "    from tests.gpu.pretended import Gpu, pretend\n"
        f"    gpu = pretend({gpu})\n"
        "    gpu.__enter__()\n"
    )
    path = f"{folder}{os.pathsep}{ROOT}"
    return os.environ | {"PYTHONPATH": path, "OUT": str(folder / "out"), "OMP_NUM_THREADS": "1"}


class Step:
    """A step of the script, as ``subprocess.Popen`` starts it: a fork, which has torch loaded."""

    def __init__(self, gpu: str, command: list[str], *, stderr: IO[bytes], **_: Any) -> None:
        (read_in, write_in), (read_out, write_out) = os.pipe(), os.pipe()
        self._status: int | None = None
        self.pid = os.fork()
        if self.pid == 0:
            os.setsid()
            for ours, theirs in ((read_in, 0), (write_out, 1), (stderr.fileno(), 2)):
                os.dup2(ours, theirs)
            os.closerange(3, write_out + 1)
            os._exit(self._run(gpu, command[2:]))
        os.close(read_in)
        os.close(write_out)
        self.stdin, self.stdout = os.fdopen(write_in, "wb", 0), os.fdopen(read_out, "rb", 0)

    def _run(self, gpu: str, arguments: list[str]) -> int:
        """Run Python on a pretended GPU, with torch and pydantic alone of lbc's dependencies."""
        sys.argv, sys.stdin, sys.stdout = arguments, os.fdopen(0), os.fdopen(1, "w", 1)
        subprocess.Popen = POPEN  # type: ignore[misc]
        for name in [name for name in sys.modules if name.partition(".")[0] == "lbc"]:
            del sys.modules[name]
        sys.modules |= dict.fromkeys(ABSENT)  # type: ignore[arg-type]
        try:
            with pretended.pretend(eval(gpu, vars(pretended))):
                runpy.run_path(arguments[0], run_name="__main__")
        except SystemExit as end:
            return end.code if isinstance(end.code, int) else end.code is not None
        except BaseException:
            traceback.print_exc()
            return 1
        return 0

    def wait(self) -> int:
        if self._status is None:
            self._status = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        return self._status


def script(steps: tuple[str, ...], gpu: str) -> None:
    """The script in a process of its own, whose steps are forks of it."""
    sys.argv = [str(SCRIPT), "--rehearse", *steps]
    subprocess.Popen = partial(Step, gpu)  # type: ignore[assignment,misc]
    runpy.run_path(str(SCRIPT), run_name="__main__")


def check(folder: Path, *steps: str, gpu: str = "Gpu()") -> tuple[int, str, dict[str, object]]:
    """Run steps of the script; its status, its output, and what it found."""
    printed, out = folder / "printed", folder / "out"
    process = warm.start(script, steps, gpu, output=printed, environment={"OUT": str(out)})
    process.join(300)
    lines = (out / "checks.ndjson").read_text().splitlines()
    found = {one["check"]: one["met"] for one in map(json.loads, lines)}
    assert process.exitcode is not None
    return process.exitcode, printed.read_text(), found


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
