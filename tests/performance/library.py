"""The library with ten thousand runs: index from nothing and warm, filter, sort, group.

    python tests/performance/library.py --runs 10000

Makes the runs in a temporary folder, with the settings of a random search over methods, patterns,
learning rates and seeds. Prints JSON.
"""

from __future__ import annotations

import json
import random
from pathlib import Path

import numpy as np

from lbc.config import dump_experiment, parse_experiment

WARM_SECONDS, COLD_SECONDS, QUERY_MS = 0.3, 20.0, 50.0
EPOCHS = 40
HEADER = (
    b'{"columns": ["epoch", "train_loss", "test_loss", "accuracy", "live", "density", "seconds"]}\n'
)


def make_runs(folder: Path, count: int) -> None:
    """Write the folders of ``count`` runs: state, experiment, epochs, some with annotations."""
    chance = random.Random(0)
    for number in range(count):
        run = folder / f"search-{number // 1000}" / f"run-{number:05}"
        run.mkdir(parents=True)
        experiment = parse_experiment({
            "name": f"search-{number // 1000}",
            "model": {"name": chance.choice(["convnet", "mlp", "resnet20"])},
            "pattern": chance.choice(["2:4", "1:4", "4:8", "1:16"]),
            "method": chance.choice(["lbc", "sr-ste", "asp", "dense"]),
            "schedule": {"end": chance.choice([10, 20, 30]), "kind": "polynomial"},
            "optimizer": {"lr": round(10 ** chance.uniform(-3, 0), 5), "momentum": 0.9},
            "training": {"epochs": EPOCHS, "batch_size": chance.choice([64, 128])},
            "seed": number % 5,
        })  # fmt: skip
        (run / "experiment.yaml").write_text(dump_experiment(experiment))
        rows = np.sort(np.random.default_rng(number).uniform(0.1, 0.99, (EPOCHS, 7)), axis=0)
        rows[:, 0], rows[:, 4] = np.arange(1, EPOCHS + 1), 6
        (run / "epochs.records").write_bytes(HEADER + rows.astype("<f8").tobytes())
        status = chance.choice(["finished"] * 8 + ["stopped", "failed"])
        state = {
            "status": status, "epoch": EPOCHS, "accuracy": rows[-1, 3], "density": 0.5,
            "seconds": chance.uniform(60, 9000), "name": experiment.name,
            "pattern": str(experiment.pattern), "seed": experiment.seed, "device": "cpu",
            "started": f"2026-0{number % 9 + 1}-01T00:00:00+00:00", "updated": "", "versions": {},
        }  # fmt: skip
        (run / "run.json").write_text(json.dumps(state))
        if number % 7 == 0:
            (run / "library.json").write_text(json.dumps({"tags": ["paper"], "star": True}))
