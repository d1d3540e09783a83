"""Measurements as validated records.

All values come from outside (a worker, a server or a file) and are validated here.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Final, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from lbc.files.printable import SentenceError, printable

SCHEMA: Final = 1
A_A: Final = "A/A"
"""The control: the first dense way measured a second time, which gives the noise floor."""

Backend = Literal["cpu", "cusparselt", "cutlass"]
Dtype = Literal["float32", "float16", "bfloat16", "int8"]
Mode = Literal["graph", "eager"]

AnyRecord = TypeVar("AnyRecord", bound=BaseModel)

Seconds = Annotated[float, Field(ge=0, le=1e7)]
Microseconds = Annotated[float, Field(gt=0, le=1e10)]
Text = Annotated[str, Field(max_length=2000), AfterValidator(printable)]
Count = Annotated[int, Field(ge=0, le=1 << 50)]
Size = Annotated[int, Field(ge=1, le=1 << 31)]


class MeasurementError(SentenceError, ValueError):
    """A file or an answer is not a valid measurement; the message says what to do."""


class Record(BaseModel):
    """Frozen values from a worker; unknown keys of later versions are ignored."""

    model_config = ConfigDict(
        extra="ignore",
        frozen=True,
        allow_inf_nan=False,
        validate_by_name=True,
        validate_by_alias=True,
        serialize_by_alias=True,
    )


class Device(Record):
    """The device of a measurement, with versions and limits (bytes, MHz, W)."""

    kind: Literal["cpu", "cuda"]
    name: Text
    torch: Text
    python: Text = ""
    system: Text = ""
    threads: Count | None = None
    cuda: Text | None = None
    capability: tuple[int, int] | None = None
    multiprocessors: Count | None = None
    l2_bytes: Count | None = None
    memory_bytes: Count | None = None
    cublas: Text | None = None
    cusparselt: Count | None = None
    driver_version: Text | float | None = None
    power_limit: Text | float | None = None
    clocks_max_sm: Text | float | None = None
    clocks_max_mem: Text | float | None = None


class Time(Record):
    """The time per call of one way to compute a case, in one mode; ``right`` if it was correct.

    A sample is ``calls`` calls long. ``sustained_us`` is the time in half a second without pauses;
    ``strides`` are those of the output; ``note`` says how the way differs from what was asked.
    """

    way: Text
    mode: Mode
    dense: bool
    median_us: Microseconds
    p10_us: Microseconds
    p90_us: Microseconds
    samples: Annotated[int, Field(ge=1)]
    calls: Count = 0
    right: bool
    error: Annotated[float, Field(ge=0)] | None = None
    unfolded: bool = False
    compress_ms: Annotated[float, Field(ge=0)] | None = None
    bytes: Count | None = None
    algorithm: dict[Text, int] | None = None
    sustained_us: Microseconds | None = None
    strides: tuple[Count, ...] = ()
    note: Text = ""


class Ratio(Record):
    """The speed-up of ``way`` over ``over``, with a 95 % bootstrap interval."""

    way: Text
    over: Text
    mode: Mode
    ratio: Annotated[float, Field(gt=0, le=1e6)]
    low: Annotated[float, Field(gt=0, le=1e6)]
    high: Annotated[float, Field(gt=0, le=1e6)]


class Refused(Record):
    """A way that could not be measured, and the reason."""

    what: Text
    why: Text


class Result(Record):
    """The result of a case, X (n, k) times W (m, k) transposed; without times, ``why`` explains it.

    ``share`` is the fraction of the network's multiply-adds in ``count`` layers of this shape, 0
    without a network;
    ``convolution`` is True if the product represents a k×k convolution; ``cold`` is True if the
    ``copies`` sets of operands, used in turn, are larger in total than three L2 caches.
    """

    index: Count
    name: Text
    m: Size
    n: Size
    k: Size
    pattern: Text = "2:4"
    share: Annotated[float, Field(ge=0, le=1)] = 0.0
    count: Annotated[int, Field(ge=1, le=1_000_000)] = 1
    convolution: bool = False
    status: Literal["measured", "refused", "failed"]
    kind: Text = Field(default="", alias="class")
    why: Text = ""
    times: tuple[Time, ...] = ()
    ratios: tuple[Ratio, ...] = ()
    refused: tuple[Refused, ...] = ()
    share_valid: Annotated[float, Field(ge=0, le=1)] | None = None
    padded: tuple[int, int] = (0, 0)
    copies: Count | None = None
    cold: bool | None = None
    bytes_dense: Count = 0
    clocks: dict[Text, float | Text] = {}
    seconds: Seconds = 0.0

    @property
    def operations(self) -> int:
        """Floating-point operations of the dense product."""
        return 2 * self.m * self.n * self.k

    def dense(self, mode: Mode = "graph") -> Time | None:
        """The fastest dense way, in the other mode if ``mode`` was not measured."""
        return _fastest([t for t in self._gemms(mode) if t.dense])

    def sparse(self, mode: Mode = "graph") -> Time | None:
        """The fastest sparse way with correct results."""
        return _fastest([t for t in self._gemms(mode) if not t.dense and t.right])

    def dense_convolution(self) -> Time | None:
        """The k×k convolution as torch computes it."""
        return _fastest([t for t in self._unfolded() if t.dense])

    def unfolded_sparse(self) -> Time | None:
        """The fastest correct sparse product including the unfolding that a convolution needs."""
        return _fastest([t for t in self._unfolded() if not t.dense and t.right])

    def ratio_of(self, time: Time | None) -> Ratio | None:
        """The measured speed-up of a way."""
        found = (r for r in self.ratios if time and (r.way, r.mode) == (time.way, time.mode))
        return next(found, None)

    def noise(self, mode: Mode = "graph") -> Ratio | None:
        """The A/A control: the ratio between two measurements of the same code."""
        return next((r for r in self.ratios if r.way == A_A and r.mode == self.mode(mode)), None)

    def mode(self, wanted: Mode) -> Mode:
        """``wanted`` if it was measured, otherwise the other mode."""
        modes = {time.mode for time in self.times}
        return wanted if wanted in modes or not modes else next(iter(modes))

    def _gemms(self, mode: Mode) -> list[Time]:
        mode = self.mode(mode)
        return [t for t in self.times if t.mode == mode and not t.unfolded and t.way != A_A]

    def _unfolded(self) -> list[Time]:
        mode = self.mode("graph")
        return [t for t in self.times if t.mode == mode and t.unfolded]


class Measurement(Record):
    """All results for one device, dtype and backend; ``source`` names the machine or file."""

    source: Text = "this machine"
    time: Annotated[float, Field(ge=0, le=4e9)]
    device: Device
    backend: Backend
    dtype: Dtype
    baseline: bool = False
    results: tuple[Result, ...] = ()

    @property
    def title(self) -> str:
        return f"{self.device.name} · {self.dtype} · {BACKEND_NAMES[self.backend]}"

    @property
    def when(self) -> str:
        """Start time in the local time zone, to the minute."""
        return datetime.fromtimestamp(self.time).strftime("%Y-%m-%d %H:%M")


BACKEND_NAMES: dict[Backend, str] = {
    "cpu": "processor",
    "cusparselt": "cuSPARSELt",
    "cutlass": "CUTLASS",
}


def validate(kind: type[AnyRecord], content: Any) -> AnyRecord:
    """Return ``content`` as a record. Raises MeasurementError with the first error."""
    try:
        return kind.model_validate(content)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise MeasurementError(f"{where}: {first['msg']}.") from error


def _fastest(times: list[Time]) -> Time | None:
    return min(times, key=lambda time: time.median_us, default=None)
