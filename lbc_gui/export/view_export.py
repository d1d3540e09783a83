"""Saves what a view shows: its picture as PNG or SVG, its data as CSV, npz or other formats.

A view that can be saved has the two methods of ``View`` and is passed to ``ViewExport.add``; the
menu, the shortcuts and its context menu then find it.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from io import TextIOWrapper
from pathlib import Path
from typing import IO, Any, Protocol, TypeVar

import numpy as np
from PySide6.QtCore import QBuffer, QByteArray, QIODevice, QMimeData, Qt, Slot
from PySide6.QtGui import QAction, QGuiApplication, QImage
from PySide6.QtWidgets import QApplication, QFileDialog, QMenu, QMenuBar, QWidget
from shiboken6 import isValid

from lbc_gui.export.view_renderer import Painted, Picture, paint
from lbc_gui.file_writer import FileWriter, UnsuitableError, Writer

T = TypeVar("T")

LARGEST_TABLE = 1_000_000
"""Rows of a CSV file beyond which no spreadsheet opens it."""

KINDS = {
    ".png": "PNG picture",
    ".svg": "SVG drawing",
    ".csv": "CSV table",
    ".md": "Markdown table",
    ".tex": "LaTeX table",
    ".npz": "NumPy arrays",
    ".json": "JSON",
}

NOTHING = "There is nothing to save here yet: run, or open a run or a checkpoint first."


@dataclass(frozen=True)
class Data:
    """A view's numbers: writers by the suffix of the file, the default first."""

    name: str
    writers: Mapping[str, Writer]


class View(Protocol):
    """A widget whose picture and data can be saved; None if it shows nothing at present.

    What both return must not change later: it is written in another thread.
    """

    def picture_to_save(self) -> Picture | None: ...

    def data_to_save(self) -> Data | None: ...


def as_npz(arrays: Mapping[str, Any]) -> Writer:
    """Arrays by name, as ``numpy.load`` reads them without pickle."""
    return lambda file: np.savez(file, **arrays)


def as_csv(columns: Iterable[str], count: int, rows: Iterable[Iterable[object]]) -> Writer:
    """``count`` rows under the names of their columns. Raises UnsuitableError if too many."""

    def write(file: IO[bytes]) -> None:
        if count > LARGEST_TABLE:
            raise UnsuitableError(
                f"The table would have {count:,} rows, more than the {LARGEST_TABLE:,} that "
                "spreadsheets open. Save it as .npz instead."
            )
        text = TextIOWrapper(file, encoding="utf-8", newline="")
        lines = csv.writer(text, lineterminator="\n")
        lines.writerow(columns)
        lines.writerows(rows)
        text.detach()  # else it would close the file, which the caller does

    return write


def picture_writers(painted: Painted) -> dict[str, Writer]:
    """The writers of a picture, by suffix."""
    return {
        ".png": lambda file: file.write(_png(painted.image)),
        ".svg": lambda file: file.write(painted.svg),
    }


def _png(image: QImage) -> bytes:
    buffer = QBuffer()
    buffer.open(QIODevice.OpenModeFlag.WriteOnly)
    if not image.save(buffer, "PNG"):  # type: ignore[call-overload]
        raise UnsuitableError(
            "The picture could not be made a PNG file, perhaps because there is not enough memory: "
            "make the view smaller, or save it as SVG."
        )
    return bytes(buffer.data().data())


