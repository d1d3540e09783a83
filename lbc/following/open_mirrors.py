"""The mirrors that this process keeps, by their folders. Loads nothing of what a mirror needs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from lbc.runs.mirror_state import MirrorState

if TYPE_CHECKING:
    from lbc.following.screen import Screen


class OpenMirror(Protocol):
    """What a viewer needs of a ``Mirror``."""

    screen: Screen
    state: MirrorState


OPEN: dict[Path, OpenMirror] = {}


def mirror_in(folder: Path) -> OpenMirror | None:
    """The mirror that this process keeps in a folder; None if it keeps none there."""
    return OPEN.get(folder)
