"""The Inspect page before a checkpoint is open."""

from __future__ import annotations

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QPushButton, QVBoxLayout, QWidget

from lbc_gui.widgets.text import HtmlLabel

TEXT = (
    "<p><b>Which N:M does a checkpoint obey?</b></p>"
    "<p>Open a file of torch, safetensors, ONNX or npz, or the index of its shards,<br>"
    "or drop it, or the folder of the shards, anywhere on this window;<br>"
    "two files dropped together are compared. Code in a file is never run.</p>"
)


class EmptyPage(QWidget):
    """An explanation and a button in the middle of the page."""

    open_asked = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        text = HtmlLabel(TEXT)
        text.setAlignment(Qt.AlignmentFlag.AlignCenter)
        button = QPushButton("Open a checkpoint…")
        button.clicked.connect(self.open_asked)
        layout = QVBoxLayout(self)
        layout.addStretch(1)
        layout.addWidget(text)
        layout.addWidget(button, 0, Qt.AlignmentFlag.AlignCenter)
        layout.addStretch(2)
