"""What the monkey plays with: an experiment that trains in seconds, and files to drop and open."""

from __future__ import annotations

from pathlib import Path

from lbc.config import Experiment, Mlp, dump_experiment, parse_experiment
from tests.faults.readers import FILE_READERS, write_valid


def tiny() -> Experiment:
    return parse_experiment({
        "name": "tiny",
        "model": {"name": "mlp", "width": 16, "depth": 2},
        "schedule": {"end": 3},
        "training": {"epochs": 6, "batch_size": 500},
    })  # fmt: skip


def is_tiny(experiment: Experiment | None) -> bool:
    """Whether it trains in seconds; an invalid one is not trained."""
    if experiment is None:
        return True
    model = experiment.model
    if experiment.training.compile:  # minutes, and 60 MB of torch's compiler from then on
        return False
    small = isinstance(model, Mlp) and model.width <= 64 and model.depth <= 4
    return small and experiment.pattern.count <= 100 and experiment.data.name in ("digits", "npz")


def files_in(folder: Path) -> list[str]:
    """Valid files and folders of every kind, damaged ones, and one that is missing."""
    valid = folder / "valid"
    valid.mkdir()
    write_valid(valid)
    names = [str(valid / "run"), str(valid), str(folder / "missing.pt")]
    for number, reader in enumerate(FILE_READERS.values()):
        for data in list(reader.seeds(valid))[:1]:
            for kind, content in (("good", data), ("bad", data[: len(data) // 2] + b"\0!")):
                file = folder / f"{kind}-{number}{Path(reader.file).suffix}"
                file.write_bytes(content)
                names.append(str(file))
    example = folder / "tiny.yaml"
    example.write_text(dump_experiment(tiny()))
    return [*names, *[str(example)] * 4]
