"""What commands say of paths that name nothing."""

from __future__ import annotations

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
