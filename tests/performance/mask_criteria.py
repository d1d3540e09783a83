"""Why Wanda can lose more than magnitude: what masks lose by its criterion, and truly.

    python tests/performance/mask_criteria.py comparisons/fashion-1-16 --pattern 1:16

prunes the model of every finished ``dense-seed…`` run in the folder by magnitude, by Wanda, and by
the least true error, each without changing the weights that are kept. For the same inputs (of the
model pruned by magnitude), it prints what every choice loses of a layer's outputs, averaged over
layers and runs:

- criterion: Σ δ_j² ‖x_j‖² / Σ w_j² ‖x_j‖², which Wanda minimises; δ are the weights removed
- true: ‖δX‖² / ‖wX‖², in which inputs that vary together count together
- centred: the same without the outputs' means, which a BatchNorm subtracts

and the accuracy, with BatchNorm measured anew, and its exact paired test against magnitude.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from statistics import fmean

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from lbc.comparison.statistics import summarise_seeds
from lbc.config import Experiment
from lbc.data import Dataset, load
from lbc.models import build
from lbc.runs.effective_experiment import effective_experiment
from lbc.runs.run_state import read_state
from lbc.sparsity.calibration import wanda
from lbc.sparsity.calibration.input_statistics import InputStatistics
from lbc.sparsity.calibration.one_shot import prune_in_order
from lbc.sparsity.calibration.solution import (
    Progress,
    Solution,
    Solver,
    ignore_progress,
    keep_largest,
)
from lbc.sparsity.pattern import Pattern
from lbc.sparsity.sparsification import sparsify
from lbc.training.norm_statistics import renew_statistics

IMAGES, BATCH, SWEEPS = 128, 32, 4
LOSSES = ("criterion", "true", "centred")


def centred_gram(statistics: InputStatistics) -> Tensor:
    """Σ (x − x̄)(x − x̄)ᵀ, (columns, columns), float64."""
    totals = statistics.totals
    return statistics.gram.double() - torch.outer(totals, totals) / statistics.tokens


def by_magnitude(
    weight: Tensor, _: InputStatistics, pattern: Pattern, _progress: Progress
) -> Solution:
    return Solution(keep_largest(weight.abs(), pattern))


def by_error(
    weight: Tensor, statistics: InputStatistics, pattern: Pattern, _progress: Progress
) -> Solution:
    """The mask of the least centred error that changes of single blocks reach from magnitude's.

    With c = δG without a block's own part, combination A of the block costs D G_B Dᵀ + 2 D c, where
    D are the block's weights outside A.
    """
    gram, whole = centred_gram(statistics), weight.double()
    mask = by_magnitude(weight, statistics, pattern, ignore_progress).mask.double()
    outside = (~pattern.incidence()).double()  # (C, M)
    for _ in range(SWEEPS):
        for first in range(0, weight.shape[1], pattern.m):
            block = slice(first, first + pattern.m)
            own = gram[block, block]
            removed = whole * (1 - mask)
            others = removed @ gram[:, block] - removed[:, block] @ own
            candidates = whole[:, None, block] * outside
            costs = ((candidates @ own + 2 * others[:, None]) * candidates).sum(dim=2)
            mask[:, block] = 1 - outside[costs.argmin(dim=1)]
    return Solution(mask.bool())


CHOICES: dict[str, Solver] = {
    "magnitude": by_magnitude, "wanda": wanda.solve, "least error": by_error,
}  # fmt: skip


def losses(weight: Tensor, mask: Tensor, statistics: InputStatistics) -> list[float]:
    """What a mask loses, in the order of ``LOSSES``."""
    gram, whole = statistics.gram.double(), weight.double()
    grams = (torch.diag(gram.diagonal()), gram, centred_gram(statistics))
    energies = [
        [float(((part @ one) * part).sum()) for part in (whole * ~mask, whole)] for one in grams
    ]
    return [lost / all_of_it for lost, all_of_it in energies]


def pruned(model: nn.Module, pattern: str, batches: list[Tensor], solver: Solver) -> nn.Module:
    """The model, pruned, with BatchNorm measured anew."""
    sparsify(model, pattern, "asp", example_inputs=(batches[0],))
    prune_in_order(model, batches, solver)
    renew_statistics(model, batches)
    return model


@torch.no_grad()
def accuracy(model: nn.Module, data: Dataset) -> float:
    """Per cent of the test images."""
    correct = 0
    for rows in torch.split(torch.arange(len(data.test.labels)), 1000):
        found = model(data.normalise(data.test.read(rows))).argmax(dim=1)
        correct += int((found == data.test.labels[rows]).sum())
    return 100 * correct / len(data.test.labels)


def measure(
    run: Path, experiment: Experiment, pattern: str, lost: dict[str, list[list[float]]]
) -> dict[str, float]:
    """The accuracy of every choice for one run; its losses in each layer are added to ``lost``."""
    data = load(experiment.data)
    order = torch.Generator().manual_seed(experiment.seed)
    rows = torch.randperm(len(data.train.labels), generator=order)[:IMAGES]
    batches = [data.normalise(data.train.read(part)) for part in torch.split(rows, BATCH)]

    def compared(
        weight: Tensor, statistics: InputStatistics, pattern: Pattern, progress: Progress
    ) -> Solution:
        for name, solver in CHOICES.items():
            lost[name].append(
                losses(
                    weight, solver(weight, statistics, pattern, ignore_progress).mask, statistics
                )
            )
        return by_magnitude(weight, statistics, pattern, progress)

    found = {}
    for name, solver in CHOICES.items():
        model = build(experiment.model, data.in_shape, data.classes)
        model.load_state_dict(load_file(run / "model.safetensors"))
        chosen = compared if solver is by_magnitude else solver
        found[name] = accuracy(pruned(model, pattern, batches, chosen), data)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--pattern", default="1:16")
    options = parser.parse_args()
    lost: dict[str, list[list[float]]] = {name: [] for name in CHOICES}
    found: dict[str, dict[int, float]] = {name: {} for name in CHOICES}
    for run in sorted(options.folder.glob("dense-seed*")):
        if read_state(run).status == "finished":
            experiment = effective_experiment(run)
            for name, value in measure(run, experiment, options.pattern, lost).items():
                found[name][experiment.seed] = value
                print(f"{run.name}: {name} {value:.2f} %", flush=True)
    print(f"{'':12}" + "".join(f"{name:>11}" for name in LOSSES) + "   accuracy %")
    for name, own in found.items():
        row = summarise_seeds(own, found["magnitude"])
        means = "".join(f"{fmean(values):11.3f}" for values in zip(*lost[name], strict=True))
        print(f"{name:12}{means}   {row.mean:.2f} ± {row.deviation:.2f}  {row.runs} seeds", end="")
        print("" if name == "magnitude" else f"  {row.difference:+.2f}  p {row.p:.3f}")


if __name__ == "__main__":
    main()
