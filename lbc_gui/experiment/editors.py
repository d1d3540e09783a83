"""One widget for each kind of setting, all read and written alike."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

from PySide6.QtCore import Slot
from PySide6.QtWidgets import (
    QCheckBox,
    QComboBox,
    QFileDialog,
    QLineEdit,
    QPlainTextEdit,
    QWidget,
)

from lbc.config.strict_yaml import ExperimentError, dump_yaml, parse_yaml
from lbc.files.home import expanded
from lbc_gui.experiment.fields import Row
from lbc_gui.widgets.buttons import combo_box, make_editable, tool_button
from lbc_gui.widgets.layouts import row as side_by_side
from lbc_gui.widgets.number_boxes import NumberBox, to_number, to_text
from lbc_gui.widgets.text import plain

ARGUMENT_LINES = 3


class NumbersBox(QLineEdit):
    """Several numbers with commas between them."""

    def __init__(self) -> None:
        super().__init__()
        self.setPlaceholderText("6, 9")

    def numbers(self) -> list[float | str]:
        """The numbers; what is not a number stays text, which the schema rejects."""
        return [to_number(part.strip()) for part in self.text().split(",") if part.strip()]


class ArgumentsBox(QPlainTextEdit):
    """Arguments by name, as YAML."""

    def __init__(self) -> None:
        super().__init__()
        self.setFixedHeight(ARGUMENT_LINES * self.fontMetrics().lineSpacing() + 12)
        self.setTabChangesFocus(True)
        self.setPlaceholderText("depth: 3")

    def arguments(self) -> object:
        """The arguments; what is not YAML stays text, which the schema rejects."""
        text = self.toPlainText()
        try:
            value, _ = parse_yaml(text, "")
        except ExperimentError:
            return text
        return {} if value is None else value


class FileBox(QWidget):
    """A path of a file or folder, typed or chosen."""

    def __init__(self, kind: Literal["file", "folder", "checkpoint"]) -> None:
        super().__init__()
        self._kind = kind
        self.edit = QLineEdit()
        tip = "Choose a folder" if kind == "folder" else "Choose a file"
        side_by_side(self.edit, tool_button("…", tip, self.browse), on=self)

    @Slot()
    def browse(self) -> None:
        """Let the user choose the path."""
        if self._kind == "folder":
            start = str(expanded(self.edit.text()))
            path = QFileDialog.getExistingDirectory(self, "Folder of the data", start)
        else:
            title, names = "Images and labels", "NumPy (*.npz)"
            if self._kind == "checkpoint":
                from lbc.inspection.checkpoint import SUFFIXES  # not before the first paint

                title = "Trained weights"
                names = f"Checkpoints (*{' *'.join(SUFFIXES)});;All files (*)"
            path, _ = QFileDialog.getOpenFileName(self, title, "", names)
        if path:
            self.edit.setText(path)


def build(row: Row, changed: Callable[[], None]) -> QWidget:
    """The editor of a row; ``changed`` is called after every change."""
    widget: QWidget
    match row.editor:
        case "whole" | "number":
            widget = NumberBox(whole=row.editor == "whole")
            widget.on_change(changed)
        case "choice" | "editable choice":
            widget = combo_box(row.choices, "")
            if row.editor == "editable choice":
                make_editable(widget)
            widget.currentTextChanged.connect(changed)
        case "numbers":
            widget = NumbersBox()
            widget.textChanged.connect(changed)
        case "yes/no":
            widget = QCheckBox()
            widget.toggled.connect(changed)
        case "file" | "folder" | "checkpoint":
            widget = FileBox(row.editor)
            widget.edit.textChanged.connect(changed)
        case "arguments":
            widget = ArgumentsBox()
            widget.textChanged.connect(changed)
        case "text":
            widget = QLineEdit()
            widget.textChanged.connect(changed)
    widget.setObjectName(row.path)
    widget.setToolTip(plain(row.description))
    for named in (widget, *widget.findChildren(QLineEdit)):  # whichever has the focus
        named.setAccessibleName(row.label)
    return widget


def read(widget: QWidget) -> Any:
    """The value an editor holds, as YAML would give it."""
    match widget:
        case NumberBox():
            return widget.entry()
        case QComboBox():
            return ":".join(part.strip() for part in widget.currentText().split(":"))  # 2 : 4
        case QCheckBox():
            return widget.isChecked()
        case FileBox():
            return widget.edit.text()
        case NumbersBox():
            return widget.numbers()
        case ArgumentsBox():
            return widget.arguments()
        case QLineEdit():
            return widget.text()
    raise TypeError(f"{widget!r} is no editor of the form.")


def write(widget: QWidget, value: Any) -> None:
    """Show a value that ``read`` returned or that an experiment holds."""
    match widget:
        case NumberBox():
            widget.enter(value)
        case QComboBox():
            widget.setCurrentText(str(value))
        case QCheckBox():
            widget.setChecked(bool(value))
        case FileBox():
            widget.edit.setText(str(value))
        case NumbersBox():
            widget.setText(as_text(value))
        case ArgumentsBox():
            widget.setPlainText(as_text(value))
        case QLineEdit():
            widget.setText(str(value))


def as_text(value: object) -> str:
    """A value as its editor shows it."""
    match value:
        case bool():
            return "on" if value else "off"
        case int() | float():
            return to_text(value)
        case list() | tuple():
            return ", ".join(map(as_text, value))
        case dict():
            return dump_yaml(value).strip() if value else ""
    return str(value)
