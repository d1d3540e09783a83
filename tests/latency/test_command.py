"""``lbc latency``: output, files and exit status."""

from __future__ import annotations

import csv
import io
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, Protocol

import pytest

from lbc.cli.main import main
from lbc.latency.files import load_measurements
from tests.latency.conftest import STREAMS, answer, ends, hello, stream

CPU_RUN = ("run", "--device", "cpu", "--shapes")


class Lbc(Protocol):
    def __call__(self, *arguments: object, **environment: str) -> Printed: ...


class Printed(NamedTuple):
    """What a command returned and printed."""

    returncode: object
    stdout: str
    stderr: str


@pytest.fixture
def lbc(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Lbc:
    """The command in this process; it measures in processes of its own."""

    def run(*arguments: object, **environment: str) -> Printed:
        with monkeypatch.context() as patch:
            for name, value in environment.items():
                patch.setenv(name, value)
            status = main(["latency", *map(str, arguments)])
        return Printed(status, *capsys.readouterr())

    return run


def test_run_measures_this_cpu_and_show_prints_the_same(lbc: Lbc, tmp_path: Path) -> None:
    path, table = tmp_path / "found.json", tmp_path / "found.csv"
    done = lbc(*CPU_RUN, "16x8x32", "--json", path, "--csv", table)
    assert done.returncode == 0, done.stderr
    assert "say nothing about 2:4 on a GPU" in done.stdout
    assert "16 × 8 × 32" in done.stdout
    assert lbc("show", path).stdout == done.stdout
    rows = list(csv.DictReader(io.StringIO(table.read_text())))
    assert {row["way"] for row in rows} >= {"dense", "masked dense", "A/A"}
    assert json.loads(path.read_text())["schema"] == 1


def test_the_printed_command_measures_elsewhere_and_show_reads_its_file(
    lbc: Lbc, tmp_path: Path
) -> None:
    done = lbc(*CPU_RUN, "16x8x32", "--print-command", "--python", sys.executable)
    assert done.returncode == 0
    (line,) = done.stdout.splitlines()
    subprocess.run(["sh", "-c", line], cwd=tmp_path, check=True, capture_output=True)
    shown = lbc("show", tmp_path / "latency-float32-cpu.ndjson")
    assert (shown.returncode, "16 × 8 × 32" in shown.stdout) == (0, True)


def test_a_recorded_gpu_is_shown_with_explanations(lbc: Lbc) -> None:
    shown = lbc("show", STREAMS / "h100-synthetic.ndjson").stdout
    assert "NVIDIA H100 80GB HBM3 (synthetic) · bfloat16 · cuSPARSELt" in shown
    assert "1.50 (1.49–1.51)" in shown
    assert "known regressions" in shown


def test_a_case_that_was_not_measured_gives_status_1(
    lbc: Lbc, tmp_path: Path, recorded: Callable[..., str]
) -> None:
    python = recorded(
        hello() + answer("start", index=0) + answer("timeout", what="case", index=0, seconds=1)
    )
    done = lbc(*CPU_RUN, "16x8x32", "--python", python, "--json", tmp_path / "found.json")
    assert done.returncode == 1
    assert "The case took too long." in done.stdout
    (measurement,) = load_measurements(tmp_path / "found.json")
    assert measurement.results[0].kind == "hung"


def test_an_unsupported_backend_is_missing_only_if_requested(
    lbc: Lbc, recorded: Callable[..., str]
) -> None:
    refusal = answer("failed", **{"class": "GPU", "message": "CUTLASS runs on 8.x only."})
    shapes = ("--shapes", "4096", "1024", "1000x2048x4096")
    for backends, status in (((), 0), (("--backend", "cusparselt", "--backend", "cutlass"), 1)):
        python = recorded(stream("h100-synthetic"), refusal)
        done = lbc("run", *shapes, *backends, "--python", python)
        assert (done.returncode, "CUTLASS runs on 8.x only." in done.stderr) == (status, True)


def test_results_are_printed_if_files_cannot_be_written(
    lbc: Lbc, tmp_path: Path, recorded: Callable[..., str]
) -> None:
    python = recorded(stream("h100-synthetic"))
    shapes = ("--shapes", "4096", "1024", "1000x2048x4096", "--backend", "cusparselt")
    nowhere = tmp_path / "link"
    nowhere.symlink_to(tmp_path / "missing" / "found")
    done = lbc("run", *shapes, "--python", python, "--json", nowhere, "--csv", nowhere)
    assert done.returncode == 1
    told = "could not be written (No such file or directory): check the path."
    assert done.stderr.count(told) == 2
    assert "1.50 (1.49–1.51)" in done.stdout


def test_a_pattern_without_a_kernel_is_requested_with_a_sentence(lbc: Lbc) -> None:
    for pattern, text in (("6:8", "torch has no kernel for it"), ("4:8x2", "No kernel in torch")):
        done = lbc("run", "--shapes", "16x8x24", "--pattern", pattern, "--print-command")
        assert (done.returncode, text in done.stderr) == (0, True)
    assert lbc("run", "--shapes", "16x8x24", "--print-command").stderr == ""


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((*CPU_RUN, "5x5x5"), "2:4 needs a multiple of 4"),
        ((*CPU_RUN, "4x4x16", "--pattern", "4:6"), "16 inputs, but 4:6 needs a multiple of 6."),
        (("run", "--run", "x", "--pattern", "6:8"), "an experiment or a run has its own N:M."),
        ((*CPU_RUN, "no-such-net"), "'no-such-net' is unknown: choose"),
        ((*CPU_RUN, "8x8x0"), "is out of range"),
        (("show", __file__), "contains no measurement"),
        (("show", "/no/such\x1b[31m:smile:"), "/no/such\\x1b[31m:smile: cannot be read"),
        (("show", "/no/such/file"), "cannot be read (No such file"),
        (("probe", "--host=-oProxyCommand=x"), "is not a host"),
        (("probe", "--host", "gpu\udcff"), "'gpu\\udcff' is not a host"),
        (("probe", "--device", "tpu"), "'tpu' is not a device: write cuda, cuda:1 or cpu."),
        ((*CPU_RUN, "8", "--dtype", "int8"), "A CPU supports float32, bfloat16, not int8."),
        (("run", "--dtype", "float32"), "2:4 on a GPU supports float16, bfloat16, int8, not"),
        ((*CPU_RUN, "8", "--backend", "cutlass"), "--backend applies only to GPUs"),
        ((*CPU_RUN, "8", "--processes", "0"), "--processes 0 is too few"),
        ((*CPU_RUN, "8", "--json", "/no/dir/x.json"), "The folder /no/dir does not exist"),
        ((*CPU_RUN, "8", "--csv", "/no/dir/x.csv"), "The folder /no/dir does not exist"),
    ],
)
def test_invalid_input_gives_status_2_and_a_message(
    lbc: Lbc, arguments: tuple[str, ...], message: str
) -> None:
    done = lbc(*arguments)
    assert (done.returncode, message in done.stderr) == (2, True)


