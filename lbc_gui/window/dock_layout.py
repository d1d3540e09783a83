"""The layout of the panels and the theme, which are restored at the next start."""

from __future__ import annotations

from functools import partial

from PySide6.QtCore import QChildEvent, QEvent, QObject, QSize, Qt, Slot
from PySide6.QtGui import QAction, QActionGroup, QGuiApplication
from PySide6.QtWidgets import QDockWidget, QMainWindow, QTabBar, QTabWidget, QWidget

from lbc_gui.run.view_state import View
from lbc_gui.settings import Layout, Settings
from lbc_gui.theme import apply_theme
from lbc_gui.turns import call_later
from lbc_gui.widgets.panel_title import give_title
from lbc_gui.window.pages import PANELS, Pages
from lbc_gui.window.paint_queue import PaintQueue

FRAME = QSize(4, 36)
"""The frame that a window manager may add; window and frame should fit the screen."""

BEHIND = "block behind"
"""Kept among the folded panels: the block is behind the experiment."""

NARROW = 1600
"""Pixels of a window below which the block shares a column with the experiment: with three columns
the picture would have less than a third of it."""

NARROWEST = 850
"""The least width of a window that is wide now. Its three columns need more, but it may be put into
half of a screen at once."""

EXPERIMENT_WIDTH, BLOCK_WIDTH, LOG_HEIGHT, QUEUE_HEIGHT = 300, 262, 96, 170


