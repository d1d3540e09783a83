"""The script for library users can be pasted and run."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import torch

from tests.docs.pages import blocks


def test_the_librarys_script_runs_as_it_is_printed(tmp_path: Path) -> None:
    script = blocks("docs/library.md", "python")[0].text
    (tmp_path / "script.py").write_text(script, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "script.py"], cwd=tmp_path, capture_output=True, text=True, timeout=100
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "accuracy 9" in done.stdout and "50.0% of weights kept" in done.stdout
    weights = torch.load(tmp_path / "digits-2-4.pt")
    assert list(weights) == [f"{at}.{what}" for at in (0, 2, 4) for what in ("weight", "bias")]
    assert bool(((weights["0.weight"] != 0).reshape(-1, 4).sum(1) <= 2).all())
