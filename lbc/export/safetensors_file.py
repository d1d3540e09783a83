"""Weights as safetensors, with a JSON manifest that describes the sparse layers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from safetensors.torch import save

from lbc.export.trained import TrainedModel, require_new_file
from lbc.files.atomic import write_atomically
from lbc.inspection import METADATA_KEY
from lbc.sparsity.compliance import check
from lbc.sparsity.weight_sites import find_site

FORMAT = 1


def write_safetensors(trained: TrainedModel, path: Path) -> Path:
    """Write the state dict, dense with zeros, and a manifest next to it; return its path.

    Raises ExportError if one of the files exists, OSError if they cannot be written.
    """
    manifest_path = path.with_suffix(".json")
    for file in (path, manifest_path):
        require_new_file(file)
    metadata = {
        "layers": {name: str(pattern) for name, pattern in trained.patterns.items()},
        "skipped": trained.dense,
    }
    tensors = {name: value.contiguous() for name, value in trained.model.state_dict().items()}
    data = save(tensors, metadata={METADATA_KEY: json.dumps(metadata)})
    text = json.dumps(build_manifest(trained, path.name), indent=2) + "\n"
    write_atomically(path, lambda file: file.write(data), follow=True)
    write_atomically(manifest_path, lambda file: file.write(text.encode()), follow=True)
    return manifest_path


def build_manifest(trained: TrainedModel, file: str) -> dict[str, Any]:
    """Describe the file for a loader, in JSON values.

    For every sparse layer: the name and shape of its weight, N and M, the ``axis`` along which M
    consecutive weights form a block, and the fraction of non-zeros; the ``width`` of the groups
    that are kept together, if it is above 1.
    """
    return {
        "format": FORMAT,
        "file": file,
        "model": trained.experiment.model_dump(mode="json")["model"],
        "in_shape": list(trained.in_shape),
        "method": trained.experiment.method.name,
        "epochs": trained.epoch,
        "accuracy": trained.accuracy,
        "decided": trained.decided,
        "layers": [_layer(trained, name) for name in trained.patterns],
        "dense": trained.dense,
    }


def _layer(trained: TrainedModel, name: str) -> dict[str, Any]:
    pattern, site = trained.patterns[name], find_site(trained.model, name)
    return {
        "name": name,
        "weight": site.key,
        "shape": list(site.value.shape),
        "n": pattern.n,
        "m": pattern.m,
        **({"width": pattern.width} if pattern.width > 1 else {}),
        "axis": site.input_dim,
        "density": check(site.canonical(site.value), pattern).density,
    }
