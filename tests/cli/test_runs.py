"""``lbc runs`` lists, filters, annotates and deletes runs."""

from __future__ import annotations

import csv
import json
import sys
from pathlib import Path

import pytest

from lbc.cli.main import main
from lbc.runs.annotations import read_annotations
from tests.library.run_folders import write_run


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "runs"
    for seed in range(3):
        write_run(folder / f"r{seed}", {"seed": seed}, accuracy=0.9 + seed / 100, seed=seed)
    write_run(folder / "group" / "x", {"method": "sr-ste"}, accuracy=0.8, started="2026-11-01")
    return folder


def lbc(capsys: pytest.CaptureFixture[str], *arguments: str, status: int = 0) -> str:
    """What ``lbc runs`` prints; what it says of an error if it ends with another status."""
    assert main(["runs", *arguments]) == status
    out, errors = capsys.readouterr()
    assert (errors if status == 0 else out) == ""
    return errors if status else out


def test_lists_show_what_differs(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert lbc(capsys) == lbc(capsys, "list", "--runs", str(runs))
    lines = lbc(capsys, "--filter", "accuracy > 85", "--sort", "accuracy desc").splitlines()
    assert lines[0].split() == [
        "title",
        "status",
        "seed",
        "accuracy",
        "%",
        "density",
        "%",
        "duration",
    ]
    assert [line.split()[0] for line in lines[1:]] == ["r2", "r1", "r0"]
    assert "92.00" in lines[1] and "finished" in lines[1]
    text = lbc(capsys, "list", "--fold", "--markdown")
    assert "| 3 | lbc | 91.00 ± 1.00 |" in text and "| 1 | sr-ste | 80.00 |" in text
    text = lbc(capsys, "--baseline", "r1", "--columns", "title,accuracy", "--csv")
    assert next(csv.reader(text.splitlines())) == ["title", "accuracy"]
    for run in ("r1", "runs/r1", str(runs / "r1")):
        assert "92.00 (+1.00)" in lbc(capsys, "--baseline", run)
    write_run(runs.parent / "other")
    assert "is not below runs" in lbc(capsys, "--baseline", "other", status=2)
    assert "80.00 (−11.00)" in lbc(capsys, "--baseline", "r1", "--fold")
    assert r"lbc & 91.00 $\pm$ 1.00 \\" in lbc(capsys, "--latex", "methodxn:m", "--value", "")
    assert lbc(capsys, "--filter", "seed = 9") == "None of the 4 runs in runs is listed.\n"


def test_json_has_one_object_a_run(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_run(runs / "bad").joinpath("run.json").write_text("{")
    text = lbc(capsys, "list", "--json", "--sort", "title")
    documents = json.loads(text)
    assert [json.loads(line.rstrip(",")) for line in text.splitlines()[1:-1]] == documents
    assert [document["title"] for document in documents] == ["bad", "r0", "r1", "r2", "x"]
    assert documents[0]["status"] == "unreadable" and "run.json" in documents[0]["problem"]
    assert documents[4]["parameters"]["method"] == documents[4]["method"] == "sr-ste"
    assert json.loads(lbc(capsys, "show", "r0", "--json")) == documents[1]
    assert "optimizer.lr" in lbc(capsys, "show", "x")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--filter", "seed = 1 and acuracy > 3"], "             ^^^^^^^\nThere is no column"),
        (["--sort", "loss"], "There is no column 'loss'"),
        (["--columns", "seed, acuracy"], "      ^^^^^^^\n"),
        (["--latex", "method"], "is not ROWSxCOLUMNS"),
        (["--runs", "runs/r0/run.json"], "run.json cannot be read (Not a directory)"),
        (["show", "r22"], "There is no run 'r22' in runs: did you mean 'r2'?"),
        (["rm", "r0", "elsewhere"], "There is no run 'elsewhere'"),
        (["tag", "r0", "paper"], "then runs, then tags"),
        (["tag", "r0", "+a", "--runs", "x"], "Write options first"),
        (["export", "list.txt"], "list.txt has none of the endings"),
        (["export", "list.tex"], "needs its rows and columns"),
    ],
)  # fmt: skip
def test_wrong_input_is_explained(
    runs: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    assert message in lbc(capsys, *arguments, status=2)
    assert len(list(runs.iterdir())) == 4


def test_runs_are_annotated(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lbc(capsys, "rename", "r0", "The best")
    assert "paper" in lbc(capsys, "tag", "The best", "r1", "+paper", "+draft")
    lbc(capsys, "tag", "--runs", str(runs), str(runs / "r1"), "-draft")
    lbc(capsys, "note", "x", "why?")
    lbc(capsys, "star", "r0", "r1")
    lbc(capsys, "star", "--undo", "r1")
    lbc(capsys, "archive", "r2")
    assert read_annotations(runs / "r0").tags == ("draft", "paper")
    assert read_annotations(runs / "r1").tags == ("paper",)
    assert read_annotations(runs / "group/x").note == "why?"
    titles = [run["title"] for run in json.loads(lbc(capsys, "--json", "--sort", "title"))]
    assert titles == ["r1", "The best", "x"]
    assert len(json.loads(lbc(capsys, "--json", "--all"))) == 4
    assert "The best" in lbc(capsys, "--filter", "tag = paper and star")
    assert "r2" in lbc(capsys, "--filter", "archived")


def test_a_list_is_exported_into_a_new_file(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("a.json", "a.md", "a.csv"):
        lbc(capsys, "export", name, "--filter", "seed = 2")
        assert "r2" in (tmp_path / name).read_text() and "r1" not in (tmp_path / name).read_text()
    lbc(capsys, "export", "a.tex", "--latex", "method×seed")
    assert "tabular" in (tmp_path / "a.tex").read_text()
    assert "already exists" in lbc(capsys, "export", "a.md", status=2)


@pytest.mark.parametrize("folder", ["nowhere", "empty", "x" * 5000])
def test_without_runs_a_list_is_empty(
    folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("empty").mkdir()
    for arguments, text in (([], ""), (["--json"], "[]\n")):
        assert main(["runs", "list", "--runs", folder, *arguments]) == 0
        out, errors = capsys.readouterr()
        assert out == text and errors.startswith(f"There are no runs in {folder}")
        assert errors.count("\n") == 1 and ("does not exist" in errors) == (folder != "empty")
    assert [file.name for file in tmp_path.iterdir()] == ["empty"]


def test_a_long_title_names_a_run_and_widens_only_its_line(
    runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    title = "x" * 3000
    lbc(capsys, "rename", "r0", title)
    lbc(capsys, "note", title, "found")
    assert max(len(line) for line in lbc(capsys).splitlines() if title not in line) < 200
    assert title in lbc(capsys, "--columns", "title")


@pytest.mark.skipif(sys.platform != "linux", reason="the trash of freedesktop.org")
def test_runs_are_moved_to_the_trash(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("send2trash")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    odd = write_run(runs / "new\nline")
    assert lbc(capsys, "rm", "r1", "runs/r1", str(odd)).count("Moved to the trash: ") == 2
    assert not (runs / "r1").exists()
    assert [each["title"] for each in json.loads(lbc(capsys, "--json"))] == ["x", "r0", "r2"]
    monkeypatch.setitem(sys.modules, "send2trash", None)  # as if it were not installed
    assert "pip install send2trash" in lbc(capsys, "rm", "r0", status=2)
    assert (runs / "r0").exists()
