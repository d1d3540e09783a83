"""Writing a checkpoint as one safetensors file of dense tensors under their plain names."""

from __future__ import annotations

import json
from pathlib import Path
from typing import IO

from lbc.files.atomic import write_atomically
from lbc.inspection.checkpoint import OpenCheckpoint, open_checkpoint
from lbc.inspection.errors import InspectionError, LayerError, name_file_in_errors
from lbc.inspection.safetensors_file import DTYPES
from lbc.inspection.stored_tensor import SIZES


def write_dense(source: str | Path, target: Path, part: str = "") -> list[str]:
    """Write the effective weights of all layers and all other tensors; return their names.

    One tensor is in memory at a time. Raises InspectionError, also if ``target`` exists or a tensor
    cannot be read, and OSError.
    """
    if target.exists():
        raise InspectionError(f"{target} exists already: choose another name.")
    with open_checkpoint(source, part) as checkpoint, name_file_in_errors(checkpoint.file):
        names = {_key(name): name for name in checkpoint.layers} | {
            name: name for name in checkpoint.others
        }
        write_atomically(target, lambda file: _write(file, checkpoint, names), follow=True)
    return list(names)


def _key(layer: str) -> str:
    return layer if "weight" in layer.rpartition(".")[2] else f"{layer}.weight"


def _write(file: IO[bytes], checkpoint: OpenCheckpoint, names: dict[str, str]) -> None:
    """The format: the length of the header, the header, then the data in its order."""
    import torch

    codes = {dtype: code for code, dtype in DTYPES.items()}
    header, end = {}, 0
    for name, own in names.items():
        stored = checkpoint.tensors[own]
        if stored.problem or stored.dtype not in codes:
            why = stored.problem or f"safetensors has no type {stored.dtype}"
            raise LayerError(f"cannot be written: {own}: {why}.")
        start, end = end, end + stored.weights * SIZES[stored.dtype]
        place = {"shape": list(stored.shape), "data_offsets": [start, end]}
        header[name] = {"dtype": codes[stored.dtype], **place}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    file.write(len(text).to_bytes(8, "little") + text)
    for own in names.values():
        values = checkpoint.weight(own).to(getattr(torch, checkpoint.tensors[own].dtype))
        file.write(values.contiguous().reshape(-1).view(torch.uint8).numpy().data)
