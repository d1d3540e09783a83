"""The latency worker: measures sparse and dense layers on the machine that runs this file.

A single file that needs only the standard library and torch (2.11 to 2.13), so that nothing has to
be installed on a server. Usage: ``worker.py -`` (job as a JSON line on standard input, which
"cancel" may follow), ``worker.py JOB`` (job in base64), ``worker.py recover ID`` (all answers of a
stored job until its end; "cancel" ends the job).

Answers are JSON lines after ``PREFIX`` on standard output; other output is ignored. Exit status: 0
done, 2 cannot measure here, 3 invalid job, 4 a case hung, 5 cancelled, 6 the GPU is in an undefined
state and the remaining cases need a new process.
"""

from __future__ import annotations

import base64
import faulthandler
import functools
import json
import math
import operator
import os
import platform
import queue
import random
import re
import signal
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field, replace
from functools import cache, partial
from pathlib import Path
from statistics import median
from typing import Any

PREFIX = "@lbc-latency "
SCHEMA = 1
FINAL = ("done", "failed", "cancelled", "timeout")
DONE, REFUSED, UNREADABLE, HUNG, CANCELLED, POISONED = 0, 2, 3, 4, 5, 6
KEEP_DAYS = 7
GRACE_SECONDS = 2.0
CLOSE_SECONDS = 10.0
MAX_COPIES = 64
SAMPLE_SECONDS = 2e-3
"""Target duration of one sample."""

MAX_CALLS = {"cpu": 1000, "cuda": 200}
"""Most calls in one sample."""

BUSY_CYCLES = 200_000
"""GPU clock cycles, about 0.1 ms, in which the host launches what is timed."""

SUSTAINED_SECONDS, SUSTAINED_FROM = 0.5, 1e-4
"""Duration of a measurement without pauses, and the seconds per call from which it is made."""

MAX_ERROR = {"float32": 1e-4, "float16": 2e-3, "bfloat16": 1e-2, "int8": 0.0}
"""Maximum relative Frobenius error: some roundings of the output dtype; int8 sums are exact."""

Call = Callable[[], Any]


class RefusedError(Exception):
    """A case, or any case on this machine, cannot be measured.

    ``values`` are added to the answer.
    """

    def __init__(self, kind: str, message: str, **values: Any) -> None:
        super().__init__(message)
        self.kind, self.values = kind, values


class PoisonedError(Exception):
    """The process cannot use the GPU any more.

    ``uncaptured`` is the way, if any, whose capture in a CUDA graph has failed.
    """

    def __init__(self, message: str, uncaptured: str = "") -> None:
        super().__init__(message)
        self.uncaptured = uncaptured


# -- answers --------------------------------------------------------------------------------------


class Reporter:
    """Write answers to standard output and, for recovery, to a file.

    Standard output is written in its own thread: if the connection stalls, neither the measurement
    nor the watchdog blocks.
    """

    def __init__(self, keep: str | None) -> None:
        self._lock = threading.Lock()
        self._lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._file = open_result_file(keep) if keep else None
        self._writer = threading.Thread(target=self._write, daemon=True)
        self._writer.start()

    def send(self, kind: str, **content: Any) -> None:
        line = json.dumps({"kind": kind, **content}, allow_nan=False)
        with self._lock:
            if self._file is not None:
                try:
                    self._file.write(line + "\n")
                    self._file.flush()
                except OSError:  # disk full: standard output still works
                    self._file = None
            self._lines.put(line)

    def close(self) -> None:
        """Wait until all answers are written, at most CLOSE_SECONDS."""
        self._lines.put(None)
        self._writer.join(CLOSE_SECONDS)

    def exit(self, status: int, kind: str, **content: Any) -> None:
        """Send a last answer and end the process, even if other threads are blocked."""
        self.send(kind, **content)
        self.close()
        os._exit(status)

    def _write(self) -> None:
        while (line := self._lines.get()) is not None:
            try:
                sys.stdout.write("\n" + PREFIX + line + "\n")
                sys.stdout.flush()
            except OSError:  # the connection is closed; the file is still written
                return


def result_folder() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "lbc-latency"


def open_result_file(job: str) -> Any:
    """Open the file for a job's answers; return None if it cannot be written."""
    path = result_path(job)
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        delete_old_results()
        return path.open("w", encoding="utf-8")
    except OSError:
        return None


def result_path(job: str) -> Path:
    if re.fullmatch(r"[0-9a-f]{8,64}", job) is None:
        raise ValueError("A job id must be hexadecimal.")
    return result_folder() / f"{job}.ndjson"


def delete_old_results() -> None:
    for path in result_folder().glob("*.ndjson"):
        with suppress(OSError):
            if time.time() - path.stat().st_mtime > KEEP_DAYS * 86400:
                path.unlink()


def recover(job: str, wait_seconds: float = 3600.0) -> int:
    """Print all past and future answers of a stored job until its end."""
    path, end = result_path(job), time.time() + wait_seconds
    if not path.exists():
        print_answer(failure("lost", "The server has no results of this measurement."))
        return REFUSED
    threading.Thread(target=stop_on_cancel, args=(path,), daemon=True).start()
    printed, pid = 0, None
    while time.time() < end:
        was_alive = pid is None or is_alive(pid)
        answers = read_answers(path)
        for answer in answers[printed:]:
            print_answer(answer)
            pid = answer.get("pid", pid)
            if answer["kind"] in FINAL:
                return DONE
        printed = len(answers)
        if not was_alive:
            print_answer(failure("died", "The measuring process ended unexpectedly."))
            return REFUSED
        time.sleep(0.2)
    return HUNG


