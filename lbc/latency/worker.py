"""The latency worker: sparse against dense, measured on the machine that runs this file.

One file that needs only the standard library and torch (2.11 to 2.13), so that a server has nothing
to install. Usage: ``worker.py -`` (job as one JSON line on standard input, "cancel" may follow),
``worker.py JOB`` (job as base64), ``worker.py recover ID`` (a kept job's answers from the first
on, until its last word; "cancel" ends the job).

Answers are JSON lines behind ``PREFIX`` on standard output; anything else there is noise. Exit
status: 0 done, 2 cannot measure here, 3 job unreadable, 4 a case hung, 5 cancelled, 6 the GPU is in
an undefined state and the cases left need a new process.
"""

from __future__ import annotations

import base64
import faulthandler
import json
import math
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
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

PREFIX = "@lbc-latency "
SCHEMA = 1
FINAL = ("done", "failed", "cancelled", "timeout")
DONE, REFUSED, UNREADABLE, HUNG, CANCELLED, POISONED = 0, 2, 3, 4, 5, 6
KEEP_DAYS = 7
GRACE_SECONDS = 2.0
LEAVE_SECONDS = 10.0
MOST_COPIES = 64
LONG_SECONDS = 4e-3
FASTEST = 1e15
"""Operations per second that no call exceeds by much: an H100's dense bfloat16 peak."""

LONGEST_ERROR = {"float32": 1e-4, "float16": 2e-3, "bfloat16": 1e-2, "int8": 0.0}
"""Largest relative Frobenius error: a few roundings of the output's type; int8 sums are exact."""

Call = Callable[[], Any]


class RefusedError(Exception):
    """This machine, or this case, cannot be measured; ``kind`` is a word, the text a sentence.

    ``facts`` are told beside it.
    """

    def __init__(self, kind: str, sentence: str, **facts: Any) -> None:
        super().__init__(sentence)
        self.kind, self.facts = kind, facts


# -- answers --------------------------------------------------------------------------------------


class Reporter:
    """Writes every answer to standard output and, for recovery, to a file that outlives it.

    A connection may stall without an end, so another thread writes to it: neither the measurement
    nor its watchdog waits.
    """

    def __init__(self, keep: str | None) -> None:
        self._lock = threading.Lock()
        self._lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._file = open_kept(keep) if keep else None
        self._writer = threading.Thread(target=self._write, daemon=True)
        self._writer.start()

    def say(self, kind: str, **content: Any) -> None:
        line = json.dumps({"kind": kind, **content}, allow_nan=False)
        with self._lock:
            if self._file is not None:
                try:
                    self._file.write(line + "\n")
                    self._file.flush()
                except OSError:  # a full disk: the connection still tells
                    self._file = None
            self._lines.put(line)

    def close(self) -> None:
        """Wait until everything is written, as long as somebody reads."""
        self._lines.put(None)
        self._writer.join(LEAVE_SECONDS)

    def leave(self, status: int, kind: str, **content: Any) -> None:
        """Say the last word and end the process, whatever its other threads are stuck in."""
        self.say(kind, **content)
        self.close()
        os._exit(status)

    def _write(self) -> None:
        while (line := self._lines.get()) is not None:
            try:
                sys.stdout.write("\n" + PREFIX + line + "\n")
                sys.stdout.flush()
            except OSError:  # the connection is gone; the file goes on
                return


def folder() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "lbc-latency"


def open_kept(job: str) -> Any:
    """The file of a job's answers; None where the home cannot be written, which stops nothing."""
    path = result_path(job)
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        forget_old_results()
        return path.open("w", encoding="utf-8")
    except OSError:
        return None


def result_path(job: str) -> Path:
    if re.fullmatch(r"[0-9a-f]{8,64}", job) is None:
        raise ValueError("A job's name is hexadecimal.")
    return folder() / f"{job}.ndjson"


def forget_old_results() -> None:
    for path in folder().glob("*.ndjson"):
        with suppress(OSError):
            if time.time() - path.stat().st_mtime > KEEP_DAYS * 86400:
                path.unlink()


def recover(job: str, wait_seconds: float = 3600.0) -> int:
    """Print what a kept job has answered and goes on answering, until its last word."""
    path, end = result_path(job), time.time() + wait_seconds
    if not path.exists():
        print_answer(failure("lost", "The server holds no results of this measurement."))
        return REFUSED
    threading.Thread(target=stop_on_cancel, args=(path,), daemon=True).start()
    printed, pid = 0, None
    while time.time() < end:
        lived = pid is None or alive(pid)
        answers = kept_answers(path)
        for answer in answers[printed:]:
            print_answer(answer)
            pid = answer.get("pid", pid)
            if answer["kind"] in FINAL:
                return DONE
        printed = len(answers)
        if not lived:
            print_answer(failure("died", "The measuring process ended without a last word."))
            return REFUSED
        time.sleep(0.2)
    return HUNG


