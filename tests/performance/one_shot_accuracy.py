"""Accuracy of one-shot methods on the dense runs of a comparison, with an exact paired test.

    python tests/performance/one_shot_accuracy.py comparisons/fashion-1-16 --pattern 1:16

prunes the model of every finished ``dense-seed…`` run in the folder by every one-shot method,
without training, and prints JSON and a table: mean ± deviation over the seeds, the difference from
magnitude, and its p.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

from lbc.comparison.statistics import holm_p, summarise_seeds
from lbc.config.one_shot import one_shot_experiment
from lbc.runs.effective_experiment import effective_experiment
from lbc.runs.run_state import read_state
from lbc.sparsity.method_options import one_shot_methods
from lbc.training.one_shot import prune

MAGNITUDE = "asp"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--pattern", default="1:16")
    parser.add_argument("--images", type=int, default=128)
    parser.add_argument("--methods", nargs="+", default=one_shot_methods())
    parser.add_argument("--keep-statistics", action="store_true")
    options = parser.parse_args()
    found: dict[str, dict[int, float]] = {}
    for run in sorted(options.folder.glob("dense-seed*")):
        if read_state(run).status != "finished":
            continue
        experiment = effective_experiment(run)
        for method in options.methods:
            chosen = one_shot_experiment(experiment, run, method, options.pattern, options.images)
            with tempfile.TemporaryDirectory() as folder:
                result = prune(
                    chosen, Path(folder) / "pruned.safetensors", options.images,
                    keep_statistics=options.keep_statistics,
                )  # fmt: skip
            found.setdefault(method, {})[experiment.seed] = 100 * result.after
            found.setdefault("dense", {})[experiment.seed] = 100 * result.before
    rows = {name: summarise_seeds(own, found[MAGNITUDE]) for name, own in found.items()}
    tested = [name for name in rows if name != MAGNITUDE]
    corrected = dict(zip(tested, holm_p([rows[name].p for name in tested]), strict=True))
    print(json.dumps({name: [*own.values()] for name, own in found.items()}, indent=2))
    for name, row in sorted(rows.items(), key=lambda one: -one[1].mean):
        test = ""
        if name in corrected:
            test = f"{row.difference:+.2f}  p {row.p:.3f}  Holm {corrected[name]:.3f}"
        print(f"{name:10} {row.mean:6.2f} ± {row.deviation:.2f}  {row.runs} seeds  {test}")


if __name__ == "__main__":
    main()
