"""How scores and live sets went, moment by moment, in one append-only file.

A JSON line names the layers. Each moment is a frame: length and CRC-32, then zstd-compressed
arrays. Winners and live bits are XORed with the moment before, which is what makes them small.
Half-precision scores are kept as often as ``SCORE_BUDGET`` allows.
"""

from __future__ import annotations

import itertools
import json
import struct
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt
import zstandard

from lbc.pattern import Pattern
from lbc.runs.appending import AppendFile
from lbc.scores import SparseLayer
from lbc.sparsify import Sparsifier
from lbc.training.events import LayerInfo

SCORE_BUDGET = 256 << 20
"""Bytes of half-precision scores one run may keep, before compression."""

LARGEST_LIVE_COUNT = 1024
"""Above this many combinations live bits are not kept at every moment (4:16 has 1,820)."""

_FRAME = struct.Struct("<II")

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Moment:
    """The state of every layer after ``epoch`` epochs.

    ``winners``: best combination of each block, (blocks,). ``live``: packed bits
    (blocks, ⌈C / 8⌉), as ``lbc.live.pack`` makes them; one row, which stands for all blocks, until
    something is removed. ``scores``: float16 (blocks, C), what each score has gained since the
    start, −inf where removed, at the moments that have them.
    """

    epoch: float
    winners: Mapping[str, Array]
    live: Mapping[str, Array]
    scores: Mapping[str, Array]


class HistoryWriter:
    """Appends the moments of one run to its history file, new or existing."""

    def __init__(self, path: Path, layers: Sequence[LayerInfo], moments: int) -> None:
        self._layers = layers
        self._before: dict[str, bytes] = {}
        self._count = 0
        self._decided = False
        self.score_interval = score_interval(layers, moments)
        described = [
            {"name": at.name, "shape": at.shape, "pattern": str(at.pattern)} for at in layers
        ]
        header = (json.dumps({"version": 1, "layers": described}) + "\n").encode()
        self._file = AppendFile(path)
        if self._file.size < len(header):
            self._file.cut(0)
            self._file.begin(header)

    @property
    def place(self) -> tuple[int, bool]:
        """How many moments were written, and whether the search had ended at the last of them."""
        return self._count, self._decided

    def cut(self, moments: int, decided: bool) -> None:
        """Go on in an existing file from a ``place``, forgetting the moments that follow.

        Raises ValueError where it holds fewer, or is no history.
        """
        with self._file.path.open("rb") as file:
            _layers(file.readline(), self._file.path)
            end, count = file.tell(), 0
            before: dict[str, bytes] = {}
            for _, _, raw in itertools.islice(_frames(file), moments):
                end, count, before = file.tell(), count + 1, raw
        if count < moments:
            raise ValueError(f"{self._file.path} holds {count} moments, and {moments} are needed.")
        self._file.cut(end)
        self._before, self._count, self._decided = before, count, decided

    def sync(self) -> None:
        """Force every moment to the disk."""
        self._file.sync()

    def append(self, epoch: float, sparsifier: Sparsifier) -> None:
        """Add the sparsifier's present state. Raises OSError, leaving whole frames only."""
        decided = not sparsifier.searching
        with_scores = self._count % self.score_interval == 0 or (decided and not self._decided)
        parts: dict[str, Array] = {}
        for info in self._layers:
            layer = sparsifier.layers[info.name]
            parts[f"winner/{info.name}"] = layer.winners().cpu().numpy().astype(_index_type(info))
            if info.pattern.count <= LARGEST_LIVE_COUNT:
                parts[f"live/{info.name}"] = np.ascontiguousarray(layer.packed.cpu().numpy())
                if with_scores:
                    parts[f"score/{info.name}"] = _halves(layer)
        raw = {key: array.tobytes() for key, array in parts.items()}
        payload = _encode(epoch, parts, raw, self._before)
        self._file.append(_FRAME.pack(len(payload), zlib.crc32(payload)) + payload)
        self._before = raw
        self._count += 1
        self._decided = decided

    def close(self) -> None:
        self._file.close()


