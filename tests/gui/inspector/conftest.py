"""Checkpoints to inspect, the Inspect page, and what a user does and reads on it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from pytestqt.qtbot import QtBot
from safetensors.torch import save_file
from torch import Tensor

from lbc.sparsity.pattern import Pattern
from lbc_gui.inspector.inspector_page import InspectorPage
from lbc_gui.inspector.layers_table import COLUMNS
from lbc_gui.window.main_window import MainWindow
from tests.gui.conftest import SECONDS

Open = Callable[..., MainWindow]
HEADERS = [column.title for column in COLUMNS]


def made(pattern: Pattern, *shape: int, seed: int = 0) -> Tensor:
    """A weight in which every block keeps exactly N of M, at random places."""
    numbers = torch.Generator().manual_seed(seed)
    blocks = pattern.to_blocks(torch.empty(shape))
    order = torch.rand(blocks.shape, generator=numbers).argsort(dim=1)
    weight = torch.rand(blocks.shape, generator=numbers) + 0.5
    return pattern.from_blocks(weight * (order < pattern.n), shape)


def state() -> dict[str, Tensor]:
    conv = made(Pattern(2, 4), 16, 16, 3, 3)
    conv[5, 8:11, 1, 2] = 0.25
    conv[5, 11, 1, 2] = 0
    return {
        "stem.weight": torch.rand(16, 3, 3, 3) + 0.5,
        "conv.weight": conv,
        "fc.weight": made(Pattern(1, 4), 8, 16),
    }


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    path = tmp_path / "first.safetensors"
    save_file(state(), path)
    return path


@pytest.fixture
def other(tmp_path: Path) -> Path:
    """The same with one weight moved, one layer gone and one of another shape."""
    changed = state()
    changed["fc.weight"][0, :4] = changed["fc.weight"][0, :4].roll(1)
    changed["stem.weight"] = torch.ones(8, 3, 3, 3)
    del changed["conv.weight"]
    path = tmp_path / "second.pt"
    torch.save({"model": changed}, path)
    return path


@pytest.fixture
def large(tmp_path: Path) -> Path:
    """Many small layers, which take a while."""
    path = tmp_path / "large.pt"
    torch.save({f"layer{at}.weight": torch.ones(32, 32) for at in range(2000)}, path)
    return path


@pytest.fixture
def page(qtbot: QtBot) -> Iterator[InspectorPage]:
    """The page by itself."""
    page = InspectorPage()
    qtbot.addWidget(page)
    page.resize(960, 600)
    page.show()
    yield page
    page.reading.cancel()
    finished(qtbot, page)


def read(qtbot: QtBot, page: InspectorPage, *paths: Path) -> None:
    page.open(paths)
    finished(qtbot, page)


def finished(qtbot: QtBot, page: InspectorPage) -> None:
    qtbot.waitUntil(lambda: not page.reading.running, timeout=SECONDS)


def choose(qtbot: QtBot, page: InspectorPage, name: str) -> None:
    """Choose a layer in the table, as a click does."""
    model = page.panel.table.model()
    rows = [model.index(row, 0) for row in range(model.rowCount())]
    page.panel.table.setCurrentIndex(next(at for at in rows if at.data() == name))
    qtbot.waitUntil(
        lambda: page.layer.picture is not None and page.layer.picture.name == name,
        timeout=SECONDS,
    )
    finished(qtbot, page)


def column(page: InspectorPage, header: str) -> list[str]:
    model = page.panel.table.model()
    at = HEADERS.index(header)
    return [str(model.index(row, at).data()) for row in range(model.rowCount())]
