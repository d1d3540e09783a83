"""Does a saved checkpoint keep its N:M pattern? Reads files of any origin and runs none of them."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import BaseModel, Field, ValidationError
from safetensors import SafetensorError, safe_open
from torch import Tensor

from lbc.masks import Violation, check
from lbc.pattern import Pattern

Status = Literal["valid", "violated", "not divisible", "dense by design"]

PARAMETRIZED = "parametrizations.weight."
"""Where torch.nn.utils.parametrize keeps the weight of a layer in training."""

METADATA_KEY = "lbc"
"""The safetensors metadata entry that says what an exported checkpoint holds."""


class InspectionError(Exception):
    """The checkpoint cannot be inspected; the message is one sentence that names the file."""


class Statement(BaseModel):
    """What an exported checkpoint says of itself: N:M by layer, and why a layer stayed dense."""

    layers: dict[str, str] = Field(default_factory=dict)
    skipped: dict[str, str] = Field(default_factory=dict)


@dataclass(frozen=True)
class Layer:
    """One weight of the checkpoint.

    ``density`` is the share of non-zeros, ``violations`` counts the blocks with more than N of
    them, and ``first`` is the first such block. ``reason`` explains any other status than valid.
    """

    name: str
    shape: tuple[int, ...]
    status: Status
    reason: str
    density: float
    violations: int = 0
    first: Violation | None = None


@dataclass(frozen=True)
class Report:
    """The layers of a checkpoint, in the order of their names in the file."""

    checkpoint: str
    pattern: str
    layers: tuple[Layer, ...]

    @property
    def valid(self) -> bool:
        """No layer is violated. Layers that are dense by design or not divisible do not count."""
        return all(layer.status != "violated" for layer in self.layers)

    @property
    def checked(self) -> int:
        """How many layers were held against the pattern; at 0, ``valid`` says nothing."""
        return sum(layer.status in ("valid", "violated") for layer in self.layers)

    def as_dict(self) -> dict[str, Any]:
        """The report in plain types, ready for ``json.dumps``."""
        return asdict(self) | {"valid": self.valid, "checked": self.checked}


def inspect_checkpoint(path: str | Path, pattern: Pattern, skip: Iterable[str] = ()) -> Report:
    """Hold every layer of a checkpoint against a pattern.

    ``path`` is a .safetensors, .pt or .pth file, or a run folder with a model.safetensors. A layer
    is a floating-point tensor ``X.weight`` of 2 to 4 dimensions, or a weight in the middle of LBC
    training, whose mask is then applied. Layers whose name matches a glob of ``skip`` are left out.

    Raises InspectionError with one sentence where the file is no such thing.
    """
    file, globs = checkpoint_file(Path(path)), tuple(skip)
    statement, weights = open_checkpoint(file)
    layers = []
    with errors_named(file):
        for name, weight in weights:
            layers.append(judge(name, weight, pattern, statement, globs))
    if not layers:
        raise InspectionError(
            f"{file} holds no layer: expected floating-point tensors of 2 to 4 dimensions whose "
            f"names end in 'weight'."
        )
    return Report(str(path), str(pattern), tuple(layers))


def judge(
    name: str, weight: Tensor, pattern: Pattern, statement: Statement, skip: tuple[str, ...]
) -> Layer:
    """Hold one weight (O, I, *kernel) against the pattern."""
    shape = tuple(weight.shape)
    density = int((weight != 0).sum()) / weight.numel()
    if any(fnmatchcase(name, glob) for glob in skip):
        return Layer(name, shape, "dense by design", "skipped on request", density)
    if name in statement.skipped:
        return Layer(name, shape, "dense by design", statement.skipped[name], density)
    if shape[1] % pattern.m:
        reason = f"input width {shape[1]} is not a multiple of {pattern.m}"
        return Layer(name, shape, "not divisible", reason, density)
    result = check(weight, pattern)
    if result.first is None:
        return Layer(name, shape, "valid", "", density)
    blocks = weight.numel() // pattern.m
    reason = f"{result.violations} of {blocks} blocks keep more than {pattern.n} weights"
    stated = statement.layers.get(name)
    if stated not in (None, str(pattern)):
        reason += f" (the file says this layer is {stated})"
    return Layer(name, shape, "violated", reason, density, result.violations, result.first)


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


def open_checkpoint(file: Path) -> tuple[Statement, Iterator[tuple[str, Tensor]]]:
    """What the file says of itself, and its layers by name, read one after the other."""
    suffix = file.suffix.lower()
    if suffix == ".safetensors":
        return read_statement(file), safetensors_layers(file)
    if suffix in (".pt", ".pth"):
        return Statement(), layers_among(read_state_dict(file))
    raise InspectionError(
        f"{file} is of no known kind: name a .safetensors, .pt or .pth file, or a run folder."
    )


@contextmanager
def errors_named(file: Path) -> Iterator[None]:
    """Turn what a damaged file makes the readers raise into a sentence with its name."""
    try:
        yield
    except InspectionError as error:
        raise InspectionError(f"{file}: {error}") from error
    except (SafetensorError, OSError) as error:
        raise InspectionError(
            f"{file} cannot be read ({error}): it is cut off or not of the kind its name says."
        ) from error
    except (RuntimeError, TypeError, MemoryError) as error:
        # A header may claim a type or a size that torch cannot hold.
        raise InspectionError(
            f"{file} holds a tensor that torch cannot work with ({type(error).__name__})."
        ) from error


def read_statement(file: Path) -> Statement:
    """The ``lbc`` entry of the metadata; an empty statement where there is none."""
    with errors_named(file), safe_open(file, framework="pt") as tensors:
        entry = (tensors.metadata() or {}).get(METADATA_KEY)
        if entry is None:
            return Statement()
        try:
            return Statement.model_validate_json(entry)
        except ValidationError as error:
            raise InspectionError(
                f"its metadata entry {METADATA_KEY!r} is not the list of layers an export writes."
            ) from error


def safetensors_layers(file: Path) -> Iterator[tuple[str, Tensor]]:
    """The layers of a safetensors file, one in memory at a time."""
    with safe_open(file, framework="pt", device="cpu") as tensors:
        yield from layers_among(LazyTensors(tensors))


class LazyTensors(Mapping[str, object]):
    """A safetensors file as a mapping that reads a tensor when it is asked for."""

    def __init__(self, tensors: Any) -> None:
        self._tensors = tensors
        self._names = dict.fromkeys(tensors.keys())

    def __getitem__(self, name: str) -> object:
        if name not in self._names:
            raise KeyError(name)
        return self._tensors.get_tensor(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


def read_state_dict(file: Path) -> Mapping[str, object]:
    """The tensors of a .pt file, at its top or under "model" or "state_dict"."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what torch advises is in the sentence below
            content = torch.load(file, map_location="cpu", weights_only=True)
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