class DockLayout(QObject):
    """The panels around the pages, and the theme."""

    def __init__(self, window: QMainWindow, settings: Settings, themes: QActionGroup) -> None:
        super().__init__(window)
        self._window, self._settings, self._themes = window, settings, themes
        self.docks: list[QDockWidget] = []
        self._about_run, self._wanted, self._on_top = True, False, False
        self._stays_behind = False
        self._narrow = False
        """Whether the window was narrow when the block was last put into its place."""
        self.queue = QWidget()
        """The place of the queue, which is built when the window is complete."""
        window.installEventFilter(self)

    def place(self, experiment: QWidget, block: QWidget, log: QWidget, pages: Pages) -> None:
        """Put the panels around the pages."""
        area, window = Qt.DockWidgetArea, self._window
        titles = []
        for title, widget, where in (
            ("Experiment", experiment, area.LeftDockWidgetArea),
            ("Block", block, area.RightDockWidgetArea),
            ("Log", log, area.BottomDockWidgetArea),
            ("Queue", self.queue, area.BottomDockWidgetArea),
        ):
            dock = QDockWidget(title, window)
            dock.setObjectName(title.lower())
            bottom = where == area.BottomDockWidgetArea
            titles.append(give_title(dock, widget, folds=bottom))
            window.addDockWidget(where, dock)
            self.docks.append(dock)
        for on_screen in (window, *self.docks):  # a dock that floats is a window of its own
            PaintQueue(on_screen)
        for action in experiment.findChildren(QAction):  # undo, find: it may be behind the block
            action.triggered.connect(self.docks[0].raise_)
        window.setTabPosition(area.AllDockWidgetAreas, QTabWidget.TabPosition.North)
        _, _, log_title, queue_title = titles
        # They share their place: one that is folded would leave the other no height.
        log_title.folded_changed.connect(queue_title.follow)
        queue_title.folded_changed.connect(log_title.follow)
        window.tabifyDockWidget(*self.docks[2:])
        window.setCorner(Qt.Corner.BottomLeftCorner, area.LeftDockWidgetArea)
        window.setCorner(Qt.Corner.BottomRightCorner, area.RightDockWidgetArea)
        sizes = [EXPERIMENT_WIDTH, BLOCK_WIDTH]
        window.resizeDocks(self.docks[:2], sizes, Qt.Orientation.Horizontal)
        window.resizeDocks(self.docks[2:3], [LOG_HEIGHT], Qt.Orientation.Vertical)
        self._block = self.docks[1]
        self._block.hide()
        self._log_title, self._pages = log_title, pages
        log_title.fold(True)
        self.docks[3].hide()

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Watch the tabs of docks, which Qt makes when docks come to share a place.

        Those of a place where one dock is left are outside the window, where Tab would go to them.
        """
        if isinstance(watched, QTabBar):
            if event.type() is QEvent.Type.Move:
                inside = self._window.rect().intersects(watched.geometry())
                policy = Qt.FocusPolicy.TabFocus if inside else Qt.FocusPolicy.NoFocus
                watched.setFocusPolicy(policy)
            return super().eventFilter(watched, event)
        if event.type() is QEvent.Type.ChildPolished and isinstance(event, QChildEvent):
            tabs = event.child()
            if isinstance(tabs, QTabBar):
                tabs.tabBarClicked.connect(partial(self._tab_clicked, tabs))
                tabs.installEventFilter(self)
        return super().eventFilter(watched, event)

    def _tab_clicked(self, tabs: QTabBar, at: int) -> None:
        if tabs.tabText(at) in (dock.windowTitle() for dock in self.docks[2:]):
            self._log_title.follow(False)

    def restore(self) -> None:
        """Restore the layout of the last session; call it when the window is complete."""
        self._original = self._window.saveState()
        theme = self._settings.theme
        apply_theme(theme)
        for action in self._themes.actions():
            action.setChecked(action.data() == theme)
        self._themes.triggered.connect(self._theme_chosen)
        QGuiApplication.styleHints().colorSchemeChanged.connect(self._scheme_changed)
        layout = self._settings.layout()
        if layout is None:
            self._window.resize(self._window.sizeHint().boundedTo(self._room))
        else:
            self._window.restoreGeometry(layout.geometry)
            self._fit_on_screen(layout.size)
            self._window.restoreState(layout.docks)
            self._narrow = layout.size.width() < NARROW
            self._fit(layout.size)
            self._log_title.fold("log" in layout.folded)
            self._stays_behind = BEHIND in layout.folded
            self._pages.unfold(layout.unfolded_low, set(PANELS).difference(layout.folded))
        self._bound_width()
        self._block.hide()  # whatever was on screen last: nothing is pinned yet
        self.docks[3].hide()  # until it is known whether there is a queue

    @property
    def _room(self) -> QSize:
        """What the screen has for the window within its frame."""
        return self._window.screen().availableSize() - FRAME

    def _fit_on_screen(self, saved: QSize) -> None:
        """Bring all of the window onto the screen, which was larger or had another scale before."""
        window = self._window
        if window.isMaximized() or window.isFullScreen():
            return
        window.resize(saved.boundedTo(self._room))
        within = window.screen().availableGeometry().adjusted(0, FRAME.height(), 0, 0)
        place = window.geometry()
        if not within.contains(place):
            place.moveRight(min(place.right(), within.right()))
            place.moveBottom(min(place.bottom(), within.bottom()))
            place.moveLeft(max(place.left(), within.left()))
            place.moveTop(max(place.top(), within.top()))
            window.setGeometry(place)

    def _bound_width(self) -> None:
        """Set the least width; 0 for what the panels need, if the window is narrow."""
        least = 0 if self._narrow else min(NARROWEST, self._room.width())
        self._window.setMinimumWidth(least)

    def _fit(self, saved: QSize) -> None:
        """Make the panels smaller where the window was larger when their sizes were saved."""
        now = self._window.size()
        for dock in self.docks:
            if now.width() < saved.width():
                width = dock.width() * now.width() // saved.width()
                self._window.resizeDocks([dock], [width], Qt.Orientation.Horizontal)
            if now.height() < saved.height():
                height = dock.height() * now.height() // saved.height()
                self._window.resizeDocks([dock], [height], Qt.Orientation.Vertical)

    @property
    def _is_block_behind(self) -> bool:
        """Whether the block is there, but the experiment is in front of it."""
        direct = Qt.FindChildOption.FindDirectChildrenOnly
        bars = self._window.findChildren(QTabBar, options=direct)
        titles = [[bar.tabText(at) for at in range(bar.count())] for bar in bars]
        now = [bar.tabText(bar.currentIndex()) for bar in bars]
        title = self._block.windowTitle()
        both = zip(titles, now, strict=True)
        return any(title in several and current != title for several, current in both)

    def layout(self) -> Layout:
        """Where the panels are now."""
        window = self._window
        unfolded = self._pages.unfolded
        folded = [*set(PANELS).difference(unfolded[False]), *["log"] * self._log_title.folded]
        folded += [BEHIND] * self._is_block_behind
        return Layout(
            window.saveGeometry(),
            window.saveState(),
            window.size(),
            sorted(folded),
            sorted(unfolded[True]),
        )

    @Slot(bool)
    def show_queue(self, filled: bool) -> None:
        """Show the queue beside the log, and unfold it if it has just been ``filled``."""
        log, queue = self.docks[2:]
        in_front = not queue.isHidden() or filled
        if filled and self._log_title.folded:
            self._log_title.fold(False)
            self._window.resizeDocks([log], [QUEUE_HEIGHT], Qt.Orientation.Vertical)
        queue.show()
        (queue if in_front else log).raise_()

    @Slot(object, object)
    def view_changed(self, before: View, view: View) -> None:
        """Show the block from the first pin to the last, and in front when it is another one."""
        now = view.pins
        if bool(now.all) is not bool(before.pins.all):
            self._wanted = bool(now.all)
            self._block.setVisible(self._wanted and self._about_run)
        if now.current not in (None, before.pins.current):
            if self._stays_behind:  # this is the pin of the last session
                self.docks[0].raise_()
            else:
                self._raise_block()
            self._stays_behind = False

    def show_page(self, about_run: bool) -> None:
        """The block is that of the run; other pages have no use for it."""
        if about_run is not self._about_run:
            self._about_run = about_run
            if not about_run:
                self._wanted = not self._block.isHidden()
                self._on_top = not self._block.visibleRegion().isEmpty()
            self._block.setVisible(about_run and self._wanted)
            if self._on_top:
                self._raise_block()

    def _raise_block(self) -> None:
        if self._block.isVisible():
            self._block.raise_()

    def fit_width(self) -> None:
        """Put the block behind the experiment when the window becomes narrow, or back beside the
        pages when it becomes wide."""
        experiment, block = self.docks[:2]
        narrow = self._window.width() < NARROW
        if narrow is self._narrow or experiment.isFloating() or block.isFloating():
            return
        self._narrow = narrow
        self._bound_width()
        if narrow:
            self._window.tabifyDockWidget(experiment, block)
            self._raise_block()
        else:
            self._window.addDockWidget(Qt.DockWidgetArea.RightDockWidgetArea, block)

    @Slot()
    def reset(self) -> None:
        self._settings.clear_layout()
        window, block_shown = self._window, not self._block.isHidden()
        queue_shown = not self.docks[3].isHidden()
        window.setUpdatesEnabled(False)  # paint once, when every panel has its final size
        window.restoreState(self._original)
        self._narrow = False
        self.fit_width()
        self._block.setVisible(block_shown)
        self.docks[3].setVisible(queue_shown)
        self._log_title.fold(True)
        self._pages.unfold()
        call_later(window, lambda: window.setUpdatesEnabled(True), 0)

    @Slot()
    def _scheme_changed(self) -> None:
        if self._settings.theme == "system":
            apply_theme("system")

    @Slot(QAction)
    def _theme_chosen(self, action: QAction) -> None:
        self._settings.theme = action.data()
        apply_theme(action.data())
