"""The worker's answers, read from a stream that may hold anything else besides."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from typing import Annotated, Any, Literal

from pydantic import Field

from lbc.latency.anchors import impossible
from lbc.latency.measurement import (
    SCHEMA,
    Backend,
    Count,
    Device,
    Dtype,
    Measurement,
    MeasurementError,
    Result,
    Text,
    Told,
    checked,
)
from lbc.latency.worker import PREFIX


class Hello(Told):
    """A worker is ready: what it measures on."""

    schema_: Literal[1] = Field(alias="schema")
    device: Device
    backend: Backend
    dtype: Dtype
    time: Annotated[float, Field(ge=0, le=4e9)] = 0.0


class Started(Told):
    """A case began."""

    index: Count


class Ended(Told):
    """A worker's last word: done, cancelled, timeout (a case or the job hung) or failed."""

    how: Literal["done", "cancelled", "timeout", "failed"]
    kind: Text = ""
    message: Text = ""
    index: int = -1


class Noise(Told):
    """A line that is no answer: a login banner, a warning."""

    line: str


Answer = Hello | Started | Result | Ended | Noise

_CASE = ("index", "name", "m", "n", "k", "share", "convolution")


def read_answer(line: str, hello: Hello | None = None) -> Answer:
    """What one line of a worker's standard output says.

    A result whose figures cannot be true on that device comes back as failed, with the reason.
    Raises MeasurementError where an answer is damaged.
    """
    _, mark, text = line.partition(PREFIX)
    if not mark:
        return Noise(line=line.rstrip())
    try:
        content: Any = json.loads(text)
        kind = content.pop("kind")
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise MeasurementError(f"The worker's answer is damaged: {text[:80]!r}.") from error
    match kind:
        case "hello":
            if content.get("schema") != SCHEMA:
                raise MeasurementError(
                    f"The worker speaks version {content.get('schema')!r} and this program "
                    f"{SCHEMA}: use the same version of this program on both sides."
                )
            return checked(Hello, content)
        case "start":
            return checked(Started, content)
        case "result":
            return _believed(content, hello)
        case "done" | "cancelled":
            return Ended(how=kind)
        case "timeout":
            what, index = str(content.get("what", "job"))[:100], content.get("index", -1)
            said = {"how": kind, "message": f"The {what} took too long.", "index": index}
            return checked(Ended, said)
        case "failed":
            kind, message = str(content.get("class", ""))[:2000], str(content.get("message", ""))
            return Ended(how="failed", kind=kind, message=message[:2000])
    return Noise(line=line.rstrip())


def measurements_in(lines: Iterable[str], source: str = "imported") -> tuple[Measurement, ...]:
    """The measurements in a worker's whole output; damaged lines and empty ones are left out."""
    found: list[Measurement] = []
    hello: Hello | None = None
    for line in lines:
        try:
            answer = read_answer(line, hello)
        except MeasurementError:
            continue
        match answer:
            case Hello():
                hello = answer
                found.append(measurement_of(answer, source))
            case Result() if found:
                found[-1] = with_result(found[-1], answer)
    return tuple(measurement for measurement in found if measurement.results)


def failures_in(lines: Iterable[str]) -> tuple[str, ...]:
    """Why the workers of an output could not measure, each sentence once."""
    found: dict[str, None] = {}
    for line in lines:
        try:
            answer = read_answer(line)
        except MeasurementError:
            continue
        if isinstance(answer, Ended) and answer.message:
            found[answer.message] = None
    return tuple(found)


def measurement_of(hello: Hello, source: str) -> Measurement:
    """An empty measurement by the worker that said hello."""
    return Measurement(
        source=source,
        time=hello.time or time.time(),
        device=hello.device,
        backend=hello.backend,
        dtype=hello.dtype,
    )


def with_result(measurement: Measurement, result: Result) -> Measurement:
    """The measurement with one more result, in place of an earlier one of the same case."""
    others = [old for old in measurement.results if old.index != result.index]
    results = sorted([*others, result], key=lambda at: at.index)
    return measurement.model_copy(update={"results": tuple(results)})


def _believed(content: dict[str, Any], hello: Hello | None) -> Result:
    """A result, or the same case as failed where its figures cannot be true."""
    try:
        result = checked(Result, content)
    except MeasurementError as error:
        return _failed(content, str(error))
    return result if hello is None else believed(result, hello.device, hello.dtype)


def believed(result: Result, device: Device, dtype: Dtype) -> Result:
    """The result, or the same case as failed where the device cannot have given its figures."""
    reason = impossible(result, device, dtype)
    return _failed(result.model_dump(by_alias=True), reason) if reason else result


def _failed(content: dict[str, Any], reason: str) -> Result:
    case = {name: content[name] for name in _CASE if name in content}
    why = f"The figures cannot be true and are not shown ({reason})."
    return checked(Result, {**case, "status": "failed", "class": "impossible", "why": why})
