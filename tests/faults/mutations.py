"""Changed copies of valid files: bits, numbers at bounds, lengths, words, cuts and splices."""

from __future__ import annotations

import gzip
import io
import re
import struct
import zipfile
import zlib
from collections.abc import Callable, Sequence
from random import Random

from lbc.runs.history_format import RECORD

Change = Callable[[bytes], bytes]

BOUNDS = [
    value
    for bits in (7, 8, 15, 16, 24, 31, 32, 53, 63, 64)
    for value in ((1 << bits) - 1, 1 << bits, -(1 << bits))
] + [0, 1, -1, 2, 3, 5, 1000, 10**9]
NUMBERS = [
    *(str(value).encode() for value in BOUNDS),
    b"1e999", b"-1e999", b"1e-400", b"NaN", b"Infinity", b"0.1", b"-0.0", b"1" * 5000, b"null",
    b"true", b'"1"', b"[]", b"{}", b"0x10", b"1_000",
]  # fmt: skip
_NUMBER = re.compile(rb"\d+(?:\.\d+)?")
_LONGEST = 1 << 17
"""Bytes; longer inputs are cut, so that none is slow by its size alone."""


def mutate(
    data: bytes, chance: Random, words: Sequence[bytes] = (), others: Sequence[bytes] = (b"",)
) -> bytes:
    """``data`` after one to eight changes; splices take from ``others``."""
    for _ in range(chance.choice((1, 1, 1, 2, 3, 8))):
        data = chance.choice(_CHANGES)(data, chance, words, others)
    return data[:_LONGEST]


def _span(data: bytes, chance: Random) -> tuple[int, int]:
    start = chance.randrange(len(data) + 1)
    return start, min(len(data), start + chance.choice((1, 2, 4, 8, 16, 64, 512)))


def _flip(data: bytes, chance: Random, *_: Sequence[bytes]) -> bytes:
    if not data:
        return data
    at = chance.randrange(len(data))
    return data[:at] + bytes([data[at] ^ 1 << chance.randrange(8)]) + data[at + 1 :]


def _set_byte(data: bytes, chance: Random, *_: Sequence[bytes]) -> bytes:
    at = chance.randrange(len(data) + 1)
    return data[:at] + bytes([chance.choice((0, 1, 127, 128, 255, 10, 34))]) + data[at + 1 :]


def _set_integer(data: bytes, chance: Random, *_: Sequence[bytes]) -> bytes:
    """A length, a count or an offset becomes one at the bounds of its type, or one off."""
    size = chance.choice((1, 2, 4, 8))
    order = chance.choice(("little", "big"))
    at = chance.randrange(max(1, len(data) - size))
    old = int.from_bytes(data[at : at + size], order)  # type: ignore[arg-type]
    new = chance.choice((old + 1, old - 1, old * 2, chance.choice(BOUNDS)))
    written = (new % (1 << 8 * size)).to_bytes(size, order)  # type: ignore[arg-type]
    return data[:at] + written + data[at + size :]


def _set_number(data: bytes, chance: Random, *_: Sequence[bytes]) -> bytes:
    found = list(_NUMBER.finditer(data[:8192]))
    if not found:
        return data
    one = chance.choice(found)
    return data[: one.start()] + chance.choice(NUMBERS) + data[one.end() :]


def _cut(data: bytes, chance: Random, *_: Sequence[bytes]) -> bytes:
    return data[: chance.randrange(len(data) + 1)]


def _delete(data: bytes, chance: Random, *_: Sequence[bytes]) -> bytes:
    start, end = _span(data, chance)
    return data[:start] + data[end:]


def _repeat(data: bytes, chance: Random, *_: Sequence[bytes]) -> bytes:
    start, end = _span(data, chance)
    times = chance.choice((2, 3, 40, 1000)) if end - start < 65 else 2
    return data[:start] + data[start:end] * times + data[end:]


def _zero(data: bytes, chance: Random, *_: Sequence[bytes]) -> bytes:
    start, end = _span(data, chance)
    return data[:start] + chance.choice((b"\0", b"\xff")) * (end - start) + data[end:]


def _insert_word(
    data: bytes, chance: Random, words: Sequence[bytes], others: Sequence[bytes]
) -> bytes:
    if not words:
        return _flip(data, chance)
    start, end = _span(data, chance)
    end = chance.choice((start, end))
    return data[:start] + chance.choice(words) + data[end:]


