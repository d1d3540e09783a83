"""Opening checkpoints: layers by name, whose weights are read on demand."""

from __future__ import annotations

import stat
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from lbc.files.printable import printable
from lbc.inspection.errors import DamagedError, InspectionError, LayerError, name_file_in_errors
from lbc.inspection.formats import Content, read_file
from lbc.inspection.layers import Layers, find_layers
from lbc.inspection.layouts import natural_key, without_wrappers
from lbc.inspection.safetensors_file import METADATA_KEY, read_index
from lbc.inspection.stored_tensor import StoredTensor, unreadable

if TYPE_CHECKING:
    from torch import Tensor

T = TypeVar("T")

SUFFIXES = (
    ".safetensors", ".pt", ".pth", ".bin", ".ckpt", ".tar", ".onnx", ".npz", ".json",
)  # fmt: skip
"""What checkpoints are usually called; the format is recognised by the content."""

IN_FOLDERS = (
    "model.safetensors.index.json", "model.safetensors", "*.safetensors.index.json",
    "pytorch_model.bin.index.json", "*.bin.index.json", "checkpoint.pt",
)  # fmt: skip
"""What is opened of a folder; the first that it has."""


class PruningRecord(BaseModel):
    """What a one-shot method did: accuracies on the test split, 0 to 1, and errors of layers.

    An error is ‖(W − W̃) X‖² / ‖W X‖² for the inputs X of the calibration images.
    """

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)

    method: str
    before: float = Field(ge=0, le=1)
    after: float = Field(ge=0, le=1)
    errors: dict[str, float] = Field(default_factory=dict)


class ExportMetadata(BaseModel):
    """What an exported checkpoint states: the N:M of each layer, why layers stayed dense, and how
    it was pruned, if it was pruned at once."""

    layers: dict[str, str] = Field(default_factory=dict)
    skipped: dict[str, str] = Field(default_factory=dict)
    pruned: PruningRecord | None = None


@dataclass(frozen=True)
class OpenCheckpoint:
    """An open checkpoint: the header of every tensor; ``weight`` reads the values of one.

    ``layers`` are judged. ``others`` are all other tensors; ``unjudged`` names those of them that
    may be weights, with the reason why they are not judged. ``parts`` are its state dicts, if it
    has several.
    """

    file: Path
    layers: Mapping[str, StoredTensor]
    others: Mapping[str, StoredTensor] = field(default_factory=dict)
    unjudged: Mapping[str, str] = field(default_factory=dict)
    metadata: ExportMetadata = field(default_factory=ExportMetadata)
    parts: tuple[str, ...] = ()

    @property
    def weights(self) -> int:
        """The number of weights in all layers."""
        return sum(stored.weights for stored in self.layers.values())

    @property
    def tensors(self) -> Mapping[str, StoredTensor]:
        """The layers, by their effective weights, and all other tensors."""
        return {**self.layers, **self.others}

    def weight(self, name: str) -> Tensor:
        """Read the weight (O, I, *kernel) of a layer, or another tensor. Raises LayerError."""
        stored = self.tensors.get(name)
        if stored is None:
            raise LayerError(f"has no layer {name}.")
        try:
            return stored.read()
        except LayerError as error:
            kind = "is damaged" if isinstance(error, DamagedError) else "has an unreadable layer"
            raise type(error)(f"{kind}: {name} cannot be read: {error}.") from error


@contextmanager
def open_checkpoint(path: str | Path, part: str = "") -> Iterator[OpenCheckpoint]:
    """Open a checkpoint of any format, the index of its shards, or a folder that has either.

    Only headers are read. ``part`` chooses one of several state dicts in a file. Raises
    InspectionError for a file that cannot be read or has nothing to judge, either on opening or on
    reading a weight.
    """
    files = checkpoint_files(Path(path))
    with name_file_in_errors(files[0] if len(files) == 1 else Path(path)):
        if len(files) > 1:
            content = _shards(files, {}, part)
        elif files[0].suffix.lower() == ".json":
            listed = read_index(files[0])
            shards = [files[0].with_name(name) for name in dict.fromkeys(listed.values())]
            content = _shards(shards, listed, part)
        else:
            content = read_file(files[0], part)
        found = content.found or find_layers(content.tensors)
        if not found.layers:
            raise LayerError(_nothing(found))
        yield OpenCheckpoint(
            files[0] if len(files) == 1 else Path(path),
            _safe(found.layers),
            _safe(found.others),
            _safe(found.unjudged),
            read_metadata(content.metadata),
            tuple(map(printable, content.parts)),
        )


