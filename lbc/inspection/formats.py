"""The tensors of one file, whose format its content tells."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from lbc.files.small_file import open_regular
from lbc.files.zip_members import DamagedMemberError, ZipMembers
from lbc.inspection.errors import DamagedError, LayerError
from lbc.inspection.layers import Layers
from lbc.inspection.layouts import find_state_dicts, merge, natural_key, without_wrappers
from lbc.inspection.npz_file import read_npz
from lbc.inspection.safetensors_file import looks_like_safetensors, read_safetensors
from lbc.inspection.stored_tensor import StoredTensor
from lbc.inspection.tensor_pickle import PickledTensor
from lbc.inspection.torch_file import TorchFile, read_legacy_torch, read_torch_zip

OTHER_FORMATS = {
    b"\x89HDF": "an HDF5 file, as Keras writes",
    b"GGUF": "a GGUF file, whose weights are packed for llama.cpp",
    b"version https://git-lfs": "a Git LFS pointer: run git lfs pull to get the file",
    b"<!DOCTYPE": "a web page: the download has failed",
    b"<html": "a web page: the download has failed",
    b"\x1f\x8b": "compressed with gzip: unpack it first",
    b"\x28\xb5\x2f\xfd": "compressed with zstandard: unpack it first",
    b"BZh": "compressed with bzip2: unpack it first",
    b"\xfd7zXZ": "compressed with xz: unpack it first",
    b"7z\xbc\xaf": "a 7z archive: unpack it first",
    b"Rar!": "a RAR archive: unpack it first",
    b"\x93NUMPY": "one NumPy array without a name: save a state dict, or several arrays as npz",
    b"%PDF": "a PDF document",
}
"""What a file is that begins with these bytes and is no checkpoint."""


@dataclass(frozen=True)
class Content:
    """The tensors of a checkpoint, its metadata, and the paths of its state dicts if it has
    several; or its layers, where the format itself says which tensors are."""

    tensors: Mapping[str, StoredTensor] = field(default_factory=dict)
    metadata: Mapping[str, str] = field(default_factory=dict)
    parts: tuple[str, ...] = ()
    found: Layers | None = None


def read_file(file: Path, part: str = "") -> Content:
    """The content of a checkpoint file, of which only headers are read. Raises LayerError."""
    with open_regular(file) as stream:
        start = stream.read(512)
    if start.startswith(b"PK"):
        try:
            arrays = all(name.endswith(".npy") for name in ZipMembers(file))
        except DamagedMemberError as error:
            raise DamagedError(f"{error}: save or copy it again.") from error
        return Content(read_npz(file)) if arrays else _state_dicts(read_torch_zip(file), part)
    if looks_like_safetensors(start):
        tensors, metadata = read_safetensors(file)
        plain = without_wrappers(sorted(tensors, key=natural_key))  # the file's order says nothing
        return Content({name: tensors[key] for key, name in plain.items()}, metadata)
    for magic, what in OTHER_FORMATS.items():
        if start.startswith(magic):
            raise LayerError(f"is {what}.")
    if start[257:262] == b"ustar":
        raise LayerError("is a tar archive: unpack it first.")
    if start.startswith(b"\x80"):
        return _state_dicts(read_legacy_torch(file), part)
    if file.suffix.lower() == ".onnx" or start.startswith(b"\x08"):
        from lbc.inspection.onnx_file import onnx_layers

        return Content(found=onnx_layers(file))
    if file.suffix.lower() in (".safetensors", ".pt", ".pth", ".npz"):
        raise DamagedError("is truncated, or not a checkpoint: save or copy it again.")
    raise LayerError(
        "has an unsupported format: choose a checkpoint of torch, safetensors, ONNX or npz, the "
        "index of its shards, or a folder."
    )


def _state_dicts(stored: TorchFile, part: str) -> Content:
    found = find_state_dicts(stored.content, PickledTensor, lambda tensor: len(tensor.shape))
    chosen = [one for one in found if part in ("", one.path)]
    if not chosen and found:
        raise LayerError(
            f"has no state dict {part}: it has {', '.join(one.path for one in found)}."
        )
    if not found:
        raise LayerError(
            "has no state dict with layers, neither at the top nor in nested dictionaries: save "
            "model.state_dict()."
        )
    tensors = {name: stored.resolve(tensor) for name, tensor in merge(chosen).items()}
    parts = tuple(one.path or "(top)" for one in found) if len(found) > 1 else ()
    return Content(tensors, parts=parts)