class ViewExport(FileWriter):
    """Saves the view that has the focus, else the first that is on screen.

    The proposed file names begin with ``run_name``.
    """

    def __init__(self, run_name: Callable[[], str], window: QWidget) -> None:
        super().__init__(window)
        self._run_name, self._window = run_name, window
        self._views: list[QWidget] = []
        self._focused: QWidget | None = None
        application = QApplication.instance()
        assert isinstance(application, QApplication)
        application.focusChanged.connect(self._focus_changed)

    def add(self, view: QWidget, surface: QWidget | None = None) -> None:
        """Let a view be saved, with a context menu on ``surface``, else on all of it."""
        self._views = [*filter(isValid, self._views), view]
        surface = surface or view
        for text, slot in (
            ("Save &picture…", self.save_picture),
            ("&Copy picture", self.copy_picture),
            ("Save &data…", self.save_data),
        ):
            action = QAction(text, surface)
            action.setData(view)
            action.triggered.connect(slot)
            surface.addAction(action)
        surface.setContextMenuPolicy(Qt.ContextMenuPolicy.ActionsContextMenu)

    @property
    def current(self) -> Any:
        """The View that has the focus, else the first on screen; None if none is."""
        shown = [view for view in self._views if isValid(view) and view.isVisible()]
        return self._focused if self._focused in shown else next(iter(shown), None)

    @Slot()
    def save_picture(self) -> None:
        """Ask where the picture goes, as it is now, and write it there."""
        if picture := self._asked_for(lambda view: view.picture_to_save()):
            writers = picture_writers(paint(picture))
            self._choose(f"Save the picture: {picture.title}", picture.name, writers)

    @Slot()
    def copy_picture(self) -> None:
        """Put the picture on the clipboard, as an image and as SVG."""
        picture = self._asked_for(lambda view: view.picture_to_save())
        if picture is None:
            return
        painted = paint(picture)
        both = QMimeData()
        both.setImageData(painted.image)
        both.setData("image/svg+xml", QByteArray(painted.svg))
        QGuiApplication.clipboard().setMimeData(both)
        self.said.emit(f"Copied the picture: {picture.title}.")

    @Slot()
    def save_data(self) -> None:
        """Ask where the data go, as they are now, and write them there."""
        if data := self._asked_for(lambda view: view.data_to_save()):
            self.choose(data)

    def choose(self, data: Data) -> None:
        """Ask where some data go and write them there."""
        self._choose(f"Save the data: {data.name}", data.name, data.writers)

    def save(self, path: Path, writers: Mapping[str, Writer]) -> None:
        """Write a file in the format that its suffix names; ``said`` or ``failed`` follows."""
        writer = writers.get(path.suffix.lower())
        if writer is None:
            known = " or ".join(writers)
            self.failed.emit(f"{path.name} names no known format: end it in {known}.", "")
            return
        self.write(path, writer)

    def _asked_for(self, content: Callable[[Any], T | None]) -> T | None:
        """What is to be saved of the view whose menu was used, else of the current one."""
        action = self.sender()
        view = action.data() if isinstance(action, QAction) else None
        view = view or self.current
        shown = None if view is None else content(view)
        if shown is None:
            self.failed.emit(NOTHING, "")
        return shown

    def _choose(self, title: str, name: str, writers: Mapping[str, Writer]) -> None:
        filters = {f"{KINDS[suffix]} (*{suffix})": suffix for suffix in writers}
        stem = re.sub(r"\W+", "-", f"{self._run_name()} {name}").strip("-")
        usual = next(iter(writers))
        answer, chosen = QFileDialog.getSaveFileName(
            self._window, title, f"{stem}{usual}", ";;".join(filters)
        )
        if not answer:
            return
        path = Path(answer)
        if path.suffix.lower() not in writers:
            path = path.with_name(path.name + filters.get(chosen, usual))
            if path.exists():  # the dialog did not ask about this name
                self.failed.emit(f"{path} exists already: choose it to replace it.", "")
                return
        self.save(path, writers)

    @Slot(QWidget, QWidget)
    def _focus_changed(self, _old: QWidget | None, new: QWidget | None) -> None:
        if new is None or isinstance(new, QMenu | QMenuBar):
            return  # the window lost the focus, or its menu opened: keep the view
        at: QWidget | None = new
        while at is not None and at not in self._views:
            at = at.parentWidget()
        self._focused = at
