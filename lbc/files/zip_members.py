"""The members of a zip archive, and whether each is what was written."""

from __future__ import annotations

import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from lbc.files.small_file import open_regular

LOCAL_HEADER = struct.Struct("<4s22xHH")
"""Signature, and the lengths of the name and the extra field, of a member's own header."""


class DamagedMemberError(Exception):
    """A member is not what was written; the message continues after the name of the archive."""


class ZipMembers:
    """The members of an archive, from its directory. Raises DamagedMemberError or OSError."""

    def __init__(self, file: Path) -> None:
        self.file = file
        try:
            with open_regular(file) as stream, zipfile.ZipFile(stream) as archive:
                self._infos = {info.filename: info for info in archive.infolist()}
        except (zipfile.BadZipFile, ValueError, NotImplementedError, EOFError) as error:
            raise DamagedMemberError("is truncated, or its directory is damaged") from error
        # torch.serialization.set_crc32_options(False) leaves out all checksums.
        self._sums = any(info.CRC for info in self._infos.values())
        self._checked: set[str] = set()

    def __iter__(self) -> Iterator[str]:
        return iter(self._infos)

    def plain(self, name: str) -> bool:
        """Whether a member is neither compressed nor encrypted."""
        info = self._infos[name]
        return info.compress_type == zipfile.ZIP_STORED and not info.flag_bits & 1

    def size(self, name: str) -> int:
        """The bytes of a member once it is unpacked, as the directory states them."""
        return self._infos[name].file_size

    def place(self, name: str) -> tuple[int, int]:
        """Where the bytes of a plain member begin in the file, and how many there are."""
        info = self._infos[name]
        with open_regular(self.file) as stream:
            stream.seek(info.header_offset)
            header = stream.read(LOCAL_HEADER.size)
        if len(header) < LOCAL_HEADER.size or not header.startswith(b"PK\x03\x04"):
            raise DamagedMemberError(f"is damaged: {name} in it cannot be read")
        _, named, extra = LOCAL_HEADER.unpack(header)
        return info.header_offset + LOCAL_HEADER.size + named + extra, info.file_size

    def check(self, name: str, data: bytes | memoryview) -> None:
        """Compare ``data`` with the checksum of the member, once. Raises DamagedMemberError."""
        if name not in self._checked and self._sums and zlib.crc32(data) != self._infos[name].CRC:
            raise DamagedMemberError(f"is damaged: the checksum of {name} in it is wrong")
        self._checked.add(name)

    def start(self, name: str, size: int) -> bytes:
        """Unpack the first bytes of a member, unchecked."""
        with self._open(name) as member:
            return member.read(size)

    @contextmanager
    def _open(self, name: str) -> Iterator[IO[bytes]]:
        try:
            with (
                open_regular(self.file) as stream,
                zipfile.ZipFile(stream) as archive,
                archive.open(name) as member,
            ):
                yield member
        except (zipfile.BadZipFile, zlib.error, ValueError, RuntimeError, EOFError) as error:
            raise DamagedMemberError(f"is damaged: {name} in it cannot be read") from error

    def read(self, name: str, largest: int) -> bytes:
        """Unpack a member of at most ``largest`` bytes, and check it."""
        if self.size(name) > largest:
            raise DamagedMemberError(f"has a part {name} that would take {self.size(name):,} bytes")
        if self._sums:
            with self._open(name) as member:
                data = member.read(largest + 1)
        else:
            start, size = self.place(name)
            with open_regular(self.file) as stream:
                stream.seek(start)
                data = stream.read(size)
        if len(data) != self.size(name):
            raise DamagedMemberError(f"is damaged: {name} in it cannot be read")
        return data
