"""Run folders written from templates, without training and without torch."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from lbc.config import dump_experiment, parse_experiment
from lbc.runs.metrics import EPOCH_COLUMNS


def write_run(folder: Path, /, settings: dict[str, Any] | None = None, **state: Any) -> Path:
    """A run of two epochs: ``settings`` of its experiment, and ``state`` of its run.json."""
    folder.mkdir(parents=True, exist_ok=True)
    experiment = parse_experiment(settings or {})
    (folder / "experiment.yaml").write_text(dump_experiment(experiment))
    rows = np.array([[1, 0.5, 0.4, 0.25, 6, 0.75, 1], [2, 0.4, 0.3, 0.5, 1, 0.5, 1]])
    header = json.dumps({"columns": EPOCH_COLUMNS}).encode() + b"\n"
    (folder / "epochs.records").write_bytes(header + rows.astype("<f8").tobytes())
    (folder / "steps.records").touch()
    document = {"status": "finished", "epoch": 2, "accuracy": 0.5, "density": 0.5, "seconds": 3.0}
    (folder / "run.json").write_text(json.dumps(document | state))
    return folder
