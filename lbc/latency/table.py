"""Measurements as text for the terminal."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from lbc.latency.explanation import explain
from lbc.latency.measurement import Device, Measurement, Result
from lbc.latency.network import network_speedup

CPU_WARNING = "Measured on a CPU: the figures say nothing about 2:4 on a GPU."


def print_measurement(measurement: Measurement, console: Console) -> None:
    """Print the device, a table of the results and the estimate for the whole network."""
    console.print(measurement.title, style="bold", end=" ")
    console.print(f"({measurement.source})")
    if measurement.device.kind == "cpu":
        console.print(CPU_WARNING)
    table = Table("case", "m × n × k", "dense µs", "sparse µs", "way", "speed-up", "why")
    for result in measurement.results:
        table.add_row(*_row(result, measurement))
    console.print(table)
    whole = network_speedup(measurement)
    if whole is not None:
        console.print(whole.describe())


def _row(result: Result, measurement: Measurement) -> tuple[str, ...]:
    shape = f"{result.m} × {result.n} × {result.k}"
    dense, sparse = result.dense(), result.sparse()
    return (
        result.name,
        shape,
        f"{dense.median_us:,.1f}" if dense else "",
        f"{sparse.median_us:,.1f}" if sparse else "",
        sparse.way if sparse else "",
        speed_up(result),
        explain(result, measurement),
    )


def speed_up(result: Result) -> str:
    """Format the best sparse way's speed-up and interval, such as 1.52 (1.50–1.53)."""
    ratio = result.ratio_of(result.sparse())
    return f"{ratio.ratio:.2f} ({ratio.low:.2f}–{ratio.high:.2f})" if ratio else ""


def device_lines(device: Device) -> list[str]:
    """Describe a device, one fact per line."""
    facts = [device.name]
    if device.capability:
        facts[0] += f", compute capability {device.capability[0]}.{device.capability[1]}"
    if device.multiprocessors:
        facts.append(f"{device.multiprocessors} multiprocessors")
    if device.l2_bytes:
        facts.append(f"L2 cache {device.l2_bytes / 2**20:.0f} MiB")
    if device.memory_bytes:
        facts.append(f"memory {device.memory_bytes / 2**30:.0f} GiB")
    if device.threads and device.kind == "cpu":
        facts.append(f"{device.threads} thread{'s' if device.threads > 1 else ''}")
    facts.append(f"torch {device.torch}")
    for label, value, unit in (
        ("CUDA", device.cuda, ""),
        ("driver", device.driver_version, ""),
        ("cuBLAS", device.cublas, ""),
        ("cuSPARSELt", _version(device.cusparselt), ""),
        ("power limit", device.power_limit, " W"),
        ("maximum clock", device.clocks_max_sm, " MHz"),
    ):
        if value is not None:
            facts.append(f"{label} {_format(value)}{unit}")
    return facts


def detail_lines(result: Result) -> list[str]:
    """Describe all measurements of a case, one per line."""
    lines = [f"{result.name}: {result.m} outputs × {result.n} tokens or pixels × {result.k} inputs"]
    for time in result.times:
        ratio = result.ratio_of(time)
        lines.append(
            f"{time.way}, {time.mode}: {time.median_us:,.1f} µs "
            f"({time.p10_us:,.1f} to {time.p90_us:,.1f}, {time.samples} samples)"
            + (f", {time.sustained_us:,.1f} µs without pauses" if time.sustained_us else "")
            + (f", {ratio.ratio:.2f}× over {ratio.over}" if ratio else "")
            + ("" if time.right else ", WRONG RESULT")
        )
        if time.compress_ms is not None:
            lines[-1] += f", compressed in {time.compress_ms:.2f} ms"
        if time.note:
            lines[-1] += f", {time.note}"
        if time.bytes and result.bytes_dense:
            lines[-1] += f", weights take {time.bytes / result.bytes_dense:.0%} of the dense bytes"
    lines += [f"{refused.what}: not measured. {refused.why}" for refused in result.refused]
    if result.cold is not None:
        sets = f"{result.copies} sets of operands used in turn"
        lines.append(f"{sets}: {'cold' if result.cold else 'partly warm'} L2 cache")
    return lines


def _format(value: str | float) -> str:
    return f"{value:g}" if isinstance(value, float) else value


def _version(number: int | None) -> str | None:
    """Format cuSPARSELt's version number: 801 is 0.8.1."""
    return None if number is None else f"{number // 1000}.{number // 100 % 10}.{number % 100}"
