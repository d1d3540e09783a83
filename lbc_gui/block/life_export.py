"""Saves the biography of the block on screen, or those of all that are pinned."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from PySide6.QtCore import QObject, Slot

from lbc.pictures.moment_copier import Pin
from lbc.runs.block_history import Life
from lbc.runs.block_history_files import write_csv, write_npz
from lbc.runs.history_reader import Replay
from lbc.runs.history_walks import biographies
from lbc.sparsity.arrays import Floats
from lbc_gui.block.block_panel import BlockPanel
from lbc_gui.block.life_view import Times
from lbc_gui.export.view_export import Data, ViewExport
from lbc_gui.file_writer import UnsuitableError
from lbc_gui.run.view_state import ViewState
from lbc_gui.worker import describe


class LifeExport(QObject):
    """Reads what is not on screen from the run folder, in the thread that writes the file."""

    def __init__(
        self,
        panel: BlockPanel,
        state: ViewState,
        saving: ViewExport,
        run_folder: Callable[[], Path | None],
    ) -> None:
        super().__init__(panel)
        self._panel, self._state = panel, state
        self._saving, self._run_folder = saving, run_folder
        panel.life.save_this.triggered.connect(self.save_this)
        panel.life.save_all.triggered.connect(self.save_all)

    @Slot()
    def save_this(self) -> None:
        view = self._panel.life
        if (life := view.life) is not None:
            epochs, weights = view.seen(Pin(life.layer, life.block))
            whole = replace(life, weight_epochs=epochs, weights=weights)
            name = f"history of block {life.block} {life.layer or 'model'}"
            self._saving.choose(_data(name, lambda: [whole]))

    @Slot()
    def save_all(self) -> None:
        folder, pins = self._run_folder(), self._state.view.pins.all
        seen = {pin: self._panel.life.seen(pin) for pin in pins}
        if folder is not None and pins:
            name = f"history of {len(pins)} blocks"
            self._saving.choose(_data(name, lambda: read_lives(folder, seen)))


def read_lives(folder: Path, seen: Mapping[Pin, tuple[Times, Floats]]) -> list[Life]:
    """The biographies of some blocks of a run, with what was ``seen`` of their weights.

    Raises UnsuitableError if the history cannot be read.
    """
    try:
        replay = Replay(folder)
        by_layer: dict[str, list[Pin]] = {}
        for pin in seen:
            by_layer.setdefault(pin.layer, []).append(pin)
        found = {
            pin: biography
            for layer, pins in by_layer.items()
            for pin, biography in zip(
                pins, biographies(replay, layer, [pin.block for pin in pins]), strict=True
            )
        }
    except (OSError, ValueError) as error:
        problem = describe(f"The history of {folder} cannot be read", error, ValueError)
        raise UnsuitableError(problem.message) from error
    return [Life(pin.layer, pin.block, found[pin], *seen[pin]) for pin in seen]


def _data(name: str, lives: Callable[[], Sequence[Life]]) -> Data:
    return Data(
        name,
        {
            ".csv": lambda file: write_csv(file, lives()),
            ".npz": lambda file: write_npz(file, lives()),
        },
    )
