"""The texts of the table's cells."""

from __future__ import annotations

from collections.abc import Sequence
from math import isnan

from lbc.files.printable import printable
from lbc.library.columns import Kind
from lbc.library.formats import cell_text, mean_text, number_text
from lbc.library.table import common_values
from lbc_gui.library.arrangement import CURVE, MEASURED, Arrangement, Line

EDITABLE = ("title", "tag", "note")

INDENT = "      "


def line_text(line: Line, key: str, shown: Arrangement, baseline: int | None) -> str:
    """The text of a cell; ``baseline`` is the row of the run that others are compared with."""
    if key == CURVE:
        return ""
    if key == "star":
        return "★" if all(run.annotations.star for run in line.runs) else ""
    if line.members:
        return _group_text(line, key, shown, baseline)
    text = _run_text(line, key, shown, baseline)
    return INDENT + text if key == "title" and line.inner else text


def _run_text(line: Line, key: str, shown: Arrangement, baseline: int | None) -> str:
    frame, run = shown.frame, line.runs[0]
    column = frame.column(key)
    kind, text = column.kind, cell_text(frame.cell(column, line.row), column.kind)
    if key == "status" and run.status != "finished" and run.epochs:
        return f"{text} {run.epoch}/{run.epochs}"
    if baseline is None or baseline == line.row or kind not in MEASURED or not text:
        return text
    numbers = frame.numbers(key)
    return text + _difference(float(numbers[line.row] - numbers[baseline]), kind)


def _group_text(line: Line, key: str, shown: Arrangement, baseline: int | None) -> str:
    frame, kind = shown.frame, shown.frame.column(key).kind
    if key == "title":
        return f"{printable(_common_name([run.name for run in line.runs]))} × {len(line.runs)}"
    if key == "status":
        finished = sum(run.status == "finished" for run in line.runs)
        done = finished == len(line.runs)
        return "finished" if done else f"{finished}/{len(line.runs)} finished"
    if kind not in MEASURED:
        return cell_text(common_values(frame, [shown.groups[line.group]], key)[0], kind)
    found, at = shown.statistics(key), line.group
    text = mean_text(found.mean[at], found.deviation[at], kind)
    base = None if baseline is None else shown.group_of(baseline)
    if base is None or base == at or not text:
        return text
    return text + _difference(float(found.mean[at] - found.mean[base]), kind)


def _common_name(names: Sequence[str]) -> str:
    """The name of all, or how all begin: a comparison names its runs after their seeds."""
    begin = names[0]
    while not all(name.startswith(begin) for name in names):
        begin = begin[:-1]
    return names[0] if begin in ("", names[0]) else f"{begin}…"


def _difference(number: float, kind: Kind) -> str:
    return "" if isnan(number) else f"  {number_text(number, kind, signed=True)}"


def edited_text(line: Line, key: str) -> str:
    """What the editor of a cell begins with."""
    notes = line.runs[0].annotations
    texts = {"title": line.runs[0].title, "tag": ", ".join(notes.tags), "note": notes.note}
    return texts.get(key, "")


def tooltip(line: Line, text: str) -> str:
    """What is wrong with a run, where it is, and the text of a cell, which may be cut."""
    run = line.runs[0]
    if line.members:
        return "\n".join([text, *(printable(run.title) for run in line.runs)])
    parts = (text.strip(), run.problem, run.message, str(run.folder))
    return "\n".join(printable(part) for part in parts if part)
