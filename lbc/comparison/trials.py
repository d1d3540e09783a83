"""The runs of a comparison: which there are, which are done, and doing the others."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from lbc.config import Experiment, load_experiment
from lbc.runs.unfinished_run import open_unfinished, read_state
from lbc.sparsity.pattern import Pattern

DENSE = "dense"
"""The method that no pattern changes: one run for each seed serves all patterns."""

Train = Callable[[Experiment, Path, bool], object]


class ComparisonError(ValueError):
    """A comparison that cannot be made, or gone on with, in a sentence."""


@dataclass(frozen=True)
class Trial:
    """One run of a comparison, in a folder of its own."""

    method: str
    pattern: Pattern
    seed: int
    experiment: Experiment
    folder: Path

    @property
    def accuracy(self) -> float | None:
        """Its test accuracy, from 0 to 1; None until it is finished."""
        state = read_state(self.folder)
        value = state.get("accuracy")
        return value if state.get("status") == "finished" and isinstance(value, float) else None


def plan(
    experiment: Experiment,
    methods: Sequence[str],
    patterns: Sequence[Pattern],
    seeds: int,
    out: Path,
) -> tuple[Trial, ...]:
    """Every run, seed by seed, so that early results already compare like with like.

    Seeds count up from the experiment's own. Raises ValueError where a setting contradicts
    another, as a pattern that no layer's width takes would.
    """
    trials: dict[Path, Trial] = {}
    for seed in range(experiment.seed, experiment.seed + seeds):
        for pattern in patterns:
            for method in methods:
                shown = pattern if method != DENSE else patterns[0]
                name = f"{method}-{shown.n}-{shown.m}-seed{seed}" if method != DENSE else (
                    f"{DENSE}-seed{seed}"
                )  # fmt: skip
                changes = {"name": name, "method": method, "pattern": shown, "seed": seed}
                chosen = Experiment.model_validate({**dict(experiment), **changes})
                trials.setdefault(out / name, Trial(method, shown, seed, chosen, out / name))
    return tuple(trials.values())


def complete(trial: Trial, train: Train) -> float:
    """Do a run, or what is left of it, and return its accuracy.

    ``train`` gets the experiment, the folder, and whether to go on there. Raises ComparisonError
    where the folder holds something else, and whatever ``train`` raises.
    """
    folder = trial.folder
    if folder.exists() and any(folder.iterdir()):
        _check_same(trial)
        if trial.accuracy is None:
            open_unfinished(folder)
            train(trial.experiment, folder, True)
    else:
        train(trial.experiment, folder, False)
    accuracy = trial.accuracy
    if accuracy is None:
        raise ComparisonError(f"The run {folder} has not come to its end: run the command again.")
    return accuracy


def _check_same(trial: Trial) -> None:
    file = trial.folder / "experiment.yaml"
    if not file.is_file() or load_experiment(file) != trial.experiment:
        raise ComparisonError(
            f"{trial.folder} holds a run of other settings: choose another folder with --out."
        )
