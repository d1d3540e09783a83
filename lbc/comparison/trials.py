"""The runs of a comparison: planning them and training those that are not finished."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lbc.config import Experiment
from lbc.runs.effective_experiment import effective_experiment
from lbc.runs.new_folder import is_unused
from lbc.runs.run_state import read_state
from lbc.runs.unfinished_run import open_unfinished
from lbc.sparsity.pattern import Pattern

DENSE = "dense"
"""The method that does not depend on the pattern: one run per seed serves all patterns."""


class ComparisonError(ValueError):
    """The comparison cannot be started or resumed; the message is one sentence."""


@dataclass(frozen=True)
class Trial:
    """One run of a comparison, in its own folder."""

    method: str
    pattern: Pattern
    seed: int
    experiment: Experiment
    folder: Path

    @property
    def accuracy(self) -> float | None:
        """The test accuracy, from 0 to 1; None until the run is finished.

        Raises RunError if its run.json cannot be read.
        """
        if not (self.folder / "experiment.yaml").exists():
            return None
        state = read_state(self.folder)
        return state.accuracy if state.status == "finished" else None


def plan_trials(
    experiment: Experiment,
    methods: Sequence[str],
    patterns: Sequence[Pattern],
    seeds: int,
    out: Path,
) -> tuple[Trial, ...]:
    """List all runs, ordered by seed so that early results are already comparable.

    Seeds count up from that of the experiment. Raises ValueError if settings contradict each other.
    """
    trials: dict[Path, Trial] = {}
    for seed in range(experiment.seed, experiment.seed + seeds):
        for pattern in patterns:
            for method in methods:
                if method == DENSE:
                    used, name = patterns[0], f"{DENSE}-seed{seed}"
                else:
                    used, name = pattern, f"{method}-{str(pattern).replace(':', '-')}-seed{seed}"
                changes = {"name": name, "method": method, "pattern": used, "seed": seed}
                settings = Experiment.model_validate({**dict(experiment), **changes})
                trials.setdefault(out / name, Trial(method, used, seed, settings, out / name))
    return tuple(trials.values())


def is_begun(trial: Trial) -> bool:
    """Whether its folder holds the trial's run, finished or to be resumed.

    Raises ComparisonError if it has a run with other settings, RunError if it cannot be resumed.
    """
    folder, file = trial.folder, trial.folder / "experiment.yaml"
    if is_unused(folder):
        return False
    if not file.is_file() or effective_experiment(folder) != trial.experiment:
        raise ComparisonError(
            f"{folder} has a run with other settings: choose another folder with --out."
        )
    if trial.accuracy is None:
        open_unfinished(folder)
    return True
