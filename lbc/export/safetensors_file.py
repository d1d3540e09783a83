"""Weights as safetensors, with a manifest that says where the zeros are."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from safetensors.torch import save

from lbc.export.trained import Trained, refuse_existing
from lbc.files.atomic import write_atomically
from lbc.inspection import METADATA_KEY
from lbc.sparsity.compliance import check
from lbc.sparsity.weight_sites import find_site

FORMAT = 1


def write_safetensors(trained: Trained, path: Path) -> Path:
    """Write the state dict, dense with zeros, and beside it ``manifest``; its path is returned.

    Raises ExportError where one of the files exists, OSError where they cannot be written.
    """
    beside = path.with_suffix(".json")
    for file in (path, beside):
        refuse_existing(file)
    statement = {
        "layers": {name: str(pattern) for name, pattern in trained.patterns.items()},
        "skipped": trained.dense,
    }
    tensors = {name: value.contiguous() for name, value in trained.model.state_dict().items()}
    data = save(tensors, metadata={METADATA_KEY: json.dumps(statement)})
    text = json.dumps(manifest(trained, path.name), indent=2) + "\n"
    write_atomically(path, lambda file: file.write(data))
    write_atomically(beside, lambda file: file.write(text.encode()))
    return beside


def manifest(trained: Trained, file: str) -> dict[str, Any]:
    """What a loader needs to know of the file, in plain values.

    Of every sparse layer: the name of its weight, that weight's shape, N and M, the ``axis`` along
    which M consecutive weights make a block, and the share of non-zeros.
    """
    return {
        "format": FORMAT,
        "file": file,
        "model": trained.experiment.model_dump(mode="json")["model"],
        "in_shape": list(trained.in_shape),
        "method": trained.experiment.method,
        "epochs": trained.epoch,
        "accuracy": trained.accuracy,
        "decided": trained.decided,
        "layers": [_layer(trained, name) for name in trained.patterns],
        "dense": trained.dense,
    }


def _layer(trained: Trained, name: str) -> dict[str, Any]:
    pattern, site = trained.patterns[name], find_site(trained.model, name)
    return {
        "name": name,
        "weight": site.key,
        "shape": list(site.value.shape),
        "n": pattern.n,
        "m": pattern.m,
        "axis": site.input_dim,
        "density": check(site.canonical, pattern).density,
    }
