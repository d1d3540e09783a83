"""Hostile and damaged files: bounded memory and time, no code, and a sentence."""

from __future__ import annotations

import pickle
import resource
import struct
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from lbc.cli.main import main
from lbc.inspection import InspectionError, open_checkpoint, survey_checkpoint

GIGABYTE = 1 << 30


def write_torch(path: Path, content: bytes, **options: Any) -> None:
    """A .pt file whose pickle is ``content``."""
    with zipfile.ZipFile(path, "w", **options) as archive:
        archive.writestr("a/data.pkl", content)
        archive.writestr("a/data/0", bytes(64))


BOMBS = {
    "bytearray": b"\x80\x02}X\x01\x00\x00\x00acbuiltins\nbytearray\n\x8a\x08"
    + struct.pack("<q", 6 * GIGABYTE) + b"\x85Rs.",
    "BYTEARRAY8": b"\x80\x05\x96" + struct.pack("<Q", 6 * GIGABYTE) + b"x.",
    "BINBYTES8": b"\x80\x04\x8e" + struct.pack("<Q", 6 * GIGABYTE) + b"x.",
    "memo": b"\x80\x02}r\xff\xff\xff\x7f.",
    "shared tuples as a key": b"\x80\x02}(K\x01" + b"2\x86" * 60 + b"K\x01u.",
    "many dictionaries": b"\x80\x02(" + b"}" * (20 << 20) + b"l.",
}  # fmt: skip


