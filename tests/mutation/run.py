"""Mutation testing of lbc/sparsity: python -m tests.mutation.run [module …]

The tests are collected once. Each mutant is a fork of that process in which one function has other
code, and runs the tests that reach the changed statement, to the first failure. Prints the mutants
that no test killed and tests/mutants.md does not list, and the score. The exit status is 1 if fewer
than 95 % were killed.
"""

from __future__ import annotations

import argparse
import ast
import gc
import json
import os
import re
import resource
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import accumulate
from pathlib import Path
from types import CodeType, FunctionType
from typing import IO, Any

import coverage
import pytest

from tests.mutation.mutations import Mutation, mutations

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "lbc" / "sparsity"
ACCEPTED = ROOT / "tests" / "mutants.md"
REQUIRED = 0.95

TESTS = ["tests/sparsity"]
LEFT_OUT = "not without_graph_breaks and not every_rank_ends"
"""Tests that compile or start processes take longer than all others together."""

PATIENCE = 10.0
"""Seconds of tests after which a mutant counts as not noticed."""

SECONDS = 10
"""Processor time of a mutant beyond three times what its tests take."""

PROCESSES = 3

BAR = "\\|"
"""A vertical bar within a cell of a Markdown table."""

MEMORY = 4 << 30
"""Bytes a mutant may allocate: some ask for a shift by a million."""

Work = tuple[Callable[[], object], float]
"""What a forked process does, and the seconds of processor time it may take."""


def in_forks(works: Iterable[Work]) -> list[object]:
    """What each work returns, None if it ended otherwise; ``PROCESSES`` run at a time."""
    answers: dict[int, object] = {}
    running: dict[int, tuple[int, IO[bytes]]] = {}

    def collect() -> None:
        child, _ = os.wait()
        index, file = running.pop(child)
        file.seek(0)
        text = file.read()
        answers[index] = json.loads(text) if text else None
        file.close()

    for index, (work, seconds) in enumerate(works):
        if len(running) == PROCESSES:
            collect()
        file = tempfile.TemporaryFile()  # noqa: SIM115
        child = os.fork()
        if child == 0:
            try:
                _limit(seconds)
                file.write(json.dumps(work()).encode())
                file.flush()
            finally:
                os._exit(0)
        running[child] = index, file
    while running:
        collect()
    return [answers[index] for index in range(len(answers))]


def _limit(seconds: float) -> None:
    quiet = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(quiet, stream)
    resource.setrlimit(resource.RLIMIT_CPU, (int(seconds), int(seconds) + 1))
    signal.alarm(20 * int(seconds))
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, used + MEMORY))


