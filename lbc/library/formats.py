"""Tables of runs as text: plain, Markdown, CSV, a LaTeX pivot, and JSON values.

What people read has per cent and rounded values; CSV and JSON have the values as they are:
accuracy and density as fractions, durations in seconds.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import repeat
from math import isfinite, isnan

import numpy as np
from rich.cells import cell_len

from lbc.files.printable import duration, printable
from lbc.library.columns import NUMERIC, Cell, Column, Frame, Kind, Numbers, Rows
from lbc.library.run_summary import RunSummary
from lbc.library.table import Groups, Pivot, common_values, describe_groups, differences

_LATEX = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "#": r"\#",
    "_": r"\_", "%": r"\%", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
    "<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}", '"': r"\textquotedbl{}",
    "'": r"\textquotesingle{}", "`": r"\textasciigrave{}", "-": "{-}", "[": "{[}", "]": "{]}",
}  # fmt: skip
"""Signs that LaTeX would act on, join with their neighbours, or take for an option."""


WIDEST = 60
"""A longer cell of a plain table moves the rest of its own line only."""


@dataclass(frozen=True)
class TextTable:
    """Cells as text, and which columns hold numbers."""

    headings: tuple[str, ...]
    numeric: tuple[bool, ...]
    rows: tuple[tuple[str, ...], ...]


def heading(column: Column) -> str:
    """The title of a column, with its unit."""
    if column.name == "memory":
        return "memory MB"
    return f"{column.name} %" if column.kind == "percent" else column.name


def cell_text(cell: Cell, kind: Kind) -> str:
    """A value as people read it, on one line."""
    match cell:
        case None:
            return ""
        case tuple():
            return printable(", ".join(cell))
        case str():
            return cell[:16].replace("T", " ") if kind == "time" else printable(cell)
    return number_text(100 * cell if kind == "percent" else cell, kind)


def number_text(number: float, kind: Kind, signed: bool = False) -> str:
    """A number in the unit that is displayed, nothing for NaN."""
    if isnan(number):
        return ""
    sign = "+" if signed else ""
    if kind == "seconds" and isfinite(number):
        return ("−" if number < 0 else sign) + duration(abs(number))
    text = f"{number:{sign}.2f}" if kind == "percent" else f"{number:{sign}.6g}"
    return text.replace("-", "−", 1) if signed and number < 0 else text


def list_runs(
    frame: Frame, rows: Rows, names: Sequence[str], baseline: int | None = None
) -> TextTable:
    """One line per run; with a ``baseline``, what was measured has its difference from that row."""
    columns = [frame.column(name) for name in names]
    texts = []
    for column in columns:
        cells = [cell_text(frame.cell(column, row), column.kind) for row in rows.tolist()]
        if baseline is not None and column.kind in ("percent", "seconds"):
            changes = differences(frame, rows, column.name, baseline)
            _add_changes(cells, changes, _place(rows, baseline), column.kind)
        texts.append(cells)
    return _table(columns, texts)


def list_groups(
    frame: Frame, groups: Groups, names: Sequence[str], baseline: int | None = None
) -> TextTable:
    """One line per group: n, what its runs share, and mean ± deviation of what was measured.

    With a ``baseline``, a row, the differences from the mean of its group follow.
    """
    columns = [frame.column(name) for name in names]
    base = next((at for at, group in enumerate(groups) if baseline in group), None)
    texts = []
    for column in columns:
        if column.kind in ("percent", "seconds"):
            found = describe_groups(frame, groups, column.name)
            cells = list(map(mean_text, found.mean, found.deviation, repeat(column.kind)))
            if base is not None:
                _add_changes(cells, found.mean - found.mean[base], base, column.kind)
        else:
            common = common_values(frame, groups, column.name)
            cells = [cell_text(cell, column.kind) for cell in common]
        texts.append(cells)
    table = _table(columns, texts)
    counts = [str(len(group)) for group in groups]
    return TextTable(
        ("n", *table.headings),
        (True, *table.numeric),
        tuple((count, *row) for count, row in zip(counts, table.rows, strict=True)),
    )


def _place(rows: Rows, row: int) -> int | None:
    found = np.flatnonzero(rows == row)
    return int(found[0]) if len(found) else None


def _add_changes(cells: list[str], changes: Numbers, base: int | None, kind: Kind) -> None:
    for at, change in enumerate(changes.tolist()):
        if at != base and not isnan(change):
            cells[at] += f" ({number_text(change, kind, signed=True)})"


def mean_text(mean: float, deviation: float, kind: Kind) -> str:
    """``97.52 ± 0.41``, without a deviation where there is none."""
    texts = number_text(mean, kind), number_text(deviation, kind)
    return " ± ".join(filter(None, texts))


def _table(columns: Sequence[Column], texts: Sequence[Sequence[str]]) -> TextTable:
    return TextTable(
        tuple(printable(heading(column)) for column in columns),
        tuple(column.kind in NUMERIC for column in columns),
        tuple(zip(*texts, strict=True)),
    )


def format_plain(table: TextTable) -> str:
    """Aligned columns, for a terminal with a font of fixed width."""
    lines = (table.headings, *table.rows)
    widths = [min(WIDEST, max(map(cell_len, cells))) for cells in zip(*lines, strict=True)]
    return "".join(
        "  ".join(map(_aligned, line, widths, table.numeric)).rstrip() + "\n" for line in lines
    )


def _aligned(text: str, width: int, right: bool) -> str:
    space = " " * (width - cell_len(text))
    return space + text if right else text + space


def format_markdown(table: TextTable) -> str:
    """A table in Markdown."""
    rule = tuple("---:" if numeric else "---" for numeric in table.numeric)
    lines = (table.headings, rule, *table.rows)
    return "".join(
        "| " + " | ".join(text if line is rule else _markdown(text) for text in line) + " |\n"
        for line in lines
    )


def _markdown(text: str) -> str:
    return "".join(f"\\{sign}" if sign in "\\`*_{}[]<>#|~&$" else sign for sign in text)


def format_csv(frame: Frame, rows: Rows, names: Sequence[str]) -> str:
    """One line per run, with the values as they are."""
    out = io.StringIO()
    # Else a cell with a carriage return alone would not be quoted.
    writer = csv.writer(out, lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC)
    columns = [frame.column(name) for name in names]
    writer.writerow([column.name for column in columns])
    values = [frame.values(column.name) for column in columns]
    for row in rows:
        cells = [each[row] for each in values]
        writer.writerow([", ".join(cell) if isinstance(cell, tuple) else cell for cell in cells])
    return out.getvalue()


def format_latex(table: Pivot, frame: Frame) -> str:
    """A tabular environment with mean and deviation; the preamble needs ``textcomp`` at most."""
    down, across, value = (frame.column(name) for name in table.names)
    head = [_latex(heading(down)), *(_latex(cell_text(cell, across.kind)) for cell in table.across)]
    lines = [
        f"% {printable(heading(value))}, mean and sample deviation",
        rf"\begin{{tabular}}{{l{'r' * len(table.across)}}}",
        r"\hline",
        " & ".join(head) + r" \\",
        r"\hline",
    ]
    for label, cells in zip(table.down, table.cells, strict=True):
        texts = (_statistic(table, at, value.kind) for at in cells)
        lines.append(" & ".join((_latex(cell_text(label, down.kind)), *texts)) + r" \\")
    return "\n".join([*lines, r"\hline", r"\end{tabular}", ""])


def format_table(table: TextTable) -> str:
    """The cells as CSV."""
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows((table.headings, *table.rows))
    return out.getvalue()


def format_booktabs(table: TextTable) -> str:
    """A table in LaTeX; the preamble needs ``booktabs``.

    Where rows share their first cells, a rule separates them from the next.
    """
    spec = "".join("r" if numeric else "l" for numeric in table.numeric)
    lines = [rf"\begin{{tabular}}{{{spec}}}", r"\toprule", _latex_row(table.headings)]
    firsts = [row[0] for row in table.rows]
    shared = len(set(firsts)) < len(firsts)
    for at, row in enumerate(table.rows):
        if at == 0 or (shared and firsts[at] != firsts[at - 1]):
            lines.append(r"\midrule")
        lines.append(_latex_row(row))
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", ""])


def _latex_row(cells: Sequence[str]) -> str:
    return " & ".join(map(_latex_number, cells)) + r" \\"


def _latex_number(text: str) -> str:
    """Escaped, with its mathematical signs in mathematical mode."""
    return "".join(_LATEX_SIGNS.get(sign, sign) for sign in _latex(text))


_LATEX_SIGNS = {"±": r"$\pm$", "−": "$-$", "×": r"$\times$", "κ": r"$\kappa$", "–": "--"}


def _statistic(table: Pivot, at: int | None, kind: Kind) -> str:
    if at is None:
        return ""
    mean, deviation = table.statistics.mean[at], table.statistics.deviation[at]
    return _latex_number(mean_text(mean, deviation, kind))


def _latex(text: str) -> str:
    return "".join(_LATEX.get(sign, sign) for sign in text)


def as_json(run: RunSummary) -> dict[str, object]:
    """A run as JSON values."""
    values = vars(run) | vars(run.annotations) | {"folder": str(run.folder), "title": run.title}
    return {key: json_value(value) for key, value in values.items() if key != "annotations"}


def json_value(value: object) -> object:
    """Plain values for JSON; numbers that it lacks are null."""
    match value:
        case dict():
            return {key: json_value(inner) for key, inner in value.items()}
        case list() | tuple():
            return [json_value(inner) for inner in value]
        case float() if not isfinite(value):
            return None
    return value