def limited(*paths: Path) -> subprocess.CompletedProcess[str]:
    """``lbc inspect`` of each file, with three gigabytes of address space and a minute."""
    code = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_AS, (3 << 30, 3 << 30));"
        "from lbc.cli.main import main; print([main(['inspect', path]) for path in sys.argv[1:]])"
    )
    command = [sys.executable, "-c", code, *map(str, paths)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize("bomb", BOMBS)
def test_a_pickle_takes_neither_memory_nor_time(tmp_path: Path, bomb: str) -> None:
    path = tmp_path / "a.pt"
    write_torch(path, BOMBS[bomb], compression=zipfile.ZIP_DEFLATED)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(InspectionError) as caught:
        survey_checkpoint(path)
    assert str(path) in str(caught.value)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 700_000
    path.write_bytes(BOMBS[bomb])
    with pytest.raises(InspectionError):
        survey_checkpoint(path)


def test_a_deflated_archive_is_not_inflated(tmp_path: Path) -> None:
    path = tmp_path / "a.pt"
    torch.save({"a.weight": torch.ones(4, 4)}, path)
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    npz = tmp_path / "a.npz"
    with zipfile.ZipFile(npz, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        header = np.lib.format.header_data_from_array_1_0(np.ones((1, 1), np.float32))
        header["shape"] = (1 << 15, 9 << 10)
        with archive.open("a.weight.npy", "w", force_zip64=True) as member:
            np.lib.format.write_array_header_1_0(member, header)
            for _ in range(1152):
                member.write(bytes(1 << 20))
    done = limited(path, npz)
    assert done.stdout.splitlines() == ["[2, 2]"]
    assert "compressed" in done.stderr and "1,207,959,680 bytes of memory" in done.stderr


def test_a_flipped_bit_is_never_other_content(tmp_path: Path) -> None:
    """Every eleventh bit of a file of torch: it is refused, or what is read is what was saved."""
    path = tmp_path / "a.pt"
    weight = torch.randn(8, 8)
    torch.save({"a.weight": weight, "b.weight": torch.ones(4, 4)}, path)
    whole = path.read_bytes()
    refused = 0
    for bit in range(0, 8 * len(whole), 11):
        flipped = bytearray(whole)
        flipped[bit // 8] ^= 1 << bit % 8
        path.write_bytes(flipped)
        try:
            with open_checkpoint(path) as checkpoint:
                named = {**checkpoint.layers, **checkpoint.unjudged}
                assert {name.removesuffix(".weight") for name in named} == {"a", "b"}
                assert torch.equal(checkpoint.weight("a"), weight)
                assert torch.equal(checkpoint.weight("b"), torch.ones(4, 4))
        except Exception as error:
            assert type(error).__name__ in ("InspectionError", "DamagedError", "LayerError"), bit
            refused += 1
    assert refused > 100


def test_the_damaged_part_is_named_and_the_rest_is_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "a.pt"
    torch.save({"a.weight": torch.randn(32, 32), "b.weight": torch.ones(8, 8)}, path)
    whole = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as archive:
        whole[archive.getinfo("a/data/0").header_offset + 2000] ^= 1
    path.write_bytes(whole)
    for more in ([], ["--pattern", "2:4"]):
        assert main(["inspect", str(path), *more]) == 2
        printed = capsys.readouterr().out
        assert "the checksum of a/data/0 in it is wrong" in printed and " b " in printed


def test_files_without_checksums_are_read(tmp_path: Path) -> None:
    torch.serialization.set_crc32_options(False)
    try:
        torch.save({"a.weight": torch.randn(8, 8)}, tmp_path / "a.pt")
    finally:
        torch.serialization.set_crc32_options(True)
    assert [layer.name for layer in survey_checkpoint(tmp_path / "a.pt").layers] == ["a"]


def test_a_file_that_names_a_picture_is_a_plain_sentence(tmp_path: Path) -> None:
    name = b"x<img src='file:/dev/zero'>\x1b[31m"
    (tmp_path / "a.pt").write_bytes(b"\x80\x02c" + name + b"\nrun\n)R.")
    with pytest.raises(InspectionError, match="can run code") as caught:
        survey_checkpoint(tmp_path / "a.pt")
    assert "\x1b" not in str(caught.value)


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_pickles_of_every_protocol_are_read(tmp_path: Path, protocol: int) -> None:
    state = {"a.weight": torch.ones(8, 8), "set": {1, 2}, "bytes": b"x" * 300, 7: frozenset([1])}
    for zipped in (True, False):
        torch.save(
            state, tmp_path / "a.pt", pickle_protocol=protocol,
            _use_new_zipfile_serialization=zipped,
        )  # fmt: skip
        assert [layer.name for layer in survey_checkpoint(tmp_path / "a.pt").layers] == ["a"]


def test_a_header_of_safetensors_is_bounded_and_checked(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    for header in (
        b'{"a.weight":{"dtype":"F32","shape":[4611686018427387904,4],"data_offsets":[0,64]}}',
        b'{"a.weight":{"dtype":"F32","shape":[-4,-4],"data_offsets":[0,64]}}',
        b'{"a.weight":{"dtype":"F32","shape":[4,4],"data_offsets":[0,1e9]}}',
        b'{"a.weight":{"dtype":"F32","shape":[4,4.0],"data_offsets":[0,64]}}',
        b'{"a.weight":' + b"[" * 200_000,
    ):
        path.write_bytes(len(header).to_bytes(8, "little") + header + bytes(64))
        with pytest.raises(InspectionError):
            survey_checkpoint(path)
    path.write_bytes((1 << 40).to_bytes(8, "little") + b"{" + bytes(64))
    with pytest.raises(InspectionError):
        survey_checkpoint(path)
    save_file({"a.weight": torch.ones(4, 8)}, path)
    assert survey_checkpoint(path).layers


def test_nothing_is_created_by_a_pickle(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[Any, ...]:
            return Path.touch, (tmp_path / "sprung",)

    for content in (pickle.dumps({"a.weight": Trap()}), pickle.dumps(Trap(), 0)):
        write_torch(tmp_path / "a.pt", content)
        with pytest.raises(InspectionError):
            survey_checkpoint(tmp_path / "a.pt")
    assert not (tmp_path / "sprung").exists()
