"""The ``lbc-gui`` command."""

from __future__ import annotations

import argparse
import gc
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from lbc.cli.streams import Parser, ShowVersion, prepare_streams
from lbc.config import Experiment, load_experiment
from lbc.config.strict_yaml import ExperimentError
from lbc.files.home import expanded
from lbc.files.resources import resource
from lbc.runs.new_folder import RUNS, new_run_path
from lbc.runs.opened_run import OpenedRun, open_run
from lbc.runs.run_state import RunError

if TYPE_CHECKING:
    from lbc.following.address import Address
    from lbc_gui.window.main_window import MainWindow

APPLICATION_ID = "io.github.lbc_explorer.LbcExplorer"
"""The name of the ``.desktop`` file, from which desktops take the icon."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Open the window; without a display and with ``--start``, train in the terminal instead."""
    prepare_streams()
    options = _parser().parse_args(arguments)
    run = server = None
    try:
        server = _server(options.experiment, options.start)
        given = None if server else options.experiment
        path = given or resource("experiments/digits.yaml")
        if path.is_dir():
            run = _opened(path, options.start)
        experiment = run.experiment if run is not None else load_experiment(path)
    except (ExperimentError, ValueError, FileNotFoundError) as error:
        _print_error(str(error))
        return 2
    from lbc_gui.display_check import why_no_window

    reason = why_no_window()
    if reason is None:
        runs = options.runs.absolute()
        restores = options.experiment is None and not options.start
        return show_window(experiment, runs, options.start, options.inspect, run, server, restores)
    _print_error(reason)
    if not options.start:
        return 1
    _print_error("Training in the terminal instead.")
    from lbc.cli.train import train_and_draw

    gc.enable()
    return train_and_draw(experiment, new_run_path(options.runs, experiment.name))


def _print_error(text: str) -> None:
    from lbc.cli.console import Console  # which needs rich, and the window does not

    Console(stderr=True).print(text)


def _path_or_address(given: str) -> Path | str:
    return given if given.startswith("ssh:") else Path(expanded(given))


def _server(given: Path | str | None, start: bool) -> Address | None:
    """The run on a server that an argument names, if any. Raises ValueError if it cannot be one."""
    if not isinstance(given, str):
        return None
    from lbc.following.address import Address

    if start:
        raise ValueError(f"{given} is a run, which is trained where it is: leave out --start.")
    return Address.parse(given)


def _opened(folder: Path, start: bool) -> OpenedRun:
    """The run in a folder. Raises RunError if there is none, or if it should ``start``."""
    run = open_run(folder)
    if start:
        raise RunError(
            f"{folder} is a run, which opens without training: leave out --start, or resume it "
            f"with lbc train --resume {folder}."
        )
    return run


def show_window(
    experiment: Experiment,
    runs: Path,
    start: bool,
    inspect: Sequence[Path] = (),
    run: OpenedRun | None = None,
    server: Address | None = None,
    restores: bool = False,
) -> int:
    """Run the application until its window closes; ``restores``: see ``MainWindow.begin``."""
    from PySide6.QtGui import QIcon
    from PySide6.QtWidgets import QApplication

    from lbc_gui.settings import Settings
    from lbc_gui.theme import set_up
    from lbc_gui.window.interrupts import Interrupts
    from lbc_gui.window.main_window import MainWindow

    gc.freeze()
    application = QApplication(sys.argv[:1])
    application.setApplicationName("lbc-explorer")
    application.setDesktopFileName(APPLICATION_ID)
    application.setWindowIcon(QIcon(str(resource("program/lbc-explorer.svg"))))
    settings = Settings()
    set_up(application, settings.theme)
    window = MainWindow(experiment, runs, settings, start)
    window.files.server = server
    _report_exceptions_in(window)
    interrupts = Interrupts(window.closing, window)
    window.show()
    window.begin(inspect, run, restores)
    return application.exec() or interrupts.status


def _report_exceptions_in(window: MainWindow) -> None:
    """Show unexpected errors as messages, and keep the window open."""

    def report(
        kind: type[BaseException], error: BaseException, trace: TracebackType | None
    ) -> None:
        sys.__excepthook__(kind, error, trace)
        details = "".join(traceback.format_exception(kind, error, trace))
        window.show_failure(f"Unexpected error: {kind.__name__}: {error}", details)

    sys.excepthook = report


def _parser() -> argparse.ArgumentParser:
    parser = Parser(prog="lbc-gui", description="Train N:M sparse networks and watch them learn.")
    parser.add_argument(
        "experiment",
        type=_path_or_address,
        nargs="?",
        metavar="EXPERIMENT.yaml | RUN | ssh://SERVER/RUN",
        help="experiment to open, or a run here or on a server "
        "(default: what was open last, else the bundled example)",
    )
    parser.add_argument("--version", action=ShowVersion)
    parser.add_argument("--start", action="store_true", help="start training immediately")
    parser.add_argument(
        "--inspect",
        type=Path,
        nargs="+",
        default=(),
        metavar="CHECKPOINT",
        help="open a checkpoint in the inspector; a second one is compared with it",
    )
    parser.add_argument("--runs", type=Path, default=RUNS, help="folder for runs (default: runs)")
    return parser
