"""What the operating system refuses is explained by its own reason, with its own remedy."""

from __future__ import annotations

import errno
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lbc import config
from lbc.cli.main import main
from lbc.config import Experiment
from lbc.data import DataError, describe, load
from lbc.files.os_errors import explain, remedy
from lbc.training.failures import TrainingError
from lbc.training.trainer import Trainer

NOBODY = 65534

EACH = {
    errno.ENOSPC: "free disk space",
    errno.EDQUOT: "quota",
    errno.EACCES: "permissions",
    errno.EPERM: "owner",
    errno.EROFS: "that can be written",
    errno.ENAMETOOLONG: "shorter name",
    errno.ENOTDIR: "is a file",
    errno.EIO: "check the disk",
}


COMMANDS = [
    ["train", "q.yaml"],
    ["layers", "q.yaml"],
    ["compare", "q.yaml"],
    ["latency", "show", "m.json"],
    ["train", "closed/q.yaml"],
    ["report", "closed/inner"],
    ["train", "--resume", "closed/inner"],
    ["export", "closed/inner"],
]


@pytest.mark.parametrize("number", EACH)
def test_each_reason_has_its_own_remedy(number: int) -> None:
    error = OSError(number, os.strerror(number), "x")
    assert explain(error, "x failed") == f"x failed ({os.strerror(number)}): {remedy(error)}."
    assert [one for one in EACH if EACH[one] in remedy(error)] == [number]


@pytest.fixture
def unprivileged() -> Iterator[Path]:
    """A folder of a user whom permissions bind, which those of root do not."""
    if sys.platform == "win32":
        pytest.skip("needs permissions of POSIX")
    folder = Path(tempfile.mkdtemp())
    root = os.geteuid() == 0
    if root:
        for command in COMMANDS:  # import what that user may be unable to read
            main([*command[:-1], str(folder / "missing")])
        os.chown(folder, NOBODY, NOBODY)
        os.seteuid(NOBODY)
    yield folder
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o700)
    if root:
        os.seteuid(0)
    shutil.rmtree(folder)


def test_an_unwritable_folder_is_not_reported_as_a_full_disk(
    unprivileged: Path, quick: Callable[..., Experiment]
) -> None:
    unprivileged.chmod(0o500)
    with pytest.raises(TrainingError) as caught:
        Trainer(quick(), unprivileged / "run").train()
    assert str(caught.value) == (
        f"The run could not be written to {unprivileged / 'run'} (Permission denied): change its "
        "permissions, or choose another. Earlier data is kept."
    )


def test_a_file_where_a_folder_is_expected(
    tmp_path: Path, quick: Callable[..., Experiment]
) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(TrainingError, match="Not a directory") as caught:
        Trainer(quick(), tmp_path / "file" / "run").train()
    assert "space" not in str(caught.value)


def test_unreadable_files_are_not_called_missing(
    unprivileged: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("q.yaml", "a.npz", "m.safetensors", "m.pt", "m.onnx", "m.json"):
        (unprivileged / name).write_bytes(b"")
        (unprivileged / name).chmod(0)
    inner = unprivileged / "closed" / "inner"
    inner.mkdir(parents=True)
    inner.parent.chmod(0)
    for *command, name in COMMANDS:
        assert main([*command, str(unprivileged / name)]) in (1, 2)
        said = capsys.readouterr().err
        assert "Permission denied" in said and str(unprivileged) in said, command
    for source in (
        config.NpzFile(file=unprivileged / "a.npz"),
        config.IdxFiles(folder=inner),
        config.Cifar10(folder=inner),
        config.ImageFolder(folder=inner),
    ):
        for read in (load, describe):
            with pytest.raises(DataError, match="Permission denied"):
                read(source)