def layer_name(key: str) -> str | None:
    """The layer a key of a state dict belongs to, or None where it is no layer's weight."""
    key = key.replace(PARAMETRIZED + "original", "weight") if key.endswith("original") else key
    if key == "weight":
        return key
    return key.removesuffix(".weight") if key.endswith(".weight") else None


def layers_among(tensors: Mapping[str, object]) -> Iterator[tuple[str, Tensor]]:
    """Name and effective weight (O, I, *kernel) of every layer of a state dict."""
    parallel = all(key.startswith("module.") for key in tensors)
    for key in tensors:
        name = layer_name(key.removeprefix("module.") if parallel else key)
        weight = tensors[key] if name is not None else None
        if name is None or not isinstance(weight, Tensor) or not weight.is_floating_point():
            continue
        if weight.ndim not in (2, 3, 4) or weight.numel() == 0:
            continue
        check_storage(name, weight)
        if key.endswith(PARAMETRIZED + "original"):
            weight = masked(name, weight, tensors.get(key.removesuffix("original") + "0.mask"))
        yield name, weight


def check_storage(name: str, weight: Tensor) -> None:
    """Raises InspectionError unless the tensor's elements are all really in the file."""
    if weight.layout != torch.strided or weight.device.type != "cpu":
        raise InspectionError(f"the weight of layer {name} is stored in a sparse or empty form.")
    # A view with stride 0 claims any size for one stored number, and would fill the memory.
    if weight.untyped_storage().nbytes() < weight.numel() * weight.element_size():
        raise InspectionError(f"the weight of layer {name} is larger than what is stored for it.")


def masked(name: str, original: Tensor, mask: object) -> Tensor:
    """The weight a layer in training computes with: ``original`` where its mask is true, else 0."""
    if not isinstance(mask, Tensor) or mask.dtype != torch.bool or mask.shape != original.shape:
        raise InspectionError(
            f"layer {name} is parametrized by something else than an N:M mask: "
            f"remove its parametrizations before saving."
        )
    check_storage(name, mask)
    return original.masked_fill(~mask, 0)