def checkpoint_files(path: Path) -> list[Path]:
    """The file at a path; of a folder, its checkpoint, index or shards. Raises InspectionError."""
    try:
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            return _files_in(path)
    except FileNotFoundError as error:
        raise InspectionError(
            f"{path} does not exist: check the path of the checkpoint."
        ) from error
    except OSError as error:
        raise InspectionError(f"{path} cannot be read: {error.strerror or error}.") from error
    if not stat.S_ISREG(mode):
        raise InspectionError(f"{path} is neither a file nor a folder: choose a checkpoint.")
    return [path]


def _files_in(folder: Path) -> list[Path]:
    for pattern in IN_FOLDERS:
        for file in sorted(folder.glob(pattern)):
            return [file]
    if (folder / ".metadata").exists() and any(folder.glob("*.distcp")):
        raise InspectionError(
            f"{folder} is a distributed checkpoint: convert it with "
            "torch.distributed.checkpoint.format_utils.dcp_to_torch_save."
        )
    for suffix in (".safetensors", ".bin", ".pt", ".pth", ".ckpt", ".onnx", ".npz"):
        files = sorted(folder.glob(f"*{suffix}"))
        if len(files) == 1 or (files and all("-of-" in file.name for file in files)):
            return files
        if files:
            names = ", ".join(file.name for file in files[:3])
            raise InspectionError(
                f"{folder} has several checkpoints ({names}) and no index: choose one of them."
            )
    raise InspectionError(
        f"{folder} has no model.safetensors, nor another checkpoint or index of shards: choose a "
        "checkpoint file or a run folder."
    )


def _shards(files: Sequence[Path], listed: Mapping[str, str], part: str) -> Content:
    """The tensors of all shards; those that a missing shard should hold cannot be read."""
    tensors: dict[str, StoredTensor] = {}
    metadata: dict[str, str] = {}
    missing = set()
    for file in files:
        if not file.exists():
            missing.add(file.name)
            continue
        with name_file_in_errors(file):
            shard = read_file(file, part)
        if shard.found is not None:
            raise LayerError(f"has an ONNX file, {file.name}, among its shards.")
        tensors |= shard.tensors
        metadata |= shard.metadata
    held = {key for key in listed if listed[key] not in missing}
    for key, name in without_wrappers(list(listed)).items():
        if name not in tensors:
            where = listed[key]
            fault = f"it is not in {where}" if key in held else f"its shard, {where}, is missing"
            tensors[name] = unreadable("", (), fault, damaged=True)
    if all(file.suffix == ".safetensors" for file in files):
        tensors = {name: tensors[name] for name in sorted(tensors, key=natural_key)}
    return Content(tensors, metadata)


def read_metadata(metadata: Mapping[str, str]) -> ExportMetadata:
    """Parse the ``lbc`` entry of a file's metadata; empty if there is none."""
    entry = metadata.get(METADATA_KEY)
    if entry is None:
        return ExportMetadata()
    try:
        return ExportMetadata.model_validate_json(entry)
    except ValidationError as error:
        raise LayerError(
            f"has a metadata entry {METADATA_KEY!r} that is not the list of layers that an export "
            "writes."
        ) from error


def _safe(named: Mapping[str, T]) -> dict[str, T]:
    """The same under names that can be printed."""
    safe: dict[str, T] = {}
    for name, value in named.items():
        plain = printable(name)
        while plain in safe:
            plain += " (again)"
        safe[plain] = value
    return safe


def _nothing(found: Layers) -> str:
    """Why there is nothing to judge."""
    if found.unjudged:
        reasons = "; ".join(
            f"layer {name}: {why}" for name, why in list(found.unjudged.items())[:3]
        )
        return f"has no layers that can be judged ({reasons})."
    return (
        "has no layers: expected floating-point tensors with two or more dimensions whose names "
        "say that they are weights."
    )
