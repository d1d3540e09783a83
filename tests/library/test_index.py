"""The library knows every run below a folder; the folders are the truth, the index a cache."""

from __future__ import annotations

import os
import random
import shutil
import sqlite3
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from zlib import crc32

import pytest

from lbc.library.index import Library
from lbc.library.index_file import IndexFile
from lbc.runs.annotations import change_annotations
from lbc.runs.run_state import RunError
from tests.library.run_folders import write_run


def names(library: Library) -> list[str]:
    return [run.folder.relative_to(library.folder).as_posix() for run in library.runs()]


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    for name in ("b", "a", "group/x", "deep/er/y"):
        write_run(tmp_path / "runs" / name, {"seed": len(name)})
    return tmp_path / "runs"


def test_runs_at_any_depth_up_to_three_are_found(runs: Path) -> None:
    write_run(runs / "too/deep/for/it")
    write_run(runs / "a" / "inside")  # part of another run
    write_run(runs / ".a.123.tmp")  # a fork that is being written
    (runs / "notes").mkdir()
    (runs / "experiment.yaml").touch()
    library = Library(runs)
    assert library.runs() == ()
    changes = library.refresh()
    assert names(library) == ["a", "b", "deep/er/y", "group/x"]
    assert set(changes.changed) == set(library.runs()) and not changes.removed
    assert not library.refresh()


def test_links_are_followed_once_and_only_out_of_the_folder(runs: Path, tmp_path: Path) -> None:
    write_run(tmp_path / "scratch/z")
    for link, target in (
        ("loop", runs), ("up", tmp_path), ("latest", runs / "a"), ("out", tmp_path / "scratch"),
        ("again", tmp_path / "scratch"), ("broken", tmp_path / "nothing"), ("self", runs / "self"),
    ):  # fmt: skip
        (runs / link).symlink_to(target)
    (tmp_path / "scratch/back").symlink_to(tmp_path / "scratch")
    library = Library(runs)
    library.refresh()
    found = {*names(library)}
    assert found - {"again/z", "out/z"} == {"a", "b", "deep/er/y", "group/x"}
    assert len(found) == 5


def test_a_second_library_knows_the_runs_at_once(runs: Path) -> None:
    change_annotations(runs / "a", lambda old: replace(old, tags=("x", "ü‮"), star=True))
    first = Library(runs)
    first.refresh()
    second = Library(runs)
    assert second.runs() == first.runs()
    assert second.runs()[0].annotations.tags == ("x", "ü‮")
    assert not second.refresh()


def test_the_newest_runs_are_known_before_the_rest(runs: Path) -> None:
    for day, name in enumerate(("b", "deep/er/y", "a"), start=1):
        write_run(runs / name, started=f"2026-11-0{day}")
    first = Library(runs)
    assert first.newest(2) == ()
    first.refresh()
    for library in (first, Library(runs)):
        assert [run.folder.name for run in library.newest(2)] == ["a", "y"]
    path = IndexFile(runs).path
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE runs SET plain = '[' WHERE path = ?", (b"a",))
    assert [run.folder.name for run in Library(runs).newest(2)] == ["y", "b"]


def test_what_has_changed_is_read_again(runs: Path) -> None:
    library = Library(runs)
    library.refresh()
    change_annotations(runs / "b", lambda old: replace(old, star=True))
    write_run(runs / "new")
    shutil.rmtree(runs / "a")
    changes = library.refresh()
    assert {run.folder.name for run in changes.changed} == {"b", "new"}
    assert changes.removed == (runs / "a",)
    assert names(library) == ["b", "deep/er/y", "group/x", "new"]


def test_clocks_do_not_matter(runs: Path) -> None:
    library = Library(runs)
    library.refresh()
    write_run(runs / "a", {"seed": 7})
    for year, file in ((1971, "run.json"), (2200, "experiment.yaml")):
        os.utime(runs / "a" / file, ((year - 1970) * 3e7,) * 2)
    assert [run.seed for run in library.refresh().changed] == [7]
    assert not library.refresh()


@pytest.mark.skipif(sys.platform == "win32", reason="needs the time of the last change")
def test_what_has_changed_without_a_new_time_or_size_is_read_again(runs: Path) -> None:
    library = Library(runs)
    library.refresh()
    file = runs / "a" / "run.json"
    before = file.stat()
    file.write_text(file.read_text().replace('"accuracy": 0.5', '"accuracy": 0.7'))
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert file.stat().st_size == before.st_size
    assert [run.accuracy for run in library.refresh().changed] == [0.7]


def test_a_running_run_whose_process_ends_is_cut_off(runs: Path) -> None:
    from lbc.files.append_file import AppendFile

    write_run(runs / "a", status="running", epoch=1)
    trainer = AppendFile(runs / "a" / "steps.records")
    assert trainer.lock()
    library = Library(runs)
    library.refresh()
    assert library.runs()[0].status == "running"
    trainer.close()
    assert [run.status for run in library.refresh().changed] == ["cut off"]
    assert not library.refresh()


def damage(index: Path) -> None:
    index.write_bytes(b"nonsense" * 2000)


