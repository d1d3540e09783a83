"""Closing the window: what runs ends first, and a training is not cut short unasked."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, Qt, QTimer, Slot
from PySide6.QtWidgets import QMessageBox, QWidget

from lbc_gui.run.session import Session

if TYPE_CHECKING:
    from lbc_gui.export.report_export import Reporting
    from lbc_gui.inspector.open_checkpoint import Reading
    from lbc_gui.latency.measurement_session import Measuring


class Closing(QObject):
    """Asks, ends the threads, and closes the window once they have gone."""

    def __init__(self, window: QWidget, session: Session) -> None:
        super().__init__(window)
        self._window, self._session = window, session
        self._others: tuple[Measuring | Reading | Reporting, ...] = ()
        self._begun = False
        session.ended.connect(self._thread_ended)

    def wait_for(self, *others: Measuring | Reading | Reporting) -> None:
        """Let these end too before the window goes."""
        self._others = others
        for other in others:
            other.running_changed.connect(self._thread_ended)

    @property
    def over(self) -> bool:
        """Whether nothing runs any more and the window may go."""
        others = any(other.running for other in self._others)
        return self._begun and not self._session.live and not others

    def ask(self) -> None:
        """End everything, after a question where a training is under way."""
        if self._begun:
            return
        if not self._session.training:
            self.begin()
            return
        box = QMessageBox(self._window)
        box.setIcon(QMessageBox.Icon.Question)
        box.setWindowTitle("Close while training?")
        box.setText("Training is under way. Stop it and close the window?")
        box.setInformativeText("The run is kept on disk and can be resumed.")
        stop = box.addButton("Stop and close", QMessageBox.ButtonRole.AcceptRole)
        box.addButton("Go on training", QMessageBox.ButtonRole.RejectRole)
        box.setDefaultButton(stop)
        box.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        box.accepted.connect(self.begin)
        box.open()

    @Slot()
    def begin(self) -> None:
        """End the threads; the window closes by itself after the last."""
        self._begun = True
        self._window.setEnabled(False)
        for other in self._others:
            other.cancel()
        self._session.close()

    @Slot()
    def _thread_ended(self) -> None:
        if self._begun:
            QTimer.singleShot(0, self._window, self._window.close)
