"""Changed values within structured content, whose lengths and checksums are made right again.

Changed bytes of such files are refused at their outside; these are read, and mean something else.
"""

from __future__ import annotations

import io
import json
import sqlite3
import struct
import tempfile
import zlib
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import torch

from tests.faults.mutations import BOUNDS, Change

NUMBERS = [*BOUNDS, 0.5, -0.0, 1e-320, 1e300, float("inf"), float("-inf"), float("nan"), True]
TEXTS = [
    "", "x", "nan", "\0", "\n", "\ud800", "../../x", "/", "2:4", "0:0", "1:1000000", "16:32",
    "é" * 300, "lbc", "<b>x</b>", "%s{}", "-1", "1e999", "null", "a" * 70_000,
]  # fmt: skip
TENSORS = [
    torch.zeros(0), torch.zeros(3), torch.zeros(2, 2, dtype=torch.int64), torch.tensor(7),
    torch.ones(1, 8, 1), torch.full((4, 8), float("nan")), torch.zeros(5, dtype=torch.bool),
    torch.zeros(1).expand(1 << 20), torch.zeros(3, dtype=torch.complex64),
]  # fmt: skip


def change_value(value: Any, chance: Random, plain: bool = True) -> Any:
    """A copy of nested lists and dicts with one to three changes; not ``plain``: to tensors."""
    for _ in range(chance.choice((1, 1, 2, 3))):
        value = _change(value, chance, plain)
    return value


def _change(value: Any, chance: Random, plain: bool) -> Any:
    if isinstance(value, dict) and value and chance.random() < 0.9:
        copy = dict(value)
        key = chance.choice(list(copy))
        how = chance.randrange(20)
        inner = copy.pop(key)
        if how == 0:
            return copy
        if how == 1:
            other = _new_value(chance, plain)
            return {**copy, (other if isinstance(other, str | int) else str(key) * 2): inner}
        if how == 2:
            return {**copy, key: copy[chance.choice(list(copy))] if copy else value}
        return {**copy, key: _change(inner, chance, plain)}
    if isinstance(value, list | tuple) and value and chance.random() < 0.9:
        items = list(value)
        at, how = chance.randrange(len(items)), chance.randrange(10)
        if how == 0:
            del items[at]
        elif how == 1:
            items[at:at] = items[at : at + 2] * chance.choice((1, 2, 50))
        else:
            items[at] = _change(items[at], chance, plain)
        return type(value)(items) if type(value) in (list, tuple) else items
    if isinstance(value, torch.Tensor) and chance.random() < 0.6:
        return _change_tensor(value, chance)
    if isinstance(value, int | float) and chance.random() < 0.5:
        return chance.choice((value + 1, value - 1, -value, value * 2, float(value), bool(value)))
    return _new_value(chance, plain)


def _new_value(chance: Random, plain: bool) -> Any:
    others: list[Any] = [None, [], {}, [1, 2], {"a": 1}, False]
    kinds: list[list[Any]] = [NUMBERS, NUMBERS, TEXTS, others]
    return chance.choice(chance.choice(kinds if plain else [*kinds, TENSORS]))


def _change_tensor(tensor: torch.Tensor, chance: Random) -> torch.Tensor:
    made = tensor.clone()
    flat = made.reshape(-1)
    if not flat.numel():
        return chance.choice(TENSORS)
    match chance.randrange(5):
        case 0:
            return flat[:-1]
        case 1:
            return made.to(chance.choice((torch.float64, torch.int64, torch.float16, torch.bool)))
        case 2:
            return made[None]
        case 3 if made.is_floating_point():
            flat[chance.randrange(flat.numel())] = chance.choice((torch.nan, torch.inf, 1e30, -0.0))
        case _:
            flat.view(torch.uint8)[chance.randrange(flat.view(torch.uint8).numel())] ^= 255
    return flat.view(made.shape)


# -- what holds them ----------------------------------------------------------------------------


def inside_json(data: bytes, chance: Random, change: Change) -> bytes:
    return json.dumps(change_value(json.loads(data), chance)).encode()


def inside_line(data: bytes, chance: Random, change: Change) -> bytes:
    """The file with one of its lines changed that end in a JSON document."""
    lines = data.split(b"\n")
    at = chance.choice([at for at, line in enumerate(lines) if b'{"' in line] or [0])
    head, brace, text = lines[at].partition(b"{")
    try:
        lines[at] = head + inside_json(brace + text, chance, change)
    except ValueError:
        return change(data)
    return b"\n".join(lines)


def inside_torch(data: bytes, chance: Random, change: Change) -> bytes:
    """The file of torch.save with another value in its content."""
    content = torch.load(io.BytesIO(data), weights_only=True)
    out = io.BytesIO()
    torch.save(change_value(content, chance, plain=False), out)
    return out.getvalue()


_HEAD, _LENGTH = struct.Struct("<IIB"), struct.Struct("<I")


def inside_messages(data: bytes, chance: Random, change: Change) -> bytes:
    """A stream of messages (``lbc.following.messages``) of which one has changed."""
    frames, at = [], 0
    while at < len(data):
        sent, _, packed = _HEAD.unpack_from(data, at)
        content = data[at + _HEAD.size : at + _HEAD.size + sent]
        frames.append(zlib.decompress(content) if packed else content)
        at += _HEAD.size + sent
    which = chance.randrange(len(frames))
    (length,) = _LENGTH.unpack_from(frames[which])
    text, rest = frames[which][4 : 4 + length], frames[which][4 + length :]
    if chance.randrange(5):
        text = inside_json(text, chance, change)
    else:
        rest = change(rest)
    frames[which] = _LENGTH.pack(len(text)) + text + rest
    return b"".join(_HEAD.pack(len(one), len(one), 0) + one for one in frames)


def inside_frame(data: bytes, chance: Random, change: Change) -> bytes:
    """A JSON line that has changed, before bytes that may have."""
    line, newline, rest = data.partition(b"\n")
    if chance.randrange(6):
        return inside_json(line, chance, change) + newline + rest
    changed = change(rest)
    return line + newline + changed[: len(rest)].ljust(len(rest), b"\0")


def inside_index(data: bytes, chance: Random, change: Change) -> bytes:
    """The SQLite file of a library with one value changed, and the checksum of its row right."""
    with tempfile.NamedTemporaryFile() as file:
        Path(file.name).write_bytes(data)
        connection = sqlite3.connect(file.name)
        connection.execute("PRAGMA synchronous = OFF")
        rows = connection.execute("SELECT * FROM runs").fetchall()
        path, *_ = row = chance.choice(rows)
        at = chance.randrange(len(row) - 1)
        new = list(row[:-1])
        if at in (2, 3) and chance.randrange(4):
            new[at] = inside_json(new[at], chance, change)
        elif chance.randrange(4):
            new[at] = change(new[at])
        else:
            new[at] = chance.choice((None, 3, 0.5, "text"))
        checksum = 0
        for value in new:
            checksum = zlib.crc32(value if isinstance(value, bytes) else b"", checksum)
        connection.execute("DELETE FROM runs WHERE path = ?", (path,))
        marks = ", ".join("?" * len(row))
        connection.execute(f"INSERT OR REPLACE INTO runs VALUES ({marks})", (*new, checksum))
        connection.commit()
        connection.close()
        return Path(file.name).read_bytes()


Inside = Callable[[bytes, Random, Change], bytes]


def either(*ways: Inside) -> Inside:
    """One of several ways, by chance."""
    return lambda data, chance, change: chance.choice(ways)(data, chance, change)
