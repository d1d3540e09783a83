"""A pretended GPU: the interface of torch.cuda over CPU tensors, with a clock and libraries.

Within ``pretend(gpu)``, tensors for "cuda" are CPU tensors that say they are on a GPU, a captured
graph replays its operations into the same outputs, and cuSPARSELt's operators pack and multiply
as documented. Time is computed, not measured: the host needs time to launch, the GPU to multiply.
What the tests assert about figures is therefore exact.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cache
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import torch
from torch.overrides import TorchFunctionMode
from torch.sparse import SparseSemiStructuredTensor
from torch.sparse import _semi_structured_conversions as conversions
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes

# Untyped in torch.
Library: Any = torch.library.Library
expand_cutlass: Any = conversions.sparse_semi_structured_to_dense_cutlass
DispatchMode: Any = TorchDispatchMode
is_cuda: Any = torch.Tensor.is_cuda
device_of: Any = torch.Tensor.device

LAUNCH_SECONDS, GRAPH_LAUNCH_SECONDS = 5e-6, 9e-6
CLOCK = 1.7e9
PRODUCTS = ("mm", "addmm", "_int_mm", "_cslt_sparse_mm", "_sparse_semi_structured_mm", "linear")


@dataclass
class Gpu:
    """What the tests choose, and what happened.

    ``calls`` are the kind, the library, and whether they were captured, of all products;
    ``replays`` has their number at every replay of a graph. ``seconds`` gives the time of a product
    by its kind: cublas, cublaslt, or sparse. ``fails`` is called with the name of every operation
    and whether it is captured; it may raise, or set ``broken``, the text that every later
    synchronisation raises. ``found`` is what the search of algorithms returns: number, split_k, its
    mode, and how many algorithms there are.
    """

    capability: tuple[int, int] = (9, 0)
    name: str = "NVIDIA H100 (pretended)"
    seconds: Callable[[str], float] = lambda kind: {"cublas": 9e-5, "cublaslt": 8e-5}.get(
        kind, 6e-5
    )
    fails: Callable[[Gpu, str, bool], None] = lambda gpu, name, captured: None
    found: tuple[int, int, int, int] = (3, 1, -1, 21)
    library: str = "cublas"
    broken: str = ""
    calls: list[tuple[str, str, bool]] = field(default_factory=list)
    replays: list[int] = field(default_factory=list)
    host: float = 0.0
    free: float = 0.0
    graph: Graph | None = None

    def launch(self, seconds: float, host_seconds: float = LAUNCH_SECONDS) -> None:
        """Put work on the GPU, which starts when it is launched and the GPU is free."""
        self.host += host_seconds
        self.free = max(self.free, self.host) + seconds

    def synchronize(self, _device: object = None) -> None:
        if self.broken:
            raise RuntimeError(self.broken)
        self.host = max(self.host, self.free)

    def multiply(self, kind: str) -> None:
        self.calls.append((kind, self.library, self.graph is not None))
        seconds = self.seconds(self.library if kind == "dense" else kind)
        if self.graph is None:
            self.launch(seconds)
        else:
            self.graph.seconds += seconds


class Event:
    def __init__(self, gpu: Gpu) -> None:
        self._gpu = gpu

    def record(self) -> None:
        self.at = max(self._gpu.free, self._gpu.host)

    def synchronize(self) -> None:
        self._gpu.synchronize()

    def elapsed_time(self, end: Event) -> float:
        """Milliseconds, as of CUDA."""
        return (end.at - self.at) * 1e3


class Graph:
    """A recorded sequence of operations with their outputs."""

    def __init__(self, gpu: Gpu) -> None:
        self._gpu, self.seconds = gpu, 0.0
        self.steps: list[tuple[Any, Any, Any, Any]] = []

    def replay(self) -> None:
        self._gpu.launch(self.seconds, GRAPH_LAUNCH_SECONDS)
        self._gpu.replays.append(len(self._gpu.calls))
        with _disable_current_modes():
            for function, arguments, keywords, out in self.steps:
                new = function(*arguments, **keywords)
                if not _shares_memory(out, arguments):
                    out.copy_(new)


class Capture:
    """torch.cuda.graph; like torch's, it raises on leaving if something in it has failed."""

    def __init__(self, gpu: Gpu, graph: Graph) -> None:
        self._gpu, self._graph = gpu, graph

    def __enter__(self) -> None:
        self._gpu.synchronize()
        self._gpu.graph = self._graph

    def __exit__(self, kind: object, *rest: object) -> None:
        self._gpu.graph = None
        if kind is not None:
            raise RuntimeError(
                "CUDA error: operation failed due to a previous error during capture"
            )


