"""Opening checkpoints: layers by name, whose weights are read on demand."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import BaseModel, Field, ValidationError
from safetensors import safe_open

from lbc.inspection.errors import InspectionError, LayerError, name_file_in_errors
from lbc.inspection.onnx_file import onnx_layers
from lbc.inspection.safetensors_file import METADATA_KEY, LazyTensors
from lbc.inspection.state_dict import StoredWeight, find_layers
from lbc.inspection.torch_file import read_state_dict

if TYPE_CHECKING:
    from torch import Tensor

SUFFIXES = (".safetensors", ".pt", ".pth", ".onnx")


class ExportMetadata(BaseModel):
    """What an exported checkpoint states: the N:M of each layer, and why layers stayed dense."""

    layers: dict[str, str] = Field(default_factory=dict)
    skipped: dict[str, str] = Field(default_factory=dict)


@dataclass(frozen=True)
class OpenCheckpoint:
    """An open checkpoint: the shape of every layer; ``weight`` reads its values."""

    file: Path
    layers: Mapping[str, StoredWeight]
    metadata: ExportMetadata = field(default_factory=ExportMetadata)

    @property
    def weights(self) -> int:
        """The number of weights in all layers."""
        return sum(prod(stored.shape) for stored in self.layers.values())

    def weight(self, name: str) -> Tensor:
        """Read the weight (O, I, *kernel) of a layer. Raises LayerError if it cannot be read."""
        stored = self.layers.get(name)
        if stored is None:
            raise LayerError(f"the file has no layer {name}.")
        return stored.read()


@contextmanager
def open_checkpoint(path: str | Path) -> Iterator[OpenCheckpoint]:
    """Open a .safetensors, .pt, .pth or .onnx file, or a run folder with a model.safetensors.

    Weights can be read only inside the ``with`` block. Raises InspectionError for a damaged file,
    either on opening or on reading a weight.
    """
    file = checkpoint_file(Path(path))
    with name_file_in_errors(file):
        if file.suffix.lower() == ".safetensors":
            with safe_open(file, framework="pt", device="cpu") as tensors:
                metadata = read_metadata(tensors.metadata() or {})
                yield _checkpoint(file, find_layers(LazyTensors(tensors)), metadata)
        elif file.suffix.lower() in (".pt", ".pth"):
            yield _checkpoint(file, find_layers(read_state_dict(file)), ExportMetadata())
        elif file.suffix.lower() == ".onnx":
            yield _checkpoint(file, onnx_layers(file), ExportMetadata())
        else:
            raise InspectionError(
                f"{file} has an unsupported format: choose a .safetensors, .pt, .pth or .onnx "
                "file, or a run folder."
            )


def checkpoint_file(path: Path) -> Path:
    """The checkpoint file at a path: the file itself, or the model of a run folder."""
    if path.is_dir():
        if (path / "model.safetensors").is_file():
            return path / "model.safetensors"
        raise InspectionError(
            f"{path} has no model.safetensors: choose a checkpoint file or a run folder."
        )
    if not path.exists():
        raise InspectionError(f"{path} does not exist: check the path of the checkpoint.")
    return path


def read_metadata(metadata: Mapping[str, str]) -> ExportMetadata:
    """Parse the ``lbc`` entry of a file's metadata; empty if there is none."""
    entry = metadata.get(METADATA_KEY)
    if entry is None:
        return ExportMetadata()
    try:
        return ExportMetadata.model_validate_json(entry)
    except ValidationError as error:
        raise LayerError(
            f"the metadata entry {METADATA_KEY!r} is not the list of layers that an export writes."
        ) from error


def _checkpoint(
    file: Path, layers: Mapping[str, StoredWeight], metadata: ExportMetadata
) -> OpenCheckpoint:
    if not layers:
        raise InspectionError(
            f"{file} has no layers: expected floating-point tensors with 2 to 4 dimensions whose "
            f"names end in 'weight'."
            if file.suffix.lower() != ".onnx"
            else f"{file} has no layers: expected Conv, Gemm or MatMul nodes with floating-point "
            "weights stored in the file."
        )
    return OpenCheckpoint(file, layers, metadata)
