"""``make screenshots``: the pictures of README and documentation, taken from the real window.

The runs that they show are trained first, with fixed seeds, into a folder from which the next call
takes them again. Every picture is taken once nothing on it changes any more.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from PIL import Image
from PySide6.QtCore import QItemSelectionModel, QTimer
from PySide6.QtGui import QImage
from PySide6.QtWidgets import QApplication, QComboBox, QPushButton, QWidget

from lbc.config import Experiment, load_experiment
from lbc.files.resources import resource
from lbc.pictures.moment_copier import Pin
from lbc_gui.library.library_page import LibraryPage
from lbc_gui.run.prune_dialog import PruneDialog
from lbc_gui.run.session import State
from lbc_gui.settings import Settings
from lbc_gui.theme import Theme, apply_theme, set_up
from lbc_gui.window.main_window import MainWindow

LARGEST_FILE = 250_000
"""Bytes of a picture above which its colours are reduced to 256."""

STILL_SECONDS = 1.0
"""How long nothing on a picture has changed when it is saved."""

LONGEST_WAIT = 600.0

EXAMPLE = resource("experiments/digits.yaml")
ENDS, SEEDS = (2, 4, 6, 8, 10), 3


class Stage:
    """The window that pictures are taken of."""

    def __init__(
        self,
        window: MainWindow,
        runs: Path,
        out: Path,
        themes: Sequence[Theme] = ("light",),
    ) -> None:
        self.window, self.runs, self._out, self._themes = window, runs, out, themes

    @contextmanager
    def larger(self, width: int, height: int) -> Iterator[None]:
        """Give the window another size for some pictures."""
        before = self.window.size()
        self.window.resize(width, height)
        yield
        self.window.resize(before)

    def wait(self, reached: Callable[[], object]) -> None:
        """Let the window work until something is reached. Raises TimeoutError."""
        application, end = QApplication.instance(), time.monotonic() + LONGEST_WAIT
        assert application is not None
        while not reached():
            if time.monotonic() > end:
                raise TimeoutError("the window did not show in time what a picture is to show")
            application.processEvents()
            time.sleep(0.01)

    def save(self, name: str, part: QWidget | None = None) -> None:
        """Write ``name``.png of the window or a part of it, and ``name``-dark.png if asked for."""
        for theme in self._themes:
            apply_theme(theme)
            path = self._out / f"{name}{'' if theme == 'light' else f'-{theme}'}.png"
            write_small(self._still(part or self.window), path)
            print(f"{path}: {path.stat().st_size / 1000:.0f} kB")
        apply_theme(self._themes[0])

    def show_run(self, name: str) -> None:
        """Open a run of the folder of runs, at its end."""
        self.window.pages.setCurrentIndex(0)
        if self.window.session.folder != self.runs / name:
            self.window.files.open_run(self.runs / name)
        view = self.window.view_state
        self.wait(lambda: self.window.session.folder == self.runs / name and view.view.moments)
        self.wait(lambda: view.view.request is not None)

    def train(self, experiment: Experiment) -> None:
        """Train in the window, for what only a run in training shows."""
        self.window.pages.setCurrentIndex(0)
        self.window.starting.open(experiment)
        self.wait(lambda: self.window.session.state is State.READY)
        self.window.starting.start(experiment, run=True)
        self.wait(lambda: self.window.session.state is State.FINISHED)

    def page(self, name: str) -> QWidget:
        """Show a page of the window."""
        pages = self.window.pages
        at = next(at for at in range(pages.count()) if pages.tabText(at) == name)
        pages.setCurrentIndex(at)
        shown = pages.widget(at)
        assert shown is not None
        return shown

    def wait_for_panes(self, page: LibraryPage) -> None:
        """Show what compares the runs of a page, whose views are built when they are shown."""
        page.below.title.fold(False)
        self.wait(lambda: page.comparison.currentWidget().layout() is not None)

    def _still(self, part: QWidget) -> QImage:
        shown, since = QImage(), time.monotonic()

        def still() -> bool:
            nonlocal shown, since
            now = part.grab().toImage()
            if now != shown:
                shown, since = now, time.monotonic()
            return time.monotonic() - since >= STILL_SECONDS

        self.wait(still)
        return shown


def write_small(image: QImage, path: Path) -> None:
    """Write a PNG, with a palette if it has few colours or would be large."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(str(path))
    with Image.open(path) as opened:
        picture = opened.convert("RGB")
    if picture.getcolors(256) is not None:
        picture = picture.quantize(256, dither=Image.Dither.NONE)
    picture.save(path, optimize=True)
    if path.stat().st_size > LARGEST_FILE:
        picture.convert("RGB").quantize(256, dither=Image.Dither.NONE).save(path, optimize=True)