def _shares_memory(out: Any, arguments: Any) -> bool:
    tensors = [one for one in arguments if type(one) is torch.Tensor]
    return any(one.untyped_storage().data_ptr() == out.untyped_storage().data_ptr()
               for one in tensors)  # fmt: skip


class Device(TorchFunctionMode):
    """Puts on the CPU what is meant for the GPU, where it says that it is on a GPU."""

    def __torch_function__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        name = getattr(function, "__name__", "")
        if function == is_cuda.__get__:
            return True
        if function == device_of.__get__ and type(args[0]) is not SparseSemiStructuredTensor:
            return torch.device("cuda", 0)
        if function is torch.device:
            return function(*args)
        if name == "cuda":
            return args[0]
        args = [_on_cpu(value) for value in args]
        return function(*args, **{key: _on_cpu(value) for key, value in (kwargs or {}).items()})


def _on_cpu(value: Any) -> Any:
    if isinstance(value, torch.device) and value.type == "cuda":
        return torch.device("cpu")
    return "cpu" if isinstance(value, str) and value.startswith("cuda") else value


class Kernels(DispatchMode):  # type: ignore[misc]
    """Counts the time of products and records what is captured."""

    def __init__(self, gpu: Gpu) -> None:
        super().__init__()
        self._gpu = gpu

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """No compiler is kept out, because nothing is compiled: loading one takes over a second."""
        return False

    def __torch_dispatch__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        kwargs, gpu = kwargs or {}, self._gpu
        name = function.__name__.split(".")[0]
        if name in PRODUCTS or name == "convolution":
            gpu.fails(gpu, name, gpu.graph is not None)
        out = function(*args, **kwargs)
        if name in PRODUCTS:
            sparse = any(isinstance(one, SparseSemiStructuredTensor) for one in args)
            gpu.multiply("sparse" if sparse or "sparse" in name else "dense")
        if gpu.graph is not None and isinstance(out, torch.Tensor):
            gpu.graph.steps.append((function, args, kwargs, out))
        return out


# -- cuSPARSELt -----------------------------------------------------------------------------------


def compress(weight: Any) -> Any:
    """The kept values, then four bits for each group: 9/16 of the size, or 10/16 of int8."""
    groups = weight.reshape(-1, 4)
    order = (groups != 0).to(torch.int8).topk(2, dim=1).indices.sort(dim=1).values
    bits = torch.zeros_like(groups, dtype=torch.uint8).scatter_(1, order, 1).view(-1, 8)
    packed = (bits << torch.arange(8, dtype=torch.uint8)).sum(dim=1, dtype=torch.uint8)
    return torch.cat([groups.gather(1, order).flatten(), packed.view(weight.dtype)])


def expand(packed: Any, columns: int) -> Any:
    """The weight (rows, columns) that ``compress`` has packed."""
    kept = packed.numel() * 8 // (10 if packed.dtype == torch.int8 else 9)
    bits = (packed[kept:].view(torch.uint8)[:, None] >> torch.arange(8, dtype=torch.uint8)) & 1
    weight = torch.zeros(2 * kept, dtype=packed.dtype)
    weight[bits.flatten() != 0] = packed[:kept]
    return weight.view(-1, columns)


