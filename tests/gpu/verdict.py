"""Judges what ``run_all.sh`` has measured: a table, ``verdict.json``, and 1 where anything missed.

python tests/gpu/verdict.py FOLDER
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

from lbc.latency.files import load_measurements, save_measurements
from lbc.latency.measurement import Measurement, MeasurementError, Result

LONGEST_SECONDS = 90.0
CASES = 12
INDEPENDENT = 0.03
INDEPENDENT_CASES = 6
CONTROL = 0.015
SQUARES = (4096, 8192)


@dataclass(frozen=True)
class Check:
    """One requirement: what was found, and whether it is met."""

    name: str
    met: bool
    found: str


def measured(folder: Path, name: str) -> Measurement | None:
    """The measurement that a step wrote, None where it wrote none."""
    try:
        return load_measurements(folder / f"{name}.json")[0]
    except (MeasurementError, IndexError):
        return None


def reason(folder: Path, name: str) -> str:
    """The last thing that a step said."""
    path = folder / f"{name}.log"
    lines = path.read_text(errors="replace").split("\n") if path.exists() else []
    said = [line.strip() for line in lines if line.startswith(("bfloat16", "float16", "int8"))]
    return said[-1] if said else f"nothing was said: see {path.name}"


def whole_run(folder: Path) -> Check:
    told = measured(folder, "default")
    path = folder / "default.seconds"
    seconds = float(path.read_text()) if path.exists() else float("inf")
    done = [r for r in told.results if r.status == "measured" and r.sparse()] if told else []
    met = len(done) == CASES and seconds <= LONGEST_SECONDS
    return Check("default run", met, f"{len(done)} of {CASES} cases in {seconds:.0f} s")


def correctness(folder: Path, name: str) -> Check:
    """Every time of every case has passed its check."""
    told = measured(folder, name)
    if told is None:
        return Check(f"right: {name}", False, reason(folder, name))
    wrong = [f"{r.name}, {t.way} ({t.mode}): {t.error}" for r in told.results for t in r.times
             if not t.right]  # fmt: skip
    missing = [f"{r.name}: {r.why}" for r in told.results if r.status != "measured" or not r.times]
    count = sum(len(result.times) for result in told.results)
    problems = "; ".join(wrong + missing)
    return Check(f"right: {name}", count > 0 and not problems, problems or f"{count} times, all")


def control(folder: Path) -> Check:
    """The A/A control of every case of the default run."""
    told = measured(folder, "default")
    noises = {r.name: r.noise() for r in told.results} if told else {}
    off = {name: abs(noise.ratio - 1) for name, noise in noises.items() if noise}
    far = ", ".join(f"{name} {share:.2%}" for name, share in off.items() if share > CONTROL)
    found = far or (f"at most {max(off.values()):.2%}" if off else "none was measured")
    return Check(f"A/A within {CONTROL:.1%}", bool(off) and not far, found)


def independent(folder: Path) -> Check:
    """The cases whose every way agrees with the other program's time."""
    told, path = measured(folder, "default"), folder / "independent.json"
    if told is None or not path.exists():
        return Check("independent", False, "it was not measured: see independent.log")
    results = {result.name: result for result in told.results}
    lines, agree = [], 0
    for other in json.loads(path.read_text()):
        ours = graph_times(results[other["name"]])
        off = {way: ours[way] / us - 1 for way, us in other["us"].items() if way in ours}
        agree += bool(off) and all(abs(share) <= INDEPENDENT for share in off.values())
        lines.append(f"{other['name']}: " + ", ".join(f"{w} {s:+.1%}" for w, s in off.items()))
    (folder / "independent.txt").write_text("\n".join(lines) + "\n")
    found = f"{agree} of {len(lines)} cases agree: see independent.txt"
    return Check(f"independent within {INDEPENDENT:.0%}", agree >= INDEPENDENT_CASES, found)


def graph_times(result: Result) -> dict[str, float]:
    return {time.way: time.median_us for time in result.times if time.mode == "graph"}


def square(folder: Path, name: str, size: int) -> Check:
    """A square's speed-up, or the exact reason why there is none."""
    told = measured(folder, name)
    results = [r for r in told.results if r.m == r.n == r.k == size] if told else []
    if not results or told is None:
        return Check(f"square {size} {name}", _is_exact(reason(folder, name)), reason(folder, name))
    ratio = results[0].ratio_of(results[0].sparse())
    if ratio is None:
        why = results[0].why or "; ".join(f"{r.what}: {r.why}" for r in results[0].refused)
        return Check(f"square {size} {name}", bool(why), why)
    found = f"{ratio.ratio:.3f} ({ratio.low:.3f} to {ratio.high:.3f})"
    return Check(f"square {size} {name}", True, found)


def _is_exact(said: str) -> bool:
    return "compute capability 8.x only" in said


def cutlass(folder: Path) -> Check:
    """Right where it runs; where it cannot, the reason is enough."""
    if measured(folder, "cutlass") is None:
        said = reason(folder, "cutlass")
        return Check("right: cutlass", _is_exact(said), said)
    return correctness(folder, "cutlass")


def main(folder: Path) -> int:
    """Print, write and return 1 where a check is not met."""
    checks = [
        whole_run(folder),
        *(correctness(folder, name) for name in ("default", "float16", "int8")),
        cutlass(folder),
        control(folder),
        independent(folder),
        *(square(folder, name, size) for name in ("default", "cutlass") for size in SQUARES),
    ]
    every = [measured(folder, name) for name in ("default", "cutlass", "float16", "int8")]
    save_measurements(folder / "measurement.json", tuple(told for told in every if told))
    (folder / "verdict.json").write_text(json.dumps([asdict(at) for at in checks], indent=1))
    for check in checks:
        print(f"{'met ' if check.met else 'MISS'}  {check.name:28}  {check.found}")
    return 0 if all(check.met for check in checks) else 1


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
