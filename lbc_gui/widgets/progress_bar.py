"""A progress bar whose changes are painted together with all others."""

from __future__ import annotations

from PySide6.QtWidgets import QProgressBar


class ProgressBar(QProgressBar):
    """Use ``show_done``: each change of a value or range of Qt's own bar paints the window at once,
    with everything in it that waits to be painted, instead of in the event loop's next turn."""

    def show_done(self, done: int, total: int) -> None:
        """Show ``done`` of ``total``; a total of 0: it is not known."""
        self.setUpdatesEnabled(False)
        self.setRange(0, total)
        self.setValue(done)
        self.setUpdatesEnabled(True)
