"""What a comparison found: a table as Markdown and CSV, a picture."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isnan
from pathlib import Path

from lbc.comparison.statistics import mean_and_deviation, paired_p, smallest_p
from lbc.comparison.trials import DENSE, Trial
from lbc.files.atomic import write_atomically
from lbc.sparsity.pattern import Pattern

Accuracies = Mapping[tuple[str, Pattern], Mapping[int, float]]


@dataclass(frozen=True)
class Row:
    """One method under one pattern: accuracies in per cent over its seeds.

    ``p`` compares it with ``against`` over the seeds that both have.
    """

    pattern: Pattern
    method: str
    mean: float
    deviation: float
    runs: int
    difference: float
    p: float


def rows_of(
    trials: Sequence[Trial], patterns: Sequence[Pattern], methods: Sequence[str], against: str
) -> tuple[Row, ...]:
    """A row for each pattern and method with a finished run, best mean first in each pattern."""
    found: dict[tuple[str, Pattern], dict[int, float]] = {}
    for trial in trials:
        accuracy = trial.accuracy
        if accuracy is not None:
            for pattern in patterns if trial.method == DENSE else (trial.pattern,):
                found.setdefault((trial.method, pattern), {})[trial.seed] = 100 * accuracy
    rows = [
        _row(found, method, pattern, against)
        for pattern in patterns
        for method in methods
        if (method, pattern) in found
    ]
    return tuple(sorted(rows, key=lambda row: (patterns.index(row.pattern), -row.mean)))


def _row(found: Accuracies, method: str, pattern: Pattern, against: str) -> Row:
    mine, other = found[method, pattern], found.get((against, pattern), {})
    seeds = [seed for seed in mine if seed in other and method != against]
    pair = [mine[seed] for seed in seeds], [other[seed] for seed in seeds]
    difference = mean_and_deviation([a - b for a, b in zip(*pair, strict=True)])[0] if seeds else 0
    mean, deviation = mean_and_deviation(list(mine.values()))
    return Row(pattern, method, mean, deviation, len(mine), difference, paired_p(*pair))


def as_markdown(rows: Sequence[Row], against: str) -> str:
    """The table, and what its columns mean."""
    lines = [
        f"| N:M | method | accuracy % | ± | runs | minus {against} | p |",
        "| --- | --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    lines += ["| " + " | ".join(cells(row)) + " |" for row in rows]
    pairs = max((row.runs for row in rows), default=0)
    lines += [
        "",
        "Test accuracy, mean and standard deviation over the seeds; the difference and p "
        f"(two-sided, exact sign-flip test) over the seeds paired with {against}. "
        f"{pairs} pairs cannot give less than p = {smallest_p(pairs):.2g}.",
        "",
    ]
    return "\n".join(lines)


def cells(row: Row) -> tuple[str, ...]:
    """A row as text."""
    compared = not isnan(row.p)
    return (
        str(row.pattern),
        row.method,
        f"{row.mean:.2f}",
        "" if isnan(row.deviation) else f"{row.deviation:.2f}",
        str(row.runs),
        f"{row.difference:+.2f}" if compared else "",
        f"{row.p:.3f}" if compared else "",
    )


def as_csv(trials: Sequence[Trial]) -> str:
    """Every finished run on a line."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(("method", "pattern", "seed", "accuracy", "folder"))
    for trial in trials:
        if trial.accuracy is not None:
            pattern = "" if trial.method == DENSE else str(trial.pattern)
            writer.writerow((trial.method, pattern, trial.seed, trial.accuracy, trial.folder.name))
    return out.getvalue()


def write_report(
    out: Path, trials: Sequence[Trial], rows: Sequence[Row], against: str
) -> tuple[Path, ...]:
    """Write comparison.md, .csv and .png into ``out``. Raises OSError."""
    texts = {"comparison.md": as_markdown(rows, against), "comparison.csv": as_csv(trials)}
    for name, text in texts.items():
        write_atomically(out / name, lambda file, text=text: file.write(text.encode()))  # type: ignore[misc]
    picture = out / "comparison.png"
    _draw(rows, picture)
    return (*(out / name for name in texts), picture)


def _draw(rows: Sequence[Row], path: Path) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    patterns = list(dict.fromkeys(row.pattern for row in rows))
    figure = Figure(figsize=(2.2 + 2.4 * len(patterns), 3.4), layout="constrained")
    FigureCanvasAgg(figure)
    for place, pattern in enumerate(patterns, start=1):
        axes = figure.add_subplot(1, len(patterns), place)
        shown = [row for row in rows if row.pattern == pattern]
        spread = [0.0 if isnan(row.deviation) else row.deviation for row in shown]
        axes.errorbar(
            range(len(shown)), [row.mean for row in shown], yerr=spread, fmt="o", capsize=4
        )
        axes.set_xticks(range(len(shown)), [row.method for row in shown])
        axes.set_xlim(-0.5, len(shown) - 0.5)
        axes.set_title(str(pattern))
        axes.grid(visible=True, axis="y", alpha=0.3)
        if place == 1:
            axes.set_ylabel("test accuracy (%), mean ± deviation")
    write_atomically(path, lambda file: figure.savefig(file, format="png", dpi=150))
