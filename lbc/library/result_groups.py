"""The final results of several runs, those that differ in their seeds folded into one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import nan
from pathlib import Path
from statistics import fmean

from lbc.comparison.statistics import SeedSummary, correct_tests, smallest_p, summarise_seeds
from lbc.library.differences import identify_experiment, label_settings
from lbc.library.run_summary import RunSummary, Value

Result = Callable[[RunSummary], float | None]

RESULTS: Mapping[str, Result] = {
    "test accuracy (%)": lambda run: None if run.accuracy is None else 100 * run.accuracy,
    "density (%)": lambda run: None if run.density is None else 100 * run.density,
    "training time (s)": lambda run: run.seconds,
    "steps per second": lambda run: run.speed,
    "peak memory (MB)": lambda run: run.memory,
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

    @property
    def speed(self) -> float:
        """Steps per second, the mean over the finished runs for which it is known, or NaN."""
        return self._mean(lambda run: run.speed)

    @property
    def memory(self) -> float:
        """Peak memory in MB, as ``speed``."""
        return self._mean(lambda run: run.memory)

    def _mean(self, read: Result) -> float:
        known = [read(run) for run in self.members if run.status == "finished"]
        return fmean(found) if (found := [one for one in known if one is not None]) else nan


def group_results(
    runs: Sequence[RunSummary], result: Result, baseline: Path | None = None
) -> tuple[ResultGroup, ...]:
    """One group per experiment by falling mean, compared with the group of the run ``baseline``.

    A group of another N:M is compared with the baseline's other settings at that N:M, where these
    were trained too; that group itself with the baseline. Runs that cannot be read are left out.
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
    bases = _bases(found, base)
    labels = label_settings([members[0].parameters for members in found.values()])
    groups = []
    for (key, members), label in zip(found.items(), labels, strict=True):
        summary, is_base = SeedSummary(nan, nan, 0, 0.0, nan, 0), key == base
        if own[key]:
            summary = summarise_seeds(own[key], own[bases[key]] if bases and not is_base else {})
        groups.append(
            ResultGroup(**vars(summary), label=label, members=tuple(members), baseline=is_base)
        )
    ordered = sorted(groups, key=lambda group: (not group.runs, -group.mean))
    return correct_tests(ordered)


def _bases(found: Mapping[object, Sequence[RunSummary]], base: object) -> dict[object, object]:
    """For each group the one that it is compared with; none without a ``base``."""
    if base is None:
        return {}

    def others(key: object) -> tuple[tuple[str, Value], ...]:
        settings = found[key][0].parameters
        return identify_experiment({name: settings[name] for name in settings if name != "pattern"})

    alike = {found[key][0].pattern: key for key in found if others(key) == others(base)}
    at_its_own = {key: alike.get(runs[0].pattern, base) for key, runs in found.items()}
    return {key: base if key in alike.values() else other for key, other in at_its_own.items()}


def explain_test(groups: Sequence[ResultGroup]) -> str:
    """What difference and p mean, in one or two sentences; "" where no group is a baseline."""
    if not any(group.baseline for group in groups):
        return ""
    pairs = max(group.pairs for group in groups)
    if not pairs:
        return "No other group has a finished run with a seed of the baseline: nothing is tested."
    tests = sum(group.pairs > 0 for group in groups)
    family = f"the {tests} tests" if tests > 1 else "the one test"
    patterns = len({group.members[0].pattern for group in groups}) > 1
    at_pattern = " at the same N:M, where it was trained there" if patterns else ""
    return (
        "Difference and p (two-sided, exact sign-flip test) over the seeds paired with the "
        f"baseline{at_pattern}. With {pairs} pair{'s' * (pairs > 1)} the smallest possible p is "
        f"{smallest_p(pairs):.2g}. Holm: p corrected for {family} of this table."
    )


def _by_seed(members: Sequence[RunSummary], result: Result) -> dict[int, float]:
    values: dict[int, list[float]] = {}
    for run in members:
        value = result(run) if run.status == "finished" else None
        if value is not None and run.seed is not None:
            values.setdefault(run.seed, []).append(value)
    return {seed: fmean(same) for seed, same in values.items()}
