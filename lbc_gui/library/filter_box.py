"""The filter of the page: what is wrong is underlined, and candidates complete the word."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import QEvent, QObject, QStringListModel, Qt, QTimer, Signal, Slot
from PySide6.QtGui import (
    QAction,
    QColor,
    QInputMethodEvent,
    QKeyEvent,
    QKeySequence,
    QTextCharFormat,
    QTextFormat,
)
from PySide6.QtWidgets import QApplication, QCompleter, QLineEdit, QListView, QWidget

from lbc_gui.icons import icon
from lbc_gui.theme import colours
from lbc_gui.widgets.layouts import column
from lbc_gui.widgets.text import Label, plain

TIP = (
    "Show only runs for which this holds, such as: accuracy > 97 and n:m = 2:4 and tag = paper. "
    "Also: or, not, ( ), ~ (contains). / in the table; Escape clears it"
)


PROBLEM_MILLISECONDS = 600
"""After the last key, before what is wrong is shown: until then the word may not be complete."""


class FilterBox(QWidget):
    """One line. ``problem``, which is placed elsewhere, says what is wrong with it."""

    changed = Signal(str)
    candidates_wanted = Signal(str, int)
    """The text and the position of the cursor; ``offer`` answers."""

    def __init__(self) -> None:
        super().__init__()
        self.line = QLineEdit(clearButtonEnabled=True)
        self.line.setPlaceholderText("Filter: accuracy > 97 and n:m = 2:4 and tag = paper")
        self.line.setAccessibleName("Filter of the runs")
        self.line.setToolTip(plain(TIP))
        self.line.addAction(icon("search"), QLineEdit.ActionPosition.LeadingPosition)
        self.problem = Label(wordWrap=True)
        self.problem.setObjectName("problem")
        self.problem.hide()
        self.action = QAction("Filter the runs", self)
        self.action.setShortcut(QKeySequence("/"))
        self.action.triggered.connect(self.line.setFocus)
        self._words = QStringListModel(self)
        self._completer = QCompleter(self._words, self)
        self._completer.setCompletionMode(QCompleter.CompletionMode.UnfilteredPopupCompletion)
        self._completer.setMaxVisibleItems(12)
        self._completer.setWidget(self.line)
        self._completer.activated.connect(self._insert)
        self._popup = QListView(self)
        self._completer.setPopup(self._popup)
        self._popup.installEventFilter(self)
        self.line.installEventFilter(self)
        self._part = self._wrong = (0, 0)
        self._sentence = ""
        self._wait = QTimer(self, singleShot=True, interval=PROBLEM_MILLISECONDS)
        self._wait.timeout.connect(self._show_problem)
        self.line.textEdited.connect(self._edited)
        self.line.textChanged.connect(self.changed)
        column(self.line, on=self)

    @property
    def text(self) -> str:
        return self.line.text()

    def show_problem(self, sentence: str = "", start: int = 0, length: int = 0) -> None:
        """Underline the part that is wrong and say why, soon; at once that nothing is wrong."""
        self._sentence, self._wrong = sentence, (start, max(1, length))
        if sentence:
            self._wait.start()
        else:
            self._show_problem()

    @Slot()
    def _show_problem(self) -> None:
        sentence, (start, length) = self._sentence, self._wrong
        self._wait.stop()
        self.problem.setText(sentence)
        self.problem.setVisible(bool(sentence))
        wrong = QTextCharFormat()
        wrong.setUnderlineStyle(QTextCharFormat.UnderlineStyle.WaveUnderline)
        wrong.setUnderlineColor(QColor(colours().error))
        kind, at = QInputMethodEvent.AttributeType.TextFormat, start - self.line.cursorPosition()
        part = QInputMethodEvent.Attribute(kind, at, length, QTextFormat(wrong))
        # The one way to format a part of a line that is edited.
        QApplication.sendEvent(self.line, QInputMethodEvent("", [part] if sentence else []))

    def offer(self, start: int, end: int, candidates: Sequence[str]) -> None:
        """Offer what may take the place of a part of the text."""
        self._part = (start, end)
        word = self.text[start:end]
        self._words.setStringList([one for one in candidates if one != word])
        if self._words.rowCount() and self.line.hasFocus():
            box = self.line.cursorRect()
            box.setWidth(min(self.line.width(), 260))
            self._completer.complete(box)
        else:
            self._popup.hide()

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if event.type() != QEvent.Type.KeyPress or not isinstance(event, QKeyEvent):
            return False
        key = event.key()
        if watched is self._popup:
            if key == Qt.Key.Key_Tab:  # to Qt it would move the focus
                chosen, first = self._popup.currentIndex(), self._popup.model().index(0, 0)
                self._popup.hide()
                self._insert((chosen if chosen.isValid() else first).data())
                return True
        elif key == Qt.Key.Key_Escape:
            self.line.clear()
            return True
        elif key == Qt.Key.Key_Down:
            self.candidates_wanted.emit(self.text, self.line.cursorPosition())
            return True
        return False

    @Slot(str)
    def _edited(self, text: str) -> None:
        self.candidates_wanted.emit(text, self.line.cursorPosition())

    @Slot(str)
    def _insert(self, word: str) -> None:
        start, end = self._part
        text = self.text
        rest = text[end:]
        room = "" if rest.startswith(" ") else " "
        self.line.setText(text[:start] + word + room + rest)
        self.line.setCursorPosition(start + len(word) + 1)
        self._edited(self.text)
