"""Checks on a GPU everything that lbc takes for granted of one, in at most 460 seconds.

    python tests/gpu/check.py [--rehearse] [STEP ...]

Needs Python 3.11, torch 2.11 or newer with CUDA, and for the training step numpy and pydantic. Each
step is a process of its own with a time limit. Three files grow in the folder $OUT (default:
gpu-results), each line written at once: checks.ndjson, raw.ndjson, which ``lbc latency show``
reads, and stderr.log. What was missed is printed last. Exit status: 0 nothing missed, 1 something,
3 no usable GPU. Clocks and power are read, never set. ``--rehearse`` uses small shapes.

This script has never been run on a GPU.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
REHEARSAL = "--rehearse" in sys.argv
TOTAL_SECONDS = 460.0
CHECK, ANSWER = "@check ", "@lbc-latency "
CONTROL = 0.015
"""Largest distance of an A/A ratio from 1."""

MARKS = {True: "ok  ", False: "MISS", None: "    "}
"""None marks a fact that is neither right nor wrong."""

SQUARES = ("4096", "8192")
STEPS: dict[str, tuple[float, tuple[Any, ...]]] = {
    "facts": (90, ("facts",)),
    "products-bf16": (40, ("products", "bfloat16")),
    "search-bf16": (25, ("search", "bfloat16")),
    "worker-bf16": (130, ("bfloat16", ("default",))),
    "again-bf16": (30, ("bfloat16", SQUARES)),
    "clock": (25, ("clock",)),
    "products-int8": (30, ("products", "int8")),
    "search-int8": (25, ("search", "int8")),
    "worker-int8": (40, ("int8", (*SQUARES, "4096x16x4096"))),
    "products-fp16": (30, ("products", "float16")),
    "worker-fp16": (30, ("float16", ("4096", "1000x2000x1000"), False)),
    "training": (60, ("training",)),
    "search-fp16": (25, ("search", "float16")),
}
"""Seconds, and a probe with its type, or the worker's type, shapes and search. float16's search is
last: on Hopper it is known to end in an illegal instruction."""


def job(dtype: str, shapes: tuple[str, ...], search: bool = True) -> dict[str, Any]:
    """The worker's job."""
    sys.path.insert(0, str(ROOT))
    from lbc.latency.cases import parse_cases

    cases = parse_cases(("64x32x128", "128x16x64") if REHEARSAL else shapes, 4096, 64)
    return {
        "samples": 7 if REHEARSAL else 30, "warmup_seconds": 0.0 if REHEARSAL else 0.2,
        "warmup_calls": 25, "budget_seconds": 6.0,
        "case_seconds": 30.0, "deadline_seconds": 200, "search": search, "compile": False,
        "uncaptured": [], "device": "cuda", "dtype": dtype, "backend": "cusparselt", "first": 0,
        "cases": [case.as_job() for case in cases], "orphan": "end", "keep": None,
    }  # fmt: skip


class Report:
    """Keeps and prints what the steps find, line by line."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.checks, self.raw, self.errors = (
            (folder / name).open("wb", buffering=0)
            for name in ("checks.ndjson", "raw.ndjson", "stderr.log")
        )
        self.found: list[dict[str, Any]] = []
        self._ratios: dict[tuple[str, str, str], tuple[float, float]] = {}

    def add(self, name: str, met: bool | None, **facts: Any) -> None:
        self.found.append({"check": name, "met": met, **facts})
        self.checks.write(json.dumps(self.found[-1]).encode() + b"\n")
        print(MARKS[met], name, " ".join(f"{k}={_short(v)}" for k, v in facts.items()), flush=True)

    def read(self, step: str, line: bytes) -> dict[str, Any]:
        """Keep a line of a step; return the worker's answer, if it is one."""
        self.raw.write(line)
        text = line.decode(errors="replace").strip()
        if text.startswith(CHECK):
            content = json.loads(text.removeprefix(CHECK))
            self.add(f"{step}: {content.pop('check')}", content.pop("met"), **content)
        if not text.startswith(ANSWER):
            return {}
        answer: dict[str, Any] = json.loads(text.removeprefix(ANSWER))
        if answer["kind"] == "result":
            self._add_result(step, answer)
        elif answer["kind"] in ("failed", "timeout", "cancelled"):
            self.add(f"{step}: worker", False, **answer)
        return answer

    def _add_result(self, step: str, answer: dict[str, Any]) -> None:
        times, ratios = answer.get("times", ()), answer.get("ratios", ())
        graphs = {t["way"]: round(t["median_us"], 2) for t in times if t["mode"] == "graph"}
        wrong = [f"{t['way']} {t['mode']} {t['error']}" for t in times if not t["right"]]
        shown, off = {}, False
        for one in ratios:
            key = (f"{step[-4:]} {answer['name']}", one["way"], one["mode"])
            low, high = self._ratios.get(key, (one["low"], one["high"]))
            # Of two processes the larger spread counts.
            low, high = self._ratios[key] = min(low, one["low"]), max(high, one["high"])
            shown[f"{one['way']} {one['mode']}"] = f"{one['ratio']:.3f} [{low:.3f}, {high:.3f}]"
            off |= key[1:] == ("A/A", "graph") and abs(one["ratio"] - 1) > CONTROL
        compared = any(not t["dense"] and t["right"] and t["mode"] == "graph" for t in times)
        more = {key: answer.get(key) for key in ("refused", "why", "clocks", "seconds")}
        self.add(f"{step}: {answer.get('name')}", compared and not wrong and not off, us=graphs,
                 ratios=shown, wrong=wrong, control_off=off, **more)  # fmt: skip


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)[:400]


