"""``frame-ID-KIND``: what a trainer has copied for one viewer in another process.

A JSON line, then the bytes of the arrays that it names, in its order.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from math import prod
from pathlib import Path
from typing import IO, Annotated, Any, Literal

import numpy as np
from pydantic import Field, TypeAdapter, ValidationError

from lbc.files.atomic import write_atomically
from lbc.files.small_file import open_regular
from lbc.pictures.moment_copier import Pin, PinnedWeights
from lbc.runs.layer_moment import LayerMoment, LayerState, PictureFacts
from lbc.sparsity.arrays import Array
from lbc.sparsity.pattern import Pattern

HEADER_LIMIT = 1 << 24
SIZE_LIMIT = 1 << 31

TYPES: dict[ArrayName, str] = {
    "raw": "<f4",
    "packed": "|u1",
    "mask": "|b1",
    "weights": "<f4",
    "block_weights": "<f4",
    "picture": "<f4",
}
"""The arrays of a ``LayerMoment`` in a frame."""

ArrayName = Literal["raw", "packed", "mask", "weights", "block_weights", "picture"]
Sizes = tuple[Annotated[int, Field(ge=0)], ...]


@dataclass(frozen=True)
class Frame:
    """The open layer or samples of layers, made for the request ``number``, or pinned weights."""

    number: int = 0
    moments: tuple[LayerMoment, ...] = ()
    weights: PinnedWeights | None = None


@dataclass(frozen=True)
class _Moment:
    name: str
    epoch: float
    pattern: str
    shape: Sizes
    additive: bool
    layers: tuple[LayerState, ...]
    arrays: dict[ArrayName, Sizes]
    pictures: tuple[str, ...] = ()
    picture_facts: PictureFacts | None = None


@dataclass(frozen=True)
class _Header:
    number: int
    moments: tuple[_Moment, ...]
    epoch: float
    pins: tuple[tuple[Pin, int], ...]
    version: Literal[1] = 1


_HEADER = TypeAdapter(_Header)


def write_frame(path: Path, frame: Frame) -> None:
    """Write a frame, of which a reader sees all or nothing. Raises OSError."""
    held = [
        {name: array for name in TYPES if (array := getattr(moment, name)) is not None}
        for moment in frame.moments
    ]
    moments = tuple(
        _Moment(
            at.name, at.epoch, str(at.pattern), at.shape, at.additive, at.layers,
            {name: array.shape for name, array in arrays.items()}, at.pictures, at.picture_facts,
        )
        for at, arrays in zip(frame.moments, held, strict=True)
    )  # fmt: skip
    weights = frame.weights or PinnedWeights(0.0, {})
    pins = tuple((pin, len(block)) for pin, block in weights.weights.items())
    header = _Header(frame.number, moments, weights.epoch, pins)
    parts = [array.astype(TYPES[name], copy=False) for at in held for name, array in at.items()]
    parts += [block.astype("<f4", copy=False) for block in weights.weights.values()]

    def write(file: IO[bytes]) -> None:
        file.write(json.dumps(asdict(header)).encode() + b"\n")
        for part in parts:
            file.write(np.ascontiguousarray(part).data)

    write_atomically(path, write, sync=False)


def read_frame(path: Path) -> Frame:
    """Read a frame. Raises OSError if it cannot be read, and ValueError if it is not one."""
    with open_regular(path, SIZE_LIMIT) as file:
        header = _read_header(file.readline(HEADER_LIMIT), path)
        moments, pins = header.moments, header.pins
        expected: list[tuple[str, Sequence[int]]] = [
            (TYPES[name], shape) for at in moments for name, shape in at.arrays.items()
        ]
        expected += [("<f4", (length,)) for _, length in pins]
        sizes = [np.dtype(kind).itemsize * prod(shape) for kind, shape in expected]
        if file.tell() + sum(sizes) != os.fstat(file.fileno()).st_size:
            raise ValueError(f"{path} is not a frame: its size is not what its first line says.")
        arrays = iter([_read_array(file, *one) for one in expected])
    shown = [_moment(at, {name: next(arrays) for name in at.arrays}, path) for at in moments]
    weights = {pin: next(arrays) for pin, _ in pins}
    seen = PinnedWeights(header.epoch, weights) if weights else None
    return Frame(header.number, tuple(shown), seen)


def _read_header(line: bytes, path: Path) -> _Header:
    try:
        return _HEADER.validate_json(line)
    except ValidationError as error:
        raise ValueError(f"{path} is not a frame, or of another version.") from error


def _read_array(file: IO[bytes], kind: str, shape: Sequence[int]) -> Array:
    data = file.read(np.dtype(kind).itemsize * prod(shape))
    if kind != "|b1":
        return np.frombuffer(data, kind).reshape(shape)  # read-only, as bytes are
    flags: Array = np.frombuffer(data, np.uint8).reshape(shape) != 0  # numpy relies on 0 and 1
    flags.flags.writeable = False
    return flags


def _moment(at: _Moment, arrays: dict[str, Any], path: Path) -> LayerMoment:
    """Raises ValueError if the arrays do not fit together: drawing relies on it."""
    pattern = Pattern.parse(at.pattern)
    pattern.input_width(at.shape)
    blocks = prod(at.shape) // pattern.m
    bits = -(-pattern.count // 8)
    fitting: dict[str, list[tuple[int, ...]]] = {
        "raw": [at.shape if at.additive else (blocks, pattern.count)],
        "packed": [(blocks, bits), (1, bits)],
        "mask": [at.shape],
        "weights": [at.shape],
        "block_weights": [(pattern.m,)],
        "picture": [at.shape],
    }
    for name, array in arrays.items():
        if array.shape not in fitting.get(name, []):
            raise ValueError(f"{path} is not a frame: {name} has the shape {array.shape}.")
    if "picture" in arrays and at.picture_facts is None:
        raise ValueError(f"{path} is not a frame: it does not say what its picture is.")
    missing = [name for name in ("raw", "packed", "mask") if name not in arrays]
    if missing:
        raise ValueError(f"{path} is not a frame: it has no {missing[0]}.")
    return LayerMoment(
        at.name, at.epoch, pattern, tuple(at.shape), at.additive,
        layers=at.layers, pictures=at.pictures, picture_facts=at.picture_facts, **arrays,
    )  # fmt: skip
