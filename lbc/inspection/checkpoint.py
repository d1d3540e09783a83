"""Opening a checkpoint: its layers by name, each read when it is asked for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import BaseModel, Field, ValidationError
from safetensors import safe_open

from lbc.inspection.errors import InspectionError, LayerProblem, errors_named
from lbc.inspection.onnx_file import onnx_layers
from lbc.inspection.safetensors_file import METADATA_KEY, LazyTensors
from lbc.inspection.state_dict import Stored, layers_among
from lbc.inspection.torch_file import read_state_dict

if TYPE_CHECKING:
    from torch import Tensor

SUFFIXES = (".safetensors", ".pt", ".pth", ".onnx")


class Statement(BaseModel):
    """What an exported checkpoint says of itself: N:M by layer, and why a layer stayed dense."""

    layers: dict[str, str] = Field(default_factory=dict)
    skipped: dict[str, str] = Field(default_factory=dict)


@dataclass(frozen=True)
class Checkpoint:
    """An open checkpoint. ``layers`` has every layer's shape; ``weight`` brings its numbers."""

    file: Path
    layers: Mapping[str, Stored]
    statement: Statement = field(default_factory=Statement)

    @property
    def weights(self) -> int:
        """How many numbers all layers hold together."""
        return sum(prod(stored.shape) for stored in self.layers.values())

    def weight(self, name: str) -> Tensor:
        """The weight (O, I, *kernel) of a layer; LayerProblem where it cannot be had."""
        stored = self.layers.get(name)
        if stored is None:
            raise LayerProblem(f"there is no layer {name} in it.")
        return stored.read()


@contextmanager
def open_checkpoint(path: str | Path) -> Iterator[Checkpoint]:
    """Open a .safetensors, .pt, .pth or .onnx file, or a run folder with a model.safetensors.

    Weights are read within the ``with`` alone, layer by layer. A damaged file shows when it is
    opened or when its weights are read: InspectionError, one sentence, either way.
    """
    file = checkpoint_file(Path(path))
    with errors_named(file):
        if file.suffix.lower() == ".safetensors":
            with safe_open(file, framework="pt", device="cpu") as tensors:
                statement = read_statement(tensors.metadata() or {})
                yield _holding_layers(file, layers_among(LazyTensors(tensors)), statement)
        elif file.suffix.lower() in (".pt", ".pth"):
            yield _holding_layers(file, layers_among(read_state_dict(file)), Statement())
        elif file.suffix.lower() == ".onnx":
            yield _holding_layers(file, onnx_layers(file), Statement())
        else:
            raise InspectionError(
                f"{file} is of no known kind: name a .safetensors, .pt, .pth or .onnx file, or a "
                "run folder."
            )


def checkpoint_file(path: Path) -> Path:
    """The file a path stands for: itself, or the model of a run folder."""
    if path.is_dir():
        if (path / "model.safetensors").is_file():
            return path / "model.safetensors"
        raise InspectionError(
            f"{path} is a folder without model.safetensors: name a checkpoint file or a run folder."
        )
    if not path.exists():
        raise InspectionError(f"{path} does not exist: check the path of the checkpoint.")
    return path


def read_statement(metadata: Mapping[str, str]) -> Statement:
    """The ``lbc`` entry of the metadata; an empty statement where there is none."""
    entry = metadata.get(METADATA_KEY)
    if entry is None:
        return Statement()
    try:
        return Statement.model_validate_json(entry)
    except ValidationError as error:
        raise LayerProblem(
            f"its metadata entry {METADATA_KEY!r} is not the list of layers an export writes."
        ) from error


def _holding_layers(file: Path, layers: Mapping[str, Stored], statement: Statement) -> Checkpoint:
    if not layers:
        raise InspectionError(
            f"{file} holds no layer: expected floating-point tensors of 2 to 4 dimensions whose "
            f"names end in 'weight'."
            if file.suffix.lower() != ".onnx"
            else f"{file} holds no layer: expected Conv, Gemm or MatMul nodes whose weights are "
            "floating-point numbers in the file."
        )
    return Checkpoint(file, layers, statement)
