"""``lbc runs compare``: what differs between runs, their results, and whether their masks agree."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from math import isfinite, isnan

from lbc.cli.run_list import find_run
from lbc.comparison.mask_agreement import MaskAgreement, Matrix, compare_masks
from lbc.comparison.run_masks import RunMasks, read_masks
from lbc.files.printable import printable
from lbc.library.differences import differing_settings
from lbc.library.formats import TextTable, format_markdown, format_plain, json_value
from lbc.library.result_groups import RESULTS, ResultGroup, explain_test, group_results
from lbc.library.run_summary import RunSummary, summarize_run
from lbc.runs.run_state import RunError

WHOLE = "whole network"


def compare_runs(settings: argparse.Namespace) -> None:
    """Print settings, results and masks of the runs side by side.

    Raises RunError if a run is unknown or cannot be read; one without masks is only named.
    """
    runs = [summarize_run(find_run(settings.folder, run)) for run in settings.run]
    baseline = settings.baseline and find_run(settings.folder, settings.baseline)
    for run in runs:
        if run.status == "unreadable":
            raise RunError(run.problem)
    masked, masks, problems = _read_all_masks(runs)
    agreement = compare_masks(masks)
    groups = group_results(runs, RESULTS["test accuracy (%)"], baseline)
    if settings.format == "json":
        _print_json(runs, groups, masked, agreement, problems)
        return
    kappas = {WHOLE: agreement.whole, **(agreement.layers if settings.layers else {})}
    parts = [_settings(runs), _results(groups), *_masks(masked, kappas)]
    write: Callable[[TextTable], str] = (
        format_markdown if settings.format == "markdown" else format_plain
    )
    texts = [write(part) for part in parts if part.rows]
    notes = [explain_test(groups), *map(printable, problems)]
    sys.stdout.write("\n".join([*texts, *(f"{note}\n" for note in notes if note)]))


def _read_all_masks(
    runs: Sequence[RunSummary],
) -> tuple[list[RunSummary], list[RunMasks], list[str]]:
    """The runs with masks, those masks, and a sentence for each of the other runs."""
    masked, masks, problems = [], [], []
    for run in runs:
        try:
            masks.append(read_masks(run.folder, run.method))
            masked.append(run)
        except (OSError, ValueError) as error:
            problems.append(str(error))
    return masked, masks, problems


def _settings(runs: Sequence[RunSummary]) -> TextTable:
    """Those that differ."""
    titles = (printable(run.title) for run in runs)
    rows = tuple(
        (found.key, *("–" if value is None else printable(str(value)) for value in found.values))
        for found in differing_settings([run.parameters for run in runs])
    )
    return TextTable(("setting", *titles), (False,) * (1 + len(runs)), rows)


def _results(groups: Sequence[ResultGroup]) -> TextTable:
    tested, cost = ("minus baseline", "p", "p (Holm)"), ("steps/s", "memory MB")
    headings = ("settings", "accuracy %", "±", "n", *tested, *cost)
    return TextTable(headings, (False, *(True,) * 8), tuple(map(_result, groups)))


def _result(group: ResultGroup) -> tuple[str, ...]:
    label = printable(group.label) or "the same settings"
    mean, deviation = (
        "" if isnan(value) else f"{value:.2f}" for value in (group.mean, group.deviation)
    )
    name = f"{label} (baseline)" if group.baseline else label
    tested = (f"{group.difference:+.2f}", f"{group.p:.3f}", f"{group.holm:.3f}")
    return (
        name,
        mean,
        deviation,
        str(group.runs),
        *(tested if group.pairs else ("", "", "")),
        "" if isnan(group.speed) else f"{group.speed:.1f}",
        "" if isnan(group.memory) else f"{group.memory:.0f}",
    )


def _masks(runs: Sequence[RunSummary], kappas: Mapping[str, Matrix]) -> Iterator[TextTable]:
    """One table for each of ``kappas``, all runs by all runs."""
    names = tuple(printable(run.title) for run in runs)
    numeric = (False, *(True,) * len(names))
    for layer, kappa in kappas.items():
        rows = tuple(
            (name, *(f"{one:.3f}" if isfinite(one) else "–" for one in line))
            for name, line in zip(names, kappa.tolist(), strict=True)
        )
        yield TextTable((f"κ, {printable(layer) or 'model'}", *names), numeric, rows)


def _print_json(
    runs: Sequence[RunSummary],
    groups: Sequence[ResultGroup],
    masked: Sequence[RunSummary],
    agreement: MaskAgreement,
    problems: Sequence[str],
) -> None:
    """Values that are unknown, and κ that is undefined, are null."""
    results = [
        asdict(group) | {
            "members": [str(run.folder) for run in group.members],
            "steps_per_second": group.speed,
            "memory_mb": group.memory,
        }
        for group in groups
    ]  # fmt: skip
    document = {
        "runs": [str(run.folder) for run in runs],
        "settings": {
            found.key: found.values for found in differing_settings([r.parameters for r in runs])
        },
        "results": results,
        "masks": {
            "runs": [str(run.folder) for run in masked],
            "whole": agreement.whole.tolist(),
            "layers": {name: kappas.tolist() for name, kappas in agreement.layers.items()},
            "layers_in_common": agreement.shared.tolist(),
            "problems": problems,
        },
    }
    sys.stdout.write(json.dumps(json_value(document), indent=2) + "\n")
