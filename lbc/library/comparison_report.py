"""The results of a comparison: tables as Markdown, LaTeX and CSV, and a plot."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import isnan
from pathlib import Path

from lbc.comparison.statistics import correct_tests
from lbc.comparison.trials import DENSE, Trial
from lbc.files.atomic import write_atomically
from lbc.library.formats import TextTable, format_booktabs, format_markdown
from lbc.library.method_agreement import EXPLANATION, Agreement
from lbc.library.result_groups import RESULTS, ResultGroup, explain_test, group_results
from lbc.library.run_summary import summarize_run
from lbc.sparsity.pattern import Pattern

ACCURACY = RESULTS["test accuracy (%)"]

COST = (
    "Steps per second include removals and tests; memory is the peak of the process that trained "
    "a run, or of its GPU. Both are means over the seeds, and depend on what else the machine did."
)


@dataclass(frozen=True)
class MethodResult:
    """The runs of one method with one pattern, by their test accuracy in per cent."""

    pattern: Pattern
    method: str
    result: ResultGroup


def summarise_trials(trials: Sequence[Trial], baseline: str) -> tuple[MethodResult, ...]:
    """The finished runs by pattern, and then by falling mean; dense ones count for every pattern.

    Each is compared with the method ``baseline`` at its pattern; all tests are one family. Raises
    RunError if a run cannot be read.
    """
    runs = {trial: summarize_run(trial.folder) for trial in trials if trial.is_finished}
    rows: list[MethodResult] = []
    for pattern in dict.fromkeys(trial.pattern for trial in trials):
        here = [at for at in runs if at.method == DENSE or at.pattern == pattern]
        labels = {at.folder: at.label for at in here}
        base = next((at.folder for at in here if at.label == baseline), None)
        groups = group_results([runs[at] for at in here], ACCURACY, base)
        rows += [MethodResult(pattern, labels[one.members[0].folder], one) for one in groups]
    corrected = correct_tests([row.result for row in rows])
    return tuple(
        MethodResult(row.pattern, row.method, result)
        for row, result in zip(rows, corrected, strict=True)
    )


def list_results(rows: Sequence[MethodResult], baseline: str) -> TextTable:
    """One row per pattern and method."""
    tested = (f"minus {baseline}", "p", "p (Holm)")
    headings = ("N:M", "method", "accuracy %", "runs", *tested, "steps/s", "memory MB")
    return TextTable(headings, (False, False, *(True,) * 7), tuple(map(_cells, rows)))


def _cells(row: MethodResult) -> tuple[str, ...]:
    found = row.result
    deviation = "" if isnan(found.deviation) else f" ± {found.deviation:.2f}"
    tested = (f"{found.difference:+.2f}".replace("-", "−"), f"{found.p:.3f}", f"{found.holm:.3f}")
    return (
        str(row.pattern),
        row.method,
        f"{found.mean:.2f}{deviation}",
        str(found.runs),
        *(tested if found.pairs else ("", "", "")),
        "" if isnan(found.speed) else f"{found.speed:.1f}",
        "" if isnan(found.memory) else f"{found.memory:.0f}",
    )


def explain_results(rows: Sequence[MethodResult], baseline: str) -> str:
    """What the columns of ``list_results`` mean."""
    test = explain_test([row.result for row in rows])
    explained = f"The baseline is {baseline}. {test}" if test else ""
    return " ".join(filter(None, (
        "Test accuracy: mean and sample deviation over the seeds.", explained, COST,
    )))  # fmt: skip


def format_runs(trials: Sequence[Trial]) -> str:
    """One line of CSV per finished run, with the values as they are."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow((
        "method", "pattern", "seed", "accuracy", "steps_per_second", "peak_memory", "folder",
    ))  # fmt: skip
    for trial in trials:
        if trial.is_finished:
            run, pattern = (
                summarize_run(trial.folder),
                "" if trial.method == DENSE else trial.pattern,
            )
            writer.writerow((
                trial.label, pattern, trial.seed, run.accuracy, run.speed,
                run.peak_memory or None, trial.folder.name,
            ))  # fmt: skip
    return out.getvalue()


def write_report(
    out: Path,
    trials: Sequence[Trial],
    rows: Sequence[MethodResult],
    agreements: Sequence[Agreement],
    baseline: str,
) -> tuple[Path, ...]:
    """Write comparison.md, .tex, .csv and .png into ``out``. Raises OSError."""
    texts = {
        "comparison.md": _document(rows, agreements, baseline, format_markdown),
        "comparison.tex": _document(rows, agreements, baseline, format_booktabs, "% "),
        "comparison.csv": format_runs(trials),
    }
    for name, text in texts.items():
        write_atomically(out / name, lambda file, text=text: file.write(text.encode()))  # type: ignore[misc]
    plot = out / "comparison.png"
    _plot(rows, plot)
    return (*(out / name for name in texts), plot)


def _document(
    rows: Sequence[MethodResult],
    agreements: Sequence[Agreement],
    baseline: str,
    write: Callable[[TextTable], str],
    comment: str = "",
) -> str:
    """Tables and their explanations, which are a ``comment`` in some formats."""
    parts = [write(list_results(rows, baseline)), f"{comment}{explain_results(rows, baseline)}\n"]
    parts += [write(one.table) for one in agreements]
    parts += [f"{comment}{EXPLANATION}\n"] if agreements else []
    parts += [f"{comment}{problem}\n" for one in agreements for problem in one.problems]
    return "\n".join(parts)


def _plot(rows: Sequence[MethodResult], path: Path) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    patterns: Mapping[Pattern, None] = dict.fromkeys(row.pattern for row in rows)
    most = max(sum(row.pattern == pattern for row in rows) for pattern in patterns)
    figure = Figure(figsize=(2.2 + (1.4 + 0.3 * most) * len(patterns), 3.4), layout="constrained")
    FigureCanvasAgg(figure)
    for position, pattern in enumerate(patterns, start=1):
        axes = figure.add_subplot(1, len(patterns), position)
        shown = [row for row in rows if row.pattern == pattern]
        spread = [0.0 if isnan(row.result.deviation) else row.result.deviation for row in shown]
        means = [row.result.mean for row in shown]
        axes.errorbar(range(len(shown)), means, yerr=spread, fmt="o", capsize=4)
        axes.set_xticks(range(len(shown)), [row.method for row in shown])
        if most > 4:
            axes.tick_params("x", rotation=60)
        axes.set_xlim(-0.5, len(shown) - 0.5)
        axes.set_title(str(pattern))
        axes.grid(visible=True, axis="y", alpha=0.3)
        if position == 1:
            axes.set_ylabel("test accuracy (%), mean ± deviation")
    write_atomically(path, lambda file: figure.savefig(file, format="png", dpi=150))
