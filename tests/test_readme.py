"""The README's script for library users can be pasted and run."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import torch

README = Path(__file__).parents[1] / "README.md"


def test_the_librarys_script_runs_as_it_is_printed(tmp_path: Path) -> None:
    chapter = README.read_text(encoding="utf-8").partition("## The library\n")[2]
    script = re.search(r"```python\n(.*?)```", chapter, re.DOTALL)
    assert script is not None
    (tmp_path / "script.py").write_text(script[1], encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "script.py"], cwd=tmp_path, capture_output=True, text=True, timeout=100
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "accuracy 9" in done.stdout and "50.0% of weights kept" in done.stdout
    weights = torch.load(tmp_path / "digits-2-4.pt")
    assert list(weights) == [f"{at}.{what}" for at in (0, 2, 4) for what in ("weight", "bias")]
    assert bool(((weights["0.weight"] != 0).reshape(-1, 4).sum(1) <= 2).all())
