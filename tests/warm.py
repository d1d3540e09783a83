"""Processes of a Python that has loaded torch and Qt already: real ones, begun seconds sooner.

Each is a fork of one that has only imported, so that it can be watched, interrupted and killed like
any other. How a command starts from nothing is tested where that is what is asked.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
from collections.abc import Callable, Mapping
from multiprocessing.process import BaseProcess
from pathlib import Path

LOADED = [
    "lbc.training.trainer", "lbc.cli.main", "lbc.report.run_pngs", "torch._dynamo",
    "lbc_gui.window.main_window",
]  # fmt: skip


def start(
    run: Callable[..., object],
    *arguments: object,
    output: Path | None = None,
    environment: Mapping[str, str] | None = None,
) -> BaseProcess:
    """Run a function of a module in a process, and a session, of its own.

    What it prints goes to the file ``output``; ``environment`` adds to this process's own.
    """
    context = multiprocessing.get_context("forkserver")  # Windows has none, and skips such tests
    context.set_forkserver_preload(LOADED)
    everything = {**os.environ, **(environment or {})}
    process = context.Process(target=_run, args=(run, arguments, output, everything))
    process.start()
    return process


def lbc(*arguments: object) -> None:
    """The ``lbc`` command, as ``python -m lbc`` runs it."""
    from lbc.cli.main import main

    sys.exit(main([str(each) for each in arguments]))


def _run(
    run: Callable[..., object],
    arguments: tuple[object, ...],
    output: Path | None,
    environment: Mapping[str, str],
) -> None:
    os.setsid()
    os.environ.clear()
    os.environ.update(environment)
    file = os.open(output or os.devnull, os.O_WRONLY | os.O_CREAT, 0o644)
    os.dup2(file, 1)
    if output is not None:
        os.dup2(file, 2)
    run(*arguments)
