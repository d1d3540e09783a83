"""*Help → About*: what the program is, and the versions that a report of an error should name."""

from __future__ import annotations

import platform

from PySide6 import __version__ as pyside
from PySide6.QtCore import Qt, Slot, qVersion
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QDialog, QWidget

from lbc.files.versions import DISTRIBUTION, installed_versions
from lbc_gui.widgets.body_area import FittingArea
from lbc_gui.widgets.buttons import push_button
from lbc_gui.widgets.layouts import column, row
from lbc_gui.widgets.text import HtmlLabel, Label, html

TEXT = html(
    "<b>LBC Explorer {}</b><p>Trains networks in which at most N of every M consecutive weights "
    "are non-zero, and shows how the best combination of each block is learned.<p>Method: Zhang "
    "et al., <i>Learning Best Combination for Efficient N:M Sparsity</i>, NeurIPS 2022.",
    installed_versions()[DISTRIBUTION],
)
MARGIN = 16


def versions() -> dict[str, str]:
    """Versions by name: the program, what it runs on, and the platform. Imports torch."""
    from torch.version import cuda

    return {
        **installed_versions("torch", "numpy", "pyqtgraph"),
        "CUDA of torch": cuda or "none",
        "PySide6": pyside,
        "Qt": f"{qVersion()} ({QGuiApplication.platformName()})",
        "platform": platform.platform(),
    }


class AboutDialog(QDialog):
    """Shows ``versions``, and copies them as text."""

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self.setWindowTitle("About LBC Explorer")
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.versions = Label("\n".join(f"{name}: {one}" for name, one in versions().items()))
        self.versions.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.copy = push_button("&Copy", "Copy the versions as text", self._copy)
        close = push_button("Close", "Close this window", self.reject)
        close.setDefault(True)
        body = QWidget()
        column(HtmlLabel(TEXT, wordWrap=True), self.versions, on=body)
        column((FittingArea(body), 1), row(None, self.copy, close), on=self, margin=MARGIN)

    @Slot()
    def _copy(self) -> None:
        QGuiApplication.clipboard().setText(self.versions.text() + "\n")
