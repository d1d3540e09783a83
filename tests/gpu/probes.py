"""What a GPU must do for lbc, asked of the real one; ``check.py`` starts each probe as a process.

    python tests/gpu/probes.py NAME [TYPE] [--rehearse]

Prints a line for each check: a JSON object after ``CHECK``.
"""

from __future__ import annotations

import json
import runpy
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))
CHECK = "@check "
REHEARSAL = "--rehearse" in sys.argv
MAX_ERROR = {"float16": 2e-3, "bfloat16": 1e-2, "int8": 0.0}
CONTROL = 0.015
Shape = tuple[int, int, int]
"""Outputs, tokens, inputs."""

SQUARE, FEW, SMALL, FLAT = (4096, 4096, 4096), (4096, 32, 4096), (256, 64, 256), (128, 512, 1152)
LONG = (256, 12544, 2304)


def check(name: str, met: bool | None, **facts: Any) -> None:
    print(CHECK + json.dumps({"check": name, "met": met, **facts}, default=str), flush=True)


def scaled(shape: Shape) -> Shape:
    m, n, k = (max(32, side // 1024 * 32) if REHEARSAL else side for side in shape)
    return m, n, k


def facts() -> None:
    """Versions, the device, seconds to start, and what nvidia-smi answers."""
    started = time.monotonic()
    import torch

    from lbc.latency.worker import ClockReader, smi_command

    imported = time.monotonic()
    torch.zeros(1, device="cuda")
    torch.cuda.synchronize()
    seconds = {"import": imported - started, "context": time.monotonic() - imported}
    device: Any = torch.cuda.get_device_properties(0)
    check(
        "facts", torch.backends.cusparselt.is_available(), torch=torch.__version__,
        cuda=torch.version.cuda, cusparselt=torch.backends.cusparselt.version(), gpu=device.name,
        capability=f"{device.major}.{device.minor}", l2_mib=device.L2_cache_size >> 20,
        memory_gib=device.total_memory >> 30, uuid=device.uuid, seconds=seconds,
        search=hasattr(getattr(torch._C, "_cusparselt", None), "mm_search"),
    )  # fmt: skip
    for fields in (
        ("driver_version", "power.limit", "clocks.max.sm", "clocks.max.mem"),
        (*ClockReader.FIELDS, "clocks_event_reasons.active"),
        (*ClockReader.FIELDS, "clocks_throttle_reasons.active"),
    ):
        started, text = time.monotonic(), "not found, or no answer"
        with suppress(OSError, subprocess.TimeoutExpired):
            done = subprocess.run(smi_command(device.uuid, fields), capture_output=True, text=True,
                                  timeout=20)  # fmt: skip
            text = (done.stdout + done.stderr).strip()
        check(f"nvidia-smi {fields}", None, text=text, seconds=time.monotonic() - started)


def operands(shape: Shape, dtype_name: str) -> tuple[Any, Any, Any]:
    """A 2:4 weight (m, k), activations (n, k), and their exact product."""
    import torch

    dtype, (m, n, k) = getattr(torch, dtype_name), shape

    def draw(rows: int) -> Any:
        if dtype == torch.int8:
            return torch.randint(-127, 128, (rows, k), device="cuda", dtype=dtype)
        return torch.randn(rows, k, device="cuda").to(dtype)

    noise = torch.rand(m * k // 4, 4, device="cuda")
    mask = torch.zeros_like(noise).scatter_(1, noise.topk(2, dim=1).indices, 1).view(m, k)
    weight, x = draw(m) * mask.to(dtype), draw(n)
    wide = torch.float64 if dtype == torch.int8 else torch.float32
    return weight, x, x.to(wide) @ weight.to(wide).t()


def error(out: Any, expected: Any) -> float:
    return float((out.to(expected.dtype) - expected).norm() / expected.norm())


def capture(call: Callable[[], Any], count: int = 1) -> tuple[Any, Any]:
    """A CUDA graph of ``count`` calls, and the output of the last."""
    import torch

    cuda: Any = torch.cuda
    stream = cuda.Stream()
    stream.wait_stream(cuda.current_stream())
    with cuda.stream(stream):
        for _ in range(3):
            call()
    cuda.current_stream().wait_stream(stream)
    graph = cuda.CUDAGraph()
    with cuda.graph(graph):
        for _ in range(count):
            out = call()
    return graph, out


def replay_us(graph: Any, busy: bool = True, rounds: int = 30) -> float:
    """Median microseconds of a replay, launched while the GPU is busy, or idle."""
    import torch

    cuda: Any = torch.cuda
    found = []
    for _ in range(rounds):
        start, end = (cuda.Event(enable_timing=True) for _ in range(2))
        cuda.synchronize()
        if busy:
            cuda._sleep(1_000_000)
        start.record()
        graph.replay()
        end.record()
        end.synchronize()
        found.append(start.elapsed_time(end) * 1e3)
    return float(sorted(found)[rounds // 2])


@contextmanager
def tried(name: str) -> Iterator[None]:
    """Report an exception; a GPU that it has broken ends the step."""
    import torch

    try:
        yield
    except Exception as failure:
        check(name, False, why=f"{type(failure).__name__}: {failure}"[:300],
              cause=str(failure.__context__ or "")[:300])  # fmt: skip
        torch.cuda.synchronize()


def products(dtype: str) -> None:
    """Each product and layout: right when called, and when replayed over a poisoned output."""
    import torch
    from torch.nn.functional import linear
    from torch.sparse import to_sparse_semi_structured

    sparse: Any = torch._cslt_sparse_mm
    out_dtype = torch.int32 if dtype == "int8" else None
    for shape in map(scaled, (SQUARE, FLAT, SMALL, FEW)):
        w, x, expected = operands(shape, dtype)
        packed: Any = torch._cslt_compress(w)
        cslt = partial(sparse, packed, x.t(), out_dtype=out_dtype)
        calls = {"transposed": partial(cslt, transpose_result=True), "plain": cslt}
        if dtype == "int8":
            calls["dense"] = partial(torch._int_mm, x, w.t())
        else:
            calls["layer"] = partial(linear, x, to_sparse_semi_structured(w))
            calls["dense"] = partial(linear, x, w)
        for kind, call in calls.items():
            name = f"{dtype} {'x'.join(map(str, shape))} {kind}"
            with tried(name):
                right = expected.t() if kind == "plain" else expected
                eager = error(call(), right)
                graph, out = capture(call, 3)
                out.fill_(float("nan") if out.is_floating_point() else -77)
                graph.replay()
                torch.cuda.synchronize()
                replayed = error(out, right)
                met = all(one <= MAX_ERROR[dtype] for one in (eager, replayed))
                check(name, met, eager=eager, replayed=replayed, strides=out.stride())


def search(dtype: str) -> None:
    """What the search finds, in which time, and its time with split_k unset and as found."""
    import torch

    sparse: Any = torch._cslt_sparse_mm
    mm_search: Any = torch._C._cusparselt.mm_search  # type: ignore[attr-defined]
    out_dtype = torch.int32 if dtype == "int8" else None
    for shape in map(scaled, (SQUARE,) if dtype == "float16" else (SQUARE, FEW, LONG, FLAT)):
        name = f"search {dtype} {'x'.join(map(str, shape))}"
        with tried(name):
            w, x, expected = operands(shape, dtype)
            packed: Any = torch._cslt_compress(w)
            torch.cuda.synchronize()
            started = time.monotonic()
            index, split, mode, count = mm_search(packed, x.t(), None, None, out_dtype, True)
            torch.cuda.synchronize()
            check(name, True, alg_id=index, split_k=split, mode=mode, algorithms=count,
                  seconds=time.monotonic() - started)  # fmt: skip
            forms: dict[str, dict[str, int]] = {"unset": {}}
            segments = torch.cuda.get_device_capability()[0] in (9, 10) and shape[0] >= 400
            if split > 1 or (split == -1 and segments):  # -1 may hang elsewhere
                forms["as found"] = {"split_k": split, "split_k_mode": mode}
            for form, more in forms.items():
                call = partial(sparse, packed, x.t(), out_dtype=out_dtype, transpose_result=True,
                               alg_id=index, **more)  # fmt: skip
                found = error(call(), expected)
                us = replay_us(capture(call, 20)[0]) / 20
                check(f"{name} split_k {form}", found <= MAX_ERROR[dtype], error=found, us=us)


def clock() -> None:
    """The launch of a graph as a share of its time, and the time under each dense library."""
    import torch
    from torch.nn.functional import linear

    for shape, count in ((scaled((1024, 1024, 1024)), 38), (scaled(FEW), 10), (scaled(SQUARE), 10)):
        w, x, _ = operands(shape, "bfloat16")
        graph, _ = capture(partial(linear, x, w), count)
        replay_us(graph)
        idle, busy = replay_us(graph, busy=False), replay_us(graph)
        check(f"launch of {count} calls {shape}", None, idle_us=idle, busy_us=busy,
              share=f"{idle / busy - 1:.2%}")  # fmt: skip
    w, x, _ = operands(scaled((1024, 1024, 1024)), "bfloat16")
    times = []
    for library in ("cublas", "cublaslt", "cublas"):
        torch.backends.cuda.preferred_blas_library(library)
        times.append(replay_us(capture(partial(linear, x, w), 100)[0]) / 100)
    repeats = abs(times[2] / times[0] - 1) <= CONTROL
    check("cublas, cublaslt, cublas", repeats, us=times)


def trained(device: str, scores: Any, dtype: Any = None) -> tuple[Any, list[float]]:
    """Train the network for eight steps with two removals; its sparsifier and losses."""
    import torch
    from torch import nn

    from lbc.sparsity.sparsification import sparsify

    torch.manual_seed(0)
    model: Any = nn.Sequential(
        nn.Conv2d(16, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 32, 3, padding=1),
        nn.BatchNorm2d(32), nn.ReLU(), nn.Flatten(), nn.Linear(32 * 64, 64), nn.ReLU(),
        nn.Linear(64, 64),
    ).to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]  # fmt: skip
    sparsifier = sparsify(model, "2:4", scores=scores)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9, fused=True)
    scaler: Any = torch.amp.GradScaler("cuda", enabled=dtype == torch.float16)
    images, labels, losses = torch.randn(32, 16, 8, 8), torch.arange(32), []
    for step in range(8):
        with torch.autocast("cuda", dtype=dtype, enabled=dtype is not None):
            out = model(images.to(device, memory_format=torch.channels_last))
        loss = torch.nn.functional.cross_entropy(out.float(), labels.to(device))
        optimizer.zero_grad()
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()
        losses.append(float(loss))
        if step in (2, 4):
            sparsifier.remove(4 if step == 2 else 1, optimizer)
    return sparsifier, losses


def training() -> None:
    """Training on CUDA as on the CPU, in 16 bits, compiled; and the conversion to 2:4."""
    import torch

    from lbc.sparsity.sparsification import sparsify

    torch.backends.cudnn.allow_tf32 = False
    for scores in ("per_weight", "per_combination"):
        name = f"masks on CUDA as on the CPU, {scores}"
        with tried(name):
            cpu, cuda = trained("cpu", scores)[0], trained("cuda", scores)[0]
            pairs = [(cpu.mask(one), cuda.mask(one).cpu()) for one in cpu.layers]
            differ = sum(int((a != b).sum()) for a, b in pairs) / sum(a.numel() for a, _ in pairs)
            check(name, differ < 2e-3, differ=differ)  # near-ties may fall either way
    for dtype in (torch.float16, torch.bfloat16):
        with tried(f"training in {dtype}"):
            losses = trained("cuda", "per_weight", dtype)[1]
            check(f"training in {dtype}", losses[-1] < losses[0], losses=losses)
    with tried("to_sparse_semi_structured"):
        # Loaded alone, because its package needs more than torch.
        convert = runpy.run_path(str(ROOT / "lbc/export/semi_structured.py"))
        sizes = ((256, 512), (512, 256), (256, 8))
        model: Any = torch.nn.Sequential(*(torch.nn.Linear(*size) for size in sizes))
        sparsify(model, "2:4", "asp").finalize()
        model, x = model.cuda().half().eval(), torch.randn(5, 7, 256, device="cuda").half()
        with torch.inference_mode():
            expected = model(x)
            names = convert["to_sparse_semi_structured"](model)
            far = error(model(x), expected)
        met = far <= 2 * MAX_ERROR["float16"] and bool(names)
        check("to_sparse_semi_structured", met, error=far, layers=names)
    with tried("torch.compile"):
        model = torch.nn.Sequential(*(torch.nn.Linear(*size) for size in sizes)).cuda()
        sparsify(model, "2:4", scores="per_weight")
        started = time.monotonic()
        compiled: Any = torch.compile(model)
        compiled(torch.randn(8, 256, device="cuda")).sum().backward()
        got = all(weight.grad is not None for weight in model.parameters())
        check("torch.compile", got, seconds=time.monotonic() - started)


if __name__ == "__main__":
    import torch

    name, *types = [one for one in sys.argv[1:] if one != "--rehearse"]
    with torch.inference_mode(name != "training"):
        globals()[name](*types)
