"""The pages on extending the program, followed to the letter in a copy of it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.pages import ROOT, blocks

WAVES = """
from lbc.config import dump_experiment, parse_experiment
from lbc.data import describe, load, usual_shape
settings = parse_experiment({"data": {"name": "waves", "wavelength": 3.0}}).data
assert "wavelength: 3" in dump_experiment(parse_experiment({"data": settings.model_dump()}))
data = load(settings)
assert (data.in_shape, data.classes) == describe(settings) == usual_shape(settings)
assert (len(data.train.labels), len(data.test.labels)) == (1000, 200)
assert data.train.images.shape[1:] == (1, 16, 16) and abs(data.train.images).max() <= 1
"""

STRIDED = """
from lbc.models import build
from lbc_gui.experiment.fields import GROUPS
model = parse_experiment({"model": {"name": "strided", "width": 8, "depth": 2}}).model
assert build(model, data.in_shape, 2)(data.train.images[:5]).shape == (5, 2)
rows = {row.path: row for row in GROUPS["Model and data"]}
assert rows["data.wavelength"].when == ("data.name", ("waves",))
assert "strided" in rows["model.depth"].when[1] and "waves" in rows["data.size"].when[1]
"""


PAGE = (ROOT / "docs/extending/method.md").read_text(encoding="utf-8")


def follow(page: str, root: Path) -> None:
    """Write the new files of a page below ``root``, and make its changes in the files there."""
    for block in blocks(page, "python", "diff"):
        text, file = block.text.partition("\n")[2], root / block.file
        if block.language == "diff":
            lines = text.splitlines(keepends=True)
            old, new = ("".join(at[1:] for at in lines if at[0] in signs) for signs in (" -", " +"))
            source = file.read_text(encoding="utf-8")
            assert source.count(old) == 1, f"{block.file} does not have: {old}"
            text = source.replace(old, new)
        elif not block.file:
            continue
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The program and its tests, to be changed."""
    ignored = shutil.ignore_patterns("__pycache__", "corpus")
    for name in ("lbc", "lbc_gui", "tests", "resources", "docs"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=ignored)
    for name in ("pyproject.toml", "CONTRIBUTING.md", "README.md"):
        shutil.copy(ROOT / name, tmp_path)
    return tmp_path


def run(folder: Path, *arguments: str) -> None:
    """Run Python in a folder, whose packages come first."""
    done = subprocess.run(
        [sys.executable, *arguments], cwd=folder, env={**os.environ, "PYTHONPATH": str(folder)},
        capture_output=True, text=True, timeout=200,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, ""), done.stdout


def test_a_data_source_and_a_model(copy: Path) -> None:
    follow("docs/extending/data.md", copy)
    follow("docs/extending/model.md", copy)
    run(copy, "-c", WAVES + STRIDED)


def test_a_view(copy: Path) -> None:
    follow("docs/extending/view.md", copy)
    for package in ("lbc_gui", "tests/gui"):
        (copy / package / "left" / "__init__.py").touch()
    places = "tests/gui/left", "tests/docs/test_references.py", "-k", "left or listed"
    run(copy, "-m", "pytest", "-q", "-p", "no:cacheprovider", *places)


def test_methods(copy: Path) -> None:
    follow("docs/extending/method.md", copy)
    run(copy, "-m", "ruff", "check", "lbc/sparsity")
    run(copy, "-m", "ruff", "format", "--check", "lbc/sparsity")
    files = re.findall(
        r"tests/sparsity/[a-z_/]+\.py", PAGE.partition("pytest ")[2].partition("\n\n")[0]
    )
    assert len(files) == 3
    new = "fade or weight-gradient or input-spread or option"
    run(copy, "-m", "pytest", "-q", "-p", "no:cacheprovider", *files, "-k", new)
