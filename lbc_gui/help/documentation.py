"""The documentation, opened in the browser from files on this computer."""

from __future__ import annotations

from pathlib import Path

from PySide6.QtCore import QUrl
from PySide6.QtGui import QDesktopServices

from lbc.files.resources import resource


def find_documentation() -> Path | None:
    """Its first page: of an installed package, or built in a checkout; None if neither has it."""
    try:
        return resource("docs/index.html")
    except FileNotFoundError:
        return None


def open_documentation(page: Path | None) -> str:
    """Open a page in the browser. Returns the sentence to show if that is impossible, else ""."""
    if page is None:
        return (
            "The documentation is not built yet: run make docs-build in the folder of the source "
            "code, or read docs/index.md there."
        )
    if QDesktopServices.openUrl(QUrl.fromLocalFile(str(page))):
        return ""
    return f"No browser could be started: open {page} in one."
