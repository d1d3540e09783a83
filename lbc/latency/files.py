"""Measurement files: JSON, the output of a worker, and CSV."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Literal

from pydantic import Field

from lbc.files.atomic import write_atomically
from lbc.files.os_errors import explain
from lbc.files.small_file import read_small
from lbc.latency.answers import parse_output, reject_impossible
from lbc.latency.measurement import SCHEMA, Measurement, MeasurementError, Record, validate

SIZE_LIMIT = 1 << 26
"""Bytes; a measurement of a large network takes less than a hundredth."""


class _File(Record):
    schema_: Literal[1] = Field(alias="schema")
    measurements: tuple[Measurement, ...]


def load_measurements(path: Path) -> tuple[Measurement, ...]:
    """Read a file written by ``save_measurements`` or a worker. Raises MeasurementError."""
    try:
        text = read_small(path, SIZE_LIMIT).decode("utf-8-sig")
    except OSError as error:
        raise MeasurementError(explain(error, f"{path} cannot be read")) from error
    except UnicodeDecodeError as error:
        raise MeasurementError(f"{path} is not a measurement: it is not a text file.") from error
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        found, messages = parse_output(text.splitlines())
        if found:
            return found
        advice = ": give a JSON file from 'lbc latency run --json' or the output of a worker."
        if messages:
            advice = f". Its worker reported: {' '.join(messages)}"
        raise MeasurementError(f"{path} contains no measurement{advice}") from None
    try:
        return tuple(map(_reject_impossible, validate(_File, content).measurements))
    except MeasurementError as error:
        raise MeasurementError(
            f"{path} is not a measurement of version {SCHEMA}: {error}"
        ) from error


def _reject_impossible(measurement: Measurement) -> Measurement:
    device, dtype = measurement.device, measurement.dtype
    results = tuple(reject_impossible(one, device, dtype) for one in measurement.results)
    return measurement.model_copy(update={"results": results})


def save_measurements(path: Path, measurements: tuple[Measurement, ...]) -> None:
    """Write measurements as JSON, atomically. Raises OSError."""
    write_atomically(path, lambda file: file.write(as_json(measurements).encode()), follow=True)


def as_json(measurements: tuple[Measurement, ...]) -> str:
    """Return what ``load_measurements`` reads."""
    content = {
        "schema": SCHEMA,
        "measurements": [m.model_dump(mode="json", by_alias=True) for m in measurements],
    }
    return json.dumps(content, indent=1) + "\n"


CSV_COLUMNS = (
    "source", "device", "torch", "backend", "dtype", "case", "m", "n", "k", "mode", "way", "dense",
    "median_us", "p10_us", "p90_us", "samples", "speedup", "low", "high", "error", "right",
    "pattern", "share_valid", "cold_l2", "tflops", "compress_ms", "bytes", "algorithm",
)  # fmt: skip


def as_csv(measurements: tuple[Measurement, ...]) -> str:
    """Return a CSV table with one row per case, way and mode."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(CSV_COLUMNS)
    for one in measurements:
        for result in one.results:
            for time in result.times:
                ratio = result.ratio_of(time)
                row = (
                    one.source, one.device.name, one.device.torch, one.backend, one.dtype,
                    result.name, result.m, result.n, result.k, time.mode, time.way, time.dense,
                    time.median_us, time.p10_us, time.p90_us, time.samples,
                    *((ratio.ratio, ratio.low, ratio.high) if ratio else ("", "", "")),
                    _blank(time.error), time.right, result.pattern, _blank(result.share_valid),
                    _blank(result.cold), result.operations / time.median_us / 1e6,
                    _blank(time.compress_ms), _blank(time.bytes),
                    "" if time.algorithm is None else json.dumps(time.algorithm),
                )  # fmt: skip
                writer.writerow([_escape(cell) for cell in row])
    return out.getvalue()


def _blank(figure: float | None) -> float | str:
    return "" if figure is None else figure


def _escape(cell: object) -> object:
    """Put text on one line and quote what a spreadsheet would evaluate as a formula."""
    if not isinstance(cell, str):
        return cell
    text = " ".join(cell.split())
    return f"'{text}" if text[:1] in tuple("=+-@") else text
