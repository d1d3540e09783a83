"""The Help menu, and the explanation of a cell at the first start."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from PySide6.QtCore import QEvent, QObject, QUrl, Slot
from PySide6.QtGui import QDesktopServices
from PySide6.QtWidgets import QDockWidget, QFileDialog, QMainWindow, QScrollArea, QToolBar, QWidget

from lbc.files.log_file import log_path
from lbc_gui.experiment.form import ExperimentForm
from lbc_gui.file_writer import FileWriter
from lbc_gui.help.documentation import find_documentation, open_documentation
from lbc_gui.help.first_strip import FirstStrip
from lbc_gui.help.shortcuts import ShortcutsDialog
from lbc_gui.help.tour import Step, Tour
from lbc_gui.settings import Settings
from lbc_gui.widgets.message_bar import MessageBar
from lbc_gui.window.actions import Actions
from lbc_gui.window.pages import Pages
from lbc_gui.worker import describe

STEPS = {
    "experiment": (
        "The experiment",
        "Choose N:M and the removal schedule. The curves below show at once how many combinations "
        "will be live and how dense the layers will be, before anything runs.",
    ),
    "run": (
        "Run",
        "F5 trains, F6 pauses, F10 takes a single step, and Reset returns to the same seed and "
        "the same initial weights. Queue adds the experiment to the queue, which also trains while "
        "the window is closed, and the page Runs lists and compares all runs.",
    ),
    "picture": (
        "The scores",
        "Every cell is one combination of one block, and its colour compares its score with the "
        "others of the block. Zoom with the wheel down to a single block, and back with Backspace.",
    ),
    "block": (
        "A block",
        "Click a block to pin it: the panel Block then shows its weights, its combinations and "
        "their history. While training is paused you can let a combination win, or remove it.",
    ),
    "time": (
        "Time",
        "Drag the slider to any moment of the run, also during training: every view follows, and "
        "Live returns. The ? in each panel explains its words, and F1 lists all shortcuts.",
    ),
}
"""The title and the text of each step of the tour."""


class Help(QObject):
    """Connects the commands of the Help menu."""

    def __init__(
        self,
        window: QMainWindow,
        actions: Actions,
        settings: Settings,
        form: ExperimentForm,
        pages: Pages,
        block: QWidget,
        timeline: QWidget,
        message: MessageBar,
    ) -> None:
        super().__init__(window)
        self._window, self._settings, self._pages = window, settings, pages
        self._message = message
        picture = pages.scores.heatmap
        targets: dict[str, Callable[[], QWidget]] = {
            "experiment": lambda: _raised(form.pattern_box),
            "run": lambda: window.findChildren(QToolBar)[0],
            "picture": lambda: picture,
            "block": lambda: _raised(block) if block.isVisible() else picture,
            "time": lambda: timeline,
        }
        self.saving = FileWriter(self)
        self.saving.said.connect(self._diagnostics_saved)
        self.saving.failed.connect(self._message.show_message)
        self.strip = FirstStrip(settings)
        self.tour = Tour(window, [Step(*STEPS[name], targets[name]) for name in STEPS])
        self.strip.tour_asked.connect(self._start_tour)
        pages.currentChanged.connect(self._show_strip)
        message.installEventFilter(self)
        actions.documentation.triggered.connect(self._open_documentation)
        actions.shortcuts.triggered.connect(self._show_shortcuts)
        actions.palette.triggered.connect(self._show_palette)
        actions.tour.triggered.connect(self._start_tour)
        actions.diagnostics.triggered.connect(self._save_diagnostics)
        actions.open_log.triggered.connect(self._open_log)
        actions.about.triggered.connect(self._about)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if event.type() in (QEvent.Type.ShowToParent, QEvent.Type.HideToParent):
            self._show_strip()
        return super().eventFilter(watched, event)

    @Slot()
    def _show_strip(self) -> None:
        """Above the scores, unless a message needs the room."""
        on_scores = self._pages.currentIndex() == 0
        asked_for = not self._settings.introduced
        self.strip.setVisible(on_scores and asked_for and self._message.isHidden())

    @Slot()
    def _start_tour(self) -> None:
        self._pages.setCurrentIndex(0)
        self.tour.start()

    @Slot()
    def _open_documentation(self) -> None:
        if sentence := open_documentation(find_documentation()):
            self._message.show_message(sentence, notice=True)

    @Slot()
    def _show_shortcuts(self) -> None:
        ShortcutsDialog(self._window).show()

    @Slot()
    def _show_palette(self) -> None:
        from lbc_gui.help.command_palette import CommandPalette  # not before the first paint

        CommandPalette(self._window, self._pages).show()

    @Slot()
    def _save_diagnostics(self) -> None:
        name, _ = QFileDialog.getSaveFileName(
            self._window, "Save diagnostics", "lbc-diagnostics.zip", "Zip files (*.zip)"
        )
        if name:
            self.save_diagnostics(Path(name))

    def save_diagnostics(self, path: Path) -> None:
        """Write what a report of an error needs, and say so."""
        from lbc_gui.help.about import versions  # which needs torch
        from lbc_gui.help.diagnostics import write_diagnostics

        known, settings = versions(), self._settings.path
        self.saving.write(path, lambda file: write_diagnostics(file, known, settings))

    @Slot(str)
    def _diagnostics_saved(self, sentence: str) -> None:
        self._message.show_message(f"{sentence} Read it before you send it.", notice=True)

    @Slot()
    def _open_log(self) -> None:
        folder = log_path().parent
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            self._message.show_message(describe(f"{folder} cannot be made", error).message)
        else:
            QDesktopServices.openUrl(QUrl.fromLocalFile(str(folder)))

    @Slot()
    def _about(self) -> None:
        from lbc_gui.help.about import AboutDialog  # which needs torch

        AboutDialog(self._window).open()


def _raised(widget: QWidget) -> QWidget:
    """A widget of a panel, which is brought on screen."""
    panel: QWidget | None = widget
    while panel is not None and not isinstance(panel, QDockWidget):
        panel = panel.parentWidget()
        if isinstance(panel, QScrollArea):
            panel.ensureWidgetVisible(widget, 0, 0)
    if panel is not None and (panel.isHidden() or widget.visibleRegion().isEmpty()):
        panel.show()
        panel.raise_()
    return widget
