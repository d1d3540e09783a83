"""The trainer's side: other processes command and watch a run through files in its folder."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from lbc.following.commands import FILE as COMMANDS
from lbc.following.commands import CommandReader
from lbc.following.trainer_file import TrainerInfo, TrainerState, this_process, write_trainer
from lbc.following.watch import Viewers
from lbc.pictures.moment_copier import Pace
from lbc.runs.events import (
    Command,
    Commanded,
    Event,
    Intervention,
    InterventionRefused,
    Resumed,
    Started,
    Steering,
    StorageProblem,
    Untrained,
)
from lbc.training.control import Control

if TYPE_CHECKING:
    from lbc.sparsity.sparsifier import Sparsifier

POLL_SECONDS = 0.05
"""The shortest interval between two looks at the run folder."""

POLL_SHARE = 0.002
"""Share of the training thread's time that these looks may take, on a slow file system too."""


class RemoteControl:
    """Carries out commands from other processes, and copies what they show of the run.

    A trainer gets ``emit`` and ``watch``, which pass on what it emits to ``emit``, and what it lets
    watch to ``watch``. Both are called in the training thread; neither raises anything of its own.

    Args:
        program: what trains, for others to see: "lbc train".
    """

    def __init__(
        self,
        control: Control,
        program: str,
        emit: Callable[[Event], None],
        watch: Callable[[Sparsifier, float], None] = lambda sparsifier, epoch: None,
    ) -> None:
        self._control = control
        self._info = this_process(program)
        self._written: TrainerInfo | None = None
        self._emit, self._watch = emit, watch
        self._folder: Path | None = None
        self._commands: CommandReader
        self._viewers: Viewers
        self._pace = Pace()

    def emit(self, event: Event) -> None:
        match event:
            case Started() | Resumed() if event.folder is not None:
                self._begin(event.folder)
            case InterventionRefused() | StorageProblem() | Untrained():
                self._notify(event.message)
            case _:
                pass
        self._emit(event)

    def watch(self, sparsifier: Sparsifier, epoch: float) -> None:
        self._watch(sparsifier, epoch)
        if self._folder is None or not self._pace.due:
            return
        began = time.monotonic()
        commands = self._commands.read()
        with suppress(OSError):  # the folder is gone; the trainer will notice when it writes
            self._viewers.refresh()
        spent = 0.0 if self._control.paused else time.monotonic() - began
        self._pace.rest(max(POLL_SECONDS, spent / POLL_SHARE))
        for command in commands:
            self._carry_out(command)
        self._write()
        self._viewers.copy(sparsifier, epoch)

    def close(self) -> None:
        """The run is over, or has failed."""
        if self._folder is not None:
            self._folder = None
            self._viewers.close()

    def _begin(self, folder: Path) -> None:
        token = self._info.token
        with suppress(OSError):  # of an earlier process, for which they were meant
            (folder / COMMANDS).unlink(missing_ok=True)
        self._commands = CommandReader(folder, token)
        self._viewers = Viewers(folder, token, self._control, self._copying_failed)
        self._folder = folder
        self._write()

    def _carry_out(self, command: Command | Intervention | Steering) -> None:
        control = self._control
        match command:
            case Intervention() | Steering():
                control.intervene(command)
                return
            case "run":
                control.run()
            case "pause":
                control.pause()
            case "step":
                control.step()
            case "stop":
                control.stop()
        self._emit(Commanded(command))

    def _copying_failed(self, error: Exception) -> None:
        self._notify(f"The present state could not be copied to show it: {error}")

    def _notify(self, sentence: str) -> None:
        number = self._info.notices + 1
        self._info = replace(self._info, notice=sentence[: 1 << 12], notices=number)
        self._write()

    def _write(self) -> None:
        """Replace ``trainer.json`` if it is out of date."""
        if self._folder is None:
            return
        control = self._control
        state: TrainerState = "running"
        if control.stopped:
            state = "stopping"
        elif control.paused:
            state = "paused"
        self._info = replace(self._info, state=state)
        if self._info != self._written:
            with suppress(OSError):  # a full disk; tried again at the next look
                write_trainer(self._folder, self._info)
                self._written = self._info
