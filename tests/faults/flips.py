"""Single flipped bits in every file that a run reads: refused, or without any effect."""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import partial
from pathlib import Path

from lbc.data import DataError
from lbc.data.npz import read_arrays
from lbc.runs.history_reader import Replay
from lbc.runs.metrics import read_steps
from lbc.runs.run_state import RunError, read_state
from lbc.training.checkpoint import read_checkpoint
from lbc.training.failures import TrainingError
from lbc.training.trainer import Trainer
from tests.faults.experiment import Outcome, small_experiment
from tests.training.resumption import equal

REFUSALS = (DataError, RunError, TrainingError, ValueError)


def _arrays(file: Path) -> object:
    return [array.tolist() for array in read_arrays(file)]


def _checkpoint(file: Path) -> object:
    return read_checkpoint(file.read_bytes(), file).model_dump()


def _history(file: Path) -> object:
    replay = Replay(file)
    if replay.damage:
        raise ValueError(replay.damage)
    read = [
        replay.layer(info.name, at) for info in replay.layers for at in range(len(replay.moments))
    ]
    raw = [None if moment.raw is None else moment.raw.tolist() for moment in read]
    return replay.layers, replay.moments, raw, [moment.mask.tolist() for moment in read]


READERS: dict[str, Callable[[Path], object]] = {
    "checkpoint.pt": _checkpoint,
    "images.npz": _arrays,
    "scores.history": _history,
}
UNPROTECTED: dict[str, Callable[[Path], object]] = {
    "run.json": lambda file: read_state(file.parent),
    "steps.records": lambda file: read_steps(file.parent),
}
"""Files without checksums: a flipped bit may be read as another value, and does nothing else."""


def flip_bits(folder: Path, count: int) -> list[Outcome]:
    """Flip ``count`` single bits in each file, one at a time."""
    experiment = small_experiment(folder)
    Trainer(experiment, folder / "run").train()
    outcomes = []
    for name, read in {**READERS, **UNPROTECTED}.items():
        file = folder / name if name.endswith(".npz") else folder / "run" / name
        outcome = Outcome(f"flipped bit in {name}")
        whole, truth = file.read_bytes(), read(file)
        for at in random.Random(name).sample(range(8 * len(whole)), count):
            byte = at // 8
            file.write_bytes(whole[:byte] + bytes([whole[byte] ^ 1 << at % 8]) + whole[byte + 1 :])
            outcome.attempt(f"bit {at}", partial(_harmless, read, file, truth, name in READERS))
        file.write_bytes(whole)
        outcomes.append(outcome)
    return outcomes


def _harmless(read: Callable[[Path], object], file: Path, truth: object, protected: bool) -> bool:
    try:
        found = read(file)
    except REFUSALS as error:
        return "\n" not in str(error)
    return not protected or equal(found, truth)
