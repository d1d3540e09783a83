"""Files that users name keep their links, and pipes and devices are never replaced."""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path

import pytest
import torch

from lbc.cli.main import main
from lbc.files.atomic import write_atomically
from lbc.latency.files import save_measurements

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs links and pipes")

ESTIMATE = ["latency", "estimate", "--shapes", "4096x4096x4096"]


@pytest.fixture
def linked(tmp_path: Path) -> tuple[Path, Path]:
    """A link, and the file in another folder that it leads to through a second one."""
    real = tmp_path / "elsewhere" / "real"
    real.parent.mkdir()
    real.write_text("important")
    (tmp_path / "second").symlink_to(real)
    (tmp_path / "link").symlink_to("second")
    return tmp_path / "link", real


@pytest.fixture
def pipe(tmp_path: Path) -> Path:
    os.mkfifo(tmp_path / "pipe")
    return tmp_path / "pipe"


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """Of a layer that violates the 1:4 that it is checked for."""
    torch.save({"fc.weight": torch.ones(8, 8)}, tmp_path / "dense.pt")
    return tmp_path / "dense.pt"


def test_a_link_that_the_user_named_stays_and_its_target_is_replaced(
    linked: tuple[Path, Path],
) -> None:
    link, real = linked
    write_atomically(link, lambda file: file.write(b"new"), follow=True)
    assert link.is_symlink() and real.read_bytes() == b"new" and not real.is_symlink()
    with pytest.raises(ZeroDivisionError):
        write_atomically(link, lambda file: file.write(b"half") // 0, follow=True)
    assert real.read_bytes() == b"new" and [*real.parent.iterdir()] == [real]


def test_a_link_to_a_file_that_is_still_to_be_written_stays(linked: tuple[Path, Path]) -> None:
    link, real = linked
    real.unlink()
    save_measurements(link, ())
    assert link.is_symlink() and "measurements" in real.read_text()


def test_a_link_in_a_folder_of_the_program_is_replaced_and_its_target_kept(
    linked: tuple[Path, Path],
) -> None:
    link, real = linked
    write_atomically(link, lambda file: file.write(b"new"))
    assert not link.is_symlink() and link.read_bytes() == b"new"
    assert real.read_text() == "important"


@pytest.mark.parametrize("follow", [False, True])
def test_what_is_no_regular_file_is_refused_before_anything_is_written(
    pipe: Path, follow: bool
) -> None:
    calls: list[object] = []
    folder = pipe.with_name("folder")
    folder.mkdir()
    for path, why in ((pipe, "it is not a regular file"), (folder, "Is a directory")):
        with pytest.raises(OSError, match=why):
            write_atomically(path, calls.append, follow=follow)
    assert stat.S_ISFIFO(pipe.stat().st_mode) and not calls
    assert sorted(path.name for path in pipe.parent.iterdir()) == ["folder", "pipe"]


def test_a_link_to_a_pipe_and_a_loop_are_refused(pipe: Path) -> None:
    link, loop = pipe.with_name("link"), pipe.with_name("loop")
    link.symlink_to(pipe)
    loop.symlink_to(loop)
    for path, why in ((link, "it is not a regular file"), (loop, "Too many levels")):
        with pytest.raises(OSError, match=why):
            write_atomically(path, lambda file: file.write(b"new"), follow=True)
        assert path.is_symlink()


def test_commands_write_to_no_file_that_exists(
    checkpoint: Path, linked: tuple[Path, Path], pipe: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    link, real = linked
    run = ["latency", "run", "--device", "cpu", "--shapes", "8x8x8"]
    for command in (
        ["inspect", str(checkpoint), "--pattern", "1:4", "--violations"],
        ["inspect", str(checkpoint), "--violations"],
        ["inspect", str(checkpoint), "--write-dense"],
        [*ESTIMATE, "--json"],
        [*run, "--json"],
        [*run, "--csv"],
    ):
        for path in (link, real, pipe):
            assert main([*command, str(path)]) == 2
            printed = capsys.readouterr().err
            assert str(path) in printed and "exists" in printed
    assert link.is_symlink() and real.read_text() == "important"
    assert stat.S_ISFIFO(pipe.stat().st_mode)


def test_commands_write_through_a_link_to_a_new_file(
    checkpoint: Path, linked: tuple[Path, Path]
) -> None:
    link, real = linked
    for command, status in (
        (["inspect", str(checkpoint), "--pattern", "1:4", "--violations", str(link)], 1),
        (["inspect", str(checkpoint), "--write-dense", str(link)], 0),
        ([*ESTIMATE, "--json", str(link)], 0),
    ):
        real.unlink()
        assert main(command) == status
        assert link.is_symlink() and real.is_file() and not real.is_symlink()
