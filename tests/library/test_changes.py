"""Runs are annotated and deleted by their owner only, and never while they are trained."""

from __future__ import annotations

from pathlib import Path

import pytest

from lbc.files.append_file import AppendFile
from lbc.library.changes import annotate, change_tags, delete_run
from lbc.runs.annotations import read_annotations
from lbc.runs.run_state import RunError
from tests.library.run_folders import write_run


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return write_run(tmp_path / "runs" / "first")


def test_annotations_are_set_one_by_one(run: Path) -> None:
    annotate(run, title="Best ‮ one\n", star=True)
    annotate(run, note="𝄞")
    assert change_tags(run, ["paper", "b"]).tags == ("b", "paper")
    assert change_tags(run, ["c"], ["b", "unknown"]).tags == ("c", "paper")
    found = read_annotations(run)
    assert (found.title, found.star, found.note) == ("Best ‮ one\n", True, "𝄞")


@pytest.mark.parametrize("text", ["x" * 70_000, "\udc80"])
def test_what_cannot_be_written_is_refused(run: Path, text: str) -> None:
    with pytest.raises(RunError, match=r"The text for .* correct it"):
        annotate(run, note=text)
    assert not read_annotations(run).note


def test_an_empty_tag_is_refused(run: Path) -> None:
    with pytest.raises(RunError, match="A tag needs"):
        change_tags(run, [" "])


def test_only_runs_are_changed(run: Path) -> None:
    for change in (lambda: annotate(run.parent, star=True), lambda: delete_run(run.parent, print)):
        with pytest.raises(RunError, match="holds no run"):
            change()
    assert [file.name for file in run.parent.iterdir()] == ["first"]


def test_a_run_is_moved_to_the_trash_unless_it_is_trained(run: Path, tmp_path: Path) -> None:
    trainer = AppendFile(run / "steps.records")
    assert trainer.lock()
    with pytest.raises(RunError, match="A process is training the run"):
        delete_run(run, lambda path: Path(path).rename(tmp_path / "trash"))
    trainer.close()
    delete_run(run, lambda path: Path(path).rename(tmp_path / "trash"))
    assert (tmp_path / "trash" / "run.json").exists() and not run.exists()


def test_without_a_trash_the_run_stays(run: Path) -> None:
    def refuse(path: str) -> None:
        raise PermissionError(13, "no trash here", path)

    with pytest.raises(RunError, match="cannot be moved to the trash"):
        delete_run(run, refuse)
    assert run.exists()
