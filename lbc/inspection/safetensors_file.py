"""The tensors of a safetensors file, from its header alone.

Format: https://github.com/huggingface/safetensors, "Format".
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lbc.files.small_file import open_regular, read_regular
from lbc.inspection.errors import DamagedError, LayerError
from lbc.inspection.stored_tensor import Extent, StoredTensor, tensor_in, unreadable

METADATA_KEY = "lbc"
"""The metadata entry that describes the layers of an exported checkpoint."""

LARGEST_HEADER = 1 << 25
"""Bytes of JSON that are parsed; a header of 100,000 tensors takes half of it."""

DTYPES = {
    "F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16",
    "F8_E4M3": "float8_e4m3fn", "F8_E5M2": "float8_e5m2", "F8_E8M0": "float8_e8m0fnu",
    "I64": "int64", "I32": "int32", "I16": "int16", "I8": "int8", "U8": "uint8", "BOOL": "bool",
    "U16": "uint16", "U32": "uint32", "U64": "uint64", "C64": "complex64",
}  # fmt: skip


def looks_like_safetensors(start: bytes) -> bool:
    """Whether a file that begins with these bytes has a header of JSON."""
    return len(start) > 8 and start[8:9] == b"{" and start[6:8] == b"\0\0"


def read_safetensors(file: Path) -> tuple[dict[str, StoredTensor], Mapping[str, str]]:
    """The tensors by name, in the file's order, and its metadata. Raises LayerError."""
    size = file.stat().st_size
    with open_regular(file) as stream:
        length = int.from_bytes(stream.read(8), "little")
        if size < 8 or length > min(LARGEST_HEADER, size - 8):
            raise DamagedError("is truncated, or not a safetensors file: save or copy it again.")
        text = stream.read(length)
    try:
        header = json.loads(text.decode())
        metadata = header.pop("__metadata__", {}) or {}
        entries = {name: _entry(stated) for name, stated in header.items()}
        if not all(isinstance(value, str) for value in metadata.values()):
            raise ValueError
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise DamagedError("has a damaged header: save or copy it again.") from error
    end = max((stop for _, _, _, stop in entries.values()), default=0)
    if 8 + length + end != size:
        raise DamagedError(
            f"is truncated or damaged: its header describes {8 + length + end:,} bytes, and it "
            f"has {size:,}. Save or copy it again."
        )
    tensors = {}
    for name, (dtype, shape, start, stop) in sorted(entries.items(), key=lambda at: at[1][2]):
        extent = Extent(file, 8 + length + start, stop - start)
        tensor = tensor_in(extent, DTYPES.get(dtype, dtype), shape)
        if not tensor.problem and tensor.bytes != extent.size:
            tensor = unreadable(tensor.dtype, shape, "its shape does not fit its data", extent.size)
        tensors[name] = tensor
    return tensors, metadata


def _entry(stated: Any) -> tuple[str, tuple[int, ...], int, int]:
    shape, (start, stop) = tuple(stated["shape"]), stated["data_offsets"]
    numbers = (*shape, start, stop)
    if not all(type(at) is int and at >= 0 for at in numbers) or start > stop:
        raise ValueError
    return str(stated["dtype"]), shape, start, stop


def read_index(file: Path, largest: int = LARGEST_HEADER) -> dict[str, str]:
    """The file that holds each tensor, as ``*.index.json`` lists them. Raises LayerError."""
    if file.stat().st_size > largest:
        raise LayerError(f"is larger than {largest:,} bytes, and no index of shards.")
    try:
        index = json.loads(read_regular(file).decode())["weight_map"]
        shards = {str(name): str(shard) for name, shard in index.items()}
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise LayerError("is not an index of shards: it has no 'weight_map'.") from error
    if any(not shard or Path(shard).name != shard for shard in shards.values()):
        raise LayerError("names shards outside its own folder, which are not opened.")
    return shards
