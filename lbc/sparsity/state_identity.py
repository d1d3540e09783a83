"""What the state of a layer is of, its N:M, method and form of scores, as a tensor.

safetensors and distributed checkpoints keep nothing but tensors.
"""

from __future__ import annotations

import torch
from torch import Tensor

BYTES = 32
"""The usual length, so that distributed checkpoints, which compare shapes first, load it."""


def identity_tensor(identity: str) -> Tensor:
    """The text as uint8, filled up with spaces."""
    return torch.tensor(list(identity.encode().ljust(BYTES)), dtype=torch.uint8, device="cpu")


def check_identity(stored: object, identity: str, name: str) -> None:
    """Raise ValueError if layer ``name``, of ``identity``, cannot take a state of another.

    States of version 0.1.0 have none.
    """
    if not isinstance(stored, Tensor):
        return
    text = bytes(stored.detach().flatten().to("cpu", torch.uint8).tolist())
    held = text.decode(errors="replace").rstrip()
    if held != identity:
        raise ValueError(
            f"Layer {name!r} is {held!r} in the state and {identity!r} here: load the state into "
            "a model that was sparsified with the same N:M, method and scores, or load the "
            "dense_state_dict() of its Sparsifier, which holds the weights alone."
        )
