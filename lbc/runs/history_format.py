"""The file of a score history: a JSON line that names the layers, then one frame per moment.

A frame is a head (lengths and a checksum), an index with one record per layer, and the parts of the
layers, each compressed and checked separately: reading one layer at one moment takes at most
``KEY_INTERVAL`` of its own parts, from the last key part on. The file only grows, so a concurrent
reader sees whole frames or none.
"""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from math import prod
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from lbc.files.memory import physical_memory
from lbc.files.small_file import open_regular
from lbc.runs.events import LayerInfo
from lbc.runs.history_codec import CHANGED, KEY, POSITIONS, Coded, SearchState, decode, decompress
from lbc.sparsity.arrays import Floats
from lbc.sparsity.combinations import member_sums
from lbc.sparsity.pattern import Pattern

VERSION = 2

HEADER_LIMIT = 1 << 24
"""Bytes of the first line; a layer takes about a hundred."""

LEAST_BYTES = 5
"""Bytes per weight that showing a layer takes at the least."""

KEY_INTERVAL = 16
"""The most parts of a layer to read for one moment, not counting unchanged ones."""

RECORD = np.dtype(
    [
        ("flags", "u1"),
        ("live", "<u4"),
        ("winners", "<u4"),
        ("bits", "<u4"),
        ("check", "<u4"),
        ("scores", "<u4"),
        ("scores_check", "<u4"),
    ]
)
"""One layer in an index: flags, the most combinations a block has left, bytes of its winners and
bits and the CRC-32 of both, bytes of its scores and the CRC-32 of those."""

_HEAD = struct.Struct("<IQId")
"""Bytes of the index and of the parts, CRC-32 of epochs and index, epochs."""


@dataclass(frozen=True, eq=False)
class Frame:
    """The index of one moment: ``records`` and where their parts start, (layers,)."""

    epoch: float
    records: npt.NDArray[Any]
    starts: npt.NDArray[np.int64]
    begin: int
    end: int


def header(layers: Sequence[LayerInfo]) -> bytes:
    """The first line of a history; ``check`` is absent in those of 0.1.0."""
    described = [{"name": at.name, "shape": at.shape, "pattern": str(at.pattern)} for at in layers]
    document = {"version": VERSION, "layers": described, "check": _header_check(described)}
    return (json.dumps(document) + "\n").encode()


def _header_check(described: object) -> int:
    return zlib.crc32(json.dumps(described).encode())


def read_layers(path: Path) -> tuple[LayerInfo, ...]:
    """The layers of a history. Raises ValueError if the file is not one, or of another version."""
    with open_regular(path) as file:
        return _layers(file.readline(HEADER_LIMIT), path)


def read_frames(path: Path, known: Sequence[Frame] = ()) -> list[Frame]:
    """Every moment that is whole, oldest first, without reading any part.

    After ``known`` frames only the following ones are read, unless the file has been replaced.
    Raises ValueError if it is no history.
    """
    with open_regular(path) as file:
        layers = _layers(file.readline(HEADER_LIMIT), path)
        size = file.seek(0, 2)
        if known:
            last = known[-1]
            file.seek(last.begin)
            again = next(_frames(file, len(layers), size), None)
            if again is not None and _equal(again, last):
                file.seek(last.end)
                return [*known, *_frames(file, len(layers), size)]
        file.seek(0)
        file.readline(HEADER_LIMIT)
        return list(_frames(file, len(layers), size))


def is_damaged_after(path: Path, frames: Sequence[Frame]) -> bool:
    """Whether the frame that follows ``frames`` is damaged, and not only cut off or being written.

    Raises ValueError if ``path`` is no history.
    """
    with open_regular(path) as file:
        layers = _layers(file.readline(HEADER_LIMIT), path)
        if frames:
            file.seek(frames[-1].end)
        size = _HEAD.size + len(layers) * RECORD.itemsize
        found = file.read(size)  # in one piece: another process may be writing
    if len(found) < size or not any(found):
        return False  # a power failure may leave zeros
    head, index = found[: _HEAD.size], found[_HEAD.size :]
    index_size, body_size, checksum, epoch = _HEAD.unpack(head)
    as_written = (len(index), int(_sizes(np.frombuffer(index, RECORD)).sum()), _check(epoch, index))
    return (index_size, body_size, checksum) != as_written


def encode_frame(epoch: float, coded: Sequence[tuple[Coded, int, bytes]]) -> bytes:
    """The bytes of one moment: of every layer its parts, live combinations and scores."""
    records, parts = np.zeros(len(coded), RECORD), []
    for at, (code, live, scores) in enumerate(coded):
        state = code.winners + code.bits
        records[at] = (
            code.flags, live, len(code.winners), len(code.bits), zlib.crc32(state),
            len(scores), zlib.crc32(scores),
        )  # fmt: skip
        parts += [state, scores]
    index, body = records.tobytes(), b"".join(parts)
    return _HEAD.pack(len(index), len(body), _check(epoch, index), epoch) + index + body


def first_part(frames: Sequence[Frame], layer: int, moment: int) -> int:
    """The moment from which the parts of a layer are needed to decode it at ``moment``."""
    alone = (k for k in range(moment, -1, -1) if frames[k].records[layer]["flags"] & KEY)
    return next(alone, 0)


