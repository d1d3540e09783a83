"""Many layers: narrow rows that fold by prefix, in a list as wide as they need."""

from __future__ import annotations

import pytest
from PySide6.QtCore import QPoint, Qt
from PySide6.QtGui import QColor
from PySide6.QtWidgets import QSplitter, QWidget
from pytestqt.qtbot import QtBot

from lbc.runs.epoch_flips import EpochFlips
from lbc.runs.events import LayerInfo
from lbc.runs.layer_moment import LayerState
from lbc.sparsity.pattern import Pattern
from lbc_gui.heatmap.layer_list import DOZEN, LayerList, _prefixes
from lbc_gui.theme import colours
from lbc_gui.widgets.share_bar import MARGIN
from tests.gui.conftest import SECONDS

RESNET = [f"layer{s}.{b}.conv{c}" for s in range(1, 5) for b in range(4) for c in range(1, 4)]


def info(name: str) -> LayerInfo:
    return LayerInfo(name, (8, 16), Pattern(2, 4), 32)


@pytest.fixture
def page(qtbot: QtBot) -> tuple[QSplitter, LayerList]:
    """The list beside a page, 1000 × 600."""
    splitter, layers = QSplitter(), LayerList()
    splitter.addWidget(QWidget())
    layers.move_to(splitter)
    qtbot.addWidget(splitter)
    splitter.resize(1000, 600)
    splitter.show()
    return splitter, layers


def test_many_rows_are_narrow_and_few_are_not(
    qtbot: QtBot, page: tuple[QSplitter, LayerList]
) -> None:
    _, layers = page
    for count, height in ((DOZEN, 54), (DOZEN + 1, 20)):
        layers.show_layers([info(f"conv{k}") for k in range(count)])
        first = layers.layers.visualItemRect(layers._entries()[0])
        assert first.height() == height
    layers.show_states((LayerState("conv0", 3, 0.75),))
    layers.show_flips(EpochFlips(2, 3, {"conv0": 0.06}))
    assert layers._entries()[0].text(0) == "conv0 · 3 live · 75% · 6% flip"
    assert "between epochs 2 and 3" in layers._entries()[0].toolTip(0)
    layers.show_layers(
        [info("conv"), *(LayerInfo(f"fc{k}", (8, 16), Pattern(1, 4), 32) for k in range(20))]
    )
    assert layers._entries()[1].text(0) == "fc0 · 1:4"  # not every layer's


def test_a_bar_is_as_long_as_the_share_of_weights_that_a_layer_keeps(
    qtbot: QtBot, page: tuple[QSplitter, LayerList]
) -> None:
    _, layers = page
    layers.show_layers([info("a"), info("b"), info("c")])
    layers.show_states((LayerState("a", 1, 0.25), LayerState("b", 1, 1.0)))
    picture = layers.layers.viewport().grab().toImage()
    filled = QColor(colours().caption)

    def length(at: int) -> float:
        place = layers.layers.visualItemRect(layers._entries()[at])
        line = [picture.pixelColor(x, place.bottom()) for x in range(place.left(), place.right())]
        return line.count(filled) / (place.width() - 2 * MARGIN)

    assert [length(at) for at in range(3)] == pytest.approx([0.25, 1, 0], abs=0.02)
    layers.clear_states()
    picture = layers.layers.viewport().grab().toImage()
    assert length(1) == 0


def test_a_stage_is_folded_by_mouse_and_keyboard(
    qtbot: QtBot, page: tuple[QSplitter, LayerList]
) -> None:
    _, layers = page
    layers.show_layers([info(name) for name in ["stem", *RESNET]])
    tree = layers.layers
    seen: list[frozenset[str]] = []
    layers.in_view_changed.connect(seen.append)
    chosen: list[str] = []
    layers.chosen.connect(chosen.append)
    first, second = tree.topLevelItem(1), layers._entries()[13]
    assert first is not None and first.text(0) == "layer1 · 12 layers"
    assert second.info.name == "layer2.0.conv1" and second.text(0).startswith("0.conv1")
    rectangle = tree.visualItemRect(first)
    mark = QPoint(rectangle.left() - 6, rectangle.center().y())
    qtbot.mouseClick(tree.viewport(), Qt.MouseButton.LeftButton, pos=mark)
    assert not first.isExpanded()
    qtbot.waitUntil(
        lambda: bool(seen) and not any("layer1" in name for name in seen[-1]), timeout=SECONDS
    )
    qtbot.mouseClick(
        tree.viewport(), Qt.MouseButton.LeftButton, pos=tree.visualItemRect(second).center()
    )
    assert chosen == ["layer2.0.conv1"]
    for key in (Qt.Key.Key_Left, Qt.Key.Key_Left):  # to the group, then fold it
        qtbot.keyClick(tree, key)
    stage = second.parent()
    assert stage is not None and not stage.isExpanded() and chosen == ["layer2.0.conv1"]
    layers.show_open("layer2.0.conv1")
    layers.search.setText("conv3")
    assert not first.isHidden() and layers._entries()[1].isHidden()
    layers.search.setText("stem")
    assert first.isHidden()
    layers.search.clear()
    layers.order.setCurrentText("name")  # another order than the network's has no stages
    assert tree.topLevelItemCount() == len(RESNET) + 1
    assert [entry.text(0).split(" ")[0] for entry in layers._entries()] == sorted(["stem", *RESNET])


def test_the_list_grows_with_its_rows_and_its_page_until_it_is_dragged(
    qtbot: QtBot, page: tuple[QSplitter, LayerList]
) -> None:
    splitter, layers = page
    layers.show_layers([info(name) for name in RESNET])
    narrow = layers.width()
    assert 172 < narrow <= 0.33 * splitter.width()
    layers.show_layers([info(f"{name}_weights_of_the_query") for name in RESNET])
    qtbot.waitUntil(lambda: layers.width() > narrow, timeout=SECONDS)
    assert layers.width() <= 0.33 * splitter.width()
    before = layers.width()
    splitter.resize(1400, 600)
    qtbot.waitUntil(lambda: layers.width() > before, timeout=SECONDS)
    handle = splitter.handle(1)
    centre = handle.rect().center()
    qtbot.mousePress(handle, Qt.MouseButton.LeftButton, pos=centre)
    qtbot.mouseMove(handle, centre - QPoint(100, 0))
    qtbot.mouseRelease(handle, Qt.MouseButton.LeftButton, pos=centre - QPoint(100, 0))
    dragged = layers.width()
    splitter.resize(1500, 600)
    layers.show_layers([info(name) for name in RESNET])
    assert abs(layers.width() - dragged) < 20


@pytest.mark.parametrize(
    ("names", "prefixes"),
    [
        (["a.x", "a.y", "b"], {"a.x": "a", "a.y": "a"}),
        ([f"layer{k}" for k in range(20)], {}),
        (
            [f"m.h.{k}.{part}" for k in range(9) for part in "qk"],
            {f"m.h.{k}.{part}": f"m.h.{k}" for k in range(9) for part in "qk"},
        ),
        ([f"net.{k}" for k in range(20)], {f"net.{k}": "net" for k in range(20)}),
    ],
)
def test_names_fold_below_what_they_begin_with(names: list[str], prefixes: dict[str, str]) -> None:
    assert _prefixes(names) == prefixes
