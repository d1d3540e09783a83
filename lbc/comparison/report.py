"""The results of a comparison: a table as Markdown and CSV, and a plot."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isnan
from pathlib import Path

from lbc.comparison.statistics import SeedSummary, smallest_p, summarise_seeds
from lbc.comparison.trials import DENSE, Trial
from lbc.files.atomic import write_atomically
from lbc.sparsity.pattern import Pattern

Accuracies = Mapping[tuple[str, Pattern], Mapping[int, float]]


@dataclass(frozen=True)
class MethodResult(SeedSummary):
    """Test accuracy of one method with one pattern, in per cent over its seeds."""

    pattern: Pattern
    method: str


def summarise_trials(
    trials: Sequence[Trial], patterns: Sequence[Pattern], methods: Sequence[str], baseline: str
) -> tuple[MethodResult, ...]:
    """One result per pattern and method with a finished run; by pattern, then by falling mean."""
    found: dict[tuple[str, Pattern], dict[int, float]] = {}
    for trial in trials:
        accuracy = trial.accuracy
        if accuracy is not None:
            for pattern in patterns if trial.method == DENSE else (trial.pattern,):
                found.setdefault((trial.method, pattern), {})[trial.seed] = 100 * accuracy
    rows = [
        _result(found, method, pattern, baseline)
        for pattern in patterns
        for method in methods
        if (method, pattern) in found
    ]
    return tuple(sorted(rows, key=lambda row: (patterns.index(row.pattern), -row.mean)))


def _result(found: Accuracies, method: str, pattern: Pattern, baseline: str) -> MethodResult:
    other = found.get((baseline, pattern), {}) if method != baseline else {}
    summary = summarise_seeds(found[method, pattern], other)
    return MethodResult(**vars(summary), pattern=pattern, method=method)


def format_markdown(rows: Sequence[MethodResult], baseline: str) -> str:
    """The table and an explanation of its columns."""
    lines = [
        f"| N:M | method | accuracy % | ± | runs | minus {baseline} | p |",
        "| --- | --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    lines += ["| " + " | ".join(format_row(row)) + " |" for row in rows]
    pairs = max((row.runs for row in rows), default=0)
    lines += [
        "",
        "Mean and standard deviation of the test accuracy over the seeds; difference and p "
        f"(two-sided, exact sign-flip test) over the seeds paired with {baseline}. "
        f"With {pairs} pairs the smallest possible p is {smallest_p(pairs):.2g}.",
        "",
    ]
    return "\n".join(lines)


def format_row(row: MethodResult) -> tuple[str, ...]:
    """The cells of one table row."""
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


def format_csv(trials: Sequence[Trial]) -> str:
    """One line per finished run."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(("method", "pattern", "seed", "accuracy", "folder"))
    for trial in trials:
        if trial.accuracy is not None:
            pattern = "" if trial.method == DENSE else str(trial.pattern)
            writer.writerow((trial.method, pattern, trial.seed, trial.accuracy, trial.folder.name))
    return out.getvalue()


def write_report(
    out: Path, trials: Sequence[Trial], rows: Sequence[MethodResult], baseline: str
) -> tuple[Path, ...]:
    """Write comparison.md, .csv and .png into ``out``. Raises OSError."""
    texts = {"comparison.md": format_markdown(rows, baseline), "comparison.csv": format_csv(trials)}
    for name, text in texts.items():
        write_atomically(out / name, lambda file, text=text: file.write(text.encode()))  # type: ignore[misc]
    plot = out / "comparison.png"
    _plot(rows, plot)
    return (*(out / name for name in texts), plot)


def _plot(rows: Sequence[MethodResult], path: Path) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    patterns = list(dict.fromkeys(row.pattern for row in rows))
    figure = Figure(figsize=(2.2 + 2.4 * len(patterns), 3.4), layout="constrained")
    FigureCanvasAgg(figure)
    for position, pattern in enumerate(patterns, start=1):
        axes = figure.add_subplot(1, len(patterns), position)
        shown = [row for row in rows if row.pattern == pattern]
        spread = [0.0 if isnan(row.deviation) else row.deviation for row in shown]
        axes.errorbar(
            range(len(shown)), [row.mean for row in shown], yerr=spread, fmt="o", capsize=4
        )
        axes.set_xticks(range(len(shown)), [row.method for row in shown])
        axes.set_xlim(-0.5, len(shown) - 0.5)
        axes.set_title(str(pattern))
        axes.grid(visible=True, axis="y", alpha=0.3)
        if position == 1:
            axes.set_ylabel("test accuracy (%), mean ± deviation")
    write_atomically(path, lambda file: figure.savefig(file, format="png", dpi=150))