def sparse_product(
    packed: Any, dense: Any, bias: Any = None, alpha: Any = None, out_dtype: Any = None,
    transpose_result: bool = False, alg_id: int = 0, split_k: int = 1, split_k_mode: int = -1,
) -> Any:  # fmt: skip
    """W @ dense plus bias, transposed in memory on request."""
    wide = torch.int32 if packed.dtype == torch.int8 else torch.float32
    weight = expand(packed, dense.shape[0])
    out = weight.to(wide) @ dense.to(wide)
    out = (out if bias is None else out + bias[:, None]).to(out_dtype or dense.dtype)
    return out.t().contiguous() if transpose_result else out


def cutlass_product(packed: Any, meta: Any, dense: Any, out_dtype: Any = None) -> Any:
    """W @ dense in CUTLASS's form, which torch itself can expand on a CPU."""
    wide = torch.int32 if packed.dtype == torch.int8 else torch.float32
    weight = expand_cutlass(packed, meta)
    return (weight.to(wide) @ dense.to(wide)).to(out_dtype or dense.dtype)


@cache
def register_operators() -> object:
    """Give torch's CPU the operators that it has for CUDA only; they stay until Python ends."""
    library = Library("aten", "IMPL", "CPU")
    library.impl("_cslt_compress", compress)
    library.impl("_cslt_sparse_mm", sparse_product)
    library.impl("_sparse_semi_structured_mm", cutlass_product)
    return library


# -- the whole ------------------------------------------------------------------------------------


@contextlib.contextmanager
def pretend(gpu: Gpu) -> Iterator[Gpu]:
    """Put ``gpu`` behind torch.cuda in this thread."""
    register_operators()
    properties = SimpleNamespace(
        name=gpu.name, major=gpu.capability[0], minor=gpu.capability[1], uuid="0-1",
        multi_processor_count=132, L2_cache_size=1 << 16, total_memory=80 << 30,
    )  # fmt: skip

    def library(name: str) -> None:
        gpu.library = name

    def search(*arguments: Any) -> tuple[int, int, int, int]:
        gpu.fails(gpu, "mm_search", False)
        return gpu.found

    stream = SimpleNamespace(wait_stream=lambda other: None)
    generator = torch.Generator
    cuda: dict[str, Any] = {
        "is_available": lambda: True, "device_count": lambda: 1, "set_device": lambda index: None,
        "get_device_name": lambda index=0: gpu.name, "synchronize": gpu.synchronize,
        "get_device_capability": lambda device=None: gpu.capability,
        "get_device_properties": lambda device=None: properties, "empty_cache": lambda: None,
        "is_bf16_supported": lambda *_: True, "current_stream": lambda device=None: stream,
        "Stream": lambda device=None: stream, "stream": lambda one: contextlib.nullcontext(),
        "device": lambda device: contextlib.nullcontext(), "graph": lambda one: Capture(gpu, one),
        "CUDAGraph": lambda: Graph(gpu), "Event": lambda enable_timing: Event(gpu),
        "_sleep": lambda cycles: gpu.launch(cycles / CLOCK),
    }  # fmt: skip
    with ExitStack() as stack:
        for name, value in cuda.items():
            stack.enter_context(patch.object(torch.cuda, name, value))
        for place, name, value in (
            (torch.backends.cuda, "preferred_blas_library", library),
            (torch.backends.cusparselt, "is_available", lambda: True),
            (torch.backends.cusparselt, "version", lambda: 801),
            (torch._C, "_cusparselt", SimpleNamespace(mm_search=search)),
            (torch, "Generator", type("Generator", (), {"__new__": lambda *_: generator("cpu")})),
            (torch, "compile", lambda function, **_: function),
            (time, "perf_counter", lambda: gpu.host),
        ):
            stack.enter_context(patch.object(place, name, value, create=True))
        stack.enter_context(Device())
        stack.enter_context(Kernels(gpu))
        yield gpu
