"""Back, forward and fit, for one heatmap."""

from __future__ import annotations

from PySide6.QtCore import Slot
from PySide6.QtWidgets import QHBoxLayout, QWidget

from lbc_gui.heatmap.heatmap_view import HeatmapView
from lbc_gui.widgets.buttons import tool_button


class ZoomButtons(QWidget):
    """Back and forward are enabled if there is a range to go to."""

    def __init__(self, heatmap: HeatmapView, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._zooms = heatmap.zooms
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        buttons = []
        for text, tip, slot in (
            ("◀", "Previous view (Backspace)", heatmap.zooms.back),
            ("▶", "Next view", heatmap.zooms.forward),
            ("Fit", "Show the whole layer (Home, or double-click the picture)", heatmap.fit),
        ):
            button = tool_button(text, tip, slot)
            layout.addWidget(button)
            buttons.append(button)
        self._back, self._forward, _ = buttons
        self._zooms.changed.connect(self._enable)
        self._enable()

    @Slot()
    def _enable(self) -> None:
        self._back.setEnabled(self._zooms.can_go_back)
        self._forward.setEnabled(self._zooms.can_go_forward)
