"""A damaged checkpoint is never used; a run resumes from the one before it."""

from __future__ import annotations

import random
import shutil
import struct
import warnings
import zipfile
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import pytest
import torch

from lbc.cli.main import main
from lbc.files.torch_zip import find_damage
from lbc.runs.events import Event, Resumed
from lbc.runs.weights import read_weights
from lbc.training.checkpoint import read_checkpoint
from lbc.training.failures import TrainingError
from lbc.training.trainer import Trainer
from tests.training.resumption import (
    MakeExperiment,
    assert_same_run,
    equal,
    refusal,
    stop_at,
    stored,
)

FLIPS = 600


@pytest.fixture(scope="module")
def stopped(quick: MakeExperiment, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("stopped") / "run"
    stop_at(11, quick(), run)
    return run


@pytest.fixture(scope="module")
def undisturbed(quick: MakeExperiment, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run that was not stopped."""
    run = tmp_path_factory.mktemp("undisturbed") / "run"
    Trainer(quick(), run).train()
    return run


@pytest.fixture
def run(stopped: Path, tmp_path: Path) -> Path:
    """A run of 16 steps that was stopped after 11, with the checkpoint of step 8 before it."""
    return Path(shutil.copytree(stopped, tmp_path / "run"))


def flips(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Copies with one flipped bit, most of them in the directory and the headers of the zip."""
    seed = random.randrange(1 << 30)
    print("flips from seed", seed)
    generator = random.Random(seed)
    with zipfile.ZipFile(BytesIO(data)) as archive:
        directory, parts = archive.start_dir, archive.infolist()
    for k in range(FLIPS):
        header = generator.choice(parts).header_offset
        at = generator.choice(
            (
                generator.randrange(len(data)),
                generator.randrange(directory, len(data)),
                header + generator.randrange(96),
            )
        )
        bit = 1 << (k % 8)
        yield at, data[:at] + bytes([data[at] ^ bit]) + data[at + 1 :]


def test_no_single_flipped_bit_is_loaded_as_other_content(run: Path) -> None:
    file = run / "checkpoint.pt"
    whole, refused = stored(run), 0
    for at, damaged in flips(file.read_bytes()):
        try:
            found = read_checkpoint(damaged, file)
        except TrainingError:
            refused += 1
        else:  # a bit that nothing reads, such as one of a date
            assert equal(found.model, whole["model"]), at
            assert equal(found.optimizer, whole["optimizer"]), at
            assert (found.step, found.experiment) == (11, whole["experiment"]), at
    assert refused > FLIPS / 3


def test_a_flipped_bit_in_each_part_is_refused_by_name(run: Path, quick: MakeExperiment) -> None:
    file = run / "checkpoint.pt"
    (run / "checkpoint.previous.pt").unlink()
    good = file.read_bytes()
    with zipfile.ZipFile(BytesIO(good)) as archive:
        parts = archive.infolist()
    for part in parts:
        header = good[part.header_offset : part.header_offset + 30]
        start = part.header_offset + 30 + sum(struct.unpack("<HH", header[26:30]))
        middle = start + part.file_size // 2
        file.write_bytes(good[:middle] + bytes([good[middle] ^ 64]) + good[middle + 1 :])
        message = refusal(quick(), run)
        assert f"its part '{part.filename}' differs from its checksum" in message
    assert main(["export", str(run), "--out", str(run / "out.safetensors")]) == 2
    assert read_weights(run, "hidden.0", 11 / 8) is None
    file.write_bytes(good)
    assert read_weights(run, "hidden.0", 11 / 8) is not None


def test_a_part_that_claims_to_be_a_folder_is_refused(run: Path) -> None:
    data = (run / "checkpoint.pt").read_bytes()
    with zipfile.ZipFile(BytesIO(data)) as archive:
        at = archive.start_dir + 38  # the external attributes of the first part
    assert "differs" in (find_damage(BytesIO(data[:at] + b"\x10" + data[at + 1 :])) or "")
    assert find_damage(BytesIO(data)) is None


def test_a_compressed_part_is_refused_without_expanding_it(run: Path) -> None:
    bomb = BytesIO()
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", bytes(50_000_000))
    with pytest.raises(TrainingError, match="has a compressed part"):
        read_checkpoint(bomb.getvalue(), run / "checkpoint.pt")


def test_a_byte_array_of_any_size_is_not_made(run: Path) -> None:
    bomb = BytesIO()
    size = (20_000_000_000).to_bytes(5, "little")
    with zipfile.ZipFile(bomb, "w") as archive:
        pickled = b"\x80\x02c__builtin__\nbytearray\n\x8a\x05" + size + b"\x85R."
        archive.writestr("archive/data.pkl", pickled)
    with pytest.raises(TrainingError, match="makes byte arrays"):
        read_checkpoint(bomb.getvalue(), run / "checkpoint.pt")


@pytest.mark.parametrize("damage", ["a flipped bit", "cut off", "empty", "missing"])
def test_a_run_resumes_from_the_checkpoint_before_to_the_same_bits(
    quick: MakeExperiment, run: Path, undisturbed: Path, damage: str
) -> None:
    file = run / "checkpoint.pt"
    good = file.read_bytes()
    file.unlink()
    if damage != "missing":
        bad = good[:30_000] + bytes([good[30_000] ^ 1]) + good[30_001:]
        file.write_bytes({"a flipped bit": bad, "cut off": good[:-1], "empty": b""}[damage])
    events: list[Event] = []
    Trainer(quick(), run, emit=events.append, resume=True).train()
    (resumed,) = (event for event in events if isinstance(event, Resumed))
    assert resumed.steps[-1].step == 8
    assert resumed.warning.startswith(str(file))
    assert "resumes from the checkpoint before it, checkpoint.previous.pt." in resumed.warning
    assert_same_run(run, undisturbed)


def test_the_command_line_says_from_which_checkpoint_it_resumes(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (run / "checkpoint.pt").write_bytes(b"")
    assert main(["train", "--resume", str(run)]) == 0
    assert "resumes from the checkpoint before it" in capsys.readouterr().out.replace("\n", " ")


def test_if_both_are_damaged_the_newest_is_named(run: Path, quick: MakeExperiment) -> None:
    for name in ("checkpoint.pt", "checkpoint.previous.pt"):
        (run / name).write_bytes((run / name).read_bytes()[:5000])
    before = {file.name: file.read_bytes() for file in run.glob("*.*")}
    assert f"{run / 'checkpoint.pt'} is truncated" in refusal(quick(), run)
    assert {file.name: file.read_bytes() for file in run.glob("*.*")} == before


def test_every_checkpoint_keeps_the_one_before(run: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        before = torch.load(run / "checkpoint.previous.pt", weights_only=True)
    assert (before["step"], stored(run)["step"]) == (8, 11)
