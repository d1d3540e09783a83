"""The tensors of files that torch.save wrote, read without running anything in them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import IO

from lbc.files.printable import printable
from lbc.files.small_file import open_regular
from lbc.files.zip_members import DamagedMemberError, ZipMembers
from lbc.inspection.errors import DamagedError, LayerError
from lbc.inspection.stored_tensor import (
    SIZES,
    Extent,
    StoredTensor,
    same_byte_order,
    tensor_in,
    unreadable,
)
from lbc.inspection.tensor_pickle import MOST_BYTES, PickledTensor, PickleReader, Storage

LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
"""The first pickle of the files that torch wrote before 1.6."""

TRUNCATED = "is truncated, or not a PyTorch checkpoint of tensors: save or copy it again."


@dataclass(frozen=True)
class TorchFile:
    """What torch.save was given, as containers of ``PickledTensor``; ``resolve`` finds the values
    of one."""

    content: object
    resolve: Callable[[PickledTensor], StoredTensor]


def read_torch_zip(file: Path) -> TorchFile:
    """Read the form that torch has written since 1.6. Raises LayerError."""
    try:
        members = ZipMembers(file)
        names = [name for name in members if name.endswith("/data.pkl") or name == "data.pkl"]
        _explain_other_archives(list(members), names)
        folder = names[0].removesuffix("data.pkl")
        content, _ = _unpickle(BytesIO(members.read(names[0], MOST_BYTES)))
        order = f"{folder}byteorder"
        swapped = order in members and not same_byte_order(members.read(order, 64).decode("ascii"))
    except (DamagedMemberError, UnicodeDecodeError) as error:
        raise DamagedError(f"{error}: save or copy it again.") from error

    def extent(storage: Storage) -> Extent | str:
        name = f"{folder}data/{storage.key}"
        if name not in members:
            return f"its data, {name}, are not in the file"
        if swapped:
            return "its bytes are in another order than this machine's"
        if not members.plain(name):
            return "its data are compressed, which torch never does"

        def check(data: memoryview) -> None:
            try:
                members.check(name, data)
            except DamagedMemberError as error:
                raise DamagedError(f"the file {error}") from error

        try:
            return Extent(file, *members.place(name), check)
        except DamagedMemberError as error:
            return f"the file {error}"

    return TorchFile(content, lambda tensor: _resolve(tensor, extent))


def read_legacy_torch(file: Path) -> TorchFile:
    """Read the form that torch wrote before 1.6. Raises LayerError."""
    with open_regular(file) as stream:
        if _unpickle(stream)[0] != LEGACY_MAGIC:
            raise LayerError(
                "is a pickle that torch.save did not write: load it where it comes from, and write "
                "model.state_dict() with torch.save."
            )
        _unpickle(stream)  # the version of the protocol
        (system, _), (content, dtypes), (keys, _) = (_unpickle(stream) for _ in range(3))
        extents: dict[str, Extent] = {}
        start, end = stream.tell(), file.stat().st_size
        for key in keys if isinstance(keys, list) else ():
            stream.seek(start)
            elements = int.from_bytes(stream.read(8), "little", signed=True)
            size = elements * SIZES.get(dtypes.get(str(key), ""), 1)
            if elements < 0 or start + 8 + size > end:
                raise DamagedError(TRUNCATED)
            extents[str(key)] = Extent(file, start + 8, size)
            start += 8 + size
    little = system.get("little_endian", True) if isinstance(system, dict) else True

    def extent(storage: Storage) -> Extent | str:
        if not same_byte_order("little" if little else "big"):
            return "its bytes are in another order than this machine's"
        return extents.get(storage.key, "its data are not in the file")

    return TorchFile(content, lambda tensor: _resolve(tensor, extent))


def _resolve(tensor: PickledTensor, extent: Callable[[Storage], Extent | str]) -> StoredTensor:
    if tensor.problem or tensor.storage is None:
        return unreadable(tensor.dtype, tensor.shape, tensor.problem)
    place = extent(tensor.storage)
    if isinstance(place, str):
        return unreadable(tensor.dtype, tensor.shape, place, damaged=True)
    return tensor_in(place, tensor.dtype, tensor.shape, tensor.strides, tensor.offset)


def _unpickle(stream: IO[bytes]) -> tuple[object, Mapping[str, str]]:
    """One pickle, and the element types of its storages. Raises LayerError."""
    reader = PickleReader(stream)
    try:
        content: object = reader.load()
    except Exception as error:  # a damaged pickle fails in any way
        if not reader.foreign:
            raise DamagedError(TRUNCATED) from error
    if reader.foreign:
        raise LayerError(_foreign(reader.foreign))
    return content, reader.storages


def _explain_other_archives(names: list[str], pickles: list[str]) -> None:
    """Raise LayerError for a zip archive that torch.save did not write."""
    if any(name.endswith(("/constants.pkl", "/model.json", "/archive_format")) for name in names):
        kind = "TorchScript" if any("constants.pkl" in name for name in names) else "torch.export"
        raise LayerError(
            f"is a {kind} program, not a checkpoint: load it with torch, and save its state_dict()."
        )
    if len(pickles) != 1:
        raise LayerError("is a zip archive without PyTorch tensors: choose a checkpoint.")


def explain_unloadable(file: Path) -> str:
    """Say why torch could not load a file: it contains other objects, or is damaged."""
    import torch

    try:
        found = torch.serialization.get_unsafe_globals_in_checkpoint(str(file))
    except Exception:  # zipfile, pickle and torch each raise their own
        found = []
    return f"{file} {_foreign(found) if found else TRUNCATED}"


def _foreign(names: list[str]) -> str:
    return (
        f"contains Python objects ({', '.join(map(printable, names[:3]))}), which are never loaded "
        "because they can run code: save only model.state_dict()."
    )