def flip_bytes(index: Path) -> None:
    chance = random.Random(0)
    data = bytearray(index.read_bytes())
    for _ in range(40):
        data[chance.randrange(len(data))] ^= 0xFF
    index.write_bytes(data)


def other_table(index: Path) -> None:
    with sqlite3.connect(index) as connection:
        connection.execute("DROP TABLE runs")
    connection.close()


def other_version(index: Path) -> None:
    with sqlite3.connect(index) as connection:
        connection.execute("PRAGMA user_version = 1")
    connection.close()


def cut_off(index: Path) -> None:
    os.truncate(index, index.stat().st_size // 2)


def nest_deeply(index: Path) -> None:
    with sqlite3.connect(index) as connection:
        rows = connection.execute("SELECT path, stamp, base, accuracies FROM runs").fetchall()
        for path, stamp, base, accuracies in rows:
            plain = b"[" * 100_000
            checksum = crc32(b"".join((path, stamp, base, plain, accuracies)))
            connection.execute(
                "UPDATE runs SET plain = ?, checksum = ? WHERE path = ?", (plain, checksum, path)
            )
    connection.close()


def replace_by_folder(index: Path) -> None:
    index.unlink()
    index.mkdir()


@pytest.mark.parametrize(
    "harm",
    [
        Path.unlink,
        damage,
        flip_bytes,
        other_table,
        other_version,
        cut_off,
        nest_deeply,
        replace_by_folder,
    ],
)
@pytest.mark.parametrize("open_already", [False, True])
def test_whatever_happens_to_the_index_the_library_is_right(
    runs: Path, harm: Callable[[Path], None], open_already: bool
) -> None:
    first = Library(runs)
    first.refresh()
    harm(IndexFile(runs).path)
    library = first if open_already else Library(runs)
    write_run(runs / "c")
    assert set(library.runs()) <= {*first.runs()}
    library.refresh()
    assert names(library) == ["a", "b", "c", "deep/er/y", "group/x"]
    if harm is not replace_by_folder:
        library.refresh()
        write_run(runs / "d")
        library.refresh()
        assert set(library.runs()) >= set(Library(runs).runs())
        third = Library(runs)
        third.refresh()
        assert third.runs() == library.runs()
        assert Library(runs).runs() == library.runs()


def test_without_a_cache_folder_the_library_works(
    runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    library = Library(runs)
    library.refresh()
    assert len(library.runs()) == 4 and Library(runs).runs() == ()


def test_an_index_that_stays_locked_is_waited_for_once(
    runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lbc.library.index_file.LOCK_SECONDS", 0.3)
    monkeypatch.setattr("lbc.library.index.BATCH", 1)
    for number in range(36):
        write_run(runs / f"more-{number}")
    Library(runs).refresh()
    with closing(sqlite3.connect(IndexFile(runs).path)) as other:
        other.execute("BEGIN EXCLUSIVE")
        library = Library(runs)
        begun = time.monotonic()
        library.refresh()
        assert 0.3 <= time.monotonic() - begun < 40 * 0.3  # there are forty batches
    assert len(library.runs()) == 40
    write_run(runs / "c")
    library.refresh()
    assert set(Library(runs).runs()) == set(library.runs())


def test_several_libraries_at_once_agree(runs: Path) -> None:
    libraries = [Library(runs) for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        for _ in range(3):
            write_run(runs / "c", {"seed": random.randrange(1 << 30)})
            list(pool.map(Library.refresh, libraries))
    assert len({library.runs() for library in [*libraries, Library(runs)]}) == 1


def test_progress_counts_what_is_read_and_may_end_the_refresh(runs: Path) -> None:
    seen: list[tuple[int, int]] = []
    Library(runs).refresh(lambda done, total: seen.append((done, total)))
    assert seen == [(0, 4), (4, 4)]

    def stop(done: int, total: int) -> None:
        if done:
            raise KeyboardInterrupt

    IndexFile(runs).path.unlink()
    library = Library(runs)
    with pytest.raises(KeyboardInterrupt):
        library.refresh(stop)
    assert len(library.runs()) == 4
    assert not library.refresh()


def test_a_folder_that_goes_away_keeps_its_runs(runs: Path) -> None:
    assert Library(runs / "nothing").refresh() == Library(runs / "nothing").refresh()
    library = Library(runs)
    library.refresh()
    runs.rename(runs.with_name("elsewhere"))
    with pytest.raises(RunError, match=r"The runs in .*runs cannot be read .*: check the path"):
        library.refresh()
    assert len(library.runs()) == 4
    runs.with_name("elsewhere").rename(runs)
    assert not library.refresh()


@pytest.mark.skipif(sys.platform == "win32", reason="needs limits on file sizes")
@pytest.mark.parametrize("size", [100, 5000])
def test_on_a_full_disk_the_library_works(runs: Path, size: int) -> None:
    import resource

    first = Library(runs)
    first.refresh()
    IndexFile(runs).path.unlink()
    write_run(runs / "c")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        second = Library(runs)
        second.refresh()
        first.refresh()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert len(second.runs()) == 5 and first.runs() == second.runs()
    third = Library(runs)
    third.refresh()
    assert third.runs() == second.runs()
