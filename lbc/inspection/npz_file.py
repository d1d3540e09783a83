"""The arrays of an npz file, and the masks that MaskLLM publishes in such files."""

from __future__ import annotations

from functools import partial
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from lbc.files.zip_members import DamagedMemberError, ZipMembers
from lbc.inspection.errors import DamagedError
from lbc.inspection.stored_tensor import SIZES, StoredTensor, unreadable

if TYPE_CHECKING:
    from torch import Tensor

LARGEST_MEMBER = 1 << 30
"""Bytes that one array may take in memory."""

HEADER = 4096
"""More bytes than the header of an array of numbers has."""


def read_npz(file: Path) -> dict[str, StoredTensor]:
    """The arrays by name; each is unpacked when it is read. Raises LayerError."""
    try:
        members = ZipMembers(file)
        return {
            name.removesuffix(".npy"): _array(members, name)
            for name in members
            if name.endswith(".npy")
        }
    except DamagedMemberError as error:
        raise DamagedError(f"{error}: save or copy it again.") from error


def _array(members: ZipMembers, name: str) -> StoredTensor:
    try:
        header = BytesIO(members.start(name, HEADER))
        version = np.lib.format.read_magic(header)
        read = np.lib.format.read_array_header_1_0
        if version != (1, 0):
            read = np.lib.format.read_array_header_2_0
        shape, _, dtype = read(header, max_header_size=HEADER)
    except Exception as error:  # numpy parses the header with tokenize and ast
        return unreadable("", (), f"its header is damaged ({type(error).__name__})")
    kind, size = dtype.newbyteorder("=").name, members.size(name)
    if dtype.hasobject or kind not in SIZES:
        return unreadable(kind, shape, f"its type, {kind}, is not one of weights", size)
    if size != header.tell() + dtype.itemsize * int(np.prod(shape, dtype=object)):
        return unreadable(kind, shape, "its shape does not fit its data", size)
    if size > LARGEST_MEMBER:
        return unreadable(kind, shape, f"it would take {size:,} bytes of memory", size)
    if name.endswith(".mask.npy") and kind == "uint8" and len(shape) == 1:
        load = partial(_unpacked_bits, members, name)
        return StoredTensor("bool", (1, 8 * shape[0]), size, load)
    return StoredTensor(kind, shape, size, partial(_values, members, name))


def _values(members: ZipMembers, name: str) -> Tensor:
    import torch

    try:
        content = BytesIO(members.read(name, LARGEST_MEMBER))
    except DamagedMemberError as error:
        raise DamagedError(f"the file {error}") from error
    array = np.load(content, allow_pickle=False)
    native = array.astype(array.dtype.newbyteorder("="), copy=False)
    return torch.from_numpy(np.ascontiguousarray(native))


def _unpacked_bits(members: ZipMembers, name: str) -> Tensor:
    """A mask of MaskLLM: the bits of all rows one after the other, the highest of a byte first.

    The file does not have the shape. Blocks lie within rows, so one row of all weights has the same
    blocks (NVlabs/MaskLLM, tool_compress_mask.py).
    """
    import torch

    bits = np.unpackbits(_values(members, name).numpy())
    return torch.from_numpy(bits.view(np.bool_)).reshape(1, -1)
