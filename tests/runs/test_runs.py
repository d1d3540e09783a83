"""What a run writes can be read back, whatever interrupts the writing."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lbc.config import Experiment, load_experiment
from lbc.files.append_file import AppendFile
from lbc.files.atomic import write_atomically
from lbc.runs.events import LayerInfo
from lbc.runs.folder import RunFolder
from lbc.runs.history_format import read_layers
from lbc.runs.history_reader import Replay
from lbc.runs.history_writer import HistoryWriter
from lbc.runs.new_folder import new_run_path
from lbc.runs.records import RecordWriter, read_records
from lbc.runs.run_state import RunState
from lbc.sparsity.pattern import Pattern

REFUSED = r"No space|too large"

posix = pytest.mark.skipif(sys.platform == "win32", reason="needs limits on file sizes")
real_files = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)


@contextmanager
def room(size: int) -> Iterator[None]:
    """As if the disk were full: the kernel lets no file grow beyond ``size`` bytes."""
    import resource

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


numbers = st.floats(allow_nan=False)
tables = st.lists(st.tuples(numbers, numbers, numbers), max_size=8)


@real_files
@given(rows=tables, more=tables, torn=st.integers(0, 23))
def test_records_survive_a_torn_row_and_are_continued(
    tmp_path: Path, rows: list[tuple[float, ...]], more: list[tuple[float, ...]], torn: int
) -> None:
    path = tmp_path / "steps.records"
    path.unlink(missing_ok=True)
    writer = RecordWriter(path, "abc")
    for row in rows:
        writer.append(row)
    writer.close()
    with path.open("ab") as file:
        file.write(b"\xff" * torn)
    assert columns_of(path) == rows
    writer = RecordWriter(path, "abc")
    for row in more:
        writer.append(row)
    writer.close()
    assert columns_of(path) == rows + more


def columns_of(path: Path) -> list[tuple[float, ...]]:
    table = read_records(path)
    assert list(table) == ["a", "b", "c"]
    return list(zip(*(table[name].tolist() for name in table), strict=True))


@pytest.mark.parametrize("kept", [0, 1, 10, 26])
def test_a_torn_header_is_written_again(tmp_path: Path, kept: int) -> None:
    path = tmp_path / "steps.records"
    RecordWriter(path, "abc").close()
    path.write_bytes(path.read_bytes()[:kept])
    assert read_records(path) == {}
    writer = RecordWriter(path, "abc")
    writer.append([1, 2, 3])
    writer.close()
    assert columns_of(path) == [(1, 2, 3)]


@real_files
@given(
    data=st.one_of(
        st.binary(max_size=60),
        st.sampled_from([b"[]\n", b"{}\n", b'{"columns": 5}\n', b'{"columns": null}\n', b"\x00\n",
                         b'{"layers": 3}\n', b'{"layers": [{"name": "a"}]}\n', b"7\n",
                         b'{"layers": [{"name": "a", "shape": 3, "pattern": "2:4"}]}\n',
                         b'{"layers": [{"name": "a", "shape": [3], "pattern": "4:4"}]}\n']),
    )
)  # fmt: skip
def test_a_file_that_is_none_of_ours_is_refused_with_a_sentence(
    tmp_path: Path, data: bytes
) -> None:
    path = tmp_path / "file"
    path.write_bytes(data)
    for read in (read_records, Replay, read_layers):
        try:
            read(path)
        except ValueError as error:
            assert str(path) in str(error) and "first line" in str(error)


@posix
def test_a_full_disk_leaves_whole_rows_and_room_continues_them(tmp_path: Path) -> None:
    path = tmp_path / "steps.records"
    writer = RecordWriter(path, "abc")
    writer.append([1, 2, 3])
    with room(path.stat().st_size + 10):  # the next row fits in part
        for _ in range(2):
            with pytest.raises(OSError, match=REFUSED):
                writer.append([4, 5, 6])
    assert columns_of(path) == [(1, 2, 3)]
    assert path.stat().st_size == 29 + 24
    writer.append([7, 8, 9])
    writer.close()
    assert columns_of(path) == [(1, 2, 3), (7, 8, 9)]


@posix
def test_a_header_that_does_not_fit_leaves_nothing_open(tmp_path: Path) -> None:
    with room(5):
        with pytest.raises(OSError, match=REFUSED):
            RecordWriter(tmp_path / "steps.records", "abc")
        with pytest.raises(OSError, match=REFUSED):
            HistoryWriter(tmp_path / "scores.history", [], 2)
    assert (tmp_path / "steps.records").stat().st_size == 0


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_device_that_is_always_full_is_an_oserror() -> None:
    file = AppendFile(Path("/dev/full"))
    with pytest.raises(OSError, match="No space"):
        file.append(b"row")
    file.close()


@posix
def test_a_file_is_replaced_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    write_atomically(path, lambda file: file.write(b"old"))
    with room(1000), pytest.raises(OSError, match="too large"):
        write_atomically(path, lambda file: file.write(b"n" * 5000))
    with pytest.raises(ZeroDivisionError):
        write_atomically(path, lambda file: file.write(b"half") // 0)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]
    write_atomically(path, lambda file: file.write(b"new"))
    assert path.read_bytes() == b"new"


def folder_of(path: Path, experiment: Experiment) -> RunFolder:
    return RunFolder(path, experiment, [LayerInfo("0", (8, 16), Pattern(2, 4), 32)])


def test_a_new_folder_says_what_is_run(tmp_path: Path, quick: Callable[..., Experiment]) -> None:
    folder = folder_of(tmp_path / "deep" / "run", quick())
    folder.close()
    assert load_experiment(folder.path / "experiment.yaml") == quick()
    assert '"status": "running"' in (folder.path / "run.json").read_text()


def test_a_folder_in_use_is_refused_and_left_alone(
    tmp_path: Path, quick: Callable[..., Experiment]
) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(FileExistsError, match="not empty: choose another"):
        folder_of(tmp_path, quick())
    assert [file.name for file in tmp_path.iterdir()] == ["notes.txt"]


@posix
@pytest.mark.parametrize(
    ("size", "name"),
    [(0, "short"), (2500, "a layer whose name fills the first line of the history" * 60)],
)
def test_a_folder_that_could_not_be_begun_can_be_begun_later(
    tmp_path: Path, quick: Callable[..., Experiment], size: int, name: str
) -> None:
    layer = LayerInfo(name, (8, 16), Pattern(2, 4), 32)
    with room(size), pytest.raises(OSError, match=REFUSED):
        RunFolder(tmp_path, quick(), [layer])
    assert list(tmp_path.iterdir()) == []
    RunFolder(tmp_path, quick(), [layer]).close()
    assert read_layers(tmp_path / "scores.history")[0].name == name


@posix
def test_a_checkpoint_and_a_model_that_do_not_fit_leave_the_old_ones(
    tmp_path: Path, quick: Callable[..., Experiment]
) -> None:
    folder = folder_of(tmp_path, quick())
    folder.write_checkpoint({"epoch": 1, "weight": torch.ones(10)})
    folder.write_model({"weight": torch.ones(10)}, {})
    old = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    with room(10_000):
        with pytest.raises(OSError, match="too large"):
            folder.write_checkpoint({"epoch": 2, "weight": torch.ones(10_000)})
        with pytest.raises(OSError, match="too large"):
            folder.write_model({"weight": torch.ones(10_000)}, {})
    folder.close()
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == old
    assert torch.load(tmp_path / "checkpoint.pt", weights_only=True)["epoch"] == 1


def test_state_is_replaced(tmp_path: Path, quick: Callable[..., Experiment]) -> None:
    folder = folder_of(tmp_path, quick())
    folder.write_state(RunState("failed", 3, 0.5, 0.75, 12.0, "The loss became nan."))
    folder.close()
    text = (tmp_path / "run.json").read_text()
    assert '"status": "failed"' in text and '"message": "The loss became nan."' in text


def test_every_new_run_has_a_path_of_its_own(tmp_path: Path) -> None:
    paths = set()
    for _ in range(4):
        path = new_run_path(tmp_path, "digits")
        path.mkdir()
        paths.add(path.name)
    assert len(paths) == 4 and all(name.startswith("digits-2") for name in paths)
