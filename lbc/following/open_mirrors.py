"""The mirrors that this process keeps, by their folders. Loads nothing of what a mirror needs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lbc.following.mirror import Mirror

OPEN: dict[Path, Mirror] = {}


def mirror_in(folder: Path) -> Mirror | None:
    """The mirror that this process keeps in a folder; None if it keeps none there."""
    return OPEN.get(folder)
