"""The files of a queue, written by several processes, damaged, or on a full disk."""

from __future__ import annotations

import json
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from lbc.config import Experiment, parse_experiment
from lbc.queue.commands import (
    add,
    add_group,
    add_repetition,
    add_variations,
    clear,
    move,
    read_queue,
    steer,
)
from lbc.queue.entries import Queue
from lbc.queue.queue_file import QueueFile
from tests import warm

MakeExperiment = Callable[..., Experiment]


@pytest.fixture
def runs(tmp_path: Path, quick: MakeExperiment) -> Path:
    """A queue of a group of two, then a run of its own."""
    add_group(tmp_path / "runs", "rates 🜲\n", quick(), {"optimizer.lr": [0.1, 0.2]})
    add(tmp_path / "runs", quick(seed=5))
    return tmp_path / "runs"


def test_entries_are_kept_with_their_experiments(runs: Path) -> None:
    queue = read_queue(runs)
    assert [entry.id for entry in queue.entries] == [1, 2, 3]
    assert [entry.group for entry in queue.entries] == ["rates 🜲\\n"] * 2 + [""]
    assert [entry.varied for entry in queue.entries] == ["optimizer.lr=0.1", "optimizer.lr=0.2", ""]
    assert len({entry.folder for entry in queue.entries}) == 3
    file = QueueFile(runs)
    assert [file.experiment_of(entry).optimizer.lr for entry in queue.entries] == [0.1, 0.2, 0.1]
    assert file.experiment_of(queue.entries[2]).seed == 5
    assert sorted(path.name for path in runs.iterdir()) == [".queue", "queue.json"]


def test_variations_get_a_name_that_no_group_has(tmp_path: Path, quick: MakeExperiment) -> None:
    for _ in range(2):
        add_variations(tmp_path, quick(), {"optimizer.lr": [0.1]}, seeds=2)
    groups = [entry.group for entry in read_queue(tmp_path).entries]
    assert groups == ["quick: optimizer.lr"] * 2 + ["quick: optimizer.lr (2)"] * 2


def test_a_repetition_has_a_seed_that_no_run_and_no_entry_has(
    tmp_path: Path, quick: MakeExperiment
) -> None:
    experiment, other = quick(), quick(schedule={"end": 1})
    add(tmp_path, other.model_copy(update={"seed": 9}))  # which has other settings
    entries = [add_repetition(tmp_path, experiment, seeds={0, 2}) for _ in range(2)]
    (QueueFile(tmp_path).file_of(entries[0].id, "yaml")).unlink()
    entries.append(add_repetition(tmp_path, experiment))
    read = QueueFile(tmp_path).experiment_of
    assert [read(entry).seed for entry in entries[1:]] == [4, 5]


def test_a_cancelled_entry_leaves_no_folder_and_a_cleared_one_no_file(runs: Path) -> None:
    steer(runs, "cancel", {1, 3})
    assert [entry.id for entry in clear(runs).entries] == [2]
    assert sorted(path.name for path in (runs / ".queue").iterdir()) == ["2.yaml", "lock"]
    assert sorted(path.name for path in runs.iterdir()) == [".queue", "queue.json"]


def test_a_file_cut_off_at_any_byte_is_restored(runs: Path) -> None:
    expected = steer(runs, "pause", {2})
    content = (runs / "queue.json").read_bytes()
    for size in range(len(content) - 2):
        (runs / "queue.json").write_bytes(content[:size])
        queue = read_queue(runs)
        assert queue == expected, size
        assert queue.notice.startswith("The file of the queue was damaged")
        assert "\n" not in queue.notice
    # Whoever changes it keeps the damaged file, and the notice stays as long as that file.
    queue = steer(runs, "resume", {2})
    kept = runs / ".queue" / "damaged-1.json"
    assert kept.read_bytes() == content[: len(content) - 3]
    assert json.loads((runs / "queue.json").read_text())["version"] == 1
    assert [entry.state for entry in queue.entries] == ["waiting"] * 3
    assert str(kept) in queue.notice and str(kept) in read_queue(runs).notice
    kept.unlink()
    assert read_queue(runs) == queue and not read_queue(runs).notice


