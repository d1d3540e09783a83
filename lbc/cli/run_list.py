"""The lists that ``lbc runs`` prints and exports."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import TypeVar

import numpy as np
from rich.cells import cell_len

from lbc.cli.console import Console
from lbc.files.atomic import write_atomically
from lbc.files.home import expanded
from lbc.files.printable import printable
from lbc.library import formats, table
from lbc.library.columns import OTHER_NAMES, Frame, Rows
from lbc.library.filter import filter_rows
from lbc.library.filter_syntax import FilterError
from lbc.library.index import BATCH, Library
from lbc.library.run_summary import RunSummary, summarize_run
from lbc.runs.run_state import FILE as STATE
from lbc.runs.run_state import RunError

FORMATS = {".json": "json", ".md": "markdown", ".csv": "csv", ".tex": "latex"}

T = TypeVar("T")


def print_runs(settings: argparse.Namespace) -> None:
    """Print the list. Raises RunError."""
    form = "latex" if settings.latex else settings.format
    _print(_format(settings, form), raw=form == "csv")


def export_runs(settings: argparse.Namespace) -> None:
    """Write the list into a new file. Raises RunError, and OSError if it cannot be written."""
    form = FORMATS.get(settings.file.suffix.lower())
    if form is None:
        raise RunError(f"{settings.file} has none of the endings {', '.join(FORMATS)}: add one.")
    if form == "latex" and not settings.latex:
        raise RunError("A LaTeX table needs its rows and columns: --latex method×n:m.")
    if settings.file.exists():
        raise RunError(f"{settings.file} already exists: choose another file.")
    text = _format(settings, form).encode(errors="backslashreplace")
    write_atomically(settings.file, lambda file: file.write(text), follow=True)
    Console().print(printable(f"Wrote {settings.file}"))


def show_run(settings: argparse.Namespace) -> None:
    """Print everything that is known of a run. Raises RunError."""
    run = summarize_run(find_run(settings.folder, settings.run))
    if settings.format == "json":
        _print(json.dumps(formats.as_json(run), indent=2) + "\n")
        return
    frame = Frame([run])
    cells = [(formats.heading(column), frame.values(column.name)[0], column.kind)
             for column in map(frame.column, frame.names)]  # fmt: skip
    lines = tuple(
        (name, formats.cell_text(cell, kind)) for name, cell, kind in cells if cell is not None
    )
    _print(formats.format_plain(formats.TextTable(("", ""), (False, False), lines)).lstrip("\n"))


def find_run(folder: Path, run: str) -> Path:
    """A run by its path, its name below the folder of runs, or its title. Raises RunError."""
    if not run:
        raise RunError("The name of the run is empty: 'lbc runs' lists all runs.")
    for path in (folder / run, expanded(run)):
        if os.path.lexists(path / STATE):
            return path
    known = _read_runs(folder)
    titled = [each.folder for each in known if run in (each.title, each.folder.name)]
    if len(titled) == 1:
        return titled[0]
    if titled:
        paths = ", ".join(map(str, titled[:5]))
        raise RunError(f"Several runs are called {run!r}: name the folder of one ({paths}).")
    close = get_close_matches(
        run, [name for each in known for name in (each.title, each.folder.name)], 1
    )
    hint = f"did you mean {close[0]!r}?" if close else "'lbc runs' lists them all."
    raise RunError(f"There is no run {run!r} in {folder}: {hint}")


def _read_runs(folder: Path) -> tuple[RunSummary, ...]:
    if not os.path.lexists(folder):
        return ()
    library = Library(folder)
    if not sys.stderr.isatty():
        library.refresh()
        return library.runs()
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as progress:
        bar = progress.add_task("Reading runs", total=None, visible=False)
        library.refresh(
            lambda done, total: progress.update(
                bar, completed=done, total=total, visible=total > BATCH
            )
        )
    return library.runs()


def _format(settings: argparse.Namespace, form: str) -> str:
    runs = _read_runs(settings.folder)
    if not runs:
        missing = "" if os.path.lexists(settings.folder) else ", which does not exist"
        Console(stderr=True).print(f"There are no runs in {settings.folder}{missing}.")
    frame = Frame(runs)
    rows = _choose_rows(settings, frame)
    if form == "json":
        # A line for each: with an indentation, json would take six times as long.
        lines = ",\n".join(json.dumps(formats.as_json(runs[row])) for row in rows)
        return f"[\n{lines}\n]\n" if lines else "[]\n"
    if form == "latex":
        down, across = _split(settings.latex, frame)
        value = next(iter(_columns(settings.value, frame)), "accuracy")
        return formats.format_latex(table.pivot(frame, rows, down, across, value), frame)
    if form == "plain" and not len(rows):
        return f"None of the {len(runs)} runs in {settings.folder} is listed.\n" if runs else ""
    names = _columns(settings.columns, frame) or [*table.relevant_columns(frame, rows)]
    if form == "csv":
        return formats.format_csv(frame, rows, names)
    place = settings.baseline and _find_baseline(settings, runs)
    if settings.fold:
        own = () if settings.columns else ("title", "status", "seed")
        names = [name for name in names if name not in own]
        text = formats.list_groups(frame, table.fold_seeds(frame, rows), names, place)
    else:
        text = formats.list_runs(frame, rows, names, place)
    return formats.format_markdown(text) if form == "markdown" else formats.format_plain(text)


def _columns(text: str, frame: Frame) -> list[str]:
    return [name for name, _ in _pointed(text, lambda text: table.parse_sort(text, frame))]


def _find_baseline(settings: argparse.Namespace, runs: Sequence[RunSummary]) -> int:
    found = find_run(settings.folder, settings.baseline).resolve()
    root = settings.folder.resolve()
    for at, run in enumerate(runs):
        if root / run.folder.relative_to(settings.folder) == found:
            return at
    raise RunError(
        f"The baseline {settings.baseline} is not below {settings.folder}: choose another."
    )


def _choose_rows(settings: argparse.Namespace, frame: Frame) -> Rows:
    rows = _pointed(settings.filter, lambda text: filter_rows(text, frame))
    if not settings.all and "archived" not in settings.filter:
        # Else numpy would load masked arrays, which takes a tenth of the time of this command.
        rows = np.intersect1d(rows, filter_rows("archived = no", frame), assume_unique=True)
    keys = _pointed(settings.sort, lambda text: table.parse_sort(text, frame))
    return table.sort_rows(frame, rows, keys)


def _split(text: str, frame: Frame) -> tuple[str, str]:
    known = {*frame.names, *OTHER_NAMES}
    for at, sign in enumerate(text):
        if sign in "x×" and text[:at] in known and text[at + 1 :] in known:
            return text[:at], text[at + 1 :]
    raise RunError(f"{text!r} is not ROWSxCOLUMNS with two columns, such as method×n:m.")


def _pointed(text: str, call: Callable[[str], T]) -> T:
    """Call with a filter or an order; an error shows the word that is wrong."""
    try:
        return call(text)
    except FilterError as error:
        shown = printable(text[: error.start])
        pointer = " " * cell_len(shown) + "^" * max(1, error.length)
        message = f"{printable(text)}\n{pointer}\n{error}"
        raise FilterError(message, error.start, error.length) from error


def _print(text: str, raw: bool = False) -> None:
    # Rich would take a minute for ten thousand lines.
    if not raw or sys.stdout.isatty():
        text = "\n".join(map(printable, text.split("\n")))  # quick where a line is plain ASCII
    sys.stdout.write(text)
