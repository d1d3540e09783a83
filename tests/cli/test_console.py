"""Any name or path is printed in any encoding, and controls no terminal."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from rich.table import Table

from lbc.cli.console import Console
from lbc.cli.main import main
from lbc.cli.streams import Parser, prepare_streams
from lbc.files.printable import printable
from lbc.files.resources import resource
from lbc.runs.new_folder import is_unused

HOSTILE = "a\x1b[31m:smile:[bold]\x9b2J\u202egpj.\x07"
SHOWN = r"a\x1b[31m:smile:[bold]\x9b2J\u202egpj.\x07"

# Of one sparse layer: pictures of layers take longer to draw than such a run to train.
EXPERIMENT = """
model: {name: mlp, width: 16, depth: 2}
schedule: {end: 1}
training: {epochs: 1, batch_size: 1000}
"""


def run(*arguments: str, cwd: Path, redirect: str = "") -> tuple[int, str]:
    """The status of ``lbc`` in a shell, and everything it printed, as far as it is UTF-8."""
    words = " ".join(f"'{word}'" for word in (sys.executable, "-m", "lbc", *arguments))
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", f"{words} {redirect}"],
        cwd=cwd, capture_output=True, timeout=100,
    )  # fmt: skip
    text = (done.stdout + done.stderr).decode("utf-8", "replace")
    assert "Traceback" not in text and "Exception ignored" not in text
    return done.returncode, text


def test_control_characters_and_markup_are_printed_literally(
    capsys: pytest.CaptureFixture[str],
) -> None:
    table = Table("layer", "shape")
    table.add_row(HOSTILE, "1")
    table.add_row("b" * len(SHOWN), "2")
    Console().print(HOSTILE)
    Console(soft_wrap=False).print(table)
    line, *rows = capsys.readouterr().out.splitlines()
    assert line == SHOWN
    assert SHOWN in rows[3] and len({len(row) for row in rows}) == 1
    assert printable("a\tb\nc ü 漢", keep="\n") == "a\\tb\nc ü 漢"


def test_errors_about_arguments_and_files_are_printable(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    with pytest.raises(SystemExit):
        Parser(prog="lbc").parse_args([HOSTILE])
    assert SHOWN in capsys.readouterr().err
    for command in (["train"], ["layers"], ["inspect"], ["report"], ["export"], ["compare"]):
        assert main([*command, str(tmp_path / HOSTILE)]) == 2
        assert SHOWN in capsys.readouterr().err


@pytest.mark.parametrize("encoding", ["ascii", "cp437", "latin-1"])
def test_signs_become_readable_in_an_encoding_that_lacks_them(
    encoding: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (tmp_path / "out").open("w", encoding=encoding) as file:
        monkeypatch.setattr(sys, "stdout", file)
        prepare_streams()
        print("16×8 → 2:4, ± 3 … −1 ✓ 漢 \udcff")
        Console().print("16×8 → 2:4, ± 3 … −1 ✓ 漢 \udcff")
    plain, rich = (tmp_path / "out").read_text(encoding).splitlines()
    assert plain == rich
    for sign, name in {"×": "x", "±": "+/-"}.items():
        plain = plain.replace(sign, name)  # in some of the encodings
    assert plain == r"16x8 -> 2:4, +/- 3 ... -1 v \u6f22 \udcff"


@pytest.mark.parametrize("words", [["runs", "--sort=--"], ["train", "x.yaml", "--out=--"]])
def test_two_dashes_are_no_value(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(words)
    assert "-- is not a value" in capsys.readouterr().err


@pytest.mark.skipif(sys.platform == "win32", reason="needs a shell")
def test_a_closed_missing_or_full_output_shows_no_traceback(tmp_path: Path) -> None:
    (tmp_path / "q.yaml").write_text(EXPERIMENT)
    show = ("latency", "show", str(resource("measurements/cpu-amd-epyc-one-thread.json")))
    assert run(*show, cwd=tmp_path, redirect="| true")[0] == 0
    assert run("--help", cwd=tmp_path, redirect="| true")[0] == 0
    assert run(*show, cwd=tmp_path, redirect=">&-")[0] == 0
    status, text = run("layers", "q.yaml", "--json", cwd=tmp_path, redirect="> /dev/full")
    assert status == 1 and "No space left" in text


def test_a_run_in_ascii_prints_its_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "q.yaml").write_text(EXPERIMENT)
    monkeypatch.chdir(tmp_path)
    with (tmp_path / "printed").open("w", encoding="ascii") as file:
        monkeypatch.setattr(sys, "stdout", file)
        assert main(["train", "q.yaml", "--out", "é×"]) == 0
    assert r"Run folder: \xe9x" in (tmp_path / "printed").read_text("ascii")


@pytest.mark.skipif(sys.platform == "win32", reason="needs a shell")
def test_a_run_whose_pipe_is_closed_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "q.yaml").write_text(EXPERIMENT)
    command = ("train", "q.yaml", "--out", "cut")
    assert run(*command, cwd=tmp_path, redirect="| true")[0] == 1
    assert is_unused(tmp_path / "cut")  # as lbc train wants it


@pytest.mark.skipif(sys.platform == "win32", reason="needs a shell")
@pytest.mark.parametrize("words", [["--version"], ["--help"], ["runs", "--help"]])
def test_an_output_that_cannot_be_written_is_said_by_all_commands(
    tmp_path: Path, words: list[str]
) -> None:
    command = " ".join(["ulimit -f 0;", sys.executable, "-B", "-m", "lbc", *words, "> printed"])
    done = subprocess.run(
        ["bash", "-c", command], cwd=tmp_path, capture_output=True, text=True, timeout=100
    )
    assert done.returncode == 1
    assert done.stderr.startswith("The output failed (File too large): ")
    assert done.stderr.count("\n") == 1


@pytest.mark.skipif(sys.platform == "win32", reason="no pipes like that")
def test_a_reader_that_has_gone_changes_neither_files_nor_status(tmp_path: Path) -> None:
    torch.save({"fc.weight": torch.ones(8, 8)}, tmp_path / "dense.pt")
    (tmp_path / "q.yaml").write_text(EXPERIMENT)
    check = ["inspect", "dense.pt", "--pattern", "1:4", "--violations", "all.csv"]
    for words, status in (
        (["--help"], 0),
        (["--version"], 0),
        (["runs"], 0),
        (["layers", "q.yaml"], 0),
        (check, 1),
    ):
        reader, writer = os.pipe()
        os.close(reader)  # so that the first write fails
        with os.fdopen(writer, "wb") as stdout:
            done = subprocess.run(
                [sys.executable, "-m", "lbc", *words],
                cwd=tmp_path, stdout=stdout, stderr=subprocess.PIPE, text=True, timeout=100,
            )  # fmt: skip
        assert done.returncode == status, words
        assert "Traceback" not in done.stderr and "ignored" not in done.stderr
    assert len((tmp_path / "all.csv").read_text().splitlines()) == 1 + 16
