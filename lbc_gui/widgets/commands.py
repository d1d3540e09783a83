"""QActions: tooltips with the shortcut, and the reason where one is disabled."""

from __future__ import annotations

from PySide6.QtGui import QAction, QKeySequence

from lbc_gui.widgets.text import plain


def describe_action(action: QAction, tip: str) -> None:
    """Set the tip of an action; its tooltip adds the shortcut, which must be set before."""
    action.setStatusTip(tip)
    action.setToolTip(plain(_tooltip(action)))


def allow(action: QAction, why_not: str = "") -> None:
    """Enable an action, or disable it and give the reason in its tooltip."""
    action.setEnabled(not why_not)
    action.setToolTip(plain(why_not or _tooltip(action)))


def why_disabled(action: QAction) -> str:
    """The reason given to ``allow``; empty if the action is enabled or there was none."""
    explained = action.statusTip() and action.toolTip() != plain(_tooltip(action))
    return action.toolTip() if explained and not action.isEnabled() else ""


def shown_keys(action: QAction) -> str:
    return action.shortcut().toString(QKeySequence.SequenceFormat.NativeText)


def command_name(action: QAction) -> str:
    """The text without the mark of its mnemonic and the dots of a dialog."""
    text = action.text().replace("&&", "\0").replace("&", "").replace("\0", "&")
    return text.removesuffix("…")


def _tooltip(action: QAction) -> str:
    keys = shown_keys(action)
    return f"{action.statusTip()} ({keys})" if keys else action.statusTip()
