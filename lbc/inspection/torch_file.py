"""The tensors of a .pt or .pth file; whatever in it could run code is refused."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path

from lbc.inspection.errors import InspectionError
from lbc.inspection.state_dict import layer_name

ZIP = b"PK\x03\x04"
"""How the files begin that torch can map into memory; older ones are read whole."""


def read_state_dict(file: Path) -> Mapping[str, object]:
    """The tensors of a .pt file, at its top or under "model" or "state_dict", still on the disk
    where the file's form allows it. Raises InspectionError."""
    import torch
    from torch import Tensor

    try:
        with file.open("rb") as start:
            mapped = start.read(len(ZIP)) == ZIP
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what torch advises is in the sentence below
            content = torch.load(file, map_location="cpu", weights_only=True, mmap=mapped)
    except Exception as error:  # damage shows in zipfile, pickle or torch, each in its own way
        raise InspectionError(unloadable(file)) from error
    candidates = [content]
    if isinstance(content, dict):
        candidates += [content.get("model"), content.get("state_dict")]
    for candidate in candidates:
        if isinstance(candidate, dict):
            named = {key: value for key, value in candidate.items() if isinstance(key, str)}
            if any(isinstance(value, Tensor) and layer_name(key) for key, value in named.items()):
                return named
    raise InspectionError(
        f"{file} holds no state dict with a layer in it, neither at its top nor under 'model' or "
        f"'state_dict'."
    )


def unloadable(file: Path) -> str:
    """The sentence for a .pt file that holds more, or less, than tensors."""
    import torch

    try:
        found = torch.serialization.get_unsafe_globals_in_checkpoint(str(file))
    except Exception:  # as in read_state_dict
        found = []
    if found:
        return (
            f"{file} holds Python objects ({', '.join(found[:3])}), which are never loaded because "
            f"they can run code: save model.state_dict() alone."
        )
    return f"{file} is cut off, or no PyTorch checkpoint of tensors alone: save or copy it again."
