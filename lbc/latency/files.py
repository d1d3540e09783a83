"""Measurements on disk: JSON, what a worker printed, CSV."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Literal

from pydantic import Field

from lbc.files.atomic import write_atomically
from lbc.latency.answers import believed, failures_in, measurements_in
from lbc.latency.measurement import SCHEMA, Measurement, MeasurementError, Told, checked


class _File(Told):
    schema_: Literal[1] = Field(alias="schema")
    measurements: tuple[Measurement, ...]


def load_measurements(path: Path) -> tuple[Measurement, ...]:
    """Read a file that ``save_measurements`` or a worker wrote. Raises MeasurementError."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise MeasurementError(f"{path} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise MeasurementError(f"{path} is no text file, so no measurement.") from error
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        lines = text.splitlines()
        found = measurements_in(lines)
        if not found and (reasons := failures_in(lines)):
            raise MeasurementError(
                f"{path} holds no measurement. Its worker said: {' '.join(reasons)}"
            ) from None
        if not found:
            raise MeasurementError(
                f"{path} holds no measurement: give a JSON file of 'lbc latency run --json' or "
                "what its worker printed."
            ) from None
        return found
    try:
        return tuple(map(_believed, checked(_File, content).measurements))
    except MeasurementError as error:
        raise MeasurementError(f"{path} is no measurement of version {SCHEMA}: {error}") from error


def _believed(told: Measurement) -> Measurement:
    results = tuple(believed(result, told.device, told.dtype) for result in told.results)
    return told.model_copy(update={"results": results})


def save_measurements(path: Path, measurements: tuple[Measurement, ...]) -> None:
    """Write measurements as JSON, whole or not at all. Raises OSError."""
    content = {
        "schema": SCHEMA,
        "measurements": [m.model_dump(mode="json", by_alias=True) for m in measurements],
    }
    text = json.dumps(content, indent=1) + "\n"
    write_atomically(path, lambda file: file.write(text.encode()))


CSV_COLUMNS = (
    "source", "device", "torch", "backend", "dtype", "case", "m", "n", "k", "mode", "way", "dense",
    "median_us", "p10_us", "p90_us", "samples", "speedup", "low", "high", "error", "right",
    "pattern", "share_valid", "cold_l2", "tflops", "compress_ms", "bytes", "algorithm",
)  # fmt: skip


def as_csv(measurements: tuple[Measurement, ...]) -> str:
    """One row for each way and mode of each measured case."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(CSV_COLUMNS)
    for told in measurements:
        for result in told.results:
            for time in result.times:
                ratio = result.ratio_of(time)
                row = (
                    told.source, told.device.name, told.device.torch, told.backend, told.dtype,
                    result.name, result.m, result.n, result.k, time.mode, time.way, time.dense,
                    time.median_us, time.p10_us, time.p90_us, time.samples,
                    *((ratio.ratio, ratio.low, ratio.high) if ratio else ("", "", "")),
                    _known(time.error), time.right, result.pattern, _known(result.share_valid),
                    _known(result.cold), result.operations / time.median_us / 1e6,
                    _known(time.compress_ms), _known(time.bytes),
                    "" if time.algorithm is None else json.dumps(time.algorithm),
                )  # fmt: skip
                writer.writerow([_plain(cell) for cell in row])
    return out.getvalue()


def _known(figure: float | None) -> float | str:
    return "" if figure is None else figure


def _plain(cell: object) -> object:
    """Text on one line; a spreadsheet would run a cell that begins like a formula."""
    if not isinstance(cell, str):
        return cell
    text = " ".join(cell.split())
    return f"'{text}" if text[:1] in tuple("=+-@") else text