def kept_answers(path: Path) -> list[dict[str, Any]]:
    """The whole lines of a kept job; the last may still be in the making."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n")[:-1]]


def stop_on_cancel(path: Path) -> None:
    """Obey "cancel" on standard input by ending the measuring process; its end ends the asking."""
    for line in sys.stdin:
        if line.strip() == "cancel":
            answers = kept_answers(path)
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


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        pass
    return True


class Watchdog(threading.Thread):
    """Ends the process when a case, or the whole job, takes longer than it may.

    cuSPARSELt's search keeps the interpreter's lock, so that no Python thread could end it: a timer
    of faulthandler's, which needs no lock, ends the process soon after this one should have.
    """

    def __init__(self, reporter: Reporter, deadline: float, case_seconds: float) -> None:
        super().__init__(daemon=True)
        self._reporter = reporter
        self._seconds = {"job": deadline, "case": case_seconds}
        self._deadline = time.monotonic() + deadline
        self._case, self._case_end = -1, math.inf
        self._nowhere = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115

    def begin(self, case: int) -> None:
        seconds = self._seconds["case"]
        self._case, self._case_end = case, time.monotonic() + seconds
        faulthandler.dump_traceback_later(seconds + GRACE_SECONDS, exit=True, file=self._nowhere)

    def run(self) -> None:
        while True:
            time.sleep(0.2)
            now = time.monotonic()
            if now > min(self._deadline, self._case_end):
                what = "case" if now > self._case_end else "job"
                seconds = self._seconds[what]
                self._reporter.leave(HUNG, "timeout", index=self._case, what=what, seconds=seconds)


def listen_for_cancel(reporter: Reporter, orphan: str) -> None:
    """Obey "cancel" on standard input; its end means the parent (or the connection) is gone."""
    for line in sys.stdin:
        if line.strip() == "cancel":
            reporter.leave(CANCELLED, "cancelled")
    if orphan == "end":
        reporter.leave(CANCELLED, "cancelled")


# -- the machine ----------------------------------------------------------------------------------


def facts(torch: Any, job: dict[str, Any]) -> dict[str, Any]:
    """What the measurement depends on: device, versions, limits."""
    found: dict[str, Any] = {
        "torch": torch.__version__,
        "python": platform.python_version(),
        "system": platform.system() + " " + platform.machine(),
        "processor": processor(),
        "threads": torch.get_num_threads(),
        "cuda": torch.version.cuda,
        "kind": torch.device(job["device"]).type,
    }
    if found["kind"] != "cuda":
        return {**found, "name": found["processor"]}
    device = torch.cuda.get_device_properties(torch.device(job["device"]))
    uuid = getattr(device, "uuid", None)
    return {
        **found,
        "name": device.name,
        "capability": [device.major, device.minor],
        "multiprocessors": device.multi_processor_count,
        "l2_bytes": getattr(device, "L2_cache_size", None),
        "memory_bytes": device.total_memory,
        "uuid": "GPU-" + str(uuid).replace("GPU-", "") if uuid is not None else None,
        "cublas": library_version("libcublas.so", torch),
        "cusparselt": torch.backends.cusparselt.version(),
        **smi(uuid, "driver_version,power.limit,clocks.max.sm,clocks.max.mem"),
    }


def processor() -> str:
    try:
        with Path("/proc/cpuinfo").open(encoding="utf-8") as file:
            for line in file:
                if line.startswith("model name"):
                    return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def library_version(name: str, torch: Any) -> str | None:
    """Version of a CUDA library that torch has loaded, by its wheel's metadata."""
    from importlib import metadata

    major = (torch.version.cuda or "").split(".")[0]
    stem = name.split(".")[0][3:]
    for package in (f"nvidia-{stem}-cu{major}", f"nvidia-{stem}"):
        try:
            return metadata.version(package)
        except metadata.PackageNotFoundError:
            pass
    return None


def smi(uuid: Any, fields: str) -> dict[str, Any]:
    """Read-only figures of nvidia-smi: {} where it is not there."""
    command = ["nvidia-smi", "--format=csv,noheader,nounits", "--query-gpu=" + fields]
    if uuid is not None:
        command += ["-i", "GPU-" + str(uuid).replace("GPU-", "")]
    try:
        told = subprocess.run(command, capture_output=True, text=True, timeout=10,
                              stdin=subprocess.DEVNULL)  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return {}
    values = told.stdout.strip().splitlines()[:1]
    if told.returncode or not values:
        return {}
    names = [field.replace(".", "_") for field in fields.split(",")]
    return {n: plain(n, v.strip()) for n, v in zip(names, values[0].split(","), strict=False)}


def plain(name: str, text: str) -> Any:
    """The figure that a field gives; a version is none, 550.10 is not 550.1."""
    try:
        number = float(text)
    except ValueError:
        return text
    return number if math.isfinite(number) and "version" not in name else text


def check_requirements(torch: Any, job: dict[str, Any]) -> None:
    """Raise RefusedError with the first requirement that this machine does not meet."""
    version = tuple(int(part) for part in re.findall(r"\d+", torch.__version__)[:2])
    if version < (2, 11):
        raise RefusedError("torch", f"torch {torch.__version__} is too old: install 2.11 or newer.")
    if torch.device(job["device"]).type == "cpu":
        if job["backend"] != "cpu" or job["dtype"] not in ("float32", "bfloat16"):
            raise RefusedError(
                "device", "A processor measures only its own row, in float32 or bfloat16."
            )
        return
    if not torch.cuda.is_available():
        why = "was built without CUDA" if torch.version.cuda is None else "finds no NVIDIA GPU"
        raise RefusedError("no GPU", f"torch {torch.__version__} {why} on this machine.")
    index = torch.device(job["device"]).index or 0
    if index >= torch.cuda.device_count():
        raise RefusedError(
            "device", f"There are {torch.cuda.device_count()} GPUs here, and no cuda:{index}."
        )
    if job["backend"] == "cpu" or job["dtype"] not in ("float16", "bfloat16", "int8"):
        raise RefusedError("device", "2:4 on a GPU takes float16, bfloat16 or int8.")
    name = torch.cuda.get_device_name(index)
    major, minor = torch.cuda.get_device_capability(index)
    if major < 8:
        raise RefusedError(
            "GPU", f"{name} has compute capability {major}.{minor}; 2:4 needs 8.0 (A100)."
        )
    if job["backend"] == "cutlass" and major != 8:
        raise RefusedError(
            "GPU",
            f"torch's CUTLASS kernels run on compute capability 8.x only, and {name} has "
            f"{major}.{minor}: take cuSPARSELt here.",
        )
    if job["backend"] == "cusparselt" and not torch.backends.cusparselt.is_available():
        raise RefusedError("torch", f"torch {torch.__version__} was built without cuSPARSELt.")


