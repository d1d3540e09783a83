"""What the window remembers between launches."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, cast, get_args
from zlib import crc32

from platformdirs import user_config_path
from pydantic import BaseModel, Field, TypeAdapter, ValidationError
from PySide6.QtCore import QByteArray, QCoreApplication, QEvent, QSettings, QSize

from lbc_gui.theme import Theme

LAYOUT_VERSION = 2
"""Increased when docks change so much that a layout saved before does not fit."""

MOST_SERVERS = 8

MOST_RECENT = 12

RECENT_FILES = "files/recent"

LAYOUT_KEYS = tuple(
    f"layout/{name}"
    for name in ("version", "geometry", "docks", "size", "folded", "unfolded_low", "checksum")
)

_PATHS = TypeAdapter(list[str])

_WRITER = ThreadPoolExecutor(1, "settings")


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
    """Window layout and theme, in an INI file in the user's configuration folder.

    What is set is known at once, and written by a thread: Qt waits until it is on the disk, which
    can take a quarter of a second.
    """

    def __init__(self, path: Path | None = None) -> None:
        path = path or user_config_path("lbc-explorer") / "window.ini"
        self.path = path
        self.wait()  # what another window of this process has set is read
        store = QSettings(str(path), QSettings.Format.IniFormat)
        # All of it: the store makes who reads it wait while the thread writes.
        self._values: dict[str, object] = {key: store.value(key) for key in store.allKeys()}
        self.damaged = store.status() is QSettings.Status.FormatError
        """Whether the file could not be read; then everything is as at the first start."""

    def wait(self) -> None:
        """Wait until what was set is in the file."""
        _WRITER.submit(int).result()

    def _value(self, key: str, default: object = None) -> Any:
        value = self._values.get(key)
        return default if value is None else value

    def _change(self, values: Mapping[str, object]) -> None:
        """Set values; None removes what was set."""
        self._values |= values
        _WRITER.submit(_write, self.path, values)

    @property
    def theme(self) -> Theme:
        stored = self._value("theme", "system")
        return cast(Theme, stored) if stored in get_args(Theme) else "system"

    @theme.setter
    def theme(self, theme: Theme) -> None:
        self._change({"theme": theme})

    @property
    def declined_run(self) -> str:
        """The folder of the run that the user last chose not to resume."""
        return str(self._value("runs/declined", ""))

    @declined_run.setter
    def declined_run(self, folder: str) -> None:
        self._change({"runs/declined": folder})

    @property
    def recent_servers(self) -> list[str]:
        """The addresses of the runs on servers that were opened last, the last one first."""
        return [text for text in str(self._value("servers/recent", "")).split("\n") if text]

    def add_server(self, address: str) -> None:
        others = [text for text in self.recent_servers if text != address]
        self._change({"servers/recent": "\n".join([address, *others][:MOST_SERVERS])})

    @property
    def recent_files(self) -> list[str]:
        """The absolute paths of what was opened last, the last one first."""
        return _paths(self._value(RECENT_FILES, "[]"))

    def add_recent_file(self, path: str) -> None:
        known = _with_path(path, self.recent_files)
        self._values[RECENT_FILES] = known
        _WRITER.submit(self._write_recent_file, path, known)

    def _write_recent_file(self, path: str, known: str) -> None:
        with _opened(self.path) as store:
            store.sync()  # another window may have added one
            merged = _with_path(path, _paths(store.value(RECENT_FILES, "[]")))
            store.setValue(RECENT_FILES, merged)
        if self._values[RECENT_FILES] == known:
            self._values[RECENT_FILES] = merged

    def clear_recent_files(self) -> None:
        self._change({RECENT_FILES: None})

    @property
    def introduced(self) -> bool:
        """Whether the user has dismissed the explanation of a cell."""
        return self._value("help/introduced", False) in (True, "true")

    @introduced.setter
    def introduced(self, introduced: bool) -> None:
        self._change({"help/introduced": introduced})

    @property
    def columns(self) -> TableColumns:
        try:
            return TableColumns.model_validate_json(str(self._value("runs/columns", "{}")))
        except ValidationError:
            return TableColumns()

    @columns.setter
    def columns(self, columns: TableColumns) -> None:
        self._change({"runs/columns": columns.model_dump_json()})

    @property
    def estimate(self) -> EstimateChoice:
        try:
            return EstimateChoice.model_validate_json(str(self._value("estimate", "{}")))
        except ValidationError:
            return EstimateChoice()

    @estimate.setter
    def estimate(self, choice: EstimateChoice) -> None:
        self._change({"estimate": choice.model_dump_json()})

    def save_layout(self, layout: Layout) -> None:
        values = (
            LAYOUT_VERSION,
            layout.geometry,
            layout.docks,
            layout.size,
            ",".join(layout.folded),
            ",".join(layout.unfolded_low),
            _checksum(layout.geometry, layout.docks),
        )
        self._change(dict(zip(LAYOUT_KEYS, values, strict=True)))

    def layout(self) -> Layout | None:
        """The layout as last saved; None if it is damaged, or of a version with other docks."""
        version, geometry, docks, size, *names, checksum = map(self._value, LAYOUT_KEYS)
        if (
            version in (LAYOUT_VERSION, str(LAYOUT_VERSION))
            and isinstance(geometry, QByteArray)
            and isinstance(docks, QByteArray)
            and isinstance(size, QSize)
            and checksum == _checksum(geometry, docks)
        ):
            return Layout(geometry, docks, size, *(str(one or "").split(",") for one in names))
        return None

    def clear_layout(self) -> None:
        self._change(dict.fromkeys(LAYOUT_KEYS))


def _paths(stored: object) -> list[str]:
    try:
        return _PATHS.validate_json(str(stored))[:MOST_RECENT]
    except ValidationError:
        return []


def _with_path(path: str, others: Sequence[str]) -> str:
    return _PATHS.dump_json([path, *(one for one in others if one != path)]).decode()


def _write(path: Path, values: Mapping[str, object]) -> None:
    with _opened(path) as store:
        for key, value in values.items():
            if value is None:
                store.remove(key)
            else:
                store.setValue(key, value)


@contextmanager
def _opened(path: Path) -> Iterator[QSettings]:
    """A store of its own for the thread, which is written in the end."""
    store = QSettings(str(path), QSettings.Format.IniFormat)
    yield store
    # What sync() does; but during that, PySide lets no other thread run.
    QCoreApplication.sendEvent(store, QEvent(QEvent.Type.UpdateRequest))