class Runner:
    """A pytest plugin that runs mutants where pytest would run its tests."""

    def __init__(self, modules: list[str]) -> None:
        self.modules = modules
        self.failed = False
        self.share = 0.0

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.failed |= report.failed

    @pytest.hookimpl(tryfirst=True)
    def pytest_configure(self) -> None:
        from hypothesis import Phase, settings  # not before pytest rewrites its assertions

        phases = [Phase.explicit, Phase.generate]
        settings.register_profile(
            "mutants", max_examples=15, deadline=None, database=None, derandomize=True,
            phases=phases,
        )  # fmt: skip

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        self.items = {item.nodeid: item for item in session.items}
        (measured,) = in_forks([(self._measure, 600)])
        if not isinstance(measured, dict):
            pytest.exit(f"Without a mutant {measured or 'some test'} fails: mend that first.", 2)
        self.seconds, self.reach = measured["seconds"], measured["reach"]
        print(f"\n{len(self.items)} tests in {sum(self.seconds.values()):.0f} s")
        self.functions = _functions()
        gc.collect()
        gc.freeze()  # forks would copy every page that a collection visits
        self.share = self._all()
        return True

    def _run(self, names: list[str]) -> bool:
        """Whether one of these tests fails; the rest are not run."""
        for name in names:
            item = self.items[name]
            item.ihook.pytest_runtest_protocol(item=item, nextitem=None)
            if self.failed:
                return True
        return False

    def _measure(self) -> dict[str, object] | str:
        """What each test takes and reaches, or the name of one that fails."""
        tool = coverage.Coverage(data_file=None, include=[f"{PACKAGE}/*"])
        seconds = {}
        tool.start()
        for name in self.items:
            tool.switch_context(name)
            start = time.process_time()
            if self._run([name]):
                return name
            seconds[name] = time.process_time() - start
        tool.stop()
        data = tool.get_data()
        return {
            "seconds": seconds,
            "reach": {name: data.contexts_by_lineno(name) for name in data.measured_files()},
        }

    def _all(self) -> float:
        accepted, listed = _accepted(), set[Key]()
        total, found = Counter[str](), Counter[str]()
        for file in sorted(PACKAGE.rglob("*.py")):
            if self.modules and file.stem not in self.modules:
                continue
            tree = ast.parse(file.read_text(encoding="utf-8"))
            every = list(mutations(file, tree))
            mutants = [one for one in every if one.key not in accepted]
            listed |= {one.key for one in every if one.key in accepted}
            started = time.monotonic()
            noticed = self._noticed(mutants, tree)
            total[file.stem], found[file.stem] = len(mutants), sum(noticed)
            for one, was_noticed in zip(mutants, noticed, strict=True):
                if not was_noticed:
                    print(f"{_row(one.key)} line {one.lines[0]} |")
            print(
                f"{file.relative_to(PACKAGE)}: {sum(noticed)} of {len(mutants)} killed, "
                f"{time.monotonic() - started:.0f} s",
                flush=True,
            )
        for key in sorted(accepted - listed if not self.modules else ()):
            print(f"{_row(key)} is listed in mutants.md, and no longer a mutant |")
        print(f"{found.total()} of {total.total()} killed, {len(listed)} accepted in mutants.md")
        return found.total() / max(total.total(), 1)

    def _noticed(self, mutants: list[Mutation], tree: ast.Module) -> list[bool]:
        reached = {at: tests for at, mutant in enumerate(mutants) if (tests := self._tests(mutant))}
        works = [
            (
                partial(self._survives, mutants[at], tree, tests),
                SECONDS + 3 * sum(self.seconds[name] for name in tests),
            )
            for at, tests in reached.items()
        ]
        quickest = sorted(self.items, key=lambda name: self.seconds[name])[:50]
        control, *answers = in_forks([(lambda: not self._run(quickest), 60.0), *works])
        assert control is True, "a fork without a mutant fails"
        survives = dict(zip(reached, answers, strict=True))
        return [not survives.get(at, True) for at in range(len(mutants))]

    def _tests(self, mutant: Mutation) -> list[str]:
        """The tests that reach a mutant: those of its module first, then the quickest."""
        lines = self.reach.get(str(mutant.file), {})
        if mutant.at_import:
            reached = set().union(*lines.values())
        else:
            reached = {name for line in mutant.lines for name in lines.get(str(line), [])}
        mirror = f"test_{mutant.file.stem}.py"
        ordered = sorted(reached - {""}, key=lambda name: (mirror not in name, self.seconds[name]))
        spent = list(accumulate(self.seconds[name] for name in ordered))
        return [name for name, by_then in zip(ordered, spent, strict=True) if by_then < PATIENCE]

    def _survives(self, mutant: Mutation, tree: ast.Module, tests: list[str]) -> bool:
        mutant.apply()
        self._replace(mutant, tree)
        return not self._run(tests)

    def _replace(self, mutant: Mutation, tree: ast.Module) -> None:
        code = compile(ast.fix_missing_locations(tree), str(mutant.file), "exec")
        if mutant.at_import:
            functions = [one for found in self.functions.values() for one in found]
            _import_again(mutant.file, code, functions)
            return
        new = next(one for one in _codes(code) if one.co_qualname == mutant.scope)
        for function in self.functions[str(mutant.file), mutant.scope]:
            function.__code__ = new