@pytest.mark.parametrize(
    "damage",
    [
        lambda document: document | {"version": 2, "jobs": {"cpu": 2}},
        lambda document: document | {"version": 0},
        lambda document: document | {"jobs": 0},
        lambda document: document | {"entries": document["entries"] * 2},
        lambda document: document | {"entries": [document["entries"][0] | {"folder": "../x"}]},
        lambda document: document | {"entries": [document["entries"][0] | {"state": "asleep"}]},
        lambda document: document["entries"],
        lambda document: None,
    ],
)
def test_a_newer_or_impossible_file_is_restored(
    runs: Path, damage: Callable[[dict[str, list[dict[str, object]]]], object]
) -> None:
    expected = read_queue(runs)
    (runs / "queue.json").write_text(
        json.dumps(damage(json.loads((runs / "queue.json").read_text())))
    )
    assert read_queue(runs) == expected and read_queue(runs).notice
    assert move(runs, {3}, "top").entries[0].id == 3
    assert (runs / ".queue" / "damaged-1.json").is_file()


def test_a_deleted_file_is_restored_and_no_folder_is_an_empty_queue(runs: Path) -> None:
    expected = steer(runs, "cancel", {2})
    (runs / "queue.json").unlink()
    assert read_queue(runs) == expected and not read_queue(runs).notice
    assert steer(runs, "pause").count("paused") == 2
    shutil.rmtree(runs)
    assert read_queue(runs) == Queue()
    assert not runs.exists()


def test_a_damaged_entry_harms_no_other(runs: Path) -> None:
    (runs / "queue.json").unlink()
    first, second, third = (runs / ".queue" / f"{number}.yaml" for number in (1, 2, 3))
    first.write_bytes(b"# Entry of the qu" + first.read_bytes()[80:])
    second.write_bytes(second.read_bytes()[:100])
    third.rename(third.with_name("30.yaml"))
    one, two, three = read_queue(runs).entries
    assert (one.state, one.name, one.epochs) == ("paused", "quick", 2)
    assert "resume it if you want it" in one.reason
    assert two.state == "failed" and "2.yaml" in two.reason
    assert (three.id, three.state) == (30, "waiting")
    for name in ("0", "9" * 20, "٣", "x"):  # no numbers of entries
        (runs / ".queue" / f"{name}.yaml").write_text("mine")
    move(runs, {30}, "top")
    assert [entry.id for entry in read_queue(runs).entries] == [30, 1, 2]
    assert not read_queue(runs).notice


@pytest.mark.skipif(sys.platform == "win32", reason="needs limits on file sizes")
def test_a_full_disk_changes_nothing(runs: Path, quick: MakeExperiment) -> None:
    import resource

    before = read_queue(runs)
    files = sorted((runs / ".queue").iterdir())
    free = resource.getrlimit(resource.RLIMIT_FSIZE)
    for size in (0, 400, 3000):  # no entry, a part of one, and all, but no queue.json
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, free[1]))
        try:
            with pytest.raises(OSError):
                add_group(runs, "more", quick(), {}, seeds=20)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, free)
        assert read_queue(runs) == before
        assert sorted((runs / ".queue").iterdir()) == files


def write_often(runs: Path, number: int) -> None:
    """Add, move, pause and clear in a process of its own."""
    experiment = parse_experiment({"name": f"by-{number}"})
    for turn in range(3):
        own = [add(runs, experiment).id for _ in range(2)]
        move(runs, own, "up" if turn % 2 else "top")
        steer(runs, "cancel", own[:1])
        clear(runs, own[:1])


@pytest.mark.skipif(sys.platform == "win32", reason="needs a fork server")
def test_processes_that_write_at_once_lose_nothing(tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    processes = [warm.start(write_often, runs, number) for number in range(3)]
    while any(process.is_alive() for process in processes):
        ids = [entry.id for entry in read_queue(runs).entries]
        assert len(set(ids)) == len(ids)
        time.sleep(0.01)
    assert [process.exitcode for process in processes] == [0] * 3
    queue = read_queue(runs)
    names = sorted(entry.name for entry in queue.entries)
    assert names == ["by-0"] * 3 + ["by-1"] * 3 + ["by-2"] * 3
    file = QueueFile(runs)
    for entry in queue.entries:
        assert file.experiment_of(entry).name == entry.name
    (runs / "queue.json").unlink()
    assert set(read_queue(runs).entries) == set(queue.entries)
