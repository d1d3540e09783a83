"""What the window remembers between launches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, cast, get_args
from zlib import crc32

from platformdirs import user_config_path
from pydantic import BaseModel, Field, TypeAdapter, ValidationError
from PySide6.QtCore import QByteArray, QSettings, QSize

from lbc_gui.theme import Theme

LAYOUT_VERSION = 2
"""Increased when docks change so much that a layout saved before does not fit."""

MOST_SERVERS = 8

MOST_RECENT = 12

_PATHS = TypeAdapter(list[str])


def _checksum(*parts: QByteArray) -> str:
    """Of what Qt restores a layout from: it trusts its own data, and damaged data can end it."""
    return f"{crc32(b''.join(bytes(part.data()) for part in parts)):08x}"


@dataclass(frozen=True)
class Layout:
    """Where the panels are. ``size`` is the window's, and the others are names of panels."""

    geometry: QByteArray
    docks: QByteArray
    size: QSize
    folded: Sequence[str]
    unfolded_low: Sequence[str]
    """Unfolded while the window was too low for them at first."""


class TableColumns(BaseModel):
    """What the user has changed of the columns of the table of runs, by their keys."""

    shown: frozenset[str] = frozenset()
    hidden: frozenset[str] = frozenset()
    widths: dict[str, Annotated[int, Field(gt=0, lt=10_000)]] = {}


class EstimateChoice(BaseModel, frozen=True):
    """For which cards, type and number of images or tokens latencies were last estimated."""

    cards: tuple[str, ...] = ("A100",)
    dtype: str = "bf16"
    batch: Annotated[int, Field(gt=0, le=65_536)] = 64


class Settings:
    """Window layout and theme, in an INI file in the user's configuration folder."""

    def __init__(self, path: Path | None = None) -> None:
        path = path or user_config_path("lbc-explorer") / "window.ini"
        self.path = path
        self._store = QSettings(str(path), QSettings.Format.IniFormat)
        self.damaged = self._store.status() is QSettings.Status.FormatError
        """Whether the file could not be read; then everything is as at the first start."""

    @property
    def theme(self) -> Theme:
        stored = self._store.value("theme", "system")
        return cast(Theme, stored) if stored in get_args(Theme) else "system"

    @theme.setter
    def theme(self, theme: Theme) -> None:
        self._store.setValue("theme", theme)

    @property
    def declined_run(self) -> str:
        """The folder of the run that the user last chose not to resume."""
        return str(self._store.value("runs/declined", ""))

    @declined_run.setter
    def declined_run(self, folder: str) -> None:
        self._store.setValue("runs/declined", folder)

    @property
    def recent_servers(self) -> list[str]:
        """The addresses of the runs on servers that were opened last, the last one first."""
        return [text for text in str(self._store.value("servers/recent", "")).split("\n") if text]

    def add_server(self, address: str) -> None:
        others = [text for text in self.recent_servers if text != address]
        self._store.setValue("servers/recent", "\n".join([address, *others][:MOST_SERVERS]))

    @property
    def recent_files(self) -> list[str]:
        """The absolute paths of what was opened last, the last one first."""
        try:
            stored = str(self._store.value("files/recent", "[]"))
            return _PATHS.validate_json(stored)[:MOST_RECENT]
        except ValidationError:
            return []

    def add_recent_file(self, path: str) -> None:
        self._store.sync()  # another window may have added one
        others = [one for one in self.recent_files if one != path]
        self._store.setValue("files/recent", _PATHS.dump_json([path, *others]).decode())
        self._store.sync()

    def clear_recent_files(self) -> None:
        self._store.remove("files/recent")

    @property
    def introduced(self) -> bool:
        """Whether the user has dismissed the explanation of a cell."""
        return bool(self._store.value("help/introduced", False, type=bool))

    @introduced.setter
    def introduced(self, introduced: bool) -> None:
        self._store.setValue("help/introduced", introduced)

    @property
    def columns(self) -> TableColumns:
        try:
            return TableColumns.model_validate_json(str(self._store.value("runs/columns", "{}")))
        except ValidationError:
            return TableColumns()

    @columns.setter
    def columns(self, columns: TableColumns) -> None:
        self._store.setValue("runs/columns", columns.model_dump_json())

    @property
    def estimate(self) -> EstimateChoice:
        try:
            return EstimateChoice.model_validate_json(str(self._store.value("estimate", "{}")))
        except ValidationError:
            return EstimateChoice()

    @estimate.setter
    def estimate(self, choice: EstimateChoice) -> None:
        self._store.setValue("estimate", choice.model_dump_json())

    def save_layout(self, layout: Layout) -> None:
        self._store.setValue("layout/version", LAYOUT_VERSION)
        self._store.setValue("layout/geometry", layout.geometry)
        self._store.setValue("layout/docks", layout.docks)
        self._store.setValue("layout/checksum", _checksum(layout.geometry, layout.docks))
        self._store.setValue("layout/size", layout.size)
        self._store.setValue("layout/folded", ",".join(layout.folded))
        self._store.setValue("layout/unfolded_low", ",".join(layout.unfolded_low))
        self._store.sync()

    def layout(self) -> Layout | None:
        """The layout as last saved; None if it is damaged, or of a version with other docks."""
        geometry, docks, size, *names = (
            self._store.value(f"layout/{key}")
            for key in ("geometry", "docks", "size", "folded", "unfolded_low")
        )
        fits = self._store.value("layout/version") in (LAYOUT_VERSION, str(LAYOUT_VERSION))
        if (
            fits
            and isinstance(geometry, QByteArray)
            and isinstance(docks, QByteArray)
            and isinstance(size, QSize)
            and self._store.value("layout/checksum") == _checksum(geometry, docks)
        ):
            return Layout(geometry, docks, size, *(str(one or "").split(",") for one in names))
        return None

    def clear_layout(self) -> None:
        self._store.remove("layout")