def _functions() -> dict[tuple[str, str], list[FunctionType]]:
    """All functions of the package, by file and qualified name."""
    found: dict[tuple[str, str], list[FunctionType]] = {}
    for one in gc.get_objects():
        if type(one) is FunctionType and one.__code__.co_filename.startswith(str(PACKAGE)):
            key = one.__code__.co_filename, one.__code__.co_qualname
            found.setdefault(key, []).append(one)
    return found


def _codes(code: CodeType) -> Iterator[CodeType]:
    for one in code.co_consts:
        if isinstance(one, CodeType):
            yield one
            yield from _codes(one)


def _import_again(file: Path, code: CodeType, functions: list[FunctionType]) -> None:
    """Give a module, and who has imported from it, what ``code`` makes outside its functions."""
    parts = file.relative_to(ROOT).with_suffix("").parts
    name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
    fresh: dict[str, Any] = {"__name__": name, "__file__": str(file)}
    exec(code, fresh)
    old = vars(sys.modules[name])
    for key, value in fresh.items():
        if value is old.get(key) or key.startswith("__"):
            continue
        if isinstance(value, type):
            for attribute, its in vars(value).items():
                _adopt(its, vars(old[key]).get(attribute), old[key], attribute)
        elif isinstance(value, FunctionType):
            _adopt(value, old[key], None, key)
        else:
            holders = [vars(m) for at, m in sys.modules.items() if at.startswith(("lbc", "tests"))]
            for holder in holders:
                if key in holder and holder[key] is old[key] and holder is not old:
                    holder[key] = value
            for function in functions:
                defaults = function.__defaults__ or ()
                function.__defaults__ = tuple(value if d is old[key] else d for d in defaults)
            old[key] = value


def _adopt(new: object, old: object, owner: type | None, name: str) -> None:
    new, old = (getattr(one, "__func__", one) for one in (new, old))
    if isinstance(new, FunctionType) and isinstance(old, FunctionType):
        old.__defaults__, old.__kwdefaults__ = new.__defaults__, new.__kwdefaults__
        if owner is not None and new.__code__.co_filename == "<string>":  # a dataclass makes it
            setattr(owner, name, new)
    elif owner and not name.startswith("__") and isinstance(new, int | float | str | tuple | None):
        setattr(owner, name, new)


Key = tuple[str, str, str]


def _row(key: Key) -> str:
    """A mutant as mutants.md lists it, without the reason."""
    module, function, change = key
    return f"| {module} | {function} | `{change.replace('|', BAR)}` |"


def _accepted() -> set[Key]:
    """The mutants that mutants.md lists: rows of module, function, change and reason."""
    lines = ACCEPTED.read_text(encoding="utf-8").splitlines()
    cells = (re.split(r"(?<!\\)\|", line) for line in lines)
    rows = ([cell.strip() for cell in row] for row in cells if len(row) == 6 and "`" in row[3])
    return {(row[1], row[2], row[3].strip("`").replace(BAR, "|")) for row in rows}


def main() -> int:
    parser = argparse.ArgumentParser(description="Mutation testing of lbc/sparsity.")
    parser.add_argument("modules", nargs="*", help="module names; all if none is given")
    parser.add_argument("--tests", nargs="+", default=TESTS, help="run only these")
    arguments = parser.parse_args()
    runner = Runner(arguments.modules)
    options = ["-q", "-s", "-p", "no:cacheprovider", "--tb=native", "-o", "timeout=0"]
    options += ["-p", "no:faulthandler"]  # some mutants crash Python
    options += ["--hypothesis-profile=mutants", "-k", LEFT_OUT]
    pytest.main([*options, *arguments.tests], plugins=[runner])
    return 0 if runner.share >= REQUIRED else 1


if __name__ == "__main__":
    sys.exit(main())
