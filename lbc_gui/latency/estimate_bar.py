"""What to estimate: whose layers, on which cards, in which type, with how much at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from PySide6.QtCore import QSize, Signal, Slot
from PySide6.QtWidgets import QCheckBox, QComboBox, QGridLayout, QWidget

from lbc.config import Experiment
from lbc.latency.cases import SHAPES, TRANSFORMERS, parse_cases
from lbc.latency.estimate import cards
from lbc.sparsity.pattern import Pattern
from lbc_gui.icons import square
from lbc_gui.latency.model_layers import (
    ModelLayers,
    Read,
    layers_of_experiment,
    layers_of_run,
)
from lbc_gui.latency.plots import colour_of
from lbc_gui.settings import EstimateChoice
from lbc_gui.theme import GAP, TIGHT
from lbc_gui.widgets.buttons import combo_box, make_editable
from lbc_gui.widgets.layouts import row
from lbc_gui.widgets.log_slider import BOX_WIDTH, LogSlider
from lbc_gui.widgets.number_boxes import NumberBox
from lbc_gui.widgets.pattern_choices import PATTERNS
from lbc_gui.widgets.text import Label, plain

MODEL, RUN = "the experiment's model", "the finished run"
NETWORKS = tuple(name for name in SHAPES if name not in ("default", "squares"))
DTYPES = ("bf16", "fp16", "int8", "fp8")

ICON = QSize(10, 10)
MOST = 65_536
"""Images, or sequences, at a time."""

IMPLY_LAYERS = {"model", "data", "pattern", "layers", "skip"}
"""The settings of an experiment that decide what its layers are."""

LENGTHS = {"bert-base": 128, "deit-small": 197, "vit-large": 197, "llama-2-7b": 1}
"""Tokens of a sequence at first: 224-pixel images in patches of 16 with a class token; the next
token of a text."""


@dataclass(frozen=True)
class Source:
    """The model whose layers are asked for; ``key`` is the same for the same layers.

    ``read`` loads them, in another thread; those of a well-known network are ``known``.
    """

    key: object
    read: Read
    known: ModelLayers | None = None


class EstimateBar(QWidget):
    """Choices above the estimates. ``changed`` follows every change."""

    changed = Signal()

    def __init__(
        self,
        experiment: Callable[[], Experiment | None],
        run_folder: Callable[[], Path | None],
        approves: Callable[[Experiment], bool],
        choice: EstimateChoice,
    ) -> None:
        super().__init__()
        self._experiment, self._run_folder, self._approves = experiment, run_folder, approves
        self.layers = _combo((MODEL, RUN, *NETWORKS), "Layers", "Whose layers are estimated")
        self.layers.setMinimumContentsLength(20)
        self.pattern = _combo(PATTERNS, "N:M", "The N:M of all its layers; type any other")
        make_editable(self.pattern)
        self.dtype = _combo(DTYPES, "Type", "Type of weights and activations")
        self.dtype.setCurrentText(choice.dtype)
        self.image = _number(0, "Image", "Side of the images in pixels", "as data")
        self.length = _number(1, "Sequence length", "Tokens of each sequence")
        self.batch = LogSlider("Batch", MOST, "How many images or sequences at a time")
        self.batch.enter(choice.batch)
        self.tokens = Label()
        room = self.tokens.fontMetrics()  # of a fixed size, its text moves nothing
        self.tokens.setFixedSize(room.horizontalAdvance("= 88,888,888 tokens"), room.height())
        self.own = QCheckBox("Add my measurements")
        self.own.setToolTip(plain("Add the open measurements of the same card and type to the fit"))
        self.cards = [self._card_box(at, card.name, card.title) for at, card in enumerate(cards())]
        for box in self.cards:
            box.setChecked(box.text() in choice.cards)
            box.toggled.connect(self.changed)
        self.own.toggled.connect(self.changed)
        self.dtype.currentTextChanged.connect(self.changed)
        self.pattern.currentTextChanged.connect(self.changed)
        self.layers.currentTextChanged.connect(self._layers_changed)
        for number in (self.image, self.length):
            number.on_change(self._numbers_changed)
        self.batch.changed.connect(self._numbers_changed)
        self._lay_out()
        self._layers_changed()

    @property
    def chosen_cards(self) -> tuple[str, ...]:
        return tuple(box.text() for box in self.cards if box.isChecked())

    @property
    def choice(self) -> EstimateChoice:
        """What is remembered. Raises ValueError if the batch is invalid."""
        return EstimateChoice(
            cards=self.chosen_cards, dtype=self.dtype.currentText(), batch=self.factor
        )

    @property
    def unit(self) -> str:
        """What the slider counts."""
        name = self.layers.currentText()
        if name not in TRANSFORMERS:
            return "images"
        length = self.length.entry()
        return "tokens" if length == 1 else f"sequences of {length} tokens"

    @property
    def factor(self) -> int:
        """Images or sequences at a time. Raises ValueError if there is no such number."""
        value = self.batch.value
        if value is None:
            entry = self.batch.box.entry()
            raise ValueError(f"Batch must be a whole number from 1 to {MOST:,}, not {entry!r}.")
        return value

    def source(self) -> Source:
        """The model as chosen. Raises ValueError if there is none or a number is invalid."""
        name = self.layers.currentText()
        if name == MODEL:
            experiment, image = self._experiment(), self._image()
            if experiment is None:
                raise ValueError(
                    "The experiment is invalid: correct the form on the left, or choose a "
                    "well-known network under Layers."
                )
            allowed = self._approves(experiment)
            implied = experiment.model_dump_json(include=IMPLY_LAYERS)
            read = partial(layers_of_experiment, experiment, allowed, 1, image)
            return Source((implied, image, allowed), read)
        if name == RUN:
            folder, image = self._run_folder(), self._image()
            if folder is None:
                raise ValueError(
                    "No run is finished yet: choose the experiment's model or a well-known network "
                    "under Layers, or train or open a run."
                )
            return Source((folder, image), lambda: layers_of_run(folder, 1, image))
        length = self.length.whole_number("Sequence length") if name in TRANSFORMERS else 1
        cases = parse_cases([name], length, 1, Pattern.parse(self.pattern.currentText()))
        known = ModelLayers(cases)
        return Source(cases, lambda: known, known)

    def _image(self) -> int | None:
        return self.image.whole_number("Image") or None

    @Slot()
    def _layers_changed(self) -> None:
        name = self.layers.currentText()
        transformer, open_model = name in TRANSFORMERS, name in (MODEL, RUN)
        if transformer:
            self.length.enter(LENGTHS[name])
        for widgets, shown in (
            ((self._image_label, self.image), open_model),
            ((self._length_label, self.length), transformer),
            ((self._pattern_label, self.pattern), not open_model),
        ):
            for widget in widgets:
                widget.setVisible(shown)
        self._numbers_changed()

    @Slot()
    def _numbers_changed(self, *_: object) -> None:
        name, length = self.layers.currentText(), self.length.entry()
        counted = "Tokens" if self.unit == "tokens" else "Batch"
        self._batch_label.setText(f"{counted}:")
        self.batch.name(counted)
        product = (self.batch.value or 0) * (length if isinstance(length, int) else 0)
        shown = bool(name in TRANSFORMERS and length != 1 and product > 0)
        self.tokens.setText(f"= {product:,} tokens" if shown else "")
        self.changed.emit()

    def _card_box(self, at: int, name: str, title: str) -> QCheckBox:
        box = QCheckBox(name)
        box.setIcon(square(colour_of, at))
        box.setIconSize(ICON)
        box.setToolTip(plain(f"{title}; several cards are drawn side by side"))
        box.setAccessibleName(f"Card {name}")
        return box

    def _lay_out(self) -> None:
        self._batch_label, self._image_label = Label(), Label("Image:")
        self._length_label, self._pattern_label = Label("Sequence length:"), Label("N:M:")
        of_model = (
            self.layers, self._pattern_label, self.pattern, self._image_label, self.image,
            self._length_label, self.length, Label("Type:"), self.dtype, None,
        )  # fmt: skip
        lines = (
            (Label("Layers:"), row(*of_model)),
            (Label("Cards:"), row(*self.cards, None)),
            (self._batch_label, row((self.batch, 1), self.tokens, self.own)),
        )
        grid = QGridLayout(self)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setHorizontalSpacing(GAP)
        grid.setVerticalSpacing(TIGHT)
        grid.setColumnStretch(1, 1)
        for at, (label, line) in enumerate(lines):
            grid.addWidget(label, at, 0)
            grid.addLayout(line, at, 1)


def _combo(choices: Iterable[str], name: str, tip: str) -> QComboBox:
    combo = combo_box(choices, tip)
    combo.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
    combo.setMinimumContentsLength(7)
    combo.setAccessibleName(name)
    return combo


def _number(value: int, name: str, tip: str, word: str = "") -> NumberBox:
    box = NumberBox(whole=True, least=min(1, value), word=word)
    box.enter(value)
    box.setToolTip(plain(tip))
    box.setAccessibleName(name)
    box.setFixedWidth(BOX_WIDTH)
    return box
