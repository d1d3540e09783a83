"""The question before a command ends the run that is training."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QMessageBox, QWidget

from lbc_gui.run.session import Session


def ask_before(
    verb: str, what: str, then: Callable[[], object], session: Session, window: QWidget
) -> QMessageBox | None:
    """Call ``then``, which ends the present run: at once, or if one is training on the user's yes.

    ``verb`` and ``what`` name the command: "Close" "the window". Returns the question, if asked.
    """
    if not session.training:
        then()
        return None
    name = session.experiment.name if session.experiment else "A run"
    box = QMessageBox(window, textFormat=Qt.TextFormat.PlainText)
    box.setIcon(QMessageBox.Icon.Question)
    box.setWindowTitle(f"{verb} while training?")
    box.setText(f"{name} is training. Stop it and {verb.lower()} {what}?")
    box.setInformativeText("The run is kept on disk and can be resumed.")
    stop = box.addButton(f"Stop and {verb.lower()}", QMessageBox.ButtonRole.AcceptRole)
    box.addButton("Keep training", QMessageBox.ButtonRole.RejectRole)
    box.setDefaultButton(stop)
    box.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
    box.accepted.connect(then)
    box.open()
    return box
