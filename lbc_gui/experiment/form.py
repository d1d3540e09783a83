"""The experiment as a form: every change is validated by the schema the files use."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import Any

from PySide6.QtCore import Signal, Slot
from PySide6.QtWidgets import QCheckBox, QComboBox, QFormLayout, QGroupBox, QVBoxLayout, QWidget

from lbc.config import Experiment, parse_experiment
from lbc.config.strict_yaml import ExperimentError
from lbc.config.values import fields_by_key
from lbc_gui.experiment import editors
from lbc_gui.experiment.field_menu import FieldMenu
from lbc_gui.experiment.fields import GROUPS, PATTERN_ROWS, VARIANTS, Row
from lbc_gui.experiment.form_history import Document, FormHistory
from lbc_gui.theme import GAP, TIGHT, colours
from lbc_gui.widgets.text import Label, plain

_STYLE = (
    "QComboBox, QAbstractSpinBox, QLineEdit, QPlainTextEdit, QCheckBox {{ {} }}"
    "QComboBox QLineEdit, QAbstractSpinBox QLineEdit {{ border: 0; background: transparent; }}"
)
"""The style of an editor and not of its tooltip, which would take one without a selector."""

_KEY = re.compile(r"\b[a-z]+(?:\.[a-z_]+)+\b")
"""The path of a setting in a sentence."""


class ExperimentForm(QWidget):
    """Edits one experiment. ``pattern_box`` holds N:M and schedule, ``other_box`` the rest.

    Settings that differ from those of the experiment of ``compare_with`` are marked. A form of some
    rows only edits those, and they cannot be varied. Dialogs lay out the boxes of one form: under a
    style sheet Qt leaves about 1 kB behind for each spin box and combo box that was ever made.
    """

    edited = Signal()
    """The user changed something; ``experiment`` is None while the values are not valid."""
    restored = Signal(str)
    """The setting that undo or redo has changed; "layers" for the N:M of layers."""

    def __init__(
        self,
        parent: QWidget | None = None,
        rows: tuple[Row, ...] = PATTERN_ROWS,
        groups: Mapping[str, tuple[Row, ...]] = GROUPS,
    ) -> None:
        super().__init__(parent)
        self._varied = bool(groups)
        self.experiment: Experiment | None = None
        self.problems: tuple[str, ...] = ()
        self.changes: tuple[str, ...] = ()
        """A sentence for each setting that differs."""
        self.history = FormHistory(self)
        self.history.restored.connect(self._restore)
        self.menu = FieldMenu(self)
        self._document: Document = {}
        self._compared: Document = {}
        self._wrong: dict[str, str] = {}
        self._refused: Mapping[str, str] = {}
        self._sought: list[str] = []
        self._shown: list[str] = []
        self._editors: dict[str, QWidget] = {}
        self._rows: dict[str, tuple[Row, QFormLayout]] = {}
        self._labels: list[Label] = []
        self._filling = False
        self.pattern_box = QWidget()
        self.pattern_box.setLayout(self._layout(rows))
        self.other_box = QWidget()
        column = QVBoxLayout(self.other_box)
        column.setContentsMargins(0, 0, TIGHT, 0)
        for title, of_group in groups.items():
            group = QGroupBox(title)
            group.setLayout(self._layout(of_group))
            column.addWidget(group)
        column.addStretch(1)
        widest = max(label.sizeHint().width() for label in self._labels)
        for label in self._labels:
            label.setMinimumWidth(widest)

    def take_back(self) -> None:
        """Hide ``pattern_box`` in the form again, before the dialog around it is deleted."""
        self.pattern_box.setParent(self)

    def show_experiment(self, experiment: Experiment) -> None:
        """Fill the form with what later changes are compared with; ``edited`` is not emitted."""
        self.history.clear()
        self._compared = experiment.model_dump(mode="json")
        self._fill(self._compared)

    def compare_with(self, experiment: Experiment) -> None:
        """Mark the settings that differ from those of ``experiment``."""
        self._compared = experiment.model_dump(mode="json")
        self.show_marks()

    @Slot()
    def revert(self) -> None:
        """Take all changes back, in one step."""
        self._enter(self._compared)

    def enter_experiment(self, experiment: Experiment) -> None:
        """Change every setting to that of ``experiment``, in one step, as the user can."""
        self._enter(experiment.model_dump(mode="json"))

    def enter_document(self, document: Document) -> None:
        """Change every setting to that of a document, in one step; it need not be valid.

        Raises ValueError if a section is not a mapping.
        """
        sections = {path[:at] for path in self._rows for at, sign in enumerate(path) if sign == "."}
        for section in (*sections, "layers"):
            *outer, key = section.split(".")
            holder = _value(document, ".".join(outer)) if outer else document
            if isinstance(holder, dict) and not isinstance(holder.get(key, {}), dict):
                raise ValueError(f"{section} has no settings")
        self._enter(document)

    @property
    def document(self) -> Document:
        """What is in the form."""
        return self._document

    @property
    def compared(self) -> Document:
        """What changes are compared with: a valid experiment."""
        return self._compared

    def _enter(self, document: Document) -> None:
        before = self._document
        self._fill(document)
        self._record(before)

    def show_matching(self, text: str) -> bool:
        """Show only settings with all words of ``text``; return False if there are none.

        Those that do nothing now are shown too, disabled.
        """
        self._sought = text.casefold().split()
        self._show_rows()
        return bool(self._shown)

    @property
    def unused(self) -> list[str]:
        """A sentence for every setting that was found and does nothing now: when it does."""
        rows = [self._rows[path][0] for path in self._shown]
        return [f"{row.label} applies when {self._when(row)}." for row in rows
                if not self._exists(row)]  # fmt: skip

    def focus_first(self) -> None:
        """Give the focus to the first setting that is shown."""
        usable = (self._editors[at] for at in self._shown if self._editors[at].isEnabled())
        if (first := next(usable, None)) is not None:
            first.setFocus()

    def refuse(self, reasons: Mapping[str, str]) -> None:
        """Mark settings whose values are valid, but cannot be used here, and say why."""
        self._refused = reasons
        self.show_marks()

    @property
    def changed_settings(self) -> dict[str, object]:
        """The settings that differ, by path, with their values."""
        differing = (path for path in self._rows if self._differs(path, self._compared))
        return {path: _value(self._document, path) for path in differing}

    def set_layers(self, names: Sequence[str], text: str) -> None:
        """Override layers with an N:M or "dense"; an empty text takes the overrides away."""
        before, known = self._document, self._document.get("layers", {})
        layers = {name: own for name, own in known.items() if name not in names}
        if text.strip():
            layers |= dict.fromkeys(names, text.strip())
        self._document = before | {"layers": layers}
        self._validate()
        self._record(before)

    def editor(self, path: str) -> QWidget:
        """The widget that edits a setting, like ``schedule.end``."""
        return self._editors[path]

    def describe(self, path: str) -> tuple[str, object]:
        """The label of a setting, and its value."""
        return self.label(path), editors.read(self._editors[path])

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
        layout.setContentsMargins(0, TIGHT, 0, TIGHT)
        layout.setHorizontalSpacing(GAP)
        layout.setVerticalSpacing(TIGHT)
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
            self.history.watch(editor)
            if self._varied:
                self.menu.watch(row.path, label, editor)
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
            self._record(before)

    def _record(self, before: Document) -> None:
        """Add the edit that led from ``before`` to here to the history."""
        field = next((path for path in self._rows if self._differs(path, before)), "")
        editor = self._editors.get(field)
        chosen = isinstance(editor, QComboBox) and not editor.isEditable()
        typed = not (editor is None or chosen or isinstance(editor, QCheckBox))
        self.history.record(field, typed, before, self._document)
        self.edited.emit()

    @Slot(object)
    def _restore(self, document: Document) -> None:
        before = self._document
        self._fill(document)
        self.edited.emit()
        rows = (row for row, _ in self._rows.values() if self._differs(row.path, before))
        self.restored.emit(next((row.path for row in rows if self._exists(row)), "layers"))

    def _fill(self, document: Document) -> None:
        self._filling = True
        self._document, self._wrong = document, {}
        for path, editor in self._editors.items():
            value = _value(document, path)
            if value is not None and value != editors.read(editor):
                editors.write(editor, value)
        self._filling = False
        self._validate()

    def _take_variant_defaults(self) -> None:
        for section, variants in VARIANTS.items():
            if f"{section}.name" not in self._editors:
                continue
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
        self._document = self._document | self._values()
        self._wrong = {}
        try:
            self.experiment = parse_experiment(self._document)
        except ExperimentError as error:
            self.experiment = None
            self._wrong = {
                self._row_of(at.path): self._with_labels(at.message) for at in error.problems
            }
        self.problems = tuple(f"{self.label(at)}: {text}" for at, text in self._wrong.items())
        self._show_rows()
        self.show_marks()

    def _show_rows(self) -> None:
        self._shown = []
        for path, (row, layout) in self._rows.items():
            exists = self._exists(row)
            if self._is_sought(row) and (exists or self._sought):
                self._shown.append(path)
            self._editors[path].setEnabled(exists)
            layout.setRowVisible(self._editors[path], path in self._shown)
        for box in self.other_box.findChildren(QGroupBox):
            box.setVisible(any(box.isAncestorOf(self._editors[at]) for at in self._shown))

    def show_marks(self) -> None:
        """Mark what is wrong and what has changed, and say so in tooltips."""
        self.changes, now = (), colours()
        for path, editor in self._editors.items():
            row, _ = self._rows[path]
            wrong = self._wrong.get(path) or self._refused.get(path)
            tips, style = [wrong or row.description], ""
            if wrong:
                style = f"border: 1px solid {now.error};"
            if self._exists(row) and self._differs(path, self._compared):
                was = f"was {editors.as_text(_value(self._compared, path)) or 'empty'}"
                self.changes += (f"{row.label}: {was}",)
                tips.append(was)
                style += f" background: {now.selection};"
            sheet = _STYLE.format(style) if style else ""
            if sheet != editor.styleSheet():
                editor.setStyleSheet(sheet)
            editor.setToolTip(plain("\n".join(tips)))
        own, before = self._document.get("layers", {}), self._compared.get("layers", {})
        for name in {**before, **own}:
            if own.get(name) != before.get(name):
                self.changes += (f"N:M of {name}: was {before.get(name, 'not its own')}",)

    def _values(self) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for path, editor in self._editors.items():
            if not self._exists(self._rows[path][0]):
                continue
            *sections, name = path.split(".")
            inside, before = values, self._document
            for section in sections:
                before = before.get(section, {})
                kept = {} if section in VARIANTS else deepcopy(before)
                inside = inside.setdefault(section, kept)
            inside[name] = editors.read(editor)
        return values

    def _exists(self, row: Row) -> bool:
        """Whether a setting does anything, or what it says makes the experiment impossible.

        Such a one stays while it has the focus: the first digit may make the experiment possible.
        """
        if row.when is None:
            return True
        path, values = row.when
        needed = row.path in self._wrong or self._editors[row.path].hasFocus()
        of_variant = path == f"{row.path.partition('.')[0]}.name"
        if needed and not of_variant:
            return True
        value = editors.read(self._editors[path])
        chosen = value in values if values else bool(value)
        return chosen and self._exists(self._rows[path][0])

    def _when(self, row: Row) -> str:
        """The choices under which a setting does anything."""
        assert row.when is not None
        path, values = row.when
        other, _ = self._rows[path]
        further = f" and {self._when(other)}" if other.when is not None else ""
        return f"{other.label} is {' or '.join(values) or 'set'}{further}"

    def _is_sought(self, row: Row) -> bool:
        text = f"{row.label} {row.path} {row.description}".casefold()
        return all(word in text for word in self._sought)

    def _differs(self, path: str, before: Document) -> bool:
        """Whether a setting has another value than before, when it had one."""
        old = _value(before, path)
        return old is not None and old != _value(self._document, path)

    def _row_of(self, path: str) -> str:
        """The row of a problem's path, which may name one of a row's numbers or arguments."""
        return next((row for row in self._rows if f"{path}.".startswith(f"{row}.")), path)

    def label(self, path: str) -> str:
        """The label of a setting, or its key if it has none."""
        return self._rows[path][0].label if path in self._rows else path

    def _with_labels(self, sentence: str) -> str:
        """A sentence with labels in place of keys, which the form does not show."""
        return _KEY.sub(
            lambda key: f"“{self.label(key[0])}”" if key[0] in self._rows else key[0], sentence
        )


def _value(document: Document, path: str) -> Any:
    """A setting of a document; None if it has none."""
    value: Any = document
    for key in path.split("."):
        value = value.get(key) if isinstance(value, dict) else None
    return value