def read_answers(path: Path) -> list[dict[str, Any]]:
    """Read the complete lines of a stored job; the last line may still be incomplete."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n")[:-1]]


def stop_on_cancel(path: Path) -> None:
    """End the measuring process on "cancel", and this process at the end of standard input."""
    for line in sys.stdin:
        if line.strip() == "cancel":
            answers = read_answers(path)
            pids = [answer["pid"] for answer in answers if "pid" in answer]
            if pids and answers[-1]["kind"] not in FINAL:
                with suppress(OSError):
                    os.kill(pids[-1], signal.SIGTERM)
            print_answer({"kind": "cancelled"})
            break
    os._exit(CANCELLED)


def print_answer(answer: dict[str, Any]) -> None:
    print(PREFIX + json.dumps(answer), flush=True)


def failure(kind: str, message: str) -> dict[str, Any]:
    return {"kind": "failed", "class": kind, "message": message}


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        pass
    return True


class Watchdog(threading.Thread):
    """End the process when a case or the whole job exceeds its time limit.

    cuSPARSELt's search holds the GIL, so that no Python thread can run. As a fallback, a timer of
    faulthandler, which does not need the GIL, ends the process shortly after the limit.
    """

    def __init__(self, reporter: Reporter, deadline: float, case_seconds: float) -> None:
        super().__init__(daemon=True)
        self._reporter = reporter
        self._seconds = {"job": deadline, "case": case_seconds}
        self._deadline = time.monotonic() + deadline
        self._case, self._case_end = -1, math.inf
        self._devnull = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115

    def start_case(self, case: int) -> None:
        seconds = self._seconds["case"]
        self._case, self._case_end = case, time.monotonic() + seconds
        faulthandler.dump_traceback_later(seconds + GRACE_SECONDS, exit=True, file=self._devnull)

    def run(self) -> None:
        while True:
            time.sleep(0.2)
            now = time.monotonic()
            if now > min(self._deadline, self._case_end):
                what = "case" if now > self._case_end else "job"
                seconds = self._seconds[what]
                self._reporter.exit(HUNG, "timeout", index=self._case, what=what, seconds=seconds)


def listen_for_cancel(reporter: Reporter, orphan: str) -> None:
    """End the process on "cancel"; the end of standard input means that the parent is gone."""
    for line in sys.stdin:
        if line.strip() == "cancel":
            reporter.exit(CANCELLED, "cancelled")
    if orphan == "end":
        reporter.exit(CANCELLED, "cancelled")


# -- the machine ----------------------------------------------------------------------------------


def describe_device(torch: Any, job: dict[str, Any]) -> dict[str, Any]:
    """Return what a measurement depends on: device, versions and limits."""
    values: dict[str, Any] = {
        "torch": torch.__version__,
        "python": platform.python_version(),
        "system": platform.system() + " " + platform.machine(),
        "processor": processor_name(),
        "threads": torch.get_num_threads(),
        "cuda": torch.version.cuda,
        "kind": torch.device(job["device"]).type,
    }
    if values["kind"] != "cuda":
        return {**values, "name": values["processor"]}
    device = torch.cuda.get_device_properties(torch.device(job["device"]))
    uuid = getattr(device, "uuid", None)
    return {
        **values,
        "name": device.name,
        "capability": [device.major, device.minor],
        "multiprocessors": device.multi_processor_count,
        "l2_bytes": getattr(device, "L2_cache_size", None),
        "memory_bytes": device.total_memory,
        "uuid": "GPU-" + str(uuid).replace("GPU-", "") if uuid is not None else None,
        "cublas": library_version("cublas", torch),
        "cusparselt": torch.backends.cusparselt.version(),
        **query_nvidia_smi(
            uuid, ("driver_version", "power.limit", "clocks.max.sm", "clocks.max.mem")
        ),
    }


def processor_name() -> str:
    with suppress(OSError), Path("/proc/cpuinfo").open(encoding="utf-8") as file:
        for line in file:
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def library_version(name: str, torch: Any) -> str | None:
    """Return the version of a CUDA library used by torch, from its wheel's metadata."""
    from importlib import metadata

    major = (torch.version.cuda or "").split(".")[0]
    for package in (f"nvidia-{name}-cu{major}", f"nvidia-{name}"):
        with suppress(metadata.PackageNotFoundError):
            return metadata.version(package)
    return None


def smi_command(uuid: Any, fields: Sequence[str]) -> list[str]:
    command = ["nvidia-smi", "--format=csv,noheader,nounits", "--query-gpu=" + ",".join(fields)]
    return command if uuid is None else [*command, "-i", "GPU-" + str(uuid).replace("GPU-", "")]


def query_nvidia_smi(uuid: Any, fields: Sequence[str]) -> dict[str, Any]:
    """Query fields of nvidia-smi; return {} if it is not available."""
    try:
        done = subprocess.run(smi_command(uuid, fields), capture_output=True, text=True, timeout=10,
                              stdin=subprocess.DEVNULL)  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return {}
    return {} if done.returncode else parse_fields(fields, done.stdout)


def parse_fields(fields: Sequence[str], text: str) -> dict[str, Any]:
    """Parse a line of nvidia-smi; {} if it is incomplete or an error."""
    values = text.strip().partition("\n")[0].split(",")
    names = [field.replace(".", "_") for field in fields]
    complete = len(values) == len(names) and all(values)
    return {n: parse_field(n, v.strip()) for n, v in zip(names, values) if complete}  # noqa: B905


def parse_field(name: str, text: str) -> Any:
    """Convert a field to a number, except versions: 550.10 is not 550.1."""
    try:
        number = float(text)
    except ValueError:
        return text
    return number if math.isfinite(number) and "version" not in name else text


def check_requirements(torch: Any, job: dict[str, Any]) -> None:
    """Raise RefusedError for the first requirement that this machine does not meet."""
    version = tuple(int(part) for part in re.findall(r"\d+", torch.__version__)[:2])
    if version < (2, 11):
        raise RefusedError("torch", f"torch {torch.__version__} is too old: install 2.11 or newer.")
    if torch.device(job["device"]).type == "cpu":
        if job["backend"] != "cpu" or job["dtype"] not in ("float32", "bfloat16"):
            raise RefusedError(
                "device", "A CPU supports only the backend cpu, with float32 or bfloat16."
            )
        return
    if not torch.cuda.is_available():
        why = "was built without CUDA" if torch.version.cuda is None else "finds no NVIDIA GPU"
        raise RefusedError("no GPU", f"torch {torch.__version__} {why} on this machine.")
    index = torch.device(job["device"]).index or 0
    if index >= torch.cuda.device_count():
        raise RefusedError(
            "device", f"This machine has {torch.cuda.device_count()} GPU(s), and no cuda:{index}."
        )
    if job["backend"] == "cpu" or job["dtype"] not in ("float16", "bfloat16", "int8"):
        raise RefusedError("device", "2:4 on a GPU supports float16, bfloat16 or int8.")
    name = torch.cuda.get_device_name(index)
    major, minor = torch.cuda.get_device_capability(index)
    if major < 8:
        raise RefusedError(
            "GPU", f"{name} has compute capability {major}.{minor}; 2:4 needs 8.0 or higher."
        )
    if job["backend"] == "cutlass" and major != 8:
        raise RefusedError(
            "GPU",
            f"torch's CUTLASS kernels run on compute capability 8.x only, and {name} has "
            f"{major}.{minor}: use cuSPARSELt instead.",
        )
    if job["backend"] == "cusparselt" and not torch.backends.cusparselt.is_available():
        raise RefusedError("torch", f"torch {torch.__version__} was built without cuSPARSELt.")