def _splice(data: bytes, chance: Random, words: Sequence[bytes], others: Sequence[bytes]) -> bytes:
    other = chance.choice(others)
    start, end = _span(other, chance)
    at = chance.randrange(len(data) + 1)
    return data[:at] + chance.choice((other[start:], other[start:end] + data[at:]))


def _move(data: bytes, chance: Random, *_: Sequence[bytes]) -> bytes:
    start, end = _span(data, chance)
    rest = data[:start] + data[end:]
    at = chance.randrange(len(rest) + 1)
    return rest[:at] + data[start:end] + rest[at:]


_CHANGES: tuple[Callable[..., bytes], ...] = (
    _flip, _set_byte, _set_integer, _set_integer, _set_number, _set_number, _cut, _delete, _repeat,
    _zero, _insert_word, _insert_word, _splice, _move,
)  # fmt: skip

# -- changes behind a checksum or a length, which would else hide them -------------------------


def inside_zip(data: bytes, chance: Random, change: Change) -> bytes:
    """The archive with one member changed, renamed or left out, and all checksums right."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(out, "w") as new:
        names = old.namelist()
        chosen, how = chance.choice(names), chance.randrange(12)
        for name in names:
            content = old.read(name)
            if name != chosen or how > 1:
                new.writestr(name, change(content) if name == chosen else content)
            elif how == 1:
                renamed = change(name.encode()).decode("latin1").replace("\0", "")
                new.writestr(renamed[:200] or "x", content)
    return out.getvalue()


def inside_gzip(data: bytes, chance: Random, change: Change) -> bytes:
    return gzip.compress(change(gzip.decompress(data)), 1)


def inside_safetensors(data: bytes, chance: Random, change: Change) -> bytes:
    """The file with a changed header of the right length."""
    (length,) = struct.unpack_from("<Q", data)
    text = change(data[8 : 8 + length])
    return struct.pack("<Q", len(text)) + text + data[8 + length :]


def inside_png(data: bytes, chance: Random, change: Change) -> bytes:
    """The picture with one chunk changed, and its length and checksum right."""
    if not data.startswith(b"\x89PNG"):
        return change(data)
    chunks, at = [], 8
    while at + 8 <= len(data):
        (size,) = struct.unpack_from(">I", data, at)
        chunks.append((data[at + 4 : at + 8], data[at + 8 : at + 8 + size]))
        at += 12 + size
    chosen = chance.randrange(len(chunks))
    out = data[:8]
    for place, (kind, content) in enumerate(chunks):
        new = change(content) if place == chosen else content
        out += struct.pack(">I", len(new)) + kind + new
        out += struct.pack(">I", zlib.crc32(kind + new))
    return out


_HEAD = struct.Struct("<IQId")


def inside_history(data: bytes, chance: Random, change: Change) -> bytes:
    """The history with a changed first line, index or part, and all checksums right."""
    line, _, rest = data.partition(b"\n")
    frames, at = [], 0
    while at < len(rest):
        size, body, _, epoch = _HEAD.unpack_from(rest, at)
        start = at + _HEAD.size
        frames.append([epoch, rest[start : start + size], rest[start + size : start + size + body]])
        at = start + size + body
    if chance.randrange(4) == 0:
        line = change(re.sub(rb', "check": \d+', b"", line))
    else:
        one = chance.choice(frames)
        part = chance.choice((1, 2))
        changed = change(one[part])
        one[part] = changed[: len(one[1])].ljust(len(one[1]), b"\0") if part == 1 else changed
    return line + b"\n" + b"".join(_frame(*one) for one in frames)


def _frame(epoch: float, index: bytes, body: bytes) -> bytes:
    import numpy as np

    records, at = np.frombuffer(index, RECORD).copy(), 0
    for record in records:
        for key, sizes in (("check", ("winners", "bits")), ("scores_check", ("scores",))):
            size = sum(int(record[name]) for name in sizes)
            record[key] = zlib.crc32(body[at : at + size])
            at += size
    index = records.tobytes()
    check = zlib.crc32(index, zlib.crc32(struct.pack("<d", epoch)))
    if at < 1 << 17:
        body = body[:at].ljust(at, b"\0")
    return _HEAD.pack(len(index), len(body), check, epoch) + index + body
