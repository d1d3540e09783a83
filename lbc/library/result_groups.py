"""The final results of several runs, those that differ in their seeds folded into one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import nan
from pathlib import Path
from statistics import fmean

from lbc.comparison.statistics import SeedSummary, smallest_p, summarise_seeds
from lbc.library.differences import INCIDENTAL, identify_experiment, label_runs
from lbc.library.run_summary import RunSummary

Result = Callable[[RunSummary], float | None]

RESULTS: Mapping[str, Result] = {
    "test accuracy (%)": lambda run: None if run.accuracy is None else 100 * run.accuracy,
    "density (%)": lambda run: None if run.density is None else 100 * run.density,
    "training time (s)": lambda run: run.seconds,
}
"""What a finished run can be judged by, with its unit."""


@dataclass(frozen=True)
class ResultGroup(SeedSummary):
    """The runs of one experiment; ``label`` says what distinguishes its settings from the others.

    Only finished runs count. Where none is, mean and deviation are NaN and ``runs`` is 0. Of
    repetitions with one seed the mean counts, once.
    """

    label: str
    members: tuple[RunSummary, ...]
    baseline: bool

    @property
    def unfinished(self) -> int:
        return sum(run.status != "finished" for run in self.members)


def group_results(
    runs: Sequence[RunSummary], result: Result, baseline: Path | None = None
) -> tuple[ResultGroup, ...]:
    """One group per experiment by falling mean, compared with the group of the run ``baseline``.

    Runs that cannot be read are left out.
    """
    found: dict[object, list[RunSummary]] = {}
    for run in runs:
        if run.status != "unreadable":
            found.setdefault(identify_experiment(run.parameters), []).append(run)
    own = {key: _by_seed(members, result) for key, members in found.items()}
    base = next(
        (key for key, members in found.items() if any(run.folder == baseline for run in members)),
        None,
    )
    settings = [members[0].parameters for members in found.values()]
    labels = label_runs(
        [{key: run[key] for key in run if key not in INCIDENTAL} for run in settings]
    )
    groups = []
    for (key, members), label in zip(found.items(), labels, strict=True):
        summary, is_base = SeedSummary(nan, nan, 0, 0.0, nan, 0), key == base
        if own[key]:
            summary = summarise_seeds(own[key], own.get(base, {}) if not is_base else {})
        groups.append(
            ResultGroup(**vars(summary), label=label, members=tuple(members), baseline=is_base)
        )
    return tuple(sorted(groups, key=lambda group: (not group.runs, -group.mean)))


def explain_test(groups: Sequence[ResultGroup]) -> str:
    """What difference and p mean, in one or two sentences; "" where no group is a baseline."""
    if not any(group.baseline for group in groups):
        return ""
    pairs = max(group.pairs for group in groups)
    if not pairs:
        return "No other group has a finished run with a seed of the baseline: nothing is tested."
    return (
        "Difference and p (two-sided, exact sign-flip test) over the seeds paired with the "
        f"baseline. With {pairs} pair{'s' * (pairs > 1)} the smallest possible p is "
        f"{smallest_p(pairs):.2g}."
    )


def _by_seed(members: Sequence[RunSummary], result: Result) -> dict[int, float]:
    values: dict[int, list[float]] = {}
    for run in members:
        value = result(run) if run.status == "finished" else None
        if value is not None and run.seed is not None:
            values.setdefault(run.seed, []).append(value)
    return {seed: fmean(same) for seed, same in values.items()}
