"""The worker's answers, parsed from a stream that may contain other output."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from lbc.files.printable import printable
from lbc.latency.anchors import explain_impossible
from lbc.latency.measurement import (
    SCHEMA,
    Backend,
    Count,
    Device,
    Dtype,
    Measurement,
    MeasurementError,
    Ratio,
    Record,
    Result,
    Text,
    validate,
)
from lbc.latency.worker import PREFIX


class Hello(Record):
    """A worker is ready; ``device`` is what it measures on."""

    schema_: Literal[1] = Field(alias="schema")
    device: Device
    backend: Backend
    dtype: Dtype
    time: Annotated[float, Field(ge=0, le=4e9)] = 0.0


class Started(Record):
    """A case was started."""

    index: Count


class Ended(Record):
    """The end of a worker: done, cancelled, timeout (of a case or the job) or failed.

    ``way`` is the way, if any, whose capture in a CUDA graph ended it.
    """

    how: Literal["done", "cancelled", "timeout", "failed"]
    kind: Text = ""
    message: Text = ""
    way: Text = ""
    index: int = -1


class OtherLine(Record):
    """A line that is not an answer, such as a login banner or a warning."""

    line: Annotated[str, AfterValidator(printable)]


Answer = Hello | Started | Result | Ended | OtherLine

_CASE_KEYS = ("index", "name", "m", "n", "k", "share", "count", "convolution")


def read_answer(line: str, hello: Hello | None = None) -> Answer:
    """Parse one line of a worker's standard output.

    A result with figures that are impossible on the device becomes a failed one, with the reason.
    Raises MeasurementError if an answer is damaged.
    """
    _, mark, text = line.partition(PREFIX)
    if not mark:
        return OtherLine(line=line.rstrip())
    try:
        content: Any = json.loads(text)
        kind = content.pop("kind")
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise MeasurementError(f"The worker's answer is damaged: {text[:80]!r}.") from error
    match kind:
        case "hello":
            if content.get("schema") != SCHEMA:
                raise MeasurementError(
                    f"The worker has version {content.get('schema')!r}, this program "
                    f"version {SCHEMA}: use the same version of this program on both machines."
                )
            return validate(Hello, content)
        case "start":
            return validate(Started, content)
        case "result":
            return _parse_result(content, hello)
        case "done" | "cancelled":
            return Ended(how=kind)
        case "timeout":
            what, index = str(content.get("what", "job"))[:100], content.get("index", -1)
            ended = {"how": kind, "message": f"The {what} took too long.", "index": index}
            return validate(Ended, ended)
        case "failed":
            kind, message, way = (
                str(content.get(name, ""))[:2000] for name in ("class", "message", "way")
            )
            failed = {"how": "failed", "kind": kind, "message": message, "way": way}
            return validate(Ended, failed)
    return OtherLine(line=line.rstrip())


def parse_output(
    lines: Iterable[str], source: str = "imported"
) -> tuple[tuple[Measurement, ...], tuple[str, ...]]:
    """Parse the output of workers: the measurements with results, and distinct error messages.

    Damaged lines are skipped.
    """
    measurements: list[Measurement] = []
    messages: dict[str, None] = {}
    hello: Hello | None = None
    for line in lines:
        try:
            answer = read_answer(line, hello)
        except MeasurementError:
            continue
        match answer:
            case Hello():
                hello = answer
                measurements.append(new_measurement(answer, source))
            case Result() if measurements:
                measurements[-1] = with_result(measurements[-1], answer)
            case Ended(message=message) if message:
                messages[message] = None
    return tuple(one for one in measurements if one.results), tuple(messages)


def new_measurement(hello: Hello, source: str) -> Measurement:
    """Return a measurement without results for the worker that sent ``hello``."""
    return Measurement(
        source=printable(source),
        time=hello.time or time.time(),
        device=hello.device,
        backend=hello.backend,
        dtype=hello.dtype,
    )


def with_result(measurement: Measurement, result: Result) -> Measurement:
    """Return the measurement with ``result`` added or replacing an earlier one of the same case."""
    others = [other for other in measurement.results if other.index != result.index]
    results = sorted([*others, result], key=lambda one: one.index)
    return measurement.model_copy(update={"results": tuple(results)})


def with_spread(measurement: Measurement, again: Measurement) -> Measurement:
    """Return the measurement with intervals widened to include those of another process."""
    others = {
        (result.index, ratio.way, ratio.over, ratio.mode): ratio
        for result in again.results
        for ratio in result.ratios
    }

    def widened(index: int, one: Ratio) -> Ratio:
        other = others.get((index, one.way, one.over, one.mode), one)
        spread = {"low": min(one.low, other.low), "high": max(one.high, other.high)}
        return one.model_copy(update=spread)

    results = tuple(
        result.model_copy(update={"ratios": tuple(widened(result.index, r) for r in result.ratios)})
        for result in measurement.results
    )
    return measurement.model_copy(update={"results": results})


def _parse_result(content: dict[str, Any], hello: Hello | None) -> Result:
    try:
        result = validate(Result, content)
    except MeasurementError as error:
        return _failed(content, str(error))
    return result if hello is None else reject_impossible(result, hello.device, hello.dtype)


def reject_impossible(result: Result, device: Device, dtype: Dtype) -> Result:
    """Return the result, or a failed one if its figures are impossible on the device."""
    reason = explain_impossible(result, device, dtype)
    return _failed(result.model_dump(by_alias=True), reason) if reason else result


def _failed(content: dict[str, Any], reason: str) -> Result:
    case = {name: content[name] for name in _CASE_KEYS if name in content}
    why = f"The figures are impossible and not shown ({reason})."
    return validate(Result, {**case, "status": "failed", "class": "impossible", "why": why})
