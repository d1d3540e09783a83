"""What commands say of paths that name nothing."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from lbc.cli.main import main


@pytest.mark.parametrize(
    "command",
    [
        "train", "train --resume", "train q.yaml --out", "prune", "follow", "export", "inspect",
        "inspect . --against", "compare", "layers", "report", "report . --out", "runs --runs",
        "latency show", "latency run --run",
    ],
)  # fmt: skip
def test_an_empty_path_is_not_the_current_folder(
    command: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit, match="2"):
        main([*command.split(), ""])
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.endswith(": the path is empty: name a file or folder")


def test_an_empty_name_is_no_run(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["runs", "show", ""]) == 2
    assert "The name of the run is empty" in capsys.readouterr().err


@pytest.mark.skipif(sys.platform == "win32", reason="needs links")
@pytest.mark.parametrize(
    "command",
    [
        "prune loop", "report loop", "export loop", "inspect loop", "layers loop", "compare loop",
        "train loop", "train --resume loop", "runs --runs loop", "queue --runs loop",
        "latency show loop",
    ],
)  # fmt: skip
def test_links_in_a_circle_are_named(
    command: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "loop").symlink_to("loop")
    assert main(command.split()) in (1, 2)
    told = capsys.readouterr().err
    assert "loop" in told and "Too many levels of symbolic links" in told


@pytest.mark.parametrize("command", ["report", "train --resume", "prune", "export", "inspect"])
def test_what_does_not_exist_is_not_called_a_file(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    assert main([*command.split(), str(tmp_path / "none")]) == 2
    assert "none" in (told := capsys.readouterr().err) and "does not exist" in told
    if command in ("report", "train --resume"):
        assert main([*command.split(), str(tmp_path / "file")]) == 2
        assert "file is not a folder" in capsys.readouterr().err
