"""Trained weights that a run starts from, read from any checkpoint without running its code."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from hashlib import file_digest, sha256
from pathlib import Path

import torch
from torch import Tensor, nn

from lbc.files.small_file import open_regular
from lbc.inspection import InspectionError, OpenCheckpoint, open_checkpoint
from lbc.inspection.checkpoint import checkpoint_files
from lbc.inspection.errors import name_file_in_errors
from lbc.inspection.layouts import without_wrappers
from lbc.inspection.safetensors_file import read_index
from lbc.inspection.stored_tensor import FLOATS, StoredTensor
from lbc.runs.used_weights import last_digest
from lbc.training.failures import TrainingError

MOST_LISTED = 40
"""Tensors that a sentence names."""


class InitialWeights:
    """Weights for a network, from a checkpoint file, an index of shards, or a run folder.

    After ``fill``, ``sha256`` is that of the file, ``notes`` say what was taken from it, and
    ``missing`` lists the floating-point tensors of the network that it lacks. With ``complete``,
    it has to have them all.
    """

    def __init__(self, path: Path, complete: bool = False) -> None:
        self._path = path
        self.complete = complete
        self.sha256 = self.missing = ""
        self.notes: tuple[str, ...] = ()

    def fill(self, model: nn.Module) -> None:
        """Give the tensors of ``model`` the values that the checkpoint has under their names.

        Wrappers in names, such as ``module``, and a prefix that all of them have do not count.
        Tensors that the checkpoint lacks stay as they are. Raises TrainingError if none of the
        weights is there, one is missing where all are needed, or one has another shape, is no
        floating-point number or is not finite.
        """
        try:
            with name_file_in_errors(self._path):
                self.sha256 = _digest(self._path)
            with open_checkpoint(self._path) as checkpoint:
                self._fill(model, checkpoint)
        except InspectionError as error:
            raise TrainingError(str(error)) from error

    def _fill(self, model: nn.Module, checkpoint: OpenCheckpoint) -> None:
        own = model.state_dict()
        plain = {name: own[key] for key, name in without_wrappers(list(own)).items()}
        stored = _by_key(checkpoint)
        prefix = _prefix(stored, plain)
        found = {name: stored[prefix + name] for name in plain if prefix + name in stored}
        if not any(len(at.shape) > 1 for at in found.values()):
            raise TrainingError(
                f"{self._path} has no weight of this network: it has {_listed(stored, 3)}, and "
                f"{_listed(plain, 3)} is needed."
            )
        for name, tensor in found.items():
            _check(self._path, prefix + name, tensor, plain[name])
        for name in found:
            value = checkpoint.weight(_own_name(checkpoint, prefix + name))
            if not bool(torch.isfinite(value.float()).all()):
                raise TrainingError(
                    f"{self._path} has values in {prefix + name} that are not finite numbers: "
                    "training cannot start from it."
                )
            with torch.no_grad():
                plain[name].copy_(value)
        self.notes = self._notes(prefix, found, plain, stored)
        lacking = {name: at for name, at in plain.items() if name not in found}
        self.missing = _listed({n: at for n, at in lacking.items() if at.is_floating_point()})
        if self.complete and self.missing:
            raise TrainingError(f"{self._path} is of another network: it lacks {self.missing}.")

    def _notes(
        self,
        prefix: str,
        found: Mapping[str, StoredTensor],
        plain: Mapping[str, Tensor],
        stored: Mapping[str, StoredTensor],
    ) -> tuple[str, ...]:
        named = {f"{prefix}{name}" for name in found}
        left = {key: at for key, at in stored.items() if key not in named}
        missing = {name: at for name, at in plain.items() if name not in found}
        without = f", their names without {prefix[:-1]}" if prefix else ""
        notes = [f"Weights from {self._path}, SHA-256 {self.sha256}{without}."]
        before = last_digest(self._path)
        if before not in ("", self.sha256):
            notes.append(
                f"{self._path} has changed since a run was last started from it: its SHA-256 "
                f"was {before}."
            )
        for said, tensors in (("Taken", found), ("Missing", missing), ("Left over", left)):
            notes.append(f"{said}: {_listed(tensors) or 'none'}.")
        return tuple(notes)


def _digest(path: Path) -> str:
    """The SHA-256 of a checkpoint; of several files, that of their digests in order."""
    files = checkpoint_files(path)
    if files[0].suffix.lower() == ".json":
        files += [files[0].with_name(name) for name in dict.fromkeys(read_index(files[0]).values())]
    digests = []
    for file in files:
        with open_regular(file) as stream:
            digests.append(file_digest(stream, "sha256"))
    if len(digests) == 1:
        return digests[0].hexdigest()
    return sha256(b"".join(one.digest() for one in digests)).hexdigest()


def _by_key(checkpoint: OpenCheckpoint) -> dict[str, StoredTensor]:
    """Every tensor by the key that it has in the state dict of a plain module."""
    others = {
        name: at
        for name, at in checkpoint.others.items()
        if ".parametrizations." not in f".{name}"  # the state of a search
    }
    layers = {_key(name): at for name, at in checkpoint.layers.items()}
    return layers | others


def _key(layer: str) -> str:
    return layer if "weight" in layer.rpartition(".")[2] else f"{layer}.weight"


def _own_name(checkpoint: OpenCheckpoint, key: str) -> str:
    layer = key.removesuffix(".weight")
    return layer if layer in checkpoint.layers else key


def _prefix(stored: Iterable[str], needed: Mapping[str, Tensor]) -> str:
    """What most of the needed names have before them in the file; of several, the first."""
    counts: Counter[str] = Counter()
    for key in stored:
        parts = key.split(".")
        for at in range(len(parts)):
            if ".".join(parts[at:]) in needed:
                counts["".join(f"{part}." for part in parts[:at])] += 1
    return max(counts, key=counts.__getitem__, default="")


def _check(file: Path, key: str, stored: StoredTensor, needed: Tensor) -> None:
    """Raise TrainingError if a tensor is not of the needed shape and kind."""
    if stored.shape != tuple(needed.shape):
        raise TrainingError(
            f"{file} is of another network: its {key} has the shape {_shape(stored.shape)}, and "
            f"{_shape(needed.shape)} is needed."
        )
    if needed.is_floating_point() and stored.dtype not in FLOATS:
        raise TrainingError(
            f"{file} cannot be started from: its {key} has the type {stored.dtype}, and "
            "floating-point numbers are needed."
        )


def _listed(tensors: Mapping[str, StoredTensor | Tensor], most: int = MOST_LISTED) -> str:
    named = [f"{name} ({_shape(at.shape)})" for name, at in list(tensors.items())[:most]]
    more = [f"{len(tensors) - most:,} more"] if len(tensors) > most else []
    return ", ".join(named + more)


def _shape(shape: Iterable[int]) -> str:
    return "×".join(map(str, shape)) or "a number"