Commands = dict[str, list[str]]
"""What is trained: the arguments of ``lbc``, by the folder that they make in the folder of runs,
``{runs}``."""

DIGITS: Commands = {"digits": ["train", str(EXAMPLE), "--no-pictures"]}

FORK: Commands = DIGITS | {
    "digits-later": [
        *("train", "--fork", "{runs}/digits@7", "--set", "schedule.end=10", "--no-pictures"),
    ]
}

SWEEP: Commands = {
    f"end{end}-seed{seed}": [
        *("train", str(EXAMPLE), "--no-pictures", "--set", "model.width=16", "pattern=1:16"),
        *(f"schedule.end={end}", f"seed={seed}", f"name=end{end}"),
    ]
    for end in ENDS
    for seed in range(SEEDS)
}

METHODS: Commands = {
    "comparisons/methods": [
        *("compare", str(EXAMPLE), "--methods", "dense,asp,sr-ste,lbc", "--patterns", "2:4,1:16"),
        *("--seeds", "3", "--jobs", "1"),
        *("--set", "model.width=16", "training.epochs=6", "schedule.end=4"),
    ]
}


def train_first(runs: Path, needed: Sequence[Commands]) -> None:
    """Train the runs that are not there yet."""
    from lbc.cli.main import main as lbc

    for commands in needed:
        for name, arguments in commands.items():
            given = [one.format(runs=runs) for one in arguments]
            if not (runs / name).exists() and lbc([*given, "--out", str(runs / name)]):
                raise SystemExit(f"{name} could not be trained.")


def scores(stage: Stage) -> None:
    stage.show_run("digits")
    stage.window.view_state.go_to_pin(Pin("stages.1.conv", 1394))
    stage.window.block.tabs.setCurrentIndex(1)
    with stage.larger(1680, 945):
        stage.save("scores")


