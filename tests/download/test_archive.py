"""An archive cannot write outside its folder, make links, or fill the disk."""

from __future__ import annotations

import io
import stat
import tarfile
import zipfile
from contextlib import suppress
from pathlib import Path

import pytest

from lbc.download import archive as archives
from lbc.download.archive import unpack
from lbc.download.transfer import DownloadError


def write_tar(path: Path, *members: tarfile.TarInfo) -> Path:
    with tarfile.open(path, "w:gz") as file:
        for member in (tarfile.TarInfo("good"), *members):
            file.addfile(member, io.BytesIO(bytes(member.size)))
    return path


def tar_member(name: str, kind: bytes = tarfile.REGTYPE, target: str = "") -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, target
    return member


def write_zip(path: Path, name: str, mode: int = 0, content: bytes = b"x") -> Path:
    member = zipfile.ZipInfo()
    member.filename = name  # the constructor would clean it
    member.external_attr = mode << 16
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("good", b"x")
        file.writestr(member, content)
    return path


def refused(archive: Path) -> str:
    """The reason why nothing of an archive was unpacked."""
    around = sorted(archive.parent.parent.rglob("*"))
    with pytest.raises(DownloadError) as caught:
        unpack(archive)
    assert sorted(archive.parent.parent.rglob("*")) == around
    message = str(caught.value)
    assert str(archive) in message and "\n" not in message and message.endswith(".")
    return message


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "in"
    folder.mkdir()
    return folder


OUTSIDE = ["../x", "a/../../x", "/tmp/lbc-x", "..", "..\\x", "C:\\x", "C:x", "\\\\host\\x"]


@pytest.mark.parametrize("name", OUTSIDE)
def test_members_outside_the_folder_are_refused(folder: Path, name: str) -> None:
    assert "lies outside" in refused(write_tar(folder / "a.tar.gz", tar_member(name)))
    assert "lies outside" in refused(write_zip(folder / "a.zip", name))


@pytest.mark.parametrize(
    "kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE]
)
def test_links_and_devices_in_a_tar_are_refused(folder: Path, kind: bytes) -> None:
    for target in ("good", "../../x", "/etc/passwd"):
        archive = write_tar(folder / "a.tar.gz", tar_member("link", kind, target))
        assert "'link' is a link or device" in refused(archive)


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFCHR, stat.S_IFIFO, stat.S_IFSOCK])
def test_links_and_devices_in_a_zip_are_refused(folder: Path, kind: int) -> None:
    archive = write_zip(folder / "a.zip", "link", kind | 0o777, b"/etc/passwd")
    assert "'link' is a link or device" in refused(archive)


def test_what_unpacks_to_too_much_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "MAX_UNPACKED_BYTES", 1_000_000)
    halves = [tar_member(name) for name in "ab"]
    for half in halves:
        half.size = 500_001
    assert "more than 1,000,000 bytes" in refused(write_tar(folder / "a.tar.gz", *halves))
    assert "more than 1,000,000" in refused(write_zip(folder / "a.zip", "a", 0, bytes(1_000_001)))


@pytest.mark.parametrize("name", ["good/x", "x" * 300, "."])
def test_names_that_no_file_can_have_are_refused(folder: Path, name: str) -> None:
    refused(write_tar(folder / "a.tar.gz", tar_member(name)))
    refused(write_zip(folder / "a.zip", name))


@pytest.mark.parametrize("name", ["a.tar.gz", "a.zip"])
def test_a_damaged_archive_is_named(folder: Path, name: str) -> None:
    path = folder / name
    write_tar(path) if name.endswith("gz") else write_zip(path, "a", 0, bytes(range(256)))
    whole = path.read_bytes()
    for content in (b"", b"no archive", whole[: len(whole) // 2]):
        path.write_bytes(content)
        refused(path)
    for position in range(len(whole)):
        path.write_bytes(whole[:position] + bytes([whole[position] ^ 0x55]) + whole[position + 1 :])
        with suppress(DownloadError):
            unpack(path)
