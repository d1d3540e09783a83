"""Reading the tensors of .pt and .pth files; anything that could run code is rejected."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path

from lbc.inspection.errors import InspectionError
from lbc.inspection.state_dict import layer_name

ZIP = b"PK\x03\x04"
"""Signature of the files that torch can memory-map; older formats are read completely."""


def read_state_dict(file: Path) -> Mapping[str, object]:
    """Load the tensors of a .pt file, at the top level or under "model" or "state_dict".

    The tensors are memory-mapped if the format supports it. Raises InspectionError.
    """
    import torch
    from torch import Tensor

    try:
        with file.open("rb") as start:
            mapped = start.read(len(ZIP)) == ZIP
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # our error message gives the same advice
            content = torch.load(file, map_location="cpu", weights_only=True, mmap=mapped)
    except Exception as error:  # zipfile, pickle and torch each raise their own
        raise InspectionError(explain_unloadable(file)) from error
    candidates = [content]
    if isinstance(content, dict):
        candidates += [content.get("model"), content.get("state_dict")]
    for candidate in candidates:
        if isinstance(candidate, dict):
            named = {key: value for key, value in candidate.items() if isinstance(key, str)}
            if any(isinstance(value, Tensor) and layer_name(key) for key, value in named.items()):
                return named
    raise InspectionError(
        f"{file} has no state dict with layers at the top level or under 'model' or 'state_dict': "
        f"save model.state_dict()."
    )


def explain_unloadable(file: Path) -> str:
    """Say why a .pt file could not be loaded: it contains other objects, or is damaged."""
    import torch

    try:
        found = torch.serialization.get_unsafe_globals_in_checkpoint(str(file))
    except Exception:  # as in read_state_dict
        found = []
    if found:
        return (
            f"{file} contains Python objects ({', '.join(found[:3])}), which are never loaded "
            f"because they can run code: save only model.state_dict()."
        )
    return f"{file} is truncated, or not a PyTorch checkpoint of tensors: save or copy it again."
