"""How far the masks of the methods of a comparison agree, as means over its seeds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isnan

import numpy as np

from lbc.comparison.mask_agreement import Matrix, compare_masks, fold_seeds
from lbc.comparison.run_masks import read_masks
from lbc.comparison.trials import DENSE, Trial
from lbc.library.formats import TextTable
from lbc.sparsity.pattern import Pattern

EXPLANATION = (
    "Agreement of masks: Cohen's κ (1 for equal masks, 0 for independent ones) and the share of "
    "weights that both keep or both remove. Two methods are compared at each seed, which gives "
    "them the same initial weights, and a method with itself between seeds; means over the seeds."
)


@dataclass(frozen=True)
class Agreement:
    """Cohen's κ and the share of weights treated alike, (K, K) for the K ``methods``.

    ``chance`` is the share that independent masks of these densities would treat alike.
    ``problems`` are sentences on runs whose masks cannot be read.
    """

    pattern: Pattern
    methods: tuple[str, ...]
    kappa: Matrix
    alike: Matrix
    chance: Matrix
    problems: tuple[str, ...]

    @property
    def table(self) -> TextTable:
        """A row and a column for every method."""
        numeric = (False, *(True,) * len(self.methods))
        kept = 100 * float(np.nanmean(self.chance))
        heading = f"κ (alike %; by chance {kept:.1f}), {self.pattern}"
        rows = (
            (name, *map(_cell, kappas, alike))
            for name, kappas, alike in zip(
                self.methods, self.kappa.tolist(), self.alike.tolist(), strict=True
            )
        )
        return TextTable((heading, *self.methods), numeric, tuple(rows))


def compare_methods(trials: Sequence[Trial]) -> tuple[Agreement, ...]:
    """The agreement at each pattern of which two methods or more have finished runs with masks."""
    found = []
    for pattern in dict.fromkeys(trial.pattern for trial in trials):
        read, masks, problems = [], [], []
        for trial in trials:
            if trial.pattern == pattern and trial.method != DENSE and trial.is_finished:
                try:
                    masks.append(read_masks(trial.folder, trial.method))
                    read.append(trial)
                except (OSError, ValueError) as error:
                    problems.append(str(error))
        labels, seeds = [trial.label for trial in read], [trial.seed for trial in read]
        methods = tuple(dict.fromkeys(labels))
        if len(methods) > 1:
            agreement = compare_masks(masks)
            kappa, alike, chance = (
                fold_seeds(matrix, labels, seeds)
                for matrix in (agreement.whole, agreement.alike, agreement.chance)
            )
            found.append(Agreement(pattern, methods, kappa, alike, chance, tuple(problems)))
    return tuple(found)


def _cell(kappa: float, alike: float) -> str:
    return "–" if isnan(kappa) else f"{kappa:.3f} ({100 * alike:.1f})".replace("-", "−")