def score_interval(layers: Sequence[LayerInfo], moments: int) -> int:
    """Every how many moments scores are kept, so that ``SCORE_BUDGET`` holds."""
    cells = sum(
        at.blocks * at.pattern.count for at in layers if at.pattern.count <= LARGEST_LIVE_COUNT
    )
    return max(1, -(-2 * cells * moments // SCORE_BUDGET))


def read_layers(path: Path) -> list[tuple[str, tuple[int, ...], Pattern]]:
    """Name, weight shape and pattern of every layer in a history.

    Raises ValueError where the file is no history.
    """
    with path.open("rb") as file:
        return _layers(file.readline(), path)


def read_history(path: Path) -> Iterator[Moment]:
    """The moments of a run, oldest first; a torn last frame is left out.

    Raises ValueError where the file is no history.
    """
    with path.open("rb") as file:
        names = [name for name, _, _ in _layers(file.readline(), path)]
        for epoch, arrays, _ in _frames(file):
            kinds = {
                kind: {n: arrays[f"{kind}/{n}"] for n in names if f"{kind}/{n}" in arrays}
                for kind in ("winner", "live", "score")
            }
            yield Moment(epoch, kinds["winner"], kinds["live"], kinds["score"])


def _frames(file: IO[bytes]) -> Iterator[tuple[float, dict[str, Array], dict[str, bytes]]]:
    """Epoch, arrays and their bytes, frame by frame from the present place in the file."""
    before: dict[str, bytes] = {}
    while len(head := file.read(_FRAME.size)) == _FRAME.size:
        length, checksum = _FRAME.unpack(head)
        payload = file.read(length)
        if len(payload) < length or zlib.crc32(payload) != checksum:
            return
        epoch, arrays, before = _decode(payload, before)
        yield epoch, arrays, before


def _layers(line: bytes, path: Path) -> list[tuple[str, tuple[int, ...], Pattern]]:
    try:
        described = json.loads(line)["layers"]
        return [(at["name"], tuple(at["shape"]), Pattern.parse(at["pattern"])) for at in described]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} is not a score history: its first line is not one.") from error


def _halves(layer: SparseLayer) -> Array:
    # Less the score all began with: a half keeps 11 bits, and scores differ by little.
    above = layer.scores() - layer.pattern.initial_score
    return np.asarray(above.half().cpu().numpy())


def _index_type(layer: LayerInfo) -> np.dtype[Any]:
    return np.min_scalar_type(layer.pattern.count - 1).newbyteorder("<")


def _encode(
    epoch: float, parts: dict[str, Array], raw: dict[str, bytes], before: dict[str, bytes]
) -> bytes:
    index = [[key, array.dtype.str, array.shape] for key, array in parts.items()]
    head = json.dumps({"epoch": epoch, "parts": index}).encode() + b"\n"
    body = b"".join(_xor(data, before.get(key)) for key, data in raw.items())
    return zstandard.ZstdCompressor(level=3).compress(head + body)


def _decode(
    payload: bytes, before: dict[str, bytes]
) -> tuple[float, dict[str, Array], dict[str, bytes]]:
    data = zstandard.ZstdDecompressor().decompress(payload)
    head, _, body = data.partition(b"\n")
    described = json.loads(head)
    arrays, raw, start = {}, {}, 0
    for key, dtype, shape in described["parts"]:
        size = int(np.prod(shape)) * np.dtype(dtype).itemsize
        raw[key] = _xor(body[start : start + size], before.get(key))
        arrays[key] = np.frombuffer(raw[key], dtype=dtype).reshape(shape)
        start += size
    return described["epoch"], arrays, raw


def _xor(data: bytes, before: bytes | None) -> bytes:
    if before is None or len(before) != len(data):
        return data
    return np.bitwise_xor(np.frombuffer(data, np.uint8), np.frombuffer(before, np.uint8)).tobytes()
