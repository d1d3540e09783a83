"""The Go menu: pages, layers, blocks, moments and zooms by keyboard."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from PySide6.QtCore import QObject, Qt, Slot
from PySide6.QtGui import QAction, QKeySequence
from PySide6.QtWidgets import QMenu

from lbc.pictures.moment_copier import Pin
from lbc_gui.heatmap.cells_view import CellsView
from lbc_gui.run.view_state import ViewState
from lbc_gui.widgets.commands import allow, describe_action
from lbc_gui.window.pages import Pages

ARROWS = {"Left": (-1, 0), "Right": (1, 0), "Up": (0, -1), "Down": (0, 1)}
"""Blocks across and down."""


class Navigation(QObject):
    """Each command is in the menu, with a shortcut; none has an icon."""

    def __init__(self, menu: QMenu, pages: Pages, state: ViewState) -> None:
        super().__init__(menu)
        self._menu, self._pages, self._state = menu, pages, state
        for at in range(pages.count()):
            name = pages.tabText(at)
            self._add(name, f"Ctrl+{at + 1}", f"Show the page {name}", partial(self._page, at))
        first = len(menu.actions())
        menu.addSeparator()
        tip = "Open the {} layer of the list"
        self._add("Previous layer", "Ctrl+PgUp", tip.format("previous"), partial(self._layer, -1))
        self._add("Next layer", "Ctrl+PgDown", tip.format("next"), partial(self._layer, 1))
        menu.addSeparator()
        self._add("Pin the middle block", "Ctrl+B", "Pin the block in the middle", self._pin_middle)
        tip = "Keep this pin when another block is pinned"
        self._add("Keep the pin", "Ctrl+Alt+K", tip, state.keep_pin)
        self._add("Remove the pin", "Ctrl+Shift+K", "Remove the current pin", state.remove_pin)
        for name, (across, down) in ARROWS.items():
            self._add(
                f"Block {name.lower()}",
                f"Alt+{name}",
                "Pin the next block in this direction, or the middle one if none is pinned",
                partial(self._block, across, down),
            )
        menu.addSeparator()
        self._add("Previous moment", ",", "Go back one moment in time", partial(self._moment, -1))
        self._add("Next moment", ".", "Go one moment on in time", partial(self._moment, 1))
        self._add("Live", "Ctrl+L", "Follow the run, or show its last moment", state.go_live)
        self._of_the_run = menu.actions()[first:]
        menu.addSeparator()
        self._add("Previous view", "Backspace", "Undo the last zoom", self._back)
        self._add("Next view", "Shift+Backspace", "Zoom as before", self._forward)
        self._add("Fit", "Ctrl+0", "Show the whole layer", self._fit)
        pages.currentChanged.connect(self._page_changed)

    def _add(self, text: str, shortcut: str, tip: str, slot: Callable[[], object]) -> None:
        action = QAction(text, self._menu.window())
        action.setShortcut(QKeySequence(shortcut))
        describe_action(action, tip)
        action.triggered.connect(lambda: slot())
        self._menu.addAction(action)

    @Slot(int)
    def _page_changed(self, _page: int) -> None:
        why_not = "" if self._pages.run_page else "Show the page Scores or Masks first"
        for action in self._of_the_run:
            allow(action, why_not)

    def _page(self, at: int) -> None:
        if self._pages.isTabEnabled(at):
            self._pages.setCurrentIndex(at)
            self._pages.key_taker.setFocus(Qt.FocusReason.ShortcutFocusReason)

    def _layer(self, by: int) -> None:
        layer, names = self._state.view.layer, self._pages.scores.list.shown_names
        if layer in names and 0 <= names.index(layer) + by < len(names):
            self._state.open_layer(names[names.index(layer) + by])

    def _pin_middle(self) -> None:
        page = self._pages.run_page
        self._pin(None if page is None else page.heatmap.middle_block())

    def _block(self, across: int, down: int) -> None:
        page, block = self._pages.run_page, self._state.view.block
        if page is not None and block is not None:
            self._pin(page.heatmap.neighbour(block, across, down))
        else:
            self._pin_middle()

    def _pin(self, block: int | None) -> None:
        layer = self._state.view.layer
        if block is not None and layer is not None:
            self._state.go_to_pin(Pin(layer, block))

    def _moment(self, by: int) -> None:
        view = self._state.view
        at = len(view.moments) - 1 if view.moment is None else view.moment
        self._state.go_to(at + by)

    @property
    def _picture(self) -> CellsView | None:
        """The picture on screen."""
        page = self._pages.run_page
        if page is not None:
            return page.heatmap
        on_inspector = self._pages.tabText(self._pages.currentIndex()) == "Inspect"
        return self._pages.inspector.layer.view if on_inspector else None

    def _back(self) -> None:
        if self._picture is not None:
            self._picture.zooms.back()

    def _forward(self) -> None:
        if self._picture is not None:
            self._picture.zooms.forward()

    def _fit(self) -> None:
        if self._picture is not None:
            self._picture.fit()
