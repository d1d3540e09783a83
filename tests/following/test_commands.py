"""Commands through the run folder: each is carried out once, by the process it is for."""

from __future__ import annotations

import json
import os
import platform
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lbc.config import Experiment
from lbc.following.commands import FILE, MOST_BYTES, CommandReader, send
from lbc.following.trainer_file import FILE as TRAINER
from lbc.following.trainer_file import TrainerInfo, trainer_of
from lbc.runs.events import Intervention, Steering
from lbc.runs.interventions import read_interventions
from lbc.runs.run_state import read_state
from tests.following.processes import LONG, Trained, wait

if sys.platform == "win32":
    pytest.skip("needs a fork server and kill", allow_module_level=True)

MakeExperiment = Callable[..., Experiment]
PIN = Intervention("pin", "hidden.0", 1, 0)


@pytest.fixture(scope="module")
def trained(quick: MakeExperiment, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trained]:
    """A run of minutes in a process of its own, paused."""
    folder = tmp_path_factory.mktemp("following") / "run"
    run = Trained(quick(**LONG), folder)
    run.pause()
    yield run
    run.kill()


def test_lbc_train_obeys_and_says_so(trained: Trained) -> None:
    info = trained.info
    assert info is not None
    assert (info.program, info.host) == ("lbc train", platform.node())
    assert info.label == f"lbc train on {platform.node()}, process {trained.process.pid}"
    before = trained.steps
    trained.send("step")
    wait(lambda: trained.steps == before + 1)
    trained.send(Intervention("pin", trained.layer, 1, 0))
    wait(lambda: len(read_interventions(trained.folder)) == 1)
    assert (trained.steps, trained.state) == (before + 1, "paused")
    trained.send("run")
    wait(lambda: trained.steps > before + 1)
    trained.pause()
    said = trained.output.read_text()
    for sentence in ("Training is paused", "One step is trained", "Training continues"):
        assert f"{sentence} by a command from another process." in said


def test_what_is_refused_is_said_to_whoever_asked(trained: Trained) -> None:
    before = trained.steps
    for impossible in (
        Intervention("pin", "no such layer", 0),
        Intervention("ban", trained.layer, 1 << 40, 1 << 40),
        Intervention("ban", trained.layer, -1, -1),
        Steering((("model.width", 3),)),
        Steering((("optimizer.lr", -1.0),)),
        Steering((("training.epochs", 10**30), ("schedule.end", float("nan")))),
    ):
        info = trained.info
        assert info is not None
        trained.send(impossible)
        wait(lambda: (now := trained.info) and now.notices == info.notices + 1)  # noqa: B023
        now = trained.info
        assert now is not None and now.notice.endswith(".")
    assert trained.steps == before and trained.state == "paused"


def test_hostile_lines_change_nothing(trained: Trained) -> None:
    info = trained.info
    assert info is not None
    before = trained.steps
    line = {"to": info.token, "id": "x", "command": "pause", "version": 1}
    with (trained.folder / FILE).open("ab") as file:
        for changed in (
            {"version": 2}, {"command": "exec"}, {"command": {"action": "pin"}}, {"id": ""},
            {"command": ["step"]}, {"to": 5}, {"command": {"action": "pin", "layer": 1}},
        ):  # fmt: skip
            file.write(json.dumps({**line, **changed}).encode() + b"\n")
        file.write(b"\xff\x00[" * 40_000 + info.token.encode() + b"[" * 100_000)
    trained.send("step")
    wait(lambda: trained.steps == before + 1)
    assert trained.state == "paused"


# -- the file -------------------------------------------------------------------------------------


def test_each_command_is_read_once_in_order_and_only_by_its_process(tmp_path: Path) -> None:
    mine, other = CommandReader(tmp_path, "mine"), CommandReader(tmp_path, "other")
    assert mine.read() == []
    send(tmp_path, "pause", "mine")
    send(tmp_path, "stop", "other")
    send(tmp_path, PIN, "mine")
    assert mine.read() == ["pause", PIN]
    assert mine.read() == []
    twice = (tmp_path / FILE).read_bytes()
    with (tmp_path / FILE).open("ab") as file:
        file.write(twice)
    assert mine.read() == []
    assert other.read() == ["stop"]


def test_a_line_that_a_killed_process_left_unfinished_is_skipped(tmp_path: Path) -> None:
    reader = CommandReader(tmp_path, "mine")
    send(tmp_path, "pause", "mine")
    whole = (tmp_path / FILE).read_bytes()
    (tmp_path / FILE).write_bytes(whole[:-9])
    assert reader.read() == []
    send(tmp_path, "stop", "mine")
    assert reader.read() == ["stop"]


def test_of_a_file_that_grows_enormously_the_end_is_read(tmp_path: Path) -> None:
    reader = CommandReader(tmp_path, "mine")
    with (tmp_path / FILE).open("wb") as file:
        file.truncate(1 << 40)
    send(tmp_path, "stop", "mine")
    assert reader.read() == ["stop"]
    (tmp_path / FILE).write_bytes(b"x" * (2 * MOST_BYTES))
    assert reader.read() == []


@given(st.binary(max_size=200))
def test_no_content_is_a_command_by_chance(content: bytes) -> None:
    reader = CommandReader(Path(), "mine")
    assert reader._parse(content) is None
    assert reader._parse(b"mine" + content) is None


@pytest.mark.parametrize("kind", ["link", "hard link", "pipe", "folder"])
def test_a_command_is_written_into_no_other_file(tmp_path: Path, kind: str) -> None:
    run, victim = tmp_path / "run", tmp_path / "victim"
    run.mkdir()
    victim.write_text("mine")
    match kind:
        case "link":
            (run / FILE).symlink_to(victim)
        case "hard link":
            (run / FILE).hardlink_to(victim)
        case "pipe":
            os.mkfifo(run / FILE)
        case _:
            (run / FILE).mkdir()
    with pytest.raises(OSError):
        send(run, "stop", "mine")
    assert victim.read_text() == "mine"
    assert CommandReader(run, "mine").read() == []


def test_a_trainer_of_another_version_is_not_commanded(trained: Trained) -> None:
    file = trained.folder / TRAINER
    written = json.loads(file.read_text())
    file.write_text(json.dumps({**written, "version": 2, "more": [1]}))
    other = trained.info
    assert other is not None and not other.commandable and other.pid == trained.process.pid
    for damaged in ("", "[]", json.dumps({**written, "pid": "x"}), json.dumps({"pid": 1 << 40})):
        file.write_text(damaged)
        assert trained.info == TrainerInfo()
    file.write_text(json.dumps({**written, "pid": 1 << 30}))  # of a process that is gone
    assert trained.info == TrainerInfo()
    file.write_text(json.dumps(written))


def test_a_run_is_killed_and_resumed_between_commands(trained: Trained) -> None:
    """The last of this process: commands to the killed one are for no other."""
    old = trained.info
    assert old is not None
    trained.kill()
    assert trainer_of(trained.folder) is None
    send(trained.folder, "stop", old.token)
    trained.start("--resume", trained.folder)
    before = trained.steps
    send(trained.folder, "stop", old.token)
    wait(lambda: trained.steps > before)
    assert trained.state == "running"
    trained.send("stop")
    wait(lambda: trained.info is None)
    assert read_state(trained.folder).status == "stopped"
