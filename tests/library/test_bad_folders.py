"""Whatever lies below the folder of runs: one sentence where it belongs, the rest unharmed."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lbc.library.columns import Frame
from lbc.library.completion import complete
from lbc.library.formats import as_json, format_csv, format_plain, list_runs
from lbc.library.index import Library
from lbc.library.run_folders import FILES
from lbc.library.run_summary import RunSummary, summarize_run
from lbc.library.table import fold_seeds, relevant_columns
from tests.library.run_folders import write_run


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_run(tmp_path_factory.mktemp("runs") / "good")


def show(library: Library) -> str:
    """The runs in every form; none may raise."""
    frame = Frame(library.runs())
    rows = np.arange(len(frame.runs))
    names = relevant_columns(frame, rows)
    fold_seeds(frame, rows)
    complete("title = ", 8, frame)
    json.dumps([as_json(run) for run in frame.runs])
    return format_plain(list_runs(frame, rows, names)) + format_csv(frame, rows, names)


def check(folder: Path) -> RunSummary | None:
    """The summary of the run "bad" beside a good one, None if it is not taken for a run."""
    library = Library(folder)
    library.refresh()
    assert not library.refresh()
    found = {run.folder.name: run for run in library.runs()}
    assert found.pop("good") == summarize_run(folder / "good")
    assert not found["bad"].problem.count("\n") if "bad" in found else True
    show(library)
    return found.get("bad")


def newer_version(run: Path) -> None:
    (run / "experiment.yaml").write_text("version: 2\nshape: round\n")


def fifo(run: Path) -> None:
    (run / "run.json").unlink()
    os.mkfifo(run / "run.json")


def folders(run: Path) -> None:
    for file in FILES:
        (run / file).unlink(missing_ok=True)
        (run / file).mkdir()


def link_in_a_circle(run: Path) -> None:
    (run / "run.json").unlink()
    (run / "run.json").symlink_to(run / "run.json")


@pytest.mark.skipif(os.name != "posix", reason="makes pipes and links")
@pytest.mark.parametrize(
    ("harm", "problem"),
    [
        (lambda run: (run / "run.json").unlink(), "holds no run: it needs the run.json"),
        (lambda run: (run / "experiment.yaml").unlink(), "holds no run"),
        (lambda run: (run / "epochs.records").unlink(), "epochs.records cannot be read"),
        (
            lambda run: (run / "epochs.records").write_bytes(b""),
            "epochs.records is damaged: it has no",
        ),
        (lambda run: os.truncate(run / "run.json", 20), "run.json is not what a run writes"),
        (lambda run: os.truncate(run / "experiment.yaml", 500), "experiment.yaml"),
        (lambda run: (run / "run.json").write_bytes(b" " * 2_000_000), "larger than 1 MiB"),
        (lambda run: (run / "library.json").write_text("[]"), "library.json is damaged"),
        (lambda run: os.truncate(run / "epochs.records", 150), ""),
        (lambda run: (run / "notes.txt").touch(), ""),
        (newer_version, "Version 2 is newer than the supported 1: update this program"),
        (fifo, "is not a regular file"),
        (folders, "holds no run"),
        (link_in_a_circle, "holds no run"),
    ],
)
def test_a_damaged_run_has_one_sentence(
    good: Path, tmp_path: Path, harm: Callable[[Path], object], problem: str
) -> None:
    for name in ("good", "bad"):
        shutil.copytree(good, tmp_path / "runs" / name)
    harm(tmp_path / "runs" / "bad")
    run = check(tmp_path / "runs")
    assert run is not None and problem in run.problem
    assert bool(problem) == bool(run.problem)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from(FILES),
    st.integers(0, 1500),
    st.binary(max_size=4),
    st.sampled_from([0, 1, 400]),
)
def test_any_bytes_are_a_run_or_a_sentence(
    good: Path, tmp_path: Path, file: str, at: int, noise: bytes, cut: int
) -> None:
    shutil.rmtree(tmp_path / "runs", ignore_errors=True)
    for name in ("good", "bad"):
        shutil.copytree(good, tmp_path / "runs" / name)
    path = tmp_path / "runs" / "bad" / file
    old = path.read_bytes() if path.exists() else b'{"tags": ["a", "b"], "star": false}'
    path.write_bytes(old[:at] + noise + old[at + cut :])
    run = check(tmp_path / "runs")
    assert run is not None and (run.status != "unreadable" or run.problem)


NAMES = [
    b"\xff\xfe",
    "\u202egnp.exe".encode(),
    b"two\nlines",
    "\U0001d11e".encode(),
    b"-rf",
    b"'\"",
    b" ",
]


@pytest.mark.skipif(os.name != "posix", reason="other systems refuse such names")
def test_runs_may_have_any_names(good: Path, tmp_path: Path) -> None:
    try:
        for name in NAMES:
            shutil.copytree(good, tmp_path / "runs" / os.fsdecode(name))
    except OSError:
        pytest.skip("this file system refuses such names")
    library = Library(tmp_path / "runs")
    library.refresh()
    assert {os.fsencode(run.folder.name) for run in library.runs()} == {*NAMES}
    assert Library(tmp_path / "runs").runs() == library.runs()
    text = show(library)
    assert text.splitlines()[:1] and "\u202e" not in text[: text.index("\n") * 9]


def test_five_hundred_settings(tmp_path: Path) -> None:
    layers = {f"layer{number}.weight": "dense" for number in range(500)}
    write_run(tmp_path / "runs/first", {"layers": layers})
    write_run(tmp_path / "runs/second", {"layers": layers | {"layer7.weight": "1:4"}})
    library = Library(tmp_path / "runs")
    library.refresh()
    frame = Frame(library.runs())
    assert frame.differing_settings == ("layers.layer7.weight",)
    assert Library(tmp_path / "runs").runs() == library.runs()
    show(library)


def test_a_run_deleted_meanwhile_is_gone(tmp_path: Path) -> None:
    for number in range(260):
        (tmp_path / "runs" / f"{number:03}").mkdir(parents=True)
        (tmp_path / "runs" / f"{number:03}" / "run.json").write_text("{}")
    library = Library(tmp_path / "runs")

    def delete(done: int, total: int) -> None:
        if done == 250:
            shutil.rmtree(tmp_path / "runs")

    library.refresh(delete)
    assert len(library.runs()) == 250
    assert all("run.json" in run.problem for run in library.runs())
    show(library)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="needs permissions")
def test_a_folder_without_permission_is_a_sentence(good: Path, tmp_path: Path) -> None:
    for name in ("good", "bad"):
        shutil.copytree(good, tmp_path / "runs" / name)
    (tmp_path / "runs" / "bad").chmod(0)
    run = check(tmp_path / "runs")
    (tmp_path / "runs" / "bad").chmod(0o755)
    assert run is not None and "permission" in run.problem.lower()
