"""The copy of a run on a server: complete, however often the connection breaks."""

from __future__ import annotations

import random
import shutil
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import torch

from lbc.following.block_sums import BLOCK
from lbc.following.mirror import Mirror
from lbc.runs.history_reader import Replay
from lbc.runs.history_writer import HistoryWriter
from lbc.runs.metrics import STEP_COLUMNS
from lbc.runs.mirror_state import read_mirror
from lbc.runs.records import RecordWriter
from lbc.runs.run_state import RunError
from lbc.runs.unfinished_run import being_trained, open_unfinished
from tests.comparison.recorded_runs import record_search
from tests.following.sources import (
    Servers,
    add_rows,
    begin_run,
    end_run,
    mirror_of,
    program,
    same,
    wait_for,
)
from tests.runs.searches import disturb, searched
from tests.ssh_server import HOST, running_sshd

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the relay needs Unix sockets")


@pytest.fixture
def run(tmp_path: Path) -> Path:
    begin_run(tmp_path / "run")
    return tmp_path / "run"


@pytest.fixture
def servers(tmp_path: Path, run: Path) -> Iterator[Servers]:
    with closing(Servers(run, tmp_path / "socket")) as servers:
        yield servers


@pytest.fixture
def mirror(tmp_path: Path, run: Path, servers: Servers) -> Iterator[Mirror]:
    with closing(mirror_of(run, tmp_path / "copy", servers.command)) as mirror:
        yield mirror


def test_fifty_broken_connections_lose_nothing(
    run: Path, servers: Servers, mirror: Mirror, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lbc.following.mirror.FIRST_PAUSE", 0.005)
    choice = random.Random(7)
    servers.breaks += [choice.randrange(1, 6000) for _ in range(50)]
    torch.manual_seed(0)
    sparsifier, infos = searched("2:4")
    history = HistoryWriter(run / "scores.history", infos, 30)
    mirror.start()
    moment = 0
    while servers.breaks:
        if moment == 15:  # as when a run is resumed from its checkpoint
            history.truncate(5, False)
            with closing(RecordWriter(run / "steps.records", STEP_COLUMNS)) as steps:
                steps.truncate(20)
        disturb(sparsifier)
        history.append(float(moment), sparsifier)
        add_rows(run, 10, float(moment))
        seen = servers.count
        wait_for(lambda: servers.count > seen or not servers.breaks)  # noqa: B023
        moment += 1
    history.close()
    end_run(run)
    wait_for(lambda: same(run, mirror.folder) and mirror.state.connected)
    assert servers.count > 50
    assert not mirror.state.message
    copied, written = Replay(mirror.folder).moments, Replay(run).moments
    assert copied == written
    assert len(written) > 15


def test_a_run_that_was_resumed_and_has_grown_longer_is_copied_anew(
    run: Path, mirror: Mirror
) -> None:
    add_rows(run, 2 * BLOCK // 40, 1.0)
    mirror.start()
    wait_for(lambda: same(run, mirror.folder))
    with closing(RecordWriter(run / "steps.records", STEP_COLUMNS)) as steps:
        steps.truncate(100)
    add_rows(run, 2 * BLOCK // 40 + 50, 2.0)
    wait_for(lambda: same(run, mirror.folder))


def test_a_copy_from_before_is_completed(run: Path, mirror: Mirror, tmp_path: Path) -> None:
    add_rows(run, 2 * BLOCK // 40, 1.0)
    shutil.copytree(run, mirror.folder)
    file = mirror.folder / "steps.records"
    damaged = bytearray(file.read_bytes())
    damaged[BLOCK + 7] ^= 1
    file.write_bytes(damaged + b"more than there is on the server")
    mirror.start()
    wait_for(lambda: same(run, mirror.folder))


def test_a_run_says_that_it_has_ended_only_after_its_last_rows(run: Path, mirror: Mirror) -> None:
    add_rows(run, 4 * BLOCK // 40)
    end_run(run)
    mirror.start()
    wait_for((mirror.folder / "run.json").exists)
    assert (mirror.folder / "steps.records").read_bytes() == (run / "steps.records").read_bytes()


def test_whether_it_is_trained_is_known_from_the_server(run: Path, mirror: Mirror) -> None:
    mirror.start()
    wait_for(lambda: mirror.state.ready)
    assert not being_trained(mirror.folder)
    with closing(RecordWriter(run / "steps.records", STEP_COLUMNS)):
        wait_for(lambda: being_trained(mirror.folder))
    wait_for(lambda: not being_trained(mirror.folder))
    with pytest.raises(RunError, match=r"is a copy of ssh://gpu-07/.*: resume the run there\."):
        open_unfinished(mirror.folder)


def test_a_run_that_is_deleted_leaves_the_copy(run: Path, mirror: Mirror) -> None:
    add_rows(run, 10)
    mirror.start()
    wait_for(lambda: mirror.state.ready)
    shutil.rmtree(run)
    wait_for(lambda: mirror.state.over)
    assert mirror.state.message == f"gpu-07: {run} was deleted on the server."
    assert (mirror.folder / "steps.records").stat().st_size > 400
    assert not mirror.state.trained


def test_a_silent_server_is_noticed_in_seconds(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lbc.following.connection.SILENCE_SECONDS", 0.5)
    silent = 'print(\'@lbc-follow {"protocol": 1, "version": "1"}\', flush=True)\n'
    command = program(f"{silent}import time\ntime.sleep(60)")
    with closing(mirror_of(run, tmp_path / "copy", command)) as mirror:
        mirror.start()
        wait_for(lambda: bool(mirror.state.message), seconds=5)
        assert mirror.state.message.startswith("The connection to gpu-07 broke (no answer for ")
        assert not mirror.state.over


def test_links_in_the_folder_are_not_followed(run: Path, mirror: Mirror, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    for name in ("library.json", "scores.history"):
        (run / name).symlink_to(tmp_path / "secret")
    mirror.start()
    wait_for(lambda: mirror.state.ready)
    mirror.close()
    assert not any(path.read_bytes() == b"secret" for path in mirror.folder.iterdir())


def test_a_finished_run_is_copied_by_the_command(tmp_path: Path) -> None:
    run = tmp_path / "run"
    record_search(run)
    begin_run(run)
    command = [sys.executable, "-m", "lbc", "follow", str(run)]
    with closing(mirror_of(run, tmp_path / "copy", command)) as mirror:
        mirror.start()
        wait_for(lambda: mirror.state.ready and same(run, mirror.folder))
    known = read_mirror(mirror.folder)
    assert known is not None
    assert not known.connected


def test_a_run_on_an_ssh_server_is_copied_through_broken_connections(
    tmp_path: Path, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lbc.following.address import Address

    add_rows(run, 1000)
    with running_sshd(tmp_path, monkeypatch, f"PYTHONPATH={ROOT}"):
        address = Address.parse(f"ssh://{HOST}{run}?python={sys.executable}")
        with closing(Mirror(address, tmp_path / "copy")) as mirror:
            mirror.start()
            wait_for(lambda: mirror.state.ready and same(run, mirror.folder))
            assert mirror._connection is not None
            mirror._connection._process.kill()
            wait_for(lambda: not mirror.state.connected)
            assert mirror.state.message.startswith(f"The connection to {HOST} broke (")
            add_rows(run, 1000)
            wait_for(lambda: mirror.state.connected and same(run, mirror.folder))
            assert not mirror.state.message