def run(step: str, end: float, report: Report) -> None:
    """Run a step until its limit or ``end``; a worker that broke the GPU is replaced."""
    limit, (what, *arguments) = STEPS[step]
    started = time.monotonic()
    end = min(end, started + limit)
    if end - started < 5:
        report.add(step, False, why="no time was left")
        return
    report.errors.write(f"== {step}\n".encode())
    if not step.startswith(("worker", "again")):
        probe = str(Path(__file__).with_name("probes.py"))
        command = [probe, what, *arguments, *["--rehearse"] * REHEARSAL]
        status, answers = run_process(command, "", end, step, report)
        report.add(f"{step} ended", status == 0, status=status, seconds=time.monotonic() - started)
        return
    todo, done = job(what, *arguments), set[int]()
    while todo["first"] < len(todo["cases"]) and end - time.monotonic() > 5:
        worker = [str(ROOT / "lbc" / "latency" / "worker.py"), "-"]
        status, answers = run_process(worker, json.dumps(todo) + "\n", end, step, report)
        done |= {one["index"] for one in answers if one.get("status") == "measured"}
        begun = [one["index"] for one in answers if one["kind"] == "start"]
        if status not in (4, 6) or not begun:
            break
        way, repeat = answers[-1].get("way"), todo["search"]
        todo["first"] = begun[-1] if way or repeat else begun[-1] + 1
        todo["uncaptured"] += [way] if way else []
        todo["search"] = repeat and bool(way)
    cases, seconds = f"{len(done)} of {len(todo['cases'])}", time.monotonic() - started
    report.add(f"{step} ended", len(done) == len(todo["cases"]), cases=cases, seconds=seconds)


def run_process(
    command: list[str], text: str, end: float, step: str, report: Report
) -> tuple[int, list[dict[str, Any]]]:
    """Run Python in a process group, killed at ``end``; its status and the worker's answers."""
    child = subprocess.Popen(
        [sys.executable, "-u", *command], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        stderr=report.errors, start_new_session=True,
    )  # fmt: skip
    # A hung search holds the interpreter's lock: only a signal that cannot be caught ends it.
    timer = threading.Timer(end - time.monotonic(), kill, (child.pid,))
    timer.start()
    try:
        assert child.stdin is not None
        assert child.stdout is not None
        with suppress(BrokenPipeError):
            child.stdin.write(text.encode())
            child.stdin.flush()
        answers = [answer for line in child.stdout if (answer := report.read(step, line))]
        return child.wait(), answers
    finally:
        timer.cancel()
        kill(child.pid)
        child.wait()


def kill(group: int) -> None:
    with suppress(OSError):
        os.killpg(group, signal.SIGKILL)


def main(steps: list[str]) -> int:
    end = time.monotonic() + TOTAL_SECONDS
    report = Report(Path(os.environ.get("OUT") or "gpu-results"))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # ends the step that runs
    for step in steps or STEPS:
        run(step, end, report)
        if step == "facts" and not any(one["check"] == "facts: facts" for one in report.found):
            print("Nothing was checked: this machine has no usable GPU. See stderr.log.")
            return 3
    missed = [one for one in report.found if one["met"] is False]
    met = sum(one["met"] is True for one in report.found)
    print(f"\n{met} met, {len(missed)} missed, {TOTAL_SECONDS - end + time.monotonic():.0f} s")
    for one in missed:
        print("MISS", one["check"], str(one.get("why") or one.get("wrong") or "")[:200])
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main([one for one in sys.argv[1:] if one != "--rehearse"]))