# -- one case -------------------------------------------------------------------------------------


class Operands:
    """Weights and activations of a case, in ``copies`` sets larger together than three L2 caches.

    Y (n, m) = X (n, k) @ W (m, k)ᵀ. W is N:M sparse; a weight whose size the kernels refuse is
    padded with zeros, and the padding is part of what is timed wherever it must be done per call.
    """

    def __init__(self, torch: Any, job: dict[str, Any], case: dict[str, Any], l2: int) -> None:
        self.torch, self.case = torch, case
        self.device, self.dtype = torch.device(job["device"]), getattr(torch, job["dtype"])
        self.backend, self.search = job["backend"], job["search"]
        m, n, k = case["m"], case["n"], case["k"]
        self.row_pad, self.k_pad = padding(job, m, k)
        size = self.dtype.itemsize
        one = (m * k + n * k) * size
        copies = max(1, min(MOST_COPIES, math.ceil(3 * l2 / one)))
        self.cold = copies * one >= 3 * l2 if l2 else None
        generator = torch.Generator(self.device).manual_seed(case.get("seed", 0))
        mask = self._mask(generator)
        self.share_valid = valid_share(mask)
        self.x = [self._random((n, k), generator) for _ in range(copies)]
        self.w = [self._random((m, k), generator) * mask for _ in range(copies)]
        self.pairs = list(zip(self.x, self.w, strict=True))
        self.mask = mask
        self._images: list[Any] = []
        self._expected: tuple[tuple[int, bool], Any] | None = None

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
            places = torch.tensor([128, 64, 32, 16, 8, 4, 2, 1], dtype=torch.uint8)
            flat = ((bits[:, None] & places) != 0).flatten()[: m * k]
            return flat.view(m, k).to(self.device, self.dtype)
        keep, size = (int(part) for part in case["pattern"].split(":"))
        if k % size:
            raise RefusedError("pattern", f"Blocks of {size} do not divide {k} inputs.")
        noise = torch.rand((m * k // size, size), generator=generator, device=self.device)
        best = noise.topk(keep, dim=1).indices
        mask = torch.zeros_like(noise).scatter_(1, best, 1)
        return mask.view(m, k).to(self.dtype)

    def padded_weight(self, index: int) -> Any:
        pad = self.torch.nn.functional.pad
        return pad(self.w[index], (0, self.k_pad, 0, self.row_pad)).contiguous()

    def images(self) -> list[Any]:
        """Random images, channels last, a set of operands each: what the convolution reads."""
        torch, conv = self.torch, self.case["conv"]
        if self.dtype == torch.int8:
            raise RefusedError("convolution", "torch has no int8 convolution on a GPU.")
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
        """W (m, kH·kW·I) as a convolution's weight (m, I, kH, kW)."""
        conv = self.case["conv"]
        wide = self.w[index].view(self.case["m"], *conv["kernel"], conv["channels"])
        return wide.permute(0, 3, 1, 2)

    def convolve(self, image: Any, weight: Any) -> Any:
        conv = self.case["conv"]
        settings = {name: tuple(conv[name]) for name in ("stride", "padding", "dilation")}
        return self.torch.nn.functional.conv2d(image, weight, **settings)

    def reference(self, index: int, convolution: bool) -> Any:
        """X @ Wᵀ in float32 (float64 for int8, whose sums then are exact); a convolution's too."""
        if self._expected is None or self._expected[0] != (index, convolution):
            wide = self.torch.float64 if self.dtype == self.torch.int8 else self.torch.float32
            if convolution:
                image, weight = self.images()[index].to(wide), self.filters(index).to(wide)
                expected = as_matrix(self.convolve(image, weight))
            else:
                expected = self.x[index].to(wide) @ self.w[index].to(wide).t()
            self._expected = (index, convolution), expected
        return self._expected[1]

    def error(self, out: Any, index: int, convolution: bool = False) -> float:
        """Relative Frobenius error of an output; NaN anywhere, or a wrong size, gives NaN."""
        expected = self.reference(index, convolution)
        got = as_matrix(out)[: expected.shape[0], : expected.shape[1]].to(expected.dtype)
        if got.shape != expected.shape:
            return math.nan
        return float((got - expected).norm() / expected.norm().clamp_min(1e-30))


def as_matrix(out: Any) -> Any:
    """(pixels, channels) of a convolution's output (images, channels, height, width)."""
    return out if out.dim() == 2 else out.permute(0, 2, 3, 1).flatten(0, 2)


def padding(job: dict[str, Any], m: int, k: int) -> tuple[int, int]:
    """Zero rows and columns that bring W to the multiples its kernel takes."""
    eight = job["dtype"] == "int8"
    rows, columns = {
        "cpu": (1, 1),
        "cusparselt": (32, 32) if eight else (16, 16),
        "cutlass": (16, 128) if eight else (32, 64),
    }[job["backend"]]
    return -m % rows, -k % columns


def valid_share(mask: Any) -> float:
    """Share of the groups of four that keep at most two."""
    groups = (mask != 0).new_zeros(mask.shape[0], mask.shape[1] + -mask.shape[1] % 4)
    groups[:, : mask.shape[1]] = mask != 0
    return float((groups.view(-1, 4).sum(dim=1) <= 2).double().mean())


class Way:
    """One way to compute a case: its name, a call per set of operands, what it chose.

    ``prepare`` is called before calls are timed or captured, and never timed itself.
    """

    def __init__(
        self,
        name: str,
        calls: Sequence[Call],
        dense: bool = False,
        prepare: Call | None = None,
        **chosen: Any,
    ) -> None:
        self.name, self.calls, self.dense, self.chosen = name, calls, dense, chosen
        self.prepare = prepare


def ways_of(
    torch: Any, job: dict[str, Any], ops: Operands
) -> tuple[list[Way], list[dict[str, str]]]:
    """Every way to compute a case, and those that cannot be built here with the reason."""
    builders = gpu_builders(torch, job, ops)
    if job["backend"] == "cpu":
        builders = cpu_builders(torch, job, ops)
    ways, refused = [], []
    for name, build in builders.items():
        try:
            ways.append(build())
        except RefusedError as refusal:
            refused.append({"what": name, "why": str(refusal)})
        except Exception as error:
            if poisoned(error) or out_of_memory(torch, error):
                raise
            refused.append({"what": name, "why": first_line(error)})
    return ways, refused


def gpu_builders(torch: Any, job: dict[str, Any], ops: Operands) -> dict[str, Callable[[], Way]]:
    backend = job["backend"]
    found: dict[str, Callable[[], Way]] = {
        name: partial(dense_gpu, torch, ops, name) for name in ("cuBLAS", "cuBLASLt")
    }
    if job["compile"]:
        found["max-autotune"] = partial(compiled, torch, ops)
    found["2:4, default algorithm"] = partial(semi_structured, torch, backend, ops)
    if backend == "cusparselt" and ops.search:
        found["2:4, best algorithm"] = partial(searched, torch, ops)
    if ops.case.get("conv"):
        found["cuDNN convolution"] = partial(dense_conv, torch, ops, "cuDNN convolution")
        found["unfold + 2:4"] = partial(unfolded_two_four, torch, backend, ops)
    return found


def cpu_builders(torch: Any, job: dict[str, Any], ops: Operands) -> dict[str, Callable[[], Way]]:
    patience = patience_of(job)
    found: dict[str, Callable[[], Way]] = {
        "dense": partial(dense_linear, torch, ops),
        "masked dense": partial(masked, torch, ops),
        "torch CSR": partial(torch_sparse, ops, "CSR", patience),
        "torch COO": partial(torch_sparse, ops, "COO", patience),
    }
    if ops.case.get("conv"):
        found["convolution"] = partial(dense_conv, torch, ops, "convolution")
        found["unfold + CSR"] = partial(unfolded_csr, torch, ops, patience)
    return found


def dense_linear(torch: Any, ops: Operands) -> Way:
    linear = torch.nn.functional.linear
    return Way("dense", [partial(linear, x, w) for x, w in ops.pairs], dense=True)


def masked(torch: Any, ops: Operands) -> Way:
    """The mask applied in every call, as in training."""
    linear = torch.nn.functional.linear

    def call(x: Any, w: Any) -> Any:
        return linear(x, w * ops.mask)

    return Way("masked dense", [partial(call, x, w) for x, w in ops.pairs])


def torch_sparse(ops: Operands, layout: str, patience: float) -> Way:
    kept = int((ops.mask != 0).sum())
    index_bytes = 8 * kept + 8 * (ops.case["m"] + 1) if layout == "CSR" else 16 * kept

    if layout == "COO" and ops.dtype.itemsize < 4:
        raise RefusedError("torch COO", "torch adds it up in 16 bits, which is too coarse.")
    weights = sparse_weights(ops, layout, patience)
    calls = [partial(times_sparse, x, w) for x, w in zip(ops.x, weights, strict=True)]
    return Way(f"torch {layout}", calls, bytes=kept * ops.dtype.itemsize + index_bytes)


def times_sparse(x: Any, w: Any) -> Any:
    return (w @ x.t()).t()


def sparse_weights(ops: Operands, layout: str, patience: float) -> list[Any]:
    """W in a sparse layout of torch's, unless a product with a part of X shows it hopeless.

    A call cannot be broken off, and one that takes minutes would cost the other ways of the case.
    """
    name = f"torch {layout}"
    try:
        weights = [w.to_sparse_csr() if layout == "CSR" else w.to_sparse() for w in ops.w]
        some = max(1, ops.case["n"] // 32)
        began = time.perf_counter()
        times_sparse(ops.x[0][:some], weights[0])
        seconds = (time.perf_counter() - began) * ops.case["n"] / some
    except (RuntimeError, NotImplementedError) as error:
        raise RefusedError(name, first_line(error)) from error
    if seconds > 2 * patience:
        raise RefusedError(name, f"One call would take about {seconds:.1f} s: not sampled.")
    return weights


def dense_gpu(torch: Any, ops: Operands, library: str) -> Way:
    if ops.dtype == torch.int8:
        if library == "cuBLAS":
            raise RefusedError(library, "torch multiplies int8 through cuBLASLt only.")
        calls = [partial(torch._int_mm, x, w.t()) for x, w in ops.pairs]
        return Way(library, calls, dense=True)

    prepare = partial(torch.backends.cuda.preferred_blas_library, library.lower())
    prepare()
    linear = torch.nn.functional.linear
    return Way(library, [partial(linear, x, w) for x, w in ops.pairs], dense=True, prepare=prepare)


def compiled(torch: Any, ops: Operands) -> Way:
    if ops.dtype == torch.int8:
        raise RefusedError("max-autotune", "int8 is not compiled here.")
    linear = torch.compile(torch.nn.functional.linear, mode="max-autotune-no-cudagraphs")
    try:
        linear(ops.x[0], ops.w[0])
    except Exception as error:
        raise RefusedError("max-autotune", first_line(error)) from error
    return Way("max-autotune", [partial(linear, x, w) for x, w in ops.pairs], dense=True)


def semi_structured_weights(backend: str, ops: Operands, first: bool = False) -> list[Any]:
    from torch.sparse import SparseSemiStructuredTensor, to_sparse_semi_structured

    SparseSemiStructuredTensor._FORCE_CUTLASS = backend == "cutlass"
    count = 1 if first else len(ops.w)
    return [to_sparse_semi_structured(ops.padded_weight(i)) for i in range(count)]


def semi_structured(torch: Any, backend: str, ops: Operands) -> Way:
    """torch's own 2:4 linear layer as a user gets it: default algorithm, padding, overheads."""
    name = {"cusparselt": "cuSPARSELt", "cutlass": "CUTLASS"}[backend] + " default"
    semi_structured_weights(backend, ops, first=True)  # the library's own start is not timed
    torch.cuda.synchronize(ops.device)
    began = time.perf_counter()
    weights = semi_structured_weights(backend, ops)
    torch.cuda.synchronize(ops.device)
    facts = {
        "compress_ms": (time.perf_counter() - began) / len(weights) * 1e3,
        "bytes": sum(
            part.nbytes for part in (weights[0].packed, weights[0].meta) if part is not None
        ),
    }
    if ops.dtype == torch.int8:  # the layer's own output is int8, and saturates
        packed = [(w.packed, w.meta) for w in weights]
        calls = [product(torch, ops, *w, x) for x, w in zip(ops.x, packed, strict=True)]
        return Way(name, calls, **facts)

    def call(x: Any, w: Any) -> Any:
        return torch.nn.functional.linear(with_columns(torch, ops, x), w)

    return Way(name, [partial(call, x, w) for x, w in zip(ops.x, weights, strict=True)], **facts)


def with_columns(torch: Any, ops: Operands, x: Any) -> Any:
    """X beside the zero columns that a padded weight asks for."""
    return torch.nn.functional.pad(x, (0, ops.k_pad)) if ops.k_pad else x


def product(torch: Any, ops: Operands, packed: Any, meta: Any, x: Any, **algorithm: int) -> Call:
    """The library's product itself; int8 into int32, so that sums do not saturate."""
    rows = -x.shape[0] % row_multiple(ops)

    def call() -> Any:
        wide = torch.nn.functional.pad(x, (0, ops.k_pad, 0, rows)) if ops.k_pad or rows else x
        if ops.backend == "cutlass":
            out = torch._sparse_semi_structured_mm(packed, meta, wide.t(), out_dtype=torch.int32)
            return out.t().contiguous()
        return torch._cslt_sparse_mm(
            packed, wide.t(), out_dtype=out_type(torch, ops), transpose_result=True, **algorithm
        )

    return call


def row_multiple(ops: Operands) -> int:
    return 16 if ops.dtype.itemsize == 1 else 8


def out_type(torch: Any, ops: Operands) -> Any:
    return torch.int32 if ops.dtype == torch.int8 else None


def searched(torch: Any, ops: Operands) -> Way:
    """cuSPARSELt with the algorithm that its own search finds fastest for this very shape."""
    packed = [torch._cslt_compress(ops.padded_weight(i)) for i in range(len(ops.w))]
    rows, out = -ops.case["n"] % row_multiple(ops), out_type(torch, ops)
    x = torch.nn.functional.pad(ops.x[0], (0, ops.k_pad, 0, rows))
    chosen = in_own_thread(torch, packed[0], partial(fastest, torch, packed[0], x, out))
    calls = [product(torch, ops, w, None, x, **chosen) for x, w in zip(ops.x, packed, strict=True)]
    return Way("cuSPARSELt best", calls, algorithm=chosen)


def fastest(torch: Any, packed: Any, x: Any, out: Any) -> dict[str, int]:
    search = getattr(getattr(torch._C, "_cusparselt", None), "mm_search", None)
    if search is None:
        found = torch._cslt_sparse_mm_search(packed, x.t(), out_dtype=out, transpose_result=True)
        return {"alg_id": int(found)}
    algorithm, split_k, mode, _ = search(packed, x.t(), None, None, out, True)
    chosen = {"alg_id": int(algorithm)}
    if int(split_k) != 1:  # else torch leaves the mode alone, too
        chosen |= {"split_k": int(split_k), "split_k_mode": int(mode)}
    return chosen


def in_own_thread(torch: Any, at: Any, call: Call) -> Any:
    """Newer torch keeps a thread's plans by shape, and a search leaves its winner in the default's
    place: searched in this thread, the default would be timed with the best algorithm."""
    found: list[Any] = []

    def run() -> None:
        try:
            with torch.inference_mode(), torch.cuda.device(at.device):
                found.append(call())
        except Exception as error:
            found.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    if isinstance(found[0], Exception):
        raise found[0]
    return found[0]


def dense_conv(torch: Any, ops: Operands, name: str) -> Way:
    """The convolution as torch does it: the time that the unfolded product must beat."""
    torch.backends.cudnn.benchmark = True
    calls = [
        partial(ops.convolve, image, ops.filters(index)) for index, image in enumerate(ops.images())
    ]
    return Way(name, calls, dense=True, unfolded=True)


def unfolded_two_four(torch: Any, backend: str, ops: Operands) -> Way:
    def call(flat: Any, weight: Any) -> Any:
        return torch.nn.functional.linear(with_columns(torch, ops, flat), weight)

    return unfolded(torch, ops, "unfold + 2:4", semi_structured_weights(backend, ops), call)


def unfolded_csr(torch: Any, ops: Operands, patience: float) -> Way:
    return unfolded(torch, ops, "unfold + CSR", sparse_weights(ops, "CSR", patience), times_sparse)


def unfolded(
    torch: Any, ops: Operands, name: str, weights: list[Any], product: Callable[[Any, Any], Any]
) -> Way:
    """Columns in (kernel row, kernel column, input channel) order, then the sparse product."""
    conv = ops.case["conv"]
    if tuple(conv["dilation"]) != (1, 1):
        raise RefusedError("unfold", "Dilated convolutions are not unfolded here.")
    (height, width), (down, right), (rows, columns) = (
        conv[name] for name in ("kernel", "stride", "padding")
    )

    def call(image: Any, weight: Any) -> Any:
        wide = torch.nn.functional.pad(image, (columns, columns, rows, rows)).permute(0, 2, 3, 1)
        patches = wide.unfold(1, height, down).unfold(2, width, right)
        return product(patches.permute(0, 1, 2, 4, 5, 3).reshape(-1, ops.case["k"]), weight)

    pairs = zip(ops.images(), weights, strict=True)
    return Way(name, [partial(call, *pair) for pair in pairs], unfolded=True)


# -- the clock ------------------------------------------------------------------------------------


class Timer:
    """One way in one mode: eager calls, or a CUDA graph of them; ``once`` gives seconds a call."""

    def __init__(self, torch: Any, way: Way, mode: str, device: Any, least: int = 10) -> None:
        self.torch, self.way, self.mode, self.device = torch, way, mode, device
        self.samples: list[float] = []
        self.count = max(least, len(way.calls)) if device.type == "cuda" else 1
        self.out: Any = None
        self.last = (self.count - 1) % len(way.calls)
        self._prepare()
        if mode == "graph":
            side = torch.cuda.Stream(device)
            side.wait_stream(torch.cuda.current_stream(device))
            with torch.cuda.stream(side):
                for _ in range(3):
                    self._calls()
            torch.cuda.current_stream(device).wait_stream(side)
            self._graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(self._graph):
                self._calls()

    def _prepare(self) -> None:
        if self.way.prepare is not None:
            self.way.prepare()

    def _calls(self) -> None:
        for index in range(self.count):
            self.out = self.way.calls[index % len(self.way.calls)]()

    def warm_up(self, seconds: float, calls: int, patience: float) -> None:
        """At least so many calls and so long; on a CPU then as many calls a sample as make 2 ms.

        Raises RefusedError where a single call takes longer than ``patience`` seconds.
        """
        first = self.once()
        if first > patience:
            raise RefusedError(self.way.name, f"One call takes {first:.1f} s: not sampled.")
        made, took = self.count, first * self.count
        while (made < calls or took < seconds) and took < 5 * seconds:
            took += self.once() * self.count
            made += self.count
        if self.device.type == "cpu":
            self.count = max(1, min(1000, round(0.002 * made / took)))
            self.last = (self.count - 1) % len(self.way.calls)

    def once(self) -> float:
        torch = self.torch
        self._prepare()
        if self.device.type == "cpu":
            began = time.perf_counter()
            self._calls()
            return (time.perf_counter() - began) / self.count
        if self.mode == "eager":
            torch.cuda.synchronize(self.device)
            began = time.perf_counter()
            self._calls()
            torch.cuda.synchronize(self.device)
            return (time.perf_counter() - began) / self.count
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        self._graph.replay()
        end.record()
        end.synchronize()
        return float(start.elapsed_time(end)) * 1e-3 / self.count

    def error(self, ops: Operands) -> float:
        """Relative error of a fresh output, over memory that was poisoned before."""
        poison = [self.out, *(self.torch.empty_like(self.out) for _ in range(3))]
        for spoilt in poison:
            spoilt.fill_(float("nan") if spoilt.is_floating_point() else -77)
        del poison, spoilt  # eager calls take their outputs from what is free
        self.once()
        return ops.error(self.out, self.last, bool(self.way.chosen.get("unfolded")))


def measure(torch: Any, job: dict[str, Any], case: dict[str, Any], l2: int) -> dict[str, Any]:
    """Everything about one case; raises RefusedError where it cannot be measured."""
    began = time.monotonic()
    ops = Operands(torch, job, case, l2)
    if job["backend"] != "cpu" and ops.share_valid < 1:
        raise RefusedError(
            "not 2:4",
            f"{1 - ops.share_valid:.1%} of the groups of four keep more than two weights, and the "
            "2:4 kernels would drop them silently: there is no hardware path for this mask.",
            share_valid=ops.share_valid,
        )
    ways, refused = ways_of(torch, job, ops)
    modes = ("graph", "eager") if ops.device.type == "cuda" else ("eager",)
    timers: list[Timer] = []
    again = [Way("A/A", ways[0].calls, dense=True)] if ways and ways[0].dense else []
    for way in [*ways, *again]:
        for mode in modes:
            try:
                timers.append(Timer(torch, way, mode, ops.device, least_calls(case)))
                warm = job["warmup_seconds"], job["warmup_calls"]
                timers[-1].warm_up(*warm, patience_of(job))
            except Exception as error:
                if poisoned(error):
                    raise
                if timers and timers[-1].way is way and timers[-1].mode == mode:
                    timers.pop()
                refused.append({"what": f"{way.name}, {mode}", "why": first_line(error)})
    if not timers:
        raise RefusedError("nothing", "; ".join(f"{r['what']}: {r['why']}" for r in refused))
    clocks = ClockReader(torch, ops.device)
    interleave(timers, job)
    return {
        "times": [times_of(timer, ops, job) for timer in timers],
        "ratios": ratios_of(torch, timers),
        "refused": refused,
        "share_valid": ops.share_valid,
        "copies": len(ops.x),
        "cold": ops.cold,
        "padded": [ops.row_pad, ops.k_pad],
        "bytes_dense": ops.w[0].nbytes,
        "clocks": clocks.read(),
        "seconds": time.monotonic() - began,
    }


def patience_of(job: dict[str, Any]) -> float:
    """Longest seconds of a call of which seven samples are within the budget."""
    return float(job["budget_seconds"]) / 7


def least_calls(case: dict[str, Any]) -> int:
    """Calls a sample on a GPU: ten, and fewer where they take milliseconds each on any GPU.

    Ten make the start of a graph a small part of what is timed; long calls need no such help, and
    would leave no time for thirty samples.
    """
    shortest: float = 2 * case["m"] * case["n"] * case["k"] / FASTEST
    return max(1, min(10, math.ceil(LONG_SECONDS / shortest)))


def interleave(timers: list[Timer], job: dict[str, Any]) -> None:
    """One sample of each in turn, in changing order, so that drift falls on all alike.

    Seven where time runs out, and of a way ten times slower than the first, of which nobody asks
    the third digit; three of one that is slower still.
    """
    order, shuffle, began = list(timers), random.Random(0).shuffle, time.monotonic()
    for turn in range(job["samples"]):
        if turn >= 7 and time.monotonic() - began > job["budget_seconds"]:
            return
        shuffle(order)
        for timer in order:
            # The shortest samples: a single one says nothing on a busy machine.
            slower = min(timer.samples) / min(timers[0].samples) if turn else 1.0
            if turn < (job["samples"] if slower < 10 else 7 if slower < 50 else 3):
                timer.samples.append(timer.once())


def times_of(timer: Timer, ops: Operands, job: dict[str, Any]) -> dict[str, Any]:
    error = timer.error(ops)
    limit = LONGEST_ERROR[job["dtype"]]
    right = math.isfinite(error) and error <= limit
    ordered = sorted(timer.samples)
    p10, p90 = (ordered[min(len(ordered) - 1, int(share * len(ordered)))] for share in (0.1, 0.9))
    return {
        "way": timer.way.name,
        "mode": timer.mode,
        "dense": timer.way.dense,
        "median_us": median(ordered) * 1e6,
        "p10_us": p10 * 1e6,
        "p90_us": p90 * 1e6,
        "samples": len(ordered),
        "right": right,
        "error": error if math.isfinite(error) else None,
        **timer.way.chosen,
    }


def median(values: list[float]) -> float:
    ordered, middle = sorted(values), len(values) // 2
    return ordered[middle] if len(values) % 2 else (ordered[middle - 1] + ordered[middle]) / 2


def ratios_of(torch: Any, timers: list[Timer]) -> list[dict[str, Any]]:
    """Speed-up of every way over the best dense one in its mode, with a bootstrap interval."""
    found = []
    for mode in ("graph", "eager"):
        for unfold in (False, True):
            here = [t for t in timers
                    if t.mode == mode and bool(t.way.chosen.get("unfolded")) == unfold]  # fmt: skip
            dense = [t for t in here if t.way.dense and t.way.name != "A/A"]
            if not dense:
                continue
            best = min(dense, key=lambda t: median(t.samples))
            control = next((t for t in dense if t.way is timers[0].way), best)
            for timer in here:
                over = control if timer.way.name == "A/A" else best
                if timer is not over:
                    found.append(ratio(torch, over, timer))
    return found


def ratio(torch: Any, over: Timer, timer: Timer, resamples: int = 2000) -> dict[str, Any]:
    """median(over) / median(way), and the 95 % bootstrap interval over pairs of samples."""
    both = min(len(over.samples), len(timer.samples))
    pairs = torch.tensor([over.samples[:both], timer.samples[:both]], dtype=torch.float64)
    generator = torch.Generator().manual_seed(0)
    chosen = torch.randint(pairs.shape[1], (resamples, pairs.shape[1]), generator=generator)
    medians = pairs[:, chosen].quantile(0.5, dim=2)
    low, high = (medians[0] / medians[1]).quantile(
        torch.tensor([0.025, 0.975], dtype=torch.float64)
    )
    return {"way": timer.way.name, "over": over.way.name, "mode": timer.mode,
            "ratio": median(over.samples) / median(timer.samples),
            "low": float(low), "high": float(high)}  # fmt: skip


class ClockReader:
    """Clocks, power and throttling while a case runs; read, never set."""

    FIELDS = "clocks.sm,clocks.mem,power.draw,temperature.gpu"
    REASONS = ("clocks_event_reasons.active", "clocks_throttle_reasons.active")  # new, old drivers

    def __init__(self, torch: Any, device: Any) -> None:
        self._found: dict[str, Any] = {}
        self._thread: threading.Thread | None = None
        if device.type == "cuda":
            uuid = getattr(torch.cuda.get_device_properties(device), "uuid", None)
            self._thread = threading.Thread(target=self._ask, args=(uuid,))
            self._thread.start()

    def _ask(self, uuid: Any) -> None:
        for reasons in self.REASONS:
            told = smi(uuid, f"{self.FIELDS},{reasons}")
            if told:
                told["throttle_reasons"] = told.pop(reasons.replace(".", "_"), None)
                self._found = {name: value for name, value in told.items() if value is not None}
                return

    def read(self) -> dict[str, Any]:
        if self._thread is not None:
            self._thread.join()
        return self._found


# -- the job --------------------------------------------------------------------------------------


def first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]


def poisoned(error: BaseException) -> bool:
    words = (
        "illegal instruction",
        "illegal memory",
        "misaligned",
        "unspecified launch",
        "device-side",
    )
    return any(word in str(error) for word in words)


def out_of_memory(torch: Any, error: BaseException) -> bool:
    return isinstance(error, (torch.OutOfMemoryError, MemoryError))


def run_case(torch: Any, job: dict[str, Any], index: int, l2: int) -> dict[str, Any]:
    """The answer for one case: its measurement, or why there is none."""
    case = job["cases"][index]
    repeated = ("name", "m", "n", "k", "pattern", "share", "convolution")
    named = {"index": index, **{key: case[key] for key in repeated if key in case}}
    try:
        return {**named, "status": "measured", **measure(torch, job, case, l2)}
    except RefusedError as refusal:
        told = {"status": "refused", "class": refusal.kind, "why": str(refusal)}
        return {**named, **told, **refusal.facts}
    except Exception as error:
        if out_of_memory(torch, error):
            return {**named, "status": "failed", "class": "memory", "why":
                    "Out of memory: lower the batch or the number of tokens."}  # fmt: skip
        kind = "poisoned" if poisoned(error) else type(error).__name__
        return {**named, "status": "failed", "class": kind, "why": first_line(error)}


def work(job: dict[str, Any], reporter: Reporter) -> None:
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
    device = facts(torch, job)
    reporter.say("hello", schema=SCHEMA, pid=os.getpid(), device=device, backend=job["backend"],
                 dtype=job["dtype"], time=time.time())  # fmt: skip
    l2 = device.get("l2_bytes") or (50 << 20 if device["kind"] == "cuda" else 0)
    watchdog = Watchdog(reporter, job["deadline_seconds"], job["case_seconds"])
    watchdog.start()
    for index in range(job.get("first", 0), len(job["cases"])):
        watchdog.begin(index)
        reporter.say("start", index=index)
        searching = job["search"] and index not in job.get("unsearched", ())
        with torch.inference_mode():
            result = run_case(torch, {**job, "search": searching}, index, l2)
        reporter.say("result", **result)
        if result.get("class") == "poisoned":
            reporter.leave(POISONED, "failed", **{"class": "poisoned", "message": result["why"]})
        if device["kind"] == "cuda":
            torch.cuda.empty_cache()


def main(arguments: list[str]) -> int:
    if arguments[:1] == ["recover"]:
        return recover(arguments[1])
    try:
        text = (
            sys.stdin.readline() if arguments == ["-"] else base64.b64decode(arguments[0]).decode()
        )
        job = dict(json.loads(text))
        reporter = Reporter(job.get("keep"))
    except (ValueError, TypeError, IndexError, OSError, RuntimeError) as error:
        print(f"The job could not be read: {error}", file=sys.stderr)
        return UNREADABLE
    if hasattr(signal, "SIGHUP"):
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
    if arguments == ["-"]:
        watch = threading.Thread(
            target=listen_for_cancel, args=(reporter, job["orphan"]), daemon=True
        )
        watch.start()
    status = DONE
    try:
        work(job, reporter)
        reporter.say("done")
    except Exception as error:
        status, kind = REFUSED, getattr(error, "kind", type(error).__name__)
        reporter.say("failed", **{"class": kind, "message": first_line(error)})
    reporter.close()
    return status


if __name__ == "__main__":
    os._exit(main(sys.argv[1:]))  # threads that still listen must not hold the process