def curves(stage: Stage) -> None:
    """Curves and time, in the middle of the run."""
    stage.show_run("digits")
    view = stage.window.view_state
    with stage.larger(1280, 900):
        view.go_to(len(view.view.moments) // 2)
        stage.save("curves", stage.window.centralWidget())
    view.go_live()


def experiment(stage: Stage) -> None:
    """The form with two changes."""
    stage.show_run("digits")
    panel = stage.window.experiment_panel
    panel.form.enter("pattern", "1:16")
    panel.form.enter("schedule.end", 10)
    with stage.larger(1280, 1000):
        stage.save("experiment", panel)
    panel.form.revert()


def prune(stage: Stage) -> None:
    stage.show_run("digits")
    stage.window.actions_.prune.trigger()
    (dialog,) = stage.window.findChildren(PruneDialog)
    stage.save("prune", dialog)
    dialog.reject()


def masks(stage: Stage) -> None:
    stage.show_run("digits")
    stage.page("Masks")
    stage.save("masks")


def fork(stage: Stage) -> None:
    stage.show_run("digits-later")
    stage.window.view_state.go_to_pin(Pin("stages.1.conv", 1629))
    stage.window.block.tabs.setCurrentIndex(1)
    with stage.larger(1440, 900):
        stage.save("fork")


def library(stage: Stage) -> None:
    page = stage.window.pages.library
    stage.page("Runs")
    page.filter.line.setText("name ~ end")
    page.refresh()
    table, count = page.table, len(ENDS) * SEEDS
    stage.wait(lambda: table.model().rowCount() == count)
    page.folded.setChecked(True)
    stage.wait(lambda: table.model().rowCount() == len(ENDS))
    flags = QItemSelectionModel.SelectionFlag
    for row in range(len(ENDS)):
        index = table.model().index(row, 0)
        table.selectionModel().select(index, flags.Select | flags.Rows)
    with stage.larger(1280, 860):
        stage.wait_for_panes(page)
        for box in page.comparison.currentWidget().findChildren(QComboBox):
            box.setCurrentText("seeds: mean, range")  # of the one that offers it
        stage.save("runs")


def forks(stage: Stage) -> None:
    page = stage.window.pages.library
    stage.page("Runs")
    page.folded.setChecked(False)
    page.filter.line.setText("name ~ digits")
    page.refresh()
    stage.wait(lambda: page.table.model().rowCount() == 2)
    tabs = [page.comparison.tabText(at) for at in range(page.comparison.count())]
    page.comparison.setCurrentIndex(tabs.index("Forks"))
    with stage.larger(1280, 860):
        stage.wait_for_panes(page)
        stage.save("forks")
    page.comparison.setCurrentIndex(0)


def comparison(stage: Stage) -> None:
    stage.page("Comparison")
    comparisons = stage.window.pages.comparisons
    comparisons.open(stage.runs / "comparisons/methods")
    assert comparisons.shown is not None
    stage.wait_for_panes(comparisons.shown.library)
    stage.save("comparison")


def inspect(stage: Stage) -> None:
    stage.window.inspecting.open([stage.runs / "digits/model.safetensors"])
    stage.page("Inspect")
    inspector = stage.window.pages.inspector
    stage.wait(lambda: inspector.layer.picture)
    names = [row.name for row in inspector.layers.rows]
    inspector.panel.table.selectRow(names.index("stages.1.conv"))
    stage.wait(lambda: inspector.layer.picture and inspector.layer.picture.name == "stages.1.conv")
    stage.save("inspect")


def latency(stage: Stage) -> None:
    page = stage.page("Latency")
    button = next(one for one in page.findChildren(QPushButton) if one.text() == "Recorded")
    button.click()
    stage.save("latency")


def estimate(stage: Stage) -> None:
    stage.page("Latency")
    latency = stage.window.pages.latency
    latency.tabs.setCurrentIndex(1)
    latency.estimate.bar.layers.setCurrentText("deit-small")
    with stage.larger(1280, 900):
        stage.save("estimate")


def permutation(stage: Stage) -> None:
    """RIA's order of channels, which only a run in training knows."""
    plain = load_experiment(EXAMPLE, ["method.name=ria", "method.permute=true"])
    schedule = plain.schedule.model_copy(update={"end": 1})
    training = plain.training.model_copy(update={"epochs": 2})
    changes = {"name": "ria", "schedule": schedule, "training": training}
    stage.train(plain.model_copy(update=changes))
    stage.page("Masks")
    stage.window.view_state.open_layer("stages.1.conv")
    shown = stage.window.pages.masks.show_
    stage.wait(lambda: shown.findText("former channel") >= 0)
    shown.setCurrentText("former channel")
    stage.save("permutation")


SCENES: dict[str, tuple[Callable[[Stage], None], Commands]] = {
    "latency": (latency, {}),
    "estimate": (estimate, {}),
    "scores": (scores, DIGITS),
    "curves": (curves, DIGITS),
    "experiment": (experiment, DIGITS),
    "prune": (prune, DIGITS),
    "masks": (masks, DIGITS),
    "inspect": (inspect, DIGITS),
    "fork": (fork, FORK),
    "runs": (library, SWEEP),
    "forks": (forks, FORK),
    "comparison": (comparison, METHODS),
    "permutation": (permutation, {}),
}
"""How the window comes to show a picture, and what is trained before."""


def take(names: Sequence[str], stage: Stage) -> None:
    """Take pictures of the stage's window, whose runs are trained."""
    stage.wait(lambda: stage.window.complete and stage.window.session.state is not State.LOADING)
    for name in names:
        show, _ = SCENES[name]
        show(stage)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="tools/screenshots.py", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(SCENES)}")
    parser.add_argument("--out", type=Path, default=Path("docs/pictures"))
    work = Path(tempfile.gettempdir(), "lbc")  # pictures show paths in it
    parser.add_argument("--work", type=Path, default=work, help="folder of the runs")
    parser.add_argument("--themes", nargs="+", choices=("light", "dark"), default=["light"])
    parser.add_argument("--size", default="1280x800", help="of the window")
    parser.add_argument("--scale", default="1", help="pixels of the screen in one of these")
    options = parser.parse_args(arguments)
    names = options.names or list(SCENES)
    if unknown := set(names) - set(SCENES):
        parser.error(f"there is no picture {min(unknown)}: choose from {', '.join(SCENES)}")
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    os.environ["QT_SCALE_FACTOR"] = options.scale
    runs = options.work.absolute()
    train_first(runs, [SCENES[name][1] for name in names])
    application = QApplication(sys.argv[:1])
    application.setCursorFlashTime(0)  # a picture is taken once nothing changes any more
    set_up(application, options.themes[0])
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(Path(folder) / "window.ini")
        settings.introduced = True
        window = MainWindow(load_experiment(EXAMPLE), runs, settings)
        window.resize(*map(int, options.size.split("x")))
        window.show()
        window.begin()
        stage = Stage(window, runs, options.out, options.themes)
        QTimer.singleShot(0, lambda: take_and_close(names, stage))
        return application.exec()


def take_and_close(names: Sequence[str], stage: Stage) -> None:
    try:
        take(names, stage)
    finally:
        stage.window.closing.start()


if __name__ == "__main__":
    sys.exit(main())
