"""What to measure and where: the choices above the results."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

from PySide6.QtCore import Signal, Slot
from PySide6.QtWidgets import QComboBox, QGridLayout, QLineEdit, QSizePolicy, QWidget

from lbc.config import Experiment
from lbc.latency.cases import SHAPES, parse_cases
from lbc.latency.hardware import describe_support
from lbc.latency.measurement import Backend, Dtype
from lbc.latency.place import Place
from lbc.latency.run import Request
from lbc.sparsity.pattern import Pattern
from lbc_gui.latency.measurement_session import Prepared
from lbc_gui.latency.model_layers import ModelLayers, layers_of_experiment, layers_of_run
from lbc_gui.theme import GAP, TIGHT
from lbc_gui.widgets.buttons import combo_box, make_editable, push_button
from lbc_gui.widgets.layouts import row
from lbc_gui.widgets.number_boxes import NumberBox
from lbc_gui.widgets.pattern_choices import PATTERNS
from lbc_gui.widgets.text import Label

MODEL, RUN, TYPED = "model, random masks", "run, its own masks", "typed shapes"
HERE_CPU, HERE_GPU, SERVER = "this processor", "this machine's GPU", "a server by ssh"

TYPES: dict[str, tuple[Dtype, ...]] = {
    "bf16": ("bfloat16",),
    "fp16": ("float16",),
    "int8": ("int8",),
    "fp32": ("float32",),
    "bf16, fp16, int8": ("bfloat16", "float16", "int8"),
}
BACKENDS: dict[str, tuple[Backend, ...]] = {
    "cuSPARSELt and CUTLASS": ("cusparselt", "cutlass"),
    "cuSPARSELt": ("cusparselt",),
    "CUTLASS": ("cutlass",),
}
CPU_TYPES = ("fp32", "bf16")

NUMBER_WIDTH = 92
"""Pixels that are enough for any number here, and for the words in its place."""

LEAST_CASES = 120
"""Pixels of the box of cases, whose choices begin alike."""


class RequestBar(QWidget):
    """Choices, and the buttons that start, end and export a measurement."""

    measure_asked = Signal()
    cancel_asked = Signal()
    copy_asked = Signal()

    def __init__(
        self,
        experiment: Callable[[], Experiment | None],
        run_folder: Callable[[], Path | None],
        approves: Callable[[Experiment], bool] = lambda experiment: False,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self._experiment, self._run_folder, self._approves = experiment, run_folder, approves
        self.cases = _combo(
            [MODEL, RUN, *SHAPES, TYPED],
            "The products to measure: the layers of the open model, those of a published network, "
            "or shapes of your own",
        )
        self.cases.setMinimumContentsLength(20)
        self.cases.setMinimumWidth(LEAST_CASES)
        self.cases.setSizePolicy(QSizePolicy.Policy.Maximum, QSizePolicy.Policy.Fixed)
        self.shapes = QLineEdit("4096x4096x4096, 4096x16x4096")
        self.shapes.setAccessibleName("Shapes of the products")
        self.shapes.setToolTip("Outputs x tokens x inputs, several with commas between them")
        self.pattern = _combo(PATTERNS, "The N:M of random masks; type any other, such as 3:9")
        make_editable(self.pattern)
        self.pattern.setFixedWidth(NUMBER_WIDTH)
        self.batch = _spin(64, "Images at a time, for networks of convolutions")
        self.tokens = _spin(4096, "Tokens at a time, for the linear layers of transformers")
        tip = "Side of the images in pixels, or as large as those of the data"
        self.image = _spin(0, tip, "as data")
        self.place = _combo([HERE_CPU, HERE_GPU, SERVER], "Where to measure")
        self.place.setMinimumContentsLength(14)
        self.host = QLineEdit()
        self.host.setPlaceholderText("user@server")
        self.host.setAccessibleName("Server")
        self.host.setToolTip("A server as ssh knows it; it needs only Python and torch")
        self.dtype = _combo(list(CPU_TYPES), "Type of weights and activations")
        self.dtype.setMinimumContentsLength(12)
        self.backend = _combo(list(BACKENDS), "Library that multiplies sparse weights")
        self.backend.setMinimumContentsLength(21)
        self.measure = push_button("Measure", "Measure every case (Ctrl+M)", self.measure_asked)
        self.measure.setShortcut("Ctrl+M")
        tip = "Stop the measurement, here or on its server; results so far are kept"
        self.cancel = push_button("Cancel", tip, self.cancel_asked)
        tip = "Copy a command that measures this on a server that ssh cannot reach from here"
        self.copy = push_button("Copy command", tip, self.copy_asked)
        self.support = Label(wordWrap=True)
        self._lay_out()
        self.cases.currentTextChanged.connect(self._choices_changed)
        self.pattern.currentTextChanged.connect(self._choices_changed)
        self.place.currentTextChanged.connect(self._place_changed)
        self._place_changed()
        self.show_running(False)

    def prepare(self, elsewhere: bool = False) -> Callable[[], Prepared]:
        """A function that makes a request of the present choices, for another thread.

        ``elsewhere``: for a command to be pasted on a server, which needs no host name. Raises
        ValueError if the choices are invalid.
        """
        which = self.cases.currentText()
        boxes = (("Batch", self.batch), ("Tokens", self.tokens), ("Image", self.image))
        batch, tokens, image = (
            int(box.value()) if box.isHidden() else box.whole_number(name) for name, box in boxes
        )
        request = self._request(elsewhere)
        if which == MODEL:
            experiment = self._experiment()
            if experiment is None:
                raise ValueError("The experiment is invalid: correct the form on the left first.")
            allowed = self._approves(experiment)
            of_model = partial(layers_of_experiment, experiment, allowed, batch, image or None)
            return lambda: _prepared(request, of_model())
        if which == RUN:
            folder = self._run_folder()
            if folder is None:
                raise ValueError("No run is finished yet: masks are known when it is.")
            return lambda: _prepared(request, layers_of_run(folder, batch, image or None))
        texts = self.shapes.text().split(",") if which == TYPED else [which]
        texts = [text.strip() for text in texts if text.strip()]
        cases = parse_cases(texts, tokens, batch, Pattern.parse(self.pattern.currentText()))
        if not cases:
            raise ValueError("No shape is given: write outputs x tokens x inputs.")
        made = Prepared(request(cases), ())
        return lambda: made

    @Slot(bool)
    def show_running(self, running: bool) -> None:
        """Enable what can be done."""
        self.measure.setEnabled(not running)
        self.cancel.setEnabled(running)

    def _request(self, elsewhere: bool) -> Callable[..., Request]:
        place = self.place.currentText()
        host = self.host.text().strip()
        if place == SERVER and not host and not elsewhere:
            raise ValueError("Which server? Enter it as for ssh, like user@server.")
        where = Place(host if place == SERVER and not elsewhere else "")
        device = "cpu" if place == HERE_CPU else "cuda"
        more = {"place": where, "dtypes": TYPES[self.dtype.currentText()]}
        if device != "cpu":
            more["backends"] = BACKENDS[self.backend.currentText()]
        return lambda cases: Request.for_device(cases, device, **more)

    @Slot()
    def _choices_changed(self) -> None:
        which = self.cases.currentText()
        model = which in (MODEL, RUN)
        self.shapes.setVisible(which == TYPED)
        self._pattern_label.setVisible(not model)
        self.pattern.setVisible(not model)
        for widget in (self._batch_label, self.batch):
            widget.setVisible(model or which in ("resnet-50", "default"))
        for widget in (self._image_label, self.image):
            widget.setVisible(model)
        self.support.setText("" if model else _support(self.pattern.currentText()))
        self.support.setVisible(bool(self.support.text()))
        tokens = not model and which not in ("resnet-50", "squares", TYPED)
        for widget in (self._tokens_label, self.tokens):
            widget.setVisible(tokens)

    @Slot()
    def _place_changed(self) -> None:
        processor = self.place.currentText() == HERE_CPU
        self.host.setVisible(self.place.currentText() == SERVER)
        self.backend.setVisible(not processor)
        before = self.dtype.currentText()
        types = CPU_TYPES if processor else tuple(name for name in TYPES if name != "fp32")
        self.dtype.clear()
        self.dtype.addItems(list(types))
        self.dtype.setCurrentText(before if before in types else types[0])
        self._choices_changed()

    def _lay_out(self) -> None:
        self._batch_label, self._tokens_label = Label("Batch:"), Label("Tokens:")
        self._image_label, self._pattern_label = Label("Image:"), Label("N:M:")
        grid = QGridLayout(self)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setHorizontalSpacing(GAP)
        grid.setVerticalSpacing(TIGHT)
        what: tuple[QWidget, ...] = (
            self.cases, self.shapes, self._batch_label, self.batch, self._image_label, self.image,
            self._tokens_label, self.tokens, self._pattern_label, self.pattern,
        )  # fmt: skip
        where: tuple[QWidget, ...] = (self.place, self.host, self.dtype, self.backend, self.copy)
        for line, widgets in enumerate((what, where)):
            long = self.cases, self.shapes, self.host
            grid.addLayout(row(*((one, 4 * int(one in long)) for one in widgets), None), line, 1)
        grid.addWidget(self.support, 2, 1, 1, 2)
        grid.addWidget(Label("Cases:"), 0, 0)
        grid.addWidget(Label("On:"), 1, 0)
        grid.setColumnStretch(1, 1)
        grid.addWidget(self.measure, 0, 2)
        grid.addWidget(self.cancel, 1, 2)


def _support(pattern: str) -> str:
    """What GPUs do with an N:M that is typed; nothing while it is not one."""
    try:
        return describe_support(Pattern.parse(pattern))
    except ValueError:
        return ""


def _prepared(request: Callable[..., Request], layers: ModelLayers) -> Prepared:
    return Prepared(request(layers.cases), layers.left_out)


def _combo(items: Iterable[str], tip: str) -> QComboBox:
    combo = combo_box(items, tip)
    # A combo box as wide as its longest entry would widen the whole window.
    combo.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
    combo.setMinimumContentsLength(9)
    combo.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Fixed)
    return combo


def _spin(value: int, tip: str, word: str = "") -> NumberBox:
    spin = NumberBox(whole=True, least=min(1, value), word=word)
    spin.enter(value)
    spin.setToolTip(tip)
    spin.setAccessibleName(tip)
    spin.setFixedWidth(NUMBER_WIDTH)
    return spin
