"""What a file or a network calls itself is never taken for HTML."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from PySide6.QtGui import Qt, QTextDocument, QTextFormat
from PySide6.QtWidgets import QLabel, QWidget
from pytestqt.qtbot import QtBot

import lbc_gui
from lbc_gui.run.session import State
from lbc_gui.widgets.text import HtmlLabel, Label, html, plain
from lbc_gui.window.main_window import MainWindow
from tests.gui.conftest import SECONDS, small_experiment

SOURCES = sorted(Path(lbc_gui.__file__).parent.rglob("*.py"))
TAG = re.compile(r"</?(a|b|i|p|br|div|font|h\d|img|li|pre|qt|span|table|td|tr)\b")
HOSTILE = "x<img src='picture'>"
CALLS = ("setToolTip", "showText", "setHtml", "insertHtml", "setWhatsThis", "appendHtml")


def violations(tree: ast.AST) -> Iterator[str]:
    """Calls through which Qt may take any text for HTML."""
    for node in ast.walk(tree):
        match node:
            case ast.Name(id="QLabel"):
                yield "QLabel: use Label or HtmlLabel"
            case ast.Call(func=ast.Attribute(attr=name), args=args) if name in CALLS:
                for text in args[1:2] if name == "showText" else args[:1]:
                    if not (isinstance(text, ast.Constant) or ast.unparse(text)[:6] == "plain("):
                        yield f"{name} with a text that may be HTML: use plain()"
            case ast.Call(func=ast.Name(id="QMessageBox" | "QErrorMessage"), keywords=keywords):
                if "textFormat" not in [keyword.arg for keyword in keywords]:
                    yield "a message box without a textFormat"
            case ast.JoinedStr(values=parts) if len(parts) > 1:
                literal = "".join(str(p.value) for p in parts if isinstance(p, ast.Constant))
                if TAG.search(literal):
                    yield "an f-string of HTML: use html()"


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
def test_no_widget_takes_any_text_for_html(source: Path) -> None:
    if source.name != "text.py" and source.parent.name != "latency":
        assert list(violations(ast.parse(source.read_text()))) == []


@pytest.mark.parametrize(
    "code",
    [
        "QLabel('a')",
        "widget.setToolTip(name)",
        "widget.setToolTip(f'{name}')",
        "QToolTip.showText(where, name)",
        "QMessageBox(window)",
        "label.setText(f'<b>{name}</b>')",
    ],
)
def test_the_scan_finds(code: str) -> None:
    assert list(violations(ast.parse(code)))


def test_values_are_escaped_and_tooltips_shown_as_written(qtbot: QtBot) -> None:
    assert (
        html("<b>{}</b> {:.1f}", HOSTILE, 0.25) == "<b>x&lt;img src=&#x27;picture&#x27;&gt;</b> 0.2"
    )
    assert plain("a < b") == "a < b"
    document = QTextDocument()
    document.setHtml(plain(f"{HOSTILE}\nnext"))
    assert document.toPlainText() == f"{HOSTILE}\nnext"
    for label in (Label(HOSTILE), HtmlLabel(html("{}", HOSTILE))):
        qtbot.addWidget(label)
        assert not images(label.text(), label.textFormat())


def images(text: str, form: Qt.TextFormat) -> int:
    """Number of images that Qt would load to show a text."""
    rich = form is Qt.TextFormat.RichText
    if not (rich or (form is Qt.TextFormat.AutoText and Qt.mightBeRichText(text))):
        return 0
    document = QTextDocument()
    document.setHtml(text)
    formats = document.allFormats()
    return sum(each.objectType() == QTextFormat.ObjectTypes.ImageObject.value for each in formats)


def test_a_hostile_layer_name_loads_no_image(
    qtbot: QtBot,
    open_window: Callable[..., MainWindow],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    module = tmp_path / "hostile_network.py"
    module.write_text(
        "from collections import OrderedDict\n"
        "from torch import nn\n"
        "def build():\n"
        "    return nn.Sequential(OrderedDict([('flat', nn.Flatten()),\n"
        f"        ({HOSTILE!r}, nn.Linear(784, 32)), ('relu', nn.ReLU()),\n"
        "        ('head', nn.Linear(32, 10))]))\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    window = open_window(
        small_experiment(model={"import": "hostile_network:build"}, schedule={"end": 6}),
        start=True,
    )
    qtbot.waitUntil(lambda: window.session.state is not State.LOADING, timeout=SECONDS)
    assert any(HOSTILE in layer.name for layer in window.view_state.view.layers), (
        window.message.text
    )
    window.view_state.pin(0)
    for page in range(window.pages.count()):
        window.pages.setCurrentIndex(page)
        qtbot.wait(300)
    shown = [w for w in window.findChildren(QWidget) if w.toolTip() or isinstance(w, QLabel)]
    assert any("img src" in w.text() for w in shown if isinstance(w, QLabel))
    for widget in shown:
        assert not images(widget.toolTip(), Qt.TextFormat.AutoText), widget
        if isinstance(widget, QLabel):
            assert not images(widget.text(), widget.textFormat()), widget.text()
