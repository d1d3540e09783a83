"""The pages on extending the program, followed to the letter in a copy of it."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from pytestqt.qtbot import QtBot

from lbc.config import Experiment
from lbc.runs.history_reader import Replay
from lbc.training.trainer import Trainer
from lbc_gui.run.view_state import ViewState
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


def test_a_data_source_and_a_model(tmp_path: Path) -> None:
    for name in ("lbc", "lbc_gui"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / name, tmp_path / name, ignore=ignored)
    follow("docs/extending/data.md", tmp_path)
    follow("docs/extending/model.md", tmp_path)
    command = [sys.executable, "-c", WAVES + STRIDED]  # in a folder whose lbc comes first
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=100)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.fixture
def run(tmp_path: Path, quick: Callable[..., Experiment]) -> Path:
    Trainer(quick(), tmp_path / "run").train()
    return tmp_path / "run"


def test_a_view(run: Path, tmp_path: Path, qtbot: QtBot) -> None:
    for name in ("lbc_gui/window/pages.py", "pyproject.toml"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    follow("docs/extending/view.md", tmp_path)
    compile((tmp_path / "lbc_gui/window/pages.py").read_text(), "pages.py", "exec")
    names: dict[str, object] = {}
    exec((tmp_path / "lbc_gui/left/left_view.py").read_text(), names)
    state, replay = ViewState(), Replay(run)
    view = names["LeftView"](state)  # type: ignore[operator]
    qtbot.addWidget(view)
    assert "No moment" in view.text.text()
    state.set_layers(replay.layers)
    state.set_moments(replay.moments, 2)
    assert view.text.text().startswith("After epoch 2\n") and "1 of 6" in view.text.text()
    state.go_to(0)
    assert view.text.text().startswith("After epoch 0\n") and "6 of 6" in view.text.text()
