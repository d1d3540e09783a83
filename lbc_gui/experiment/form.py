"""The experiment as a form: every change is validated by the schema the files use."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from PySide6.QtCore import Signal, Slot
from PySide6.QtWidgets import QFormLayout, QGroupBox, QVBoxLayout, QWidget

from lbc.config import Experiment, parse_experiment
from lbc.config.strict_yaml import ExperimentError
from lbc.config.values import fields_by_key
from lbc_gui.experiment import editors
from lbc_gui.experiment.fields import GROUPS, PATTERN_ROWS, VARIANTS, Row
from lbc_gui.widgets.text import Label, plain

_WRONG = "border: 1px solid #cc3311;"


class ExperimentForm(QWidget):
    """Edits one experiment. ``pattern_box`` holds N:M and schedule, ``other_box`` the rest."""

    edited = Signal()
    """The user changed something; ``experiment`` is None while the values are not valid."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.experiment: Experiment | None = None
        self.problems: tuple[str, ...] = ()
        self._document: dict[str, Any] = {}
        self._editors: dict[str, QWidget] = {}
        self._rows: dict[str, tuple[Row, QFormLayout]] = {}
        self._labels: list[Label] = []
        self._filling = False
        self.pattern_box = QWidget()
        self.pattern_box.setLayout(self._layout(PATTERN_ROWS))
        self.other_box = QWidget()
        column = QVBoxLayout(self.other_box)
        column.setContentsMargins(0, 0, 4, 0)
        for title, rows in GROUPS.items():
            group = QGroupBox(title)
            group.setLayout(self._layout(rows))
            column.addWidget(group)
        column.addStretch(1)
        widest = max(label.sizeHint().width() for label in self._labels)
        for label in self._labels:
            label.setMinimumWidth(widest)

    def show_experiment(self, experiment: Experiment) -> None:
        """Fill the form; ``edited`` is not emitted."""
        self._filling = True
        self._document = experiment.model_dump(mode="json")
        for path, editor in self._editors.items():
            value: Any = self._document
            for key in path.split("."):
                value = value.get(key) if isinstance(value, dict) else None
            if value is not None:
                editors.write(editor, value)
        self._filling = False
        self._validate()

    def set_layers(self, names: Sequence[str], text: str) -> None:
        """Override layers with an N:M or "dense"; an empty text takes the overrides away."""
        known = self._document.get("layers", {})
        layers = {name: own for name, own in known.items() if name not in names}
        if text.strip():
            layers |= dict.fromkeys(names, text.strip())
        self._document = self._document | {"layers": layers}
        self._validate()
        self.edited.emit()

    def editor(self, path: str) -> QWidget:
        """The widget that edits a setting, like ``schedule.end``."""
        return self._editors[path]

    def enter(self, path: str, value: object) -> None:
        """Change one setting, as the user can."""
        editors.write(self._editors[path], value)

    def browse(self, path: str) -> None:
        """Let the user choose the file or folder of a setting."""
        editor = self._editors[path]
        assert isinstance(editor, editors.FileBox)
        editor.browse()

    def _layout(self, rows: tuple[Row, ...]) -> QFormLayout:
        layout = QFormLayout()
        layout.setContentsMargins(6, 4, 6, 4)
        layout.setVerticalSpacing(4)
        layout.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        for row in rows:
            editor = editors.build(row, self._changed)
            # The border of an error would make it lower.
            editor.setFixedHeight(editor.minimumHeight() or editor.sizeHint().height())
            label = Label(row.label)
            label.setBuddy(editor)
            label.setToolTip(plain(row.description))
            layout.addRow(label, editor)
            self._labels.append(label)
            self._editors[row.path] = editor
            self._rows[row.path] = (row, layout)
        return layout

    @Slot()
    def _changed(self, *_: object) -> None:
        if self._filling:
            return
        before = self._document
        self._take_variant_defaults()
        self._validate()
        if self._document != before:
            self.edited.emit()

    def _take_variant_defaults(self) -> None:
        for section, variants in VARIANTS.items():
            chosen = editors.read(self._editors[f"{section}.name"])
            if variants.get(self._document.get(section, {}).get("name")) is variants[chosen]:
                continue
            self._filling = True
            for name, field in fields_by_key(variants[chosen]).items():
                editor = self._editors.get(f"{section}.{name}")
                if editor is not None and name != "name" and not field.is_required():
                    editors.write(editor, field.default)
            self._filling = False

    def _validate(self) -> None:
        for path, (row, layout) in self._rows.items():
            layout.setRowVisible(self._editors[path], self._exists(row))
        self._document = self._document | self._values()
        wrong: dict[str, str] = {}
        try:
            self.experiment = parse_experiment(self._document)
        except ExperimentError as error:
            self.experiment = None
            wrong = {self._row_of(problem.path): problem.message for problem in error.problems}
        self.problems = tuple(f"{self._label(path)}: {text}" for path, text in wrong.items())
        for path, editor in self._editors.items():
            row, _ = self._rows[path]
            editor.setStyleSheet(_WRONG if path in wrong else "")
            editor.setToolTip(plain(wrong.get(path, row.description)))

    def _values(self) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for path, editor in self._editors.items():
            if not self._exists(self._rows[path][0]):
                continue
            *sections, name = path.split(".")
            inside, before = values, self._document
            for section in sections:
                before = before.get(section, {})
                kept = {} if section in VARIANTS else dict(before)
                inside = inside.setdefault(section, kept)
            inside[name] = editors.read(editor)
        return values

    def _exists(self, row: Row) -> bool:
        return row.when is None or editors.read(self._editors[row.when[0]]) in row.when[1]

    def _row_of(self, path: str) -> str:
        """The row of a problem's path, which may name one of a row's numbers or arguments."""
        return next((row for row in self._rows if f"{path}.".startswith(f"{row}.")), path)

    def _label(self, path: str) -> str:
        return self._rows[path][0].label if path in self._rows else path