# -- one case -------------------------------------------------------------------------------------


class Operands:
    """Weights and activations of a case, in several sets that exceed three L2 caches with outputs.

    Y (n, m) = X (n, k) @ W (m, k)ᵀ. W is N:M sparse. If the kernels do not support its size, it is
    padded with zeros; padding of X, which each call needs, is included in the time.
    """

    def __init__(self, torch: Any, job: dict[str, Any], case: dict[str, Any], l2: int) -> None:
        self.torch, self.case = torch, case
        self.device, self.dtype = torch.device(job["device"]), getattr(torch, job["dtype"])
        self.backend, int8 = job["backend"], self.dtype == torch.int8
        self.row_multiple = 16 if int8 else 8
        self.out_type = torch.int32 if int8 else None
        m, n, k = case["m"], case["n"], case["k"]
        self.row_pad, self.k_pad = padding(job, m, k)
        size = self.dtype.itemsize
        set_bytes = (m * k + n * k) * size + m * n * (4 if int8 else size)
        copies = max(1, min(MAX_COPIES, math.ceil(3 * l2 / set_bytes)))
        self.cold = copies * set_bytes >= 3 * l2 if l2 else None
        generator = torch.Generator(self.device).manual_seed(case.get("seed", 0))
        mask = self._mask(generator)
        self.share_valid = valid_share(mask)
        if self.backend != "cpu" and self.share_valid < 1:
            raise RefusedError(
                "not 2:4",
                f"{1 - self.share_valid:.1%} of the groups of four keep more than two weights, "
                "which the 2:4 kernels would silently drop: GPUs do not support this mask.",
                share_valid=self.share_valid,
            )
        self.x = [self._random((n, k), generator) for _ in range(copies)]
        self.w = [self._random((m, k), generator) * mask for _ in range(copies)]
        self.pairs = list(zip(self.x, self.w, strict=True))
        self.mask = mask
        self._images: list[Any] = []
        self._expected: dict[tuple[int, bool], Any] = {}

    def _random(self, shape: tuple[int, int], generator: Any) -> Any:
        torch = self.torch
        if self.dtype == torch.int8:
            return torch.randint(-127, 128, shape, generator=generator, device=self.device,
                                 dtype=torch.int8)  # fmt: skip
        return torch.randn(shape, generator=generator, device=self.device).to(self.dtype)

    def _mask(self, generator: Any) -> Any:
        torch, case = self.torch, self.case
        m, k = case["m"], case["k"]
        if case.get("mask"):
            packed = bytearray(base64.b64decode(case["mask"]))
            if len(packed) != (m * k + 7) // 8:
                raise RefusedError("mask", f"A mask of {len(packed)} bytes does not fit {m}×{k}.")
            bits = torch.frombuffer(packed, dtype=torch.uint8)
            bit_values = torch.tensor([128, 64, 32, 16, 8, 4, 2, 1], dtype=torch.uint8)
            flat = ((bits[:, None] & bit_values) != 0).flatten()[: m * k]
            return flat.view(m, k).to(self.device, self.dtype)
        keep, size, *group = (int(part) for part in re.split("[:x]", case["pattern"]))
        width = group[0] if group else 1
        if k % size:
            raise RefusedError("pattern", f"{k} inputs are not a multiple of {size}.")
        shape = (m * k // size, size // width)
        noise = torch.rand(shape, generator=generator, device=self.device)
        best = noise.topk(keep // width, dim=1).indices
        mask = torch.zeros_like(noise).scatter_(1, best, 1).repeat_interleave(width, dim=1)
        return mask.view(m, k).to(self.dtype)

    def padded_weight(self, index: int) -> Any:
        return pad(self.torch, self.w[index], self.row_pad, self.k_pad).contiguous()

    def images(self) -> list[Any]:
        """Return random images in channels-last format, one batch per set of operands."""
        torch, conv = self.torch, self.case["conv"]
        if self.dtype == torch.int8:
            raise RefusedError("convolution", "torch has no int8 convolution on GPUs.")
        shape = (conv["batch"], conv["channels"], conv["height"], conv["width"])
        if not self._images:
            generator = torch.Generator(self.device).manual_seed(1)
            self._images = [
                torch.randn(shape, generator=generator, device=self.device)
                .to(self.dtype)
                .contiguous(memory_format=torch.channels_last)
                for _ in self.x
            ]
        return self._images

    def filters(self, index: int) -> Any:
        """Return W (m, kH·kW·I) as the weight (m, I, kH, kW) of a convolution."""
        conv = self.case["conv"]
        wide = self.w[index].view(self.case["m"], *conv["kernel"], conv["channels"])
        return wide.permute(0, 3, 1, 2)

    def convolve(self, image: Any, weight: Any) -> Any:
        conv = self.case["conv"]
        settings = {name: tuple(conv[name]) for name in ("stride", "padding", "dilation")}
        return self.torch.nn.functional.conv2d(image, weight, **settings)

    def reference(self, index: int, convolution: bool) -> Any:
        """Return X @ Wᵀ, or the convolution, in float32 (float64 for int8: sums are then exact)."""
        if (index, convolution) not in self._expected:
            wide = self.torch.float64 if self.dtype == self.torch.int8 else self.torch.float32
            if convolution:
                image, weight = self.images()[index].to(wide), self.filters(index).to(wide)
                expected = as_matrix(self.convolve(image, weight))
            else:
                expected = self.x[index].to(wide) @ self.w[index].to(wide).t()
            self._expected[index, convolution] = expected
        return self._expected[index, convolution]

    def error(self, out: Any, index: int, convolution: bool = False) -> float:
        """Return the relative Frobenius error of an output; NaN if it has NaNs or a wrong size."""
        expected = self.reference(index, convolution)
        actual = as_matrix(out)[: expected.shape[0], : expected.shape[1]].to(expected.dtype)
        if actual.shape != expected.shape:
            return math.nan
        return float((actual - expected).norm() / expected.norm().clamp_min(1e-30))


def as_matrix(out: Any) -> Any:
    """Reshape a convolution's output (images, channels, height, width) to (pixels, channels)."""
    return out if out.dim() == 2 else out.permute(0, 2, 3, 1).flatten(0, 2)


def padding(job: dict[str, Any], m: int, k: int) -> tuple[int, int]:
    """Return the zero rows and columns that pad W to the multiples its kernel requires."""
    int8 = job["dtype"] == "int8"
    rows, columns = {
        "cpu": (1, 1),
        "cusparselt": (32, 32) if int8 else (16, 16),
        "cutlass": (16, 128) if int8 else (32, 64),
    }[job["backend"]]
    return -m % rows, -k % columns


def pad(torch: Any, matrix: Any, rows: int, columns: int) -> Any:
    """Append rows and columns of zeros."""
    return torch.nn.functional.pad(matrix, (0, columns, 0, rows)) if rows or columns else matrix


def valid_share(mask: Any) -> float:
    """Return the fraction of the groups of four that keep at most two."""
    groups = (mask != 0).new_zeros(mask.shape[0], mask.shape[1] + -mask.shape[1] % 4)
    groups[:, : mask.shape[1]] = mask != 0
    return float((groups.view(-1, 4).sum(dim=1) <= 2).double().mean())


@dataclass
class Way:
    """A way to compute a case: its name, one call per set of operands, and values to report.

    ``prepare`` is called before calls are timed or captured; it is never timed itself.
    """

    name: str
    calls: Sequence[Call]
    dense: bool = False
    prepare: Call = lambda: None
    values: dict[str, Any] = field(default_factory=dict)


def make_way(
    name: str, call: Callable[..., Any], operands: Iterable[tuple[Any, ...]], **more: Any
) -> Way:
    """Return a way whose calls apply ``call`` to each set of operands."""
    return Way(name, [partial(call, *one) for one in operands], **more)


def build_ways(
    torch: Any, job: dict[str, Any], ops: Operands, found: dict[str, int],
    refused: list[dict[str, str]],
) -> list[Way]:  # fmt: skip
    """Return every way to compute a case; add those that are not available to ``refused``.

    ``found`` is what the search of an algorithm found, empty without one.
    """
    builders = gpu_builders(torch, job, ops, found)
    if job["backend"] == "cpu":
        builders = cpu_builders(torch, job, ops)
    ways = []
    for name, build in builders.items():
        try:
            ways.append(build())
        except RefusedError as refusal:
            refused.append({"what": name, "why": str(refusal)})
        except Exception as error:
            raise_if_poisoned(torch, ops.device, error)
            if out_of_memory(torch, error):
                raise
            refused.append({"what": name, "why": first_line(error)})
    return ways


def gpu_builders(
    torch: Any, job: dict[str, Any], ops: Operands, found: dict[str, int]
) -> dict[str, Callable[[], Way]]:
    backend = job["backend"]
    builders: dict[str, Callable[[], Way]] = {
        name: partial(dense_gpu, torch, ops, name) for name in ("cuBLAS", "cuBLASLt")
    }
    if job["compile"]:
        builders["max-autotune"] = partial(compiled, torch, ops)
    builders["2:4, default algorithm"] = partial(semi_structured, torch, backend, ops)
    if found:
        for name, values in settable(torch, ops, found).items():
            builders[name] = partial(with_algorithm, torch, ops, name, values)
    if ops.case.get("conv"):
        builders["cuDNN convolution"] = partial(dense_conv, torch, ops, "cuDNN convolution")
        builders["unfold + 2:4"] = partial(unfolded_two_four, torch, backend, ops)
    return builders


def cpu_builders(torch: Any, job: dict[str, Any], ops: Operands) -> dict[str, Callable[[], Way]]:
    max_seconds = max_call_seconds(job)
    builders: dict[str, Callable[[], Way]] = {
        "dense": partial(dense_linear, torch, ops),
        "masked dense": partial(masked, torch, ops),
        "torch CSR": partial(torch_sparse, ops, "CSR", max_seconds),
        "torch COO": partial(torch_sparse, ops, "COO", max_seconds),
    }
    if ops.case.get("conv"):
        builders["convolution"] = partial(dense_conv, torch, ops, "convolution")
        builders["unfold + CSR"] = partial(unfolded_csr, torch, ops, max_seconds)
    return builders


def dense_linear(torch: Any, ops: Operands) -> Way:
    return make_way("dense", torch.nn.functional.linear, ops.pairs, dense=True)


def masked(torch: Any, ops: Operands) -> Way:
    """The mask is applied in every call, as in training."""
    linear = torch.nn.functional.linear
    return make_way("masked dense", lambda x, w: linear(x, w * ops.mask), ops.pairs)


def torch_sparse(ops: Operands, layout: str, max_seconds: float) -> Way:
    kept = int((ops.mask != 0).sum())
    index_bytes = 8 * kept + 8 * (ops.case["m"] + 1) if layout == "CSR" else 16 * kept

    if layout == "COO" and ops.dtype.itemsize < 4:
        raise RefusedError("torch COO", "torch accumulates in 16 bits, which is too imprecise.")
    weights = sparse_weights(ops, layout, max_seconds)
    values = {"bytes": kept * ops.dtype.itemsize + index_bytes}
    return make_way(f"torch {layout}", spmm, zip(ops.x, weights, strict=True), values=values)


def spmm(x: Any, w: Any) -> Any:
    return (w @ x.t()).t()


def sparse_weights(ops: Operands, layout: str, max_seconds: float) -> list[Any]:
    """Return W in a sparse layout. Raises RefusedError if a call would take too long.

    A call cannot be interrupted, so its time is first estimated with a part of X.
    """
    name = f"torch {layout}"
    try:
        weights = [w.to_sparse_csr() if layout == "CSR" else w.to_sparse() for w in ops.w]
        rows = max(1, ops.case["n"] // 32)
        started = time.perf_counter()
        spmm(ops.x[0][:rows], weights[0])
        seconds = (time.perf_counter() - started) * ops.case["n"] / rows
    except (RuntimeError, NotImplementedError) as error:
        raise RefusedError(name, first_line(error)) from error
    if seconds > 2 * max_seconds:
        raise RefusedError(name, f"One call would take about {seconds:.1f} s: not measured.")
    return weights


def dense_gpu(torch: Any, ops: Operands, library: str) -> Way:
    if ops.dtype == torch.int8:
        if library == "cuBLAS":
            raise RefusedError(library, "torch multiplies int8 only with cuBLASLt.")
        return int8_dense(torch, ops, library)
    prepare = partial(torch.backends.cuda.preferred_blas_library, library.lower())
    prepare()
    return make_way(library, torch.nn.functional.linear, ops.pairs, dense=True, prepare=prepare)


def int8_dense(torch: Any, ops: Operands, library: str) -> Way:
    """torch's int8 product, padded to what it takes: 17 rows or more, multiples of 8 otherwise."""
    n, m, k = (ops.case[side] for side in "nmk")
    rows, columns = 32 - n if n <= 16 else 0, -k % 8
    padded = (n + rows, m + -m % 8, k + columns)
    note = "padded to {}×{}×{} (tokens, outputs, inputs)".format(*padded)
    pairs = [(x, pad(torch, w, -m % 8, columns).t()) for x, w in ops.pairs]
    return make_way(library, lambda x, w: torch._int_mm(pad(torch, x, rows, columns), w), pairs,
                dense=True, values={"note": note} if padded != (n, m, k) else {})  # fmt: skip


def compiled(torch: Any, ops: Operands) -> Way:
    if ops.dtype == torch.int8:
        raise RefusedError("max-autotune", "int8 is not supported.")
    prepare = partial(torch.backends.cuda.preferred_blas_library, "default")
    prepare()
    linear = torch.compile(torch.nn.functional.linear, mode="max-autotune-no-cudagraphs")
    linear(ops.x[0], ops.w[0])
    return make_way("max-autotune", linear, ops.pairs, dense=True, prepare=prepare)


def semi_structured_weights(backend: str, ops: Operands, count: int) -> list[Any]:
    from torch.sparse import SparseSemiStructuredTensor, to_sparse_semi_structured

    SparseSemiStructuredTensor._FORCE_CUTLASS = backend == "cutlass"
    return [to_sparse_semi_structured(ops.padded_weight(i)) for i in range(count)]


def semi_structured(torch: Any, backend: str, ops: Operands) -> Way:
    """torch's 2:4 linear layer as users have it: default algorithm, padding and overhead."""
    name = {"cusparselt": "cuSPARSELt", "cutlass": "CUTLASS"}[backend] + " default"
    semi_structured_weights(backend, ops, 1)  # not timed: it initialises the library
    torch.cuda.synchronize(ops.device)
    started = time.perf_counter()
    weights = semi_structured_weights(backend, ops, len(ops.w))
    torch.cuda.synchronize(ops.device)
    seconds, parts = time.perf_counter() - started, (weights[0].packed, weights[0].meta)
    values = {
        "compress_ms": seconds / len(weights) * 1e3,
        "bytes": sum(part.nbytes for part in parts if part is not None),
    }
    if ops.dtype == torch.int8:  # the layer's output would be int8 and saturate
        packed = [(x, w.packed, w.meta) for x, w in zip(ops.x, weights, strict=True)]
        return make_way(name, partial(product, torch, ops), packed, values=values)
    pairs = zip(ops.x, weights, strict=True)
    return make_way(name, partial(padded_linear, torch, ops), pairs, values=values)


def padded_linear(torch: Any, ops: Operands, x: Any, w: Any) -> Any:
    return torch.nn.functional.linear(pad(torch, x, 0, ops.k_pad), w)


def product(
    torch: Any, ops: Operands, x: Any, packed: Any, meta: Any = None, **algorithm: int
) -> Any:
    """Return the library's product; int8 gives int32, so that sums do not saturate."""
    wide, out = pad(torch, x, -x.shape[0] % ops.row_multiple, ops.k_pad).t(), ops.out_type
    if ops.backend == "cutlass":
        return torch._sparse_semi_structured_mm(packed, meta, wide, out_dtype=out).t()
    return torch._cslt_sparse_mm(packed, wide, out_dtype=out, transpose_result=True, **algorithm)


def find_algorithm(torch: Any, job: dict[str, Any], case: dict[str, Any]) -> dict[str, int]:
    """Return what cuSPARSELt's search finds for this shape, in operands of its own.

    torch gives the search the scratch memory of one algorithm for all of them. It therefore runs
    before the operands that are measured are made, so that they are intact whatever it overwrites.
    """
    ops = Operands(torch, job, case, 0)
    packed = torch._cslt_compress(ops.padded_weight(0))
    x = pad(torch, ops.x[0], -case["n"] % ops.row_multiple, ops.k_pad).t()

    def search() -> Any:
        with torch.inference_mode(), torch.cuda.device(ops.device):
            found = torch._C._cusparselt.mm_search(packed, x, None, None, ops.out_type, True)
            torch.cuda.synchronize(ops.device)
            return found

    # In a thread of its own: torch caches plans by shape and thread from 2.14 on, and a search
    # would replace the default plan.
    with ThreadPoolExecutor(1) as pool:
        found = pool.submit(search).result()
    return dict(zip(("alg_id", "split_k", "split_k_mode"), map(int, found), strict=False))


def settable(torch: Any, ops: Operands, found: dict[str, int]) -> dict[str, dict[str, Any]]:
    """Return the ways in which torch can use the algorithm found, with the values to report.

    torch does not pass on split_k 1; unset, the library may split all the same. -1 (segment-K)
    hangs on GPUs other than Hopper and Blackwell, and may hang with fewer than 400 outputs.
    """
    split, (major, _) = found["split_k"], torch.cuda.get_device_capability(ops.device)
    unset = {"algorithm": {"alg_id": found["alg_id"]}}
    if split == 1 or (split == -1 and (major not in (9, 10) or ops.case["m"] < 400)):
        why = "which torch cannot set" if split == 1 else "which may hang here"
        return {"cuSPARSELt best": {**unset, "note": f"the search found split_k {split}, {why}"}}
    return {"cuSPARSELt best": {"algorithm": found}, "cuSPARSELt best, split_k unset": unset}


def with_algorithm(torch: Any, ops: Operands, name: str, values: dict[str, Any]) -> Way:
    """cuSPARSELt's product with a given algorithm."""
    pairs = [(x, torch._cslt_compress(ops.padded_weight(i))) for i, x in enumerate(ops.x)]
    return make_way(name, partial(product, torch, ops, **values["algorithm"]), pairs, values=values)


def dense_conv(torch: Any, ops: Operands, name: str) -> Way:
    """torch's convolution, the baseline of the unfolded product."""
    torch.backends.cudnn.benchmark = True
    pairs = [(image, ops.filters(index)) for index, image in enumerate(ops.images())]
    return make_way(name, ops.convolve, pairs, dense=True, values={"unfolded": True})


def unfolded_two_four(torch: Any, backend: str, ops: Operands) -> Way:
    weights = semi_structured_weights(backend, ops, len(ops.w))
    return unfolded(torch, ops, "unfold + 2:4", weights, partial(padded_linear, torch, ops))


def unfolded_csr(torch: Any, ops: Operands, max_seconds: float) -> Way:
    return unfolded(torch, ops, "unfold + CSR", sparse_weights(ops, "CSR", max_seconds), spmm)


def unfolded(
    torch: Any, ops: Operands, name: str, weights: list[Any], product: Callable[[Any, Any], Any]
) -> Way:
    """Unfold the images to (kernel row, kernel column, input channel), then multiply."""
    conv = ops.case["conv"]
    if tuple(conv["dilation"]) != (1, 1):
        raise RefusedError("unfold", "Dilated convolutions are not supported.")
    (height, width), (down, right), (rows, columns) = (
        conv[name] for name in ("kernel", "stride", "padding")
    )

    def call(image: Any, weight: Any) -> Any:
        wide = torch.nn.functional.pad(image, (columns, columns, rows, rows)).permute(0, 2, 3, 1)
        patches = wide.unfold(1, height, down).unfold(2, width, right)
        return product(patches.permute(0, 1, 2, 4, 5, 3).reshape(-1, ops.case["k"]), weight)

    pairs = zip(ops.images(), weights, strict=True)
    return make_way(name, call, pairs, values={"unfolded": True})


# -- timing ---------------------------------------------------------------------------------------


class Timer:
    """Time one way in one mode, eager calls or a CUDA graph; ``once`` returns seconds per call.

    On a GPU, every set of operands has an output of its own: outputs are then as cold as operands,
    and all can be checked.
    """

    def __init__(self, torch: Any, way: Way, mode: str, device: Any) -> None:
        self.torch, self.way, self.mode, self.device = torch, way, mode, device
        self.samples: list[float] = []
        self.count = len(way.calls)
        self.outs: list[Any] = [None] * len(way.calls)
        self.right, self.worst = False, math.nan
        self.sustained: float | None = None
        way.prepare()
        if mode == "graph":
            stream = torch.cuda.Stream(device)
            stream.wait_stream(torch.cuda.current_stream(device))
            with torch.cuda.stream(stream):
                for _ in range(3):
                    self._call_all()
            torch.cuda.current_stream(device).wait_stream(stream)
            self._capture()

    def _capture(self) -> None:
        """Record ``count`` calls. Raises PoisonedError if torch cannot leave a failed capture."""
        self.outs = [None] * len(self.outs)  # of a graph before
        self._graph, inside = self.torch.cuda.CUDAGraph(), None
        try:
            with self.torch.cuda.graph(self._graph):
                try:
                    self._call_all()
                except Exception as error:
                    inside = error
                    raise
        except Exception as error:
            if error is inside:  # the capture has ended in order
                raise
            why, way = first_line(inside or error), self.way.name
            raise PoisonedError(f"{way} cannot be captured in a CUDA graph: {why}", way) from error

    def _call_all(self) -> None:
        for index in range(self.count):
            at = index % len(self.outs)
            self.outs[at] = self.way.calls[at]()

    def warm_up(self, seconds: float, calls: int, max_seconds: float) -> None:
        """Make at least ``calls`` calls in ``seconds``; set the calls per sample to 2 ms.

        Raises RefusedError if a single call takes more than ``max_seconds``.
        """
        first = self.once()
        if first > max_seconds:
            raise RefusedError(self.way.name, f"One call takes {first:.1f} s: not measured.")
        made, elapsed = self.count, first * self.count
        while (made < calls or elapsed < seconds) and elapsed < 5 * seconds:
            elapsed += self.once() * self.count
            made += self.count
        calls = min(MAX_CALLS[self.device.type], round(SAMPLE_SECONDS * made / max(elapsed, 1e-9)))
        self.count = max(len(self.outs), calls)
        if self.mode == "graph":
            self.way.prepare()
            self._capture()
            self.once()

    def once(self) -> float:
        self.way.prepare()
        if self.mode == "graph":
            return self._replay(1)
        self._synchronize()
        started = time.perf_counter()
        self._call_all()
        self._synchronize()
        return (time.perf_counter() - started) / self.count

    def _synchronize(self) -> None:
        if self.device.type == "cuda":
            self.torch.cuda.synchronize(self.device)

    def _replay(self, times: int) -> float:
        """Return the seconds per call of some replays.

        The GPU is kept busy until they are launched: their launch would be part of the time.
        """
        cuda = self.torch.cuda
        start, end = (cuda.Event(enable_timing=True) for _ in range(2))
        cuda._sleep(BUSY_CYCLES)
        start.record()
        for _ in range(times):
            self._graph.replay()
        end.record()
        end.synchronize()
        return float(start.elapsed_time(end)) * 1e-3 / self.count / times

    def sustain(self) -> None:
        """Measure half a second without pauses, in which the GPU's clocks settle."""
        seconds = median(self.samples)
        if self.mode == "graph" and seconds >= SUSTAINED_FROM:
            self.sustained = self._replay(math.ceil(SUSTAINED_SECONDS / seconds / self.count))

    def check(self, ops: Operands, limit: float) -> None:
        """Compare all new outputs with the reference, after overwriting memory they may reuse."""
        buffers = [*self.outs, *(self.torch.empty_like(self.outs[0]) for _ in range(3))]
        for buffer in buffers:
            buffer.fill_(float("nan") if buffer.is_floating_point() else -77)
        del buffers, buffer
        if self.mode == "eager":  # freed, so that the next outputs reuse this memory
            self.outs = [None] * len(self.outs)
        self.once()
        unfolded = bool(self.way.values.get("unfolded"))
        errors = [ops.error(out, index, unfolded) for index, out in enumerate(self.outs)]
        self.worst = math.nan if any(map(math.isnan, errors)) else max(errors)
        self.right = math.isfinite(self.worst) and self.worst <= limit


def measure(torch: Any, job: dict[str, Any], case: dict[str, Any], l2: int) -> dict[str, Any]:
    """Measure one case. Raises RefusedError if it cannot be measured."""
    started = time.monotonic()
    found: dict[str, int] = {}
    refused: list[dict[str, str]] = []
    if job["backend"] == "cusparselt" and job["search"]:
        try:
            found = find_algorithm(torch, job, case)
        except Exception as error:
            raise_if_poisoned(torch, torch.device(job["device"]), error)
            refused.append({"what": "2:4, best algorithm", "why": first_line(error)})
    ops = Operands(torch, job, case, l2)
    ways = build_ways(torch, job, ops, found, refused)
    if ways and ways[0].dense:
        ways.append(replace(ways[0], name="A/A"))
    times: list[dict[str, Any]] = []
    ratios: list[dict[str, Any]] = []
    clocks = ClockReader(torch, ops.device)
    # All graphs first: launch-bound eager calls between them would cool the GPU.
    for mode in ("graph", "eager") if ops.device.type == "cuda" else ("eager",):
        timers = start_timers(torch, job, ops, ways, mode, refused)
        with clocks if mode == "graph" else nullcontext():
            interleave(timers, job)
            ratios += compare(torch, timers, job)
        times += map(summarize, timers)
        timers.clear()
    if not times:
        raise RefusedError("nothing", "; ".join(f"{r['what']}: {r['why']}" for r in refused))
    return {
        "times": times,
        "ratios": ratios,
        "refused": refused,
        "share_valid": ops.share_valid,
        "copies": len(ops.x),
        "cold": ops.cold,
        "padded": [ops.row_pad, ops.k_pad],
        "bytes_dense": ops.w[0].nbytes,
        "clocks": clocks.values,
        "seconds": time.monotonic() - started,
    }


def start_timers(
    torch: Any, job: dict[str, Any], ops: Operands, ways: list[Way], mode: str,
    refused: list[dict[str, str]],
) -> list[Timer]:  # fmt: skip
    """Return a warm timer of every way; add those that fail to ``refused``."""
    timers = []
    for way in ways:
        try:
            if mode == "graph" and way.name in job.get("uncaptured", ()):
                raise RefusedError(way.name, "Its capture in a CUDA graph failed before.")
            with warnings.catch_warnings(record=True) as messages:
                warnings.simplefilter("always")
                timer = Timer(torch, way, mode, ops.device)
                timer.warm_up(job["warmup_seconds"], job["warmup_calls"], max_call_seconds(job))
            texts = [str(message.message) for message in messages if way.dense]
            if any("calling cublas instead" in text for text in texts):
                raise RefusedError(way.name, "torch fell back to cuBLAS for this product.")
            timer.check(ops, MAX_ERROR[job["dtype"]])
            timers.append(timer)
        except Exception as error:
            raise_if_poisoned(torch, ops.device, error)
            refused.append({"what": f"{way.name}, {mode}", "why": first_line(error)})
    return timers


def max_call_seconds(job: dict[str, Any]) -> float:
    """Return the longest time of a call for which seven samples fit into the budget."""
    return float(job["budget_seconds"]) / 7


def interleave(timers: list[Timer], job: dict[str, Any]) -> None:
    """Take one sample of each timer in turn, in random order, so that drift affects all alike.

    Seven samples if time runs out, and for a way ten times slower than the first, which needs less
    precision; three for a way fifty times slower.
    """
    order, shuffle, started = list(timers), random.Random(0).shuffle, time.monotonic()
    for turn in range(job["samples"]):
        if turn >= 7 and time.monotonic() - started > job["budget_seconds"]:
            return
        shuffle(order)
        for timer in order:
            # Compare the shortest samples: a single one is unreliable on a busy machine.
            slower = min(timer.samples) / min(timers[0].samples) if turn else 1.0
            if turn < (job["samples"] if slower < 10 else 7 if slower < 50 else 3):
                timer.samples.append(timer.once())


def summarize(timer: Timer) -> dict[str, Any]:
    ordered = sorted(timer.samples)
    p10, p90 = (ordered[min(len(ordered) - 1, int(q * len(ordered)))] for q in (0.1, 0.9))
    return {
        "way": timer.way.name,
        "mode": timer.mode,
        "dense": timer.way.dense,
        "median_us": median(ordered) * 1e6,
        "p10_us": p10 * 1e6,
        "p90_us": p90 * 1e6,
        "samples": len(ordered),
        "calls": timer.count,
        "right": timer.right,
        "error": timer.worst if math.isfinite(timer.worst) else None,
        "strides": list(timer.outs[0].stride()),
        "sustained_us": None if timer.sustained is None else timer.sustained * 1e6,
        **timer.way.values,
    }


def compare(torch: Any, timers: list[Timer], job: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the speed-up of every way over the best dense one, with its interval.

    The fastest of several ways is in part the luckiest: the best dense and sparse ways are sampled
    anew, and the first samples of the two are replaced.
    """
    ratios: list[dict[str, Any]] = []
    for unfold in (False, True):
        group = [t for t in timers if bool(t.way.values.get("unfolded")) == unfold]
        dense = [t for t in group if t.way.dense and t.way.name != "A/A"]
        if not dense:
            continue
        best = min(dense, key=lambda t: median(t.samples))
        control = next((t for t in dense if t.way is timers[0].way), best)
        found = {
            timer.way.name: ratio(torch, over, timer)
            for timer in group
            if timer is not (over := control if timer.way.name == "A/A" else best)
        }
        sparse = [t for t in group if not t.way.dense and t.right]
        if sparse:
            winner = min(sparse, key=lambda t: median(t.samples))
            best.samples, winner.samples = [], []
            interleave([best, winner], job)
            found[winner.way.name] = ratio(torch, best, winner)
            best.sustain()
            winner.sustain()
        ratios += found.values()
    return ratios


def ratio(torch: Any, over: Timer, timer: Timer, resamples: int = 2000) -> dict[str, Any]:
    """Return median(over) / median(way) and its 95 % bootstrap interval over pairs of samples."""
    count = min(len(over.samples), len(timer.samples))
    pairs = torch.tensor([over.samples[:count], timer.samples[:count]], dtype=torch.float64)
    generator = torch.Generator().manual_seed(0)
    indices = torch.randint(pairs.shape[1], (resamples, pairs.shape[1]), generator=generator)
    medians = pairs[:, indices].quantile(0.5, dim=2)
    low, high = (medians[0] / medians[1]).quantile(
        torch.tensor([0.025, 0.975], dtype=torch.float64)
    )
    return {"way": timer.way.name, "over": over.way.name, "mode": timer.mode,
            "ratio": median(over.samples) / median(timer.samples),
            "low": float(low), "high": float(high)}  # fmt: skip


class ClockReader:
    """Reads clocks, power and throttling every 200 ms in its context; nothing is set.

    ``values`` has the median, least and largest of each, the throttle reasons of all readings, and
    their number, which is 0 if none came in time: the values are then of one reading afterwards.
    """

    FIELDS = ("clocks.sm", "clocks.mem", "power.draw", "temperature.gpu")

    def __init__(self, torch: Any, device: Any) -> None:
        self.values: dict[str, Any] = {}
        self._process: subprocess.Popen[str] | None = None
        if device.type == "cuda":
            self._uuid = getattr(torch.cuda.get_device_properties(device), "uuid", None)
            self._fields = (*self.FIELDS, throttle_field(self._uuid))

    def __enter__(self) -> None:
        quiet, command = subprocess.DEVNULL, smi_command(self._uuid, self._fields)
        with suppress(OSError):
            self._process = subprocess.Popen([*command, "-lms", "200"], stdin=quiet, stderr=quiet,
                                             stdout=subprocess.PIPE, text=True)  # fmt: skip

    def __exit__(self, *_: object) -> None:
        if self._process is None:
            return
        self._process.terminate()
        lines = self._process.communicate()[0].splitlines()
        readings = [reading for line in lines if (reading := parse_fields(self._fields, line))]
        self.values = {"readings": len(readings)}
        readings = readings or [query_nvidia_smi(self._uuid, self._fields)]
        for name in readings[0]:
            found = [reading[name] for reading in readings]
            if name.endswith("_active"):
                bits = (int(value, 16) for value in found if str(value).startswith("0x"))
                self.values["throttle_reasons"] = hex(functools.reduce(operator.or_, bits, 0))
            elif numbers := [value for value in found if isinstance(value, float)]:
                self.values |= {f"{name}_min": min(numbers), f"{name}_max": max(numbers)}
                self.values[name] = median(numbers)


@cache
def throttle_field(uuid: Any) -> str:
    """Return the field of throttle reasons; old drivers know it under another name."""
    new = "clocks_event_reasons.active"
    return new if query_nvidia_smi(uuid, (new,)) else "clocks_throttle_reasons.active"


# -- the job --------------------------------------------------------------------------------------


def first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]


def raise_if_poisoned(torch: Any, device: Any, error: Exception) -> None:
    """Raise PoisonedError if the GPU is unusable after ``error``; only a synchronisation tells."""
    if isinstance(error, PoisonedError):
        raise error
    if device.type == "cuda":
        try:
            torch.cuda.synchronize(device)
        except Exception as broken:
            texts = dict.fromkeys((first_line(error), first_line(broken)))
            raise PoisonedError("; ".join(texts)) from error


def out_of_memory(torch: Any, error: BaseException) -> bool:
    return isinstance(error, (torch.OutOfMemoryError, MemoryError))


def run_case(torch: Any, job: dict[str, Any], index: int, l2: int) -> dict[str, Any]:
    """Return the answer for one case: its measurement, or the reason why there is none."""
    case = job["cases"][index]
    repeated = ("name", "m", "n", "k", "pattern", "share", "count", "convolution")
    identity = {"index": index, **{key: case[key] for key in repeated if key in case}}
    try:
        return {**identity, "status": "measured", **measure(torch, job, case, l2)}
    except RefusedError as refusal:
        refused = {"status": "refused", "class": refusal.kind, "why": str(refusal)}
        return {**identity, **refused, **refusal.values}
    except Exception as error:
        failed = {**identity, "status": "failed"}
        try:
            raise_if_poisoned(torch, torch.device(job["device"]), error)
        except PoisonedError as poison:
            why, way = first_line(poison), poison.uncaptured
            return {**failed, "class": "poisoned", "why": why, "uncaptured": way}
        if out_of_memory(torch, error):
            why = "Out of memory: lower the batch or the number of tokens."
            return {**failed, "class": "memory", "why": why}
        return {**failed, "class": type(error).__name__, "why": first_line(error)}


def run_job(job: dict[str, Any], reporter: Reporter) -> None:
    try:
        import torch
    except ImportError as error:
        raise RefusedError("torch", f"torch cannot be imported: {first_line(error)}") from error
    check_requirements(torch, job)
    if job.get("threads"):
        torch.set_num_threads(job["threads"])
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    if torch.device(job["device"]).type == "cuda":
        torch.cuda.set_device(torch.device(job["device"]).index or 0)
    device = describe_device(torch, job)
    reporter.send("hello", schema=SCHEMA, pid=os.getpid(), device=device, backend=job["backend"],
                 dtype=job["dtype"], time=time.time())  # fmt: skip
    l2 = device.get("l2_bytes") or (50 << 20 if device["kind"] == "cuda" else 0)
    watchdog = Watchdog(reporter, job["deadline_seconds"], job["case_seconds"])
    watchdog.start()
    for index in range(job.get("first", 0), len(job["cases"])):
        watchdog.start_case(index)
        reporter.send("start", index=index)
        with torch.inference_mode():
            result = run_case(torch, job, index, l2)
        reporter.send("result", **result)
        if result.get("class") == "poisoned":
            last = {"class": "poisoned", "message": result["why"], "way": result["uncaptured"]}
            reporter.exit(POISONED, "failed", **last)
        if device["kind"] == "cuda":
            torch.cuda.empty_cache()


def main(arguments: list[str]) -> int:
    if arguments[:1] == ["recover"]:
        return recover(arguments[1])
    try:
        piped = arguments == ["-"]
        job = dict(json.loads(sys.stdin.readline() if piped else base64.b64decode(arguments[0])))
        reporter = Reporter(job.get("keep"))
    except (ValueError, TypeError, IndexError, OSError, RuntimeError) as error:
        print(f"The job is invalid: {error}", file=sys.stderr)
        return UNREADABLE
    if hasattr(signal, "SIGHUP"):
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
    if piped:
        listener = partial(listen_for_cancel, reporter, job["orphan"])
        threading.Thread(target=listener, daemon=True).start()
    status = DONE
    try:
        run_job(job, reporter)
        reporter.send("done")
    except Exception as error:
        status, kind = REFUSED, getattr(error, "kind", type(error).__name__)
        reporter.send("failed", **{"class": kind, "message": first_line(error)})
    reporter.close()
    return status


if __name__ == "__main__":
    os._exit(main(sys.argv[1:]))  # do not wait for threads that read standard input
