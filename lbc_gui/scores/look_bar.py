"""Chooses how scores are coloured."""

from __future__ import annotations

from typing import get_args

from PySide6.QtCore import QSignalBlocker, QSize, Slot
from PySide6.QtGui import QAction, QActionGroup, QIcon, QPixmap
from PySide6.QtWidgets import QMenu, QToolButton, QWidget

from lbc.pictures.colour_keys import Key, Scale
from lbc.pictures.colour_tables import MAPS, OTHERS, lookup_table
from lbc.pictures.score_codes import HIGHEST, LOWEST, TELLING, USUAL_CLIP, Colour, Summary
from lbc.pictures.score_snapshot import Look
from lbc_gui.heatmap.rgb_image import rgb_image
from lbc_gui.run.view_state import ViewState
from lbc_gui.theme import TIGHT
from lbc_gui.widgets.buttons import combo_box, tool_button
from lbc_gui.widgets.layouts import row

COLOURS: dict[Colour, str] = {
    "margin": "lead over next",
    "difference": "difference from mean",
    "score": "score",
    "rank": "rank in block",
}
assert tuple(COLOURS) == get_args(Colour)

SUMMARIES: dict[Summary, str] = {
    "best": "best of block",
    "worst": "worst of block",
    "mean": "mean of block",
    "margin": "best minus second",
}
assert tuple(SUMMARIES) == get_args(Summary)

CLIPS = (0.0, USUAL_CLIP, 2.0, 5.0)
"""Per cent of the cells at each end that may be beyond the levels."""


class LookBar(QWidget):
    """The colour, the value shown for blocks with too few pixels, and a menu for the rest."""

    def __init__(self, state: ViewState) -> None:
        super().__init__()
        self._state = state
        self._shown: Scale | None = None
        self.colour = combo_box(
            COLOURS.values(),
            "What the colours mean: each score's lead over the next best of its block, the score "
            "less the mean of its block, itself, or its rank among the block's live combinations",
        )
        tip = "The value shown for a block that has too few pixels for its cells"
        self.summary = combo_box((), tip)
        self._offer_summaries("margin")
        self._maps = QActionGroup(self)
        self._clips = QActionGroup(self)
        self.log = QAction("&Logarithmic", self, checkable=True)
        self.hold = QAction("&Hold levels", self, checkable=True)
        self.hold.setToolTip("Keep the present levels, so that moments can be compared")
        row(self.colour, self.summary, self._menu_button(), None, on=self).setSpacing(TIGHT)
        self.colour.currentIndexChanged.connect(self._colour_chosen)
        self.summary.currentIndexChanged.connect(self._changed)
        self._maps.triggered.connect(self._changed)
        self._clips.triggered.connect(self._changed)
        self.log.toggled.connect(self._changed)
        self.hold.toggled.connect(self._hold_toggled)

    def show_key(self, key: Key) -> None:
        """The key on screen, whose levels can be held if it has any."""
        self._shown = key if isinstance(key, Scale) else None
        self.hold.setEnabled(self._shown is not None)

    def choose(self, look: Look) -> None:
        """Choose a look that was chosen before, as far as it is still offered."""
        self.colour.setCurrentText(COLOURS[look.colour])
        self.summary.setCurrentText(SUMMARIES[look.summary])
        for group, value in ((self._maps, look.colour_map), (self._clips, look.clip)):
            for action in group.actions():
                if action.data() == value:
                    action.setChecked(True)
        with QSignalBlocker(self.log), QSignalBlocker(self.hold):
            self.log.setChecked(look.log)
            self.hold.setChecked(look.held is not None)
        self._set_look(look.held)

    @Slot()
    def _changed(self) -> None:
        self._set_look(self._state.view.look.held)

    @Slot()
    def _colour_chosen(self) -> None:
        # Levels of another quantity would mean nothing.
        with QSignalBlocker(self.hold), QSignalBlocker(self.summary):
            self.hold.setChecked(False)
            self._offer_summaries(self._colour)
        self._set_look(None)

    @property
    def _colour(self) -> Colour:
        return list(COLOURS)[self.colour.currentIndex()]

    def _offer_summaries(self, colour: Colour) -> None:
        """Offer those that say something; the choice stays if it is among them."""
        chosen = self.summary.currentText()
        self.summary.clear()
        for summary in TELLING[colour]:
            self.summary.addItem(SUMMARIES[summary], summary)
        self.summary.setCurrentText(chosen)

    @Slot(bool)
    def _hold_toggled(self, held: bool) -> None:
        shown = self._shown
        self._set_look((shown.low, shown.high) if held and shown is not None else None)

    def _set_look(self, held: tuple[float, float] | None) -> None:
        self._state.set_look(
            Look(
                colour=self._colour,
                summary=self.summary.currentData(),
                colour_map=self._maps.checkedAction().data(),
                log=self.log.isChecked(),
                clip=self._clips.checkedAction().data(),
                held=held,
            )
        )

    def _menu_button(self) -> QToolButton:
        menu = QMenu(self)
        maps = menu.addMenu("Colour &map")
        for name in ("", *dict.fromkeys(MAPS.values()), *OTHERS):
            text = name.rpartition(":")[2] if name else "Default for the colour"
            maps.addAction(self._choice(self._maps, text, name, chosen=not name))
        maps.aboutToShow.connect(self._draw_maps)
        clips = menu.addMenu("&Clip")
        for clip in CLIPS:
            text = f"{clip:g} % at each end" if clip else "Nothing: show the extremes"
            clips.addAction(self._choice(self._clips, text, clip, chosen=clip == USUAL_CLIP))
        menu.addActions([self.log, self.hold])
        tip = "Colour map, clipping, logarithmic or held levels"
        button = tool_button("Levels", tip, icon_name="levels")
        button.setMenu(menu)
        button.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
        return button

    @Slot()
    def _draw_maps(self) -> None:
        for action in self._maps.actions():
            if action.data():
                action.setIcon(_icon(action.data()))

    def _choice(self, group: QActionGroup, text: str, data: object, chosen: bool) -> QAction:
        action = QAction(text, group, checkable=True, checked=chosen)
        action.setData(data)
        return action


def _icon(name: str) -> QIcon:
    image = rgb_image(lookup_table("score", (0, 0, 0), name)[None, LOWEST : HIGHEST + 1])
    return QIcon(QPixmap.fromImage(image.scaled(QSize(48, 12))))
