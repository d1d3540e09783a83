"""The Inspect page before a checkpoint is open."""

from __future__ import annotations

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QWidget

from lbc_gui.widgets.buttons import push_button
from lbc_gui.widgets.layouts import column, row
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
        tip = "Choose a file, or the index of its shards"
        button = push_button("Open a checkpoint…", tip, self.open_asked)
        column(None, text, row(None, button, None), None, None, on=self)
