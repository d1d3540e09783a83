"""A "?" in every panel, which explains the panel's words in three sentences."""

from __future__ import annotations

from typing import Literal

from PySide6.QtCore import QPoint, Qt
from PySide6.QtGui import QKeyEvent, QMouseEvent
from PySide6.QtWidgets import QFrame, QToolButton, QWidget

from lbc_gui.widgets.buttons import tool_button
from lbc_gui.widgets.text import HtmlLabel, html

Panel = Literal[
    "Experiment",
    "Scores",
    "Masks",
    "Runs",
    "Curves",
    "Time",
    "Block",
    "Inspect",
    "Latency",
    "Estimate",
    "Queue",
    "Comparison",
]

WORDS: dict[Panel, str] = {
    "Experiment": (
        "<b>N:M</b> keeps N of every M consecutive weights, a <b>block</b> (4:8x2: in pairs); a "
        "<b>combination</b> is one choice of those N. Each combination has a <b>score</b>, and the "
        "<b>schedule</b> says how many combinations of a block are <b>live</b>, not yet removed, "
        "after every epoch. <b>Density</b> is the share of the weights that are kept."
    ),
    "Scores": (
        "A <b>cell</b> is one combination of one block, coloured by its score or its lead; a "
        "combination is <b>live</b> until it is removed, and a block is <b>decided</b> once a "
        "single one is left, its <b>winner</b>. The <b>lead</b> is how far a score is above the "
        "next best of its block, and a <b>flip</b> is a change of the best combination within the "
        "last whole epoch. A click <b>pins</b> a block, so that the panel <i>Block</i> follows it."
    ),
    "Masks": (
        "A <b>cell</b> is one weight, and the <b>mask</b> says whether it is kept: it is, as long "
        "as a live combination of its block contains it. <b>β</b> is what training has added to "
        "the score of each position, and <b>against magnitude</b> shows where the mask differs "
        "from keeping the N largest weights. A channel is <b>dead</b> if all its weights are "
        "removed."
    ),
    "Runs": (
        "A run is <b>cut off</b> if its process ended without finishing it, and a <b>fork</b> if "
        "it continues another from one of its checkpoints; the columns are the results and the "
        "settings that <b>differ</b> between the runs shown. <b>±</b> is the "
        "standard deviation over the seeds that are folded into one row. The <b>baseline</b> is "
        "the run that the others are compared with: their results have the difference beside them."
    ),
    "Curves": (
        "The blue line is the <b>training</b> loss and the orange one that of the <b>test</b> "
        "images; <b>live</b> is the largest number of combinations that a block has left, and "
        "<b>density</b> the share of the weights that are kept. The titles say the values at the "
        "mouse or else the last ones, and the upright line is the moment of the time slider, which "
        "it moves. Thin grey lines are those of the run that finished before, and of a <b>fork</b> "
        "what is dimmed was trained by its parent."
    ),
    "Time": (
        "A <b>moment</b> is a recorded state of the run, and every view shows the chosen one; "
        "<b>Live</b> follows the training. Triangles mark <b>removals</b>, diamonds combinations "
        "that you <b>pinned</b>, crosses those that you <b>banned</b>, and squares settings that "
        "you changed during the run. Rings are <b>checkpoints</b>: from each of them <b>Fork "
        "here</b> trains on with other settings, and the run stays as it is."
    ),
    "Block": (
        "A block is <b>pinned</b> by a click, and <b>Keep</b> holds the pin when the next block is "
        "clicked. Each row is a combination, ■ for a kept weight and □ for a removed one, with its "
        "score and rank while it is <b>live</b>; the last one is the <b>winner</b>, and the block "
        "is then <b>decided</b>. While training is paused, a combination can be pinned, so that it "
        "wins, or banned, so that it is removed; of a fork, the history dashes the block's other "
        "future, in the parent."
    ),
    "Inspect": (
        "The <b>detected</b> N:M is the strictest that all blocks of a layer obey, or nearly all. "
        "A <b>violation</b> is a block with more than N weights that are not zero; a second "
        "checkpoint is compared with the first weight by weight. <b>Prune</b> makes another file "
        "at once, without training; its <b>error</b> says how much of a layer's outputs changed, "
        "as a share of their sum of squares."
    ),
    "Latency": (
        "<b>Speed-up</b> is the time of a dense product over that of the 2:4 one, each with its "
        "best kernel. The <b>interval</b> holds the true value in 95 of 100 measurements, and the "
        "<b>A/A control</b> measures dense against dense, which should give 1. The <b>bound</b> "
        "is what a pattern could gain at most."
    ),
    "Estimate": (
        "<b>Estimated</b> times need no GPU: they come from a fit to measurements that others "
        "published, and are drawn hatched; measurements of yours are solid, and the "
        "<b>residual</b> is how far the estimate is above them. The <b>interval</b> of a speed-up "
        "held 80 % of the cases like it that the fit had not seen, and the <b>error</b> is that of "
        "whole families of layers left out of it. A layer is <b>worth it</b> if its whole interval "
        "is above 1, and <i>Where 2:4 pays</i> shows from how many images or tokens on it is."
    ),
    "Queue": (
        "Each row is a run, trained in a process of its own, which continues when this window is "
        "closed; <b>at a time</b> is how many share the cores. A <b>paused</b> one is saved and "
        "continues later without losing a step, a <b>cancelled</b> one is given up, and its folder "
        "is kept. A <b>group</b> holds the variations of one experiment: right-click a setting, "
        "and choose <i>Vary…</i>."
    ),
    "Comparison": (
        "Every <b>method</b> is trained with every <b>N:M</b> and the same <b>seeds</b>, so that "
        "the runs of one seed begin with the same weights and form a pair. <b>p</b> is that of an "
        "exact test of the differences from the <b>baseline</b> in these pairs, and <b>Holm</b>'s "
        "is corrected for all tests of the table. <b>κ</b> in <i>Masks</i> is how far two masks "
        "agree beyond chance."
    ),
}
"""HTML; a bold word is one that the panel uses."""

WIDTH = 380


class Explanation(HtmlLabel):
    """The words of a panel, below its button until the next click or key."""

    def __init__(self, panel: Panel, button: QWidget) -> None:
        super().__init__(html("<b>{}</b><br>", panel) + WORDS[panel], wordWrap=True)
        self.setParent(button, Qt.WindowType.Popup)
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setFrameShape(QFrame.Shape.StyledPanel)
        self.setMargin(10)
        self.setFixedWidth(WIDTH)
        self.adjustSize()
        below, screen = button.mapToGlobal(QPoint(0, button.height())), button.screen().geometry()
        self.move(
            min(below.x(), screen.right() - self.width()),
            min(below.y(), screen.bottom() - self.height()),
        )

    def keyPressEvent(self, event: QKeyEvent) -> None:
        self.close()

    def mousePressEvent(self, event: QMouseEvent) -> None:
        self.close()


def help_button(panel: Panel) -> QToolButton:
    """The "?" of a panel."""
    button = tool_button("?", f"What the words in {panel} mean", icon_name="help")
    button.setAccessibleName(f"Help on {panel}")
    button.setAutoRaise(True)
    button.clicked.connect(lambda: Explanation(panel, button).show())
    return button