def read_states(
    file: IO[bytes],
    info: LayerInfo,
    layer: int,
    frames: Sequence[Frame],
    moments: range,
    state: SearchState | None,
) -> Iterator[SearchState]:
    """The layer at each of ``moments``, the first of which is a key or follows ``state``.

    Raises ValueError with a sentence if a part is damaged.
    """
    for moment in moments:
        record = frames[moment].records[layer]
        if state is None or record["flags"] & (KEY | CHANGED):
            winners, bits = int(record["winners"]), int(record["bits"])
            start = int(frames[moment].starts[layer])
            try:
                data = _read(file, start, winners + bits, record["check"])
                coded = Coded(int(record["flags"]), data[:winners], data[winners:])
                state = decode(info.pattern, info.blocks, coded, state)
            except (ValueError, IndexError, struct.error) as error:
                raise ValueError(_damaged(file, info, frames[moment])) from error
        yield state


@dataclass(frozen=True, eq=False)
class RecordedScores:
    """Scores of one layer as a history holds them: in half precision, less those at the start.

    ``halves``: what each position adds to them, (blocks, M), if ``by_position``, else (blocks, C).
    """

    pattern: Pattern
    by_position: bool
    halves: npt.NDArray[np.float16]

    def of(self, blocks: slice | Sequence[int]) -> RecordedScores:
        """Those of some blocks."""
        return replace(self, halves=self.halves[blocks])

    def stored(self) -> Floats:
        """Scores as the layer stores them: float32 (blocks, M) ``by_position`` or (blocks, C)."""
        start = self.pattern.initial_score / (self.pattern.n if self.by_position else 1)
        return np.asarray(self.halves.astype(np.float32) + np.float32(start))

    def by_combination(self) -> Floats:
        """Scores of every combination: float32 (blocks, C)."""
        return member_sums(self.stored(), self.pattern) if self.by_position else self.stored()


def read_scores(file: IO[bytes], info: LayerInfo, layer: int, one: Frame) -> RecordedScores:
    """The scores in a frame. Raises ValueError with a sentence if they are damaged."""
    record = one.records[layer]
    start = int(one.starts[layer]) + int(record["winners"]) + int(record["bits"])
    by_position = bool(record["flags"] & POSITIONS)
    width = info.pattern.m if by_position else info.pattern.count
    try:
        data = _read(file, start, int(record["scores"]), record["scores_check"])
        planes = np.frombuffer(decompress(data, 2 * info.blocks * width), np.uint8)
        halves = planes.reshape(2, -1).T.copy().view("<f2").reshape(-1, width)
    except ValueError as error:
        raise ValueError(_damaged(file, info, one)) from error
    return RecordedScores(info.pattern, by_position, halves)


def _read(file: IO[bytes], start: int, size: int, check: int) -> bytes:
    file.seek(start)
    data = file.read(size)
    if len(data) < size or zlib.crc32(data) != check:
        raise ValueError("a part is not as it was written")
    return data


def _damaged(file: IO[bytes], info: LayerInfo, one: Frame) -> str:
    return (
        f"{file.name} is damaged: layer {info.name!r} cannot be read as it was after epoch "
        f"{one.epoch:g}. Other layers can."
    )


def _check(epoch: float, index: bytes) -> int:
    return zlib.crc32(index, zlib.crc32(struct.pack("<d", epoch)))


def _sizes(records: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    """Bytes of the parts of each layer."""
    sizes = np.zeros(len(records), np.int64)
    for key in ("winners", "bits", "scores"):
        sizes += records[key]
    return sizes


def _equal(one: Frame, other: Frame) -> bool:
    same = (one.epoch, one.end) == (other.epoch, other.end)
    return same and np.array_equal(one.records, other.records)


def _frames(file: IO[bytes], layers: int, size: int) -> Iterator[Frame]:
    begin = file.tell()
    while len(head := file.read(_HEAD.size)) == _HEAD.size:
        index_size, body_size, checksum, epoch = _HEAD.unpack(head)
        start = begin + _HEAD.size + index_size
        end = start + body_size
        if index_size != layers * RECORD.itemsize or end > size:
            return
        index = file.read(index_size)
        if _check(epoch, index) != checksum:
            return
        records = np.frombuffer(index, RECORD)
        sizes = _sizes(records)
        if int(sizes.sum()) != body_size:
            return
        starts = start + np.cumsum(sizes) - sizes
        yield Frame(epoch, records, starts, begin, end)
        begin = file.seek(end)


def _layers(line: bytes, path: Path) -> tuple[LayerInfo, ...]:
    try:
        document = json.loads(line)
        version = document["version"]
        if document.get("check", check := _header_check(document["layers"])) != check:
            raise ValueError("the layers are not those that were written")
        if version == VERSION:
            return tuple(_layer(at) for at in document["layers"])
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ValueError(f"{path} is not a score history, or damaged in its first line.") from error
    raise ValueError(
        f"{path} is a score history of version {version!r}, as its first line says, and this "
        f"program reads version {VERSION}: open it with the program that wrote it, or train again."
    )


def _layer(described: dict[str, Any]) -> LayerInfo:
    shape, pattern = tuple(described["shape"]), Pattern.parse(described["pattern"])
    pattern.input_width(shape)
    if not all(type(size) is int and size > 0 for size in shape):
        raise ValueError(f"{shape} is no shape")
    if prod(shape) * LEAST_BYTES > physical_memory():
        raise ValueError(f"a layer of {prod(shape):,} weights does not fit into memory")
    return LayerInfo(str(described["name"]), shape, pattern, prod(shape) // pattern.m)
