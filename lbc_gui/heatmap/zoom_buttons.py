"""Back, forward and fit, for one picture."""

from __future__ import annotations

from PySide6.QtCore import Slot
from PySide6.QtWidgets import QWidget

from lbc_gui.heatmap.cells_view import CellsView
from lbc_gui.widgets.buttons import tool_button
from lbc_gui.widgets.layouts import row


class ZoomButtons(QWidget):
    """Back and forward are enabled if there is a range to go to."""

    def __init__(self, picture: CellsView) -> None:
        super().__init__()
        self._zooms = picture.zooms
        zooms = self._zooms
        self._back = tool_button("Back", "Previous view (Backspace)", zooms.back, "back")
        self._forward = tool_button("Forward", "Next view", zooms.forward, "forward")
        tip = "Show the whole layer (Home, or double-click the picture)"
        row(
            self._back, self._forward, tool_button("Fit", tip, picture.fit, "fit"), on=self
        ).setSpacing(0)
        self._zooms.changed.connect(self._enable)
        self._enable()

    @Slot()
    def _enable(self) -> None:
        self._back.setEnabled(self._zooms.can_go_back)
        self._forward.setEnabled(self._zooms.can_go_forward)