def test_missing_data_of_a_model_give_a_sentence(lbc: Lbc, tmp_path: Path) -> None:
    experiment = tmp_path / "experiment.yaml"
    experiment.write_text("data: {name: cifar10, folder: /no/such}\nmodel: {name: resnet20}\n")
    done = lbc("run", "--device", "cpu", "--model", experiment)
    assert done.returncode == 2
    assert done.stderr.startswith("/no/such is not a folder: ")


def test_without_a_gpu_the_requirements_are_printed(lbc: Lbc) -> None:
    done = lbc("run", "--shapes", "4096", "--backend", "cusparselt", CUDA_VISIBLE_DEVICES="")
    assert done.returncode == 3
    assert "on this machine." in done.stderr
    assert "--host user@server" in done.stderr
    assert "--print-command" in done.stderr


def test_an_old_torch_gives_status_3_and_the_version_to_install(
    lbc: Lbc,
    recorded: Callable[..., str],
) -> None:
    message = "torch 2.10.1 is too old: install 2.11 or newer."
    python = recorded(answer("failed", **{"class": "torch", "message": message}))
    done = lbc("probe", "--python", python)
    assert (done.returncode, message in done.stderr) == (3, True)


def test_an_unreachable_server_gives_status_4(lbc: Lbc, tmp_path: Path) -> None:
    assert lbc("probe", "--host", "server", PATH=str(tmp_path)).returncode == 4
    assert lbc("run", "--python", "/no/such/python").returncode == 4


def test_probe_describes_this_cpu(lbc: Lbc) -> None:
    done = lbc("probe", "--device", "cpu")
    assert done.returncode == 0
    assert "torch 2." in done.stdout
    assert "cpu: ready" in done.stdout


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_sent_twice_stops_the_worker_once_and_gives_status_130(
    tmp_path: Path, counting_python: str, pids: Callable[[], list[int]], end: signal.Signals
) -> None:
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "lbc",
            "latency",
            *CPU_RUN,
            "4096",
            "2048",
            "--python",
            counting_python,
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    while not (tmp_path / "pids").exists() and process.poll() is None:
        time.sleep(0.02)
    process.send_signal(end)
    process.send_signal(end)
    out, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert "Traceback" not in out + errors
    assert ends(pids()[0])
