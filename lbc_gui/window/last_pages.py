"""Brings back what was chosen and opened on pages that are built behind the first paint."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, Slot
from PySide6.QtWidgets import QAbstractButton, QComboBox, QLineEdit, QTabWidget, QWidget

from lbc.files.printable import is_unicode
from lbc_gui.window.run_parts import Parts
from lbc_gui.window.session_file import PagesState

if TYPE_CHECKING:  # at run time it is imported behind the first paint
    from lbc.latency.measurement import Measurement

CHECKED = "checked"


class LastPages(QObject):
    """Restores ``last`` when the pages are built, and what has to be read when its page is shown.

    Measurements are kept in a file of their own: those that were made here may be nowhere else.
    """

    def __init__(
        self, window: Parts, last: PagesState, measurements: Path | None, parent: QObject
    ) -> None:
        """``measurements``: the file for them, if one can be written."""
        super().__init__(parent)
        self._window, self._last, self._file = window, last, measurements
        self._restored = False
        self._measured: tuple[Measurement, ...] | None = None
        """The measurements that are in the file; None before they are read."""

    @Slot()
    def restore(self) -> None:
        """Call it once, when all pages are built and the run is open."""
        last, pages = self._last, self._window.pages
        self._restored = True
        for name, widget in self._choices().items():
            choose(widget, last.choices.get(name, ""))
        library = pages.library
        if last.sort:
            library.ask(sort=last.sort, falling=last.falling)
        if last.selected:
            baseline = Path(last.baseline) if last.baseline else None
            library.requested.ask([Path(folder) for folder in last.selected], baseline)
        against = last.against
        pages.masks.compare.restore(Path(against) if isinstance(against, str) else against)
        pages.currentChanged.connect(self._open)
        self._open()

    @property
    def state(self) -> PagesState:
        """What is to be restored the next time."""
        if not self._restored:
            return self._last
        pages, last = self._window.pages, self._last
        opening, comparison = pages.inspector.reading.opening, pages.comparisons.folder
        files = () if opening is None else (opening.file, opening.against)
        selection, order = pages.library.selection.selection, pages.library.request
        against = pages.masks.compare.against
        return PagesState(
            choices={name: read(widget) for name, widget in self._choices().items()},
            against=against if isinstance(against, int) else next(iter(_texts([against])), None),
            sort=order.sort,
            falling=order.falling,
            selected=_texts(sorted(selection.selected)) or last.selected,
            baseline="".join(_texts([selection.baseline])),
            checkpoints=_texts(files) if opening else last.checkpoints,
            inspected=pages.inspector.shown_layer if opening else last.inspected,
            comparison="".join(_texts([comparison])) if comparison else last.comparison,
        )

    def unsaved_measurements(self) -> tuple[Measurement, ...] | None:
        """The measurements, for ``write_measurements``; None if those in the file are the same."""
        if self._measured is None or self._file is None:
            return None
        before, self._measured = self._measured, self._window.pages.latency.measurements.all
        return None if self._measured == before else self._measured

    def write_measurements(self, measurements: tuple[Measurement, ...]) -> None:
        """Replace those in the file. Raises OSError. It may be called in another thread."""
        from lbc.latency.files import save_measurements

        assert self._file is not None
        save_measurements(self._file, measurements)

    @Slot()
    def _open(self) -> None:
        """Read again what was open on the page on screen."""
        pages, last = self._window.pages, self._last
        shown, comparison = pages.currentWidget(), Path(last.comparison)
        if shown is pages.inspector and pages.inspector.reading.opening is None:
            files = [Path(file) for file in last.checkpoints if Path(file).exists()]
            pages.inspector.open(files, [last.inspected])
        elif shown is pages.comparisons and last.comparison and pages.comparisons.folder is None:
            if comparison.is_dir():
                pages.comparisons.open(comparison)
        elif shown is pages.latency and self._measured is None:
            self._measured = ()
            if self._file is not None and self._file.exists():
                self._read_measurements(self._file)

    def _read_measurements(self, file: Path) -> None:
        from lbc.latency.files import load_measurements
        from lbc.latency.measurement import MeasurementError

        latency = self._window.pages.latency
        try:
            latency.measurements.add(load_measurements(file))
        except MeasurementError as error:
            latency.failed.emit(f"The measurements of the last session: {error}", "")
        self._measured = latency.measurements.all

    def _choices(self) -> dict[str, QWidget]:
        pages, window = self._window.pages, self._window
        library, latency, layers = pages.library, pages.latency, pages.scores.list
        request, estimate = latency.request, latency.estimate.bar
        return {
            "experiment": window.experiment_panel.tabs,
            "block": window.block.tabs,
            "history": window.block.life.quantity,
            "layer": layers.search,
            "layers": layers.order,
            "masks": pages.masks.show_,
            "masks beside": pages.masks.compare.way,
            "filter": library.filter.line,
            "fold seeds": library.folded,
            "archived": library.archived,
            "compare": library.comparison,
            "inspect": pages.inspector.layer.colour,
            "latency": latency.tabs,
            "cases": request.cases,
            "shapes": request.shapes,
            "place": request.place,
            "server": request.host,
            "estimate": estimate.layers,
        }


def read(widget: QWidget) -> str:
    """The text that stands for what is chosen in a widget."""
    match widget:
        case QTabWidget():
            return widget.tabText(widget.currentIndex())
        case QComboBox():
            return widget.currentText()
        case QLineEdit():
            return widget.text()
        case QAbstractButton():
            return CHECKED if widget.isChecked() else ""
    raise TypeError(f"nothing is chosen in a {type(widget).__name__}")


def choose(widget: QWidget, text: str) -> None:
    """Choose what ``read`` returned, if it is still offered."""
    match widget:
        case QTabWidget():
            texts = [widget.tabText(at) for at in range(widget.count())]
            widget.setCurrentIndex(texts.index(text) if text in texts else widget.currentIndex())
        case QComboBox():
            widget.setCurrentText(text)
        case QLineEdit() if text:
            widget.setText(text)
        case QAbstractButton():
            widget.setChecked(text == CHECKED)


def _texts(paths: Sequence[Path | None]) -> tuple[str, ...]:
    """The absolute paths that a JSON file can hold."""
    absolute = [str(path.absolute()) for path in paths if path is not None]
    return tuple(text for text in absolute if is_unicode(text))
