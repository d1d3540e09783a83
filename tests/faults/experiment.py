"""A run of a second, with a checkpoint after every step, for faults to interrupt."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

from lbc.config import Experiment, parse_experiment
from lbc.runs.new_folder import is_unused
from lbc.runs.unfinished_run import RunFinishedError, open_unfinished
from lbc.training.trainer import Trainer

EXACT = ("model.safetensors", "scores.history", "experiment.yaml")
"""Files that are equal to the last bit, however often a run was interrupted."""


@dataclass
class Outcome:
    """How often a fault was injected, and what each loss was."""

    fault: str
    injected: int = 0
    lost: list[str] = field(default_factory=list)

    def check(self, survived: bool, what: str) -> None:
        """Count one fault, and its description if it was not survived."""
        self.injected += 1
        if not survived:
            self.lost.append(what)

    def attempt(self, what: str, check: Callable[[], bool]) -> None:
        """Count one fault; an exception that ``check`` lets pass is a loss, too."""
        try:
            self.check(check(), what)
        except Exception as error:
            self.check(False, f"{what}: {type(error).__name__}: {error}")


def small_experiment(folder: Path) -> Experiment:
    """Two epochs of three steps on 48 images, which are written into ``folder``."""
    file = folder / "images.npz"
    if not file.exists():
        images = np.random.default_rng(0).integers(0, 256, (64, 8, 8), dtype=np.uint8)
        np.savez(file, images=images, labels=np.arange(64) % 4)
    return parse_experiment({
        "name": "small",
        "data": {"name": "npz", "file": str(file), "test_share": 0.25},
        "model": {"name": "mlp", "width": 8},
        "schedule": {"end": 2},
        "training": {"epochs": 2, "batch_size": 16, "checkpoint_minutes": 1e-9},
    })  # fmt: skip


def experiment_on_files(folder: Path) -> Experiment:
    """The same with images that are read from their files when they are needed."""
    place, pixels = folder / "images", np.random.default_rng(1)
    for split, count in () if place.exists() else (("train", 12), ("val", 4)):
        for label in "abcd":
            (place / split / label).mkdir(parents=True)
            for number in range(count):
                image = Image.fromarray(pixels.integers(0, 256, (8, 8), dtype=np.uint8))
                image.save(place / split / label / f"{number}.png")
    data = {"name": "folder", "folder": str(place), "size": 8, "resize": 8, "workers": 0}
    return parse_experiment({**small_experiment(folder).model_dump(mode="json"), "data": data})


INTERNAL = re.compile(r"[A-Z]\w*(Error|Exception|Stop\w+): ")


def is_sentence(text: str) -> bool:
    """Whether a message of a run is made for users: not the name of an exception and its text."""
    return "\n" not in text and not INTERNAL.match(text)


def completes(experiment: Experiment, run: Path, expected: Path) -> bool:
    """Start or resume the run, as a user can, and compare its end with the ``expected`` run."""
    try:
        resume = not is_unused(run)
        if resume:
            open_unfinished(run)
        Trainer(experiment, run, resume=resume).train()
    except RunFinishedError:
        pass
    return all((run / name).read_bytes() == (expected / name).read_bytes() for name in EXACT)
