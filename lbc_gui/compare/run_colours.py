"""One colour for every run that is compared, the same in all panes and in the table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from PySide6.QtGui import QColor

from lbc_gui.theme import DARK, LIGHT, colours

COUNT = min(len(LIGHT.runs), len(DARK.runs))
"""Colours; more runs than this share them evenly."""


class RunColours:
    """A run keeps its colour as long as it is compared."""

    def __init__(self) -> None:
        self._places: dict[Path, int] = {}

    def show(self, folders: Iterable[Path]) -> None:
        """Give colours to these runs and no others."""
        wanted = dict.fromkeys(folders)
        self._places = {folder: at for folder, at in self._places.items() if folder in wanted}
        used = Counter(self._places.values())
        for folder in wanted:
            if folder not in self._places:
                place = min(range(COUNT), key=lambda at: used[at])
                self._places[folder] = place
                used[place] += 1

    def of(self, folder: Path) -> QColor:
        """The colour of a compared run, under the present palette."""
        return QColor(colours().runs[self._places.get(folder, 0)])
