"""Checks the measurements of ``run_all.sh``; prints a table and writes ``verdict.json``.

python tests/gpu/verdict.py FOLDER
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

from lbc.latency.files import load_measurements, save_measurements
from lbc.latency.measurement import Measurement, MeasurementError, Result

MAX_SECONDS = 90.0
CASES = 12
TOLERANCE = 0.03
INDEPENDENT_CASES = 6
CONTROL_TOLERANCE = 0.015
SQUARES = (4096, 8192)


@dataclass(frozen=True)
class Check:
    """A requirement, whether it is met, and the figures found."""

    name: str
    met: bool
    found: str


def load_step(folder: Path, name: str) -> Measurement | None:
    """Return the measurement written by a step, or None."""
    try:
        return load_measurements(folder / f"{name}.json")[0]
    except (MeasurementError, IndexError):
        return None


def results_of(folder: Path, name: str) -> tuple[Result, ...]:
    measurement = load_step(folder, name)
    return measurement.results if measurement else ()


def last_message(folder: Path, name: str) -> str:
    """Return the last message of a step."""
    path = folder / f"{name}.log"
    lines = path.read_text(errors="replace").split("\n") if path.exists() else []
    messages = [line.strip() for line in lines if line.startswith(("bfloat16", "float16", "int8"))]
    return messages[-1] if messages else f"no message: see {path.name}"


def check_default_run(folder: Path) -> Check:
    path = folder / "default.seconds"
    seconds = float(path.read_text()) if path.exists() else float("inf")
    done = [r for r in results_of(folder, "default") if r.status == "measured" and r.sparse()]
    met = len(done) == CASES and seconds <= MAX_SECONDS
    return Check("default run", met, f"{len(done)} of {CASES} cases in {seconds:.0f} s")


def check_results(folder: Path, name: str) -> Check:
    """Check that all cases were measured with correct results."""
    if load_step(folder, name) is None:
        return Check(f"correct: {name}", False, last_message(folder, name))
    results = results_of(folder, name)
    wrong = [f"{r.name}, {t.way} ({t.mode}): {t.error}"
             for r in results for t in r.times if not t.right]  # fmt: skip
    missing = [f"{r.name}: {r.why}" for r in results if r.status != "measured" or not r.times]
    count = sum(len(result.times) for result in results)
    problems = "; ".join(wrong + missing)
    return Check(f"correct: {name}", count > 0 and not problems, problems or f"{count} times, all")


def check_control(folder: Path) -> Check:
    """Check the A/A control of every case of the default run."""
    noises = {r.name: r.noise() for r in results_of(folder, "default")}
    off = {name: abs(noise.ratio - 1) for name, noise in noises.items() if noise}
    far = ", ".join(f"{name} {by:.2%}" for name, by in off.items() if by > CONTROL_TOLERANCE)
    found = far or (f"at most {max(off.values()):.2%}" if off else "none was measured")
    return Check(f"A/A within {CONTROL_TOLERANCE:.1%}", bool(off) and not far, found)


def check_independent(folder: Path) -> Check:
    """Count the cases in which all ways agree with the independent times."""
    path = folder / "independent.json"
    results = {result.name: result for result in results_of(folder, "default")}
    if not results or not path.exists():
        return Check("independent", False, "it was not measured: see independent.log")
    lines, agree = [], 0
    for other in json.loads(path.read_text()):
        ours = graph_times(results[other["name"]])
        off = {way: ours[way] / us - 1 for way, us in other["us"].items() if way in ours}
        agree += bool(off) and all(abs(by) <= TOLERANCE for by in off.values())
        lines.append(f"{other['name']}: " + ", ".join(f"{w} {s:+.1%}" for w, s in off.items()))
    (folder / "independent.txt").write_text("\n".join(lines) + "\n")
    found = f"{agree} of {len(lines)} cases agree: see independent.txt"
    return Check(f"independent within {TOLERANCE:.0%}", agree >= INDEPENDENT_CASES, found)


def graph_times(result: Result) -> dict[str, float]:
    return {time.way: time.median_us for time in result.times if time.mode == "graph"}


def check_square(folder: Path, name: str, size: int) -> Check:
    """Check that a square has a speed-up, or a reason why it has none."""
    title, message = f"square {size} {name}", last_message(folder, name)
    result = next((r for r in results_of(folder, name) if r.m == r.n == r.k == size), None)
    if result is None:
        return Check(title, _is_unsupported(message), message)
    ratio = result.ratio_of(result.sparse())
    if ratio is None:
        why = result.why or "; ".join(f"{r.what}: {r.why}" for r in result.refused)
        return Check(title, bool(why), why)
    return Check(title, True, f"{ratio.ratio:.3f} ({ratio.low:.3f} to {ratio.high:.3f})")


def _is_unsupported(message: str) -> bool:
    return "compute capability 8.x only" in message


def check_cutlass(folder: Path) -> Check:
    """Check CUTLASS; a GPU that does not support it passes."""
    if load_step(folder, "cutlass") is None:
        message = last_message(folder, "cutlass")
        return Check("correct: cutlass", _is_unsupported(message), message)
    return check_results(folder, "cutlass")


def main(folder: Path) -> int:
    """Print and write all checks; return 1 if one failed."""
    checks = [
        check_default_run(folder),
        *(check_results(folder, name) for name in ("default", "float16", "int8")),
        check_cutlass(folder),
        check_control(folder),
        check_independent(folder),
        *(check_square(folder, name, size) for name in ("default", "cutlass") for size in SQUARES),
    ]
    steps = [load_step(folder, name) for name in ("default", "cutlass", "float16", "int8")]
    save_measurements(folder / "measurement.json", tuple(filter(None, steps)))
    (folder / "verdict.json").write_text(json.dumps([asdict(check) for check in checks], indent=1))
    for check in checks:
        print(f"{'PASS' if check.met else 'FAIL'}  {check.name:28}  {check.found}")
    return 0 if all(check.met for check in checks) else 1


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
