"""Readers of what a run, a network or a window was left in: checkpoints, sessions, caches."""

from __future__ import annotations

import copy
import io
import shutil
import tarfile
import zipfile
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from lbc.comparison.run_masks import MODEL, read_masks
from lbc.config import dump_experiment, load_experiment, parse_experiment
from lbc.config.strict_yaml import ExperimentError
from lbc.download.archive import unpack
from lbc.download.transfer import DownloadError
from lbc.export import ExportError, load_trained_model
from lbc.inspection import InspectionError
from lbc.library.columns import Frame
from lbc.library.filter import filter_rows
from lbc.library.filter_syntax import FilterError
from lbc.library.index import Library
from lbc.library.index_file import IndexFile
from lbc.models import build
from lbc.queue.entries import QueueError
from lbc.queue.variations import parse_values
from lbc.runs.folder import TEACHER
from lbc.runs.method_numbers import read_numbers
from lbc.runs.opened_run import open_run
from lbc.runs.run_state import RunError
from lbc.runs.unfinished_run import open_unfinished
from lbc.runs.weights import read_weights
from lbc.sparsity.method_names import method_names
from lbc.training.failures import TrainingError
from lbc.training.initial_weights import InitialWeights
from lbc.training.teacher_copy import own_copy
from lbc.training.trainer import Trainer
from tests.faults.experiment import is_sentence, small_experiment
from tests.faults.mutations import inside_gzip, inside_safetensors, inside_zip
from tests.faults.reader import JSON_WORDS, PICKLES, SIZES, YAML_WORDS, Reader, own
from tests.faults.structures import inside_index, inside_json, inside_torch
from tests.training.resumption import stop_at

if TYPE_CHECKING:
    from PySide6.QtWidgets import QMainWindow

    from lbc_gui.experiment.form import ExperimentForm

RESUMED: dict[str, dict[str, int]] = {
    "lbc": {}, "maskllm": {}, "proxsparse": {}, "elsa": {}, "ria": {"images": 16},
}  # fmt: skip
"""Methods of the runs that are resumed, and options: each keeps something else in a checkpoint."""


def write_states(folder: Path) -> None:
    """A library's index, and runs that were stopped: one for each method of ``RESUMED``."""
    for method, options in RESUMED.items():
        document = small_experiment(folder).model_dump(mode="json")
        document["method"] = {"name": method, **options}
        training = document["training"]
        if method == "lbc":
            training["ema_decay"], training["teacher"]["source"] = 0.5, str(folder / "run")
        if method in ("maskllm", "proxsparse", "ria"):  # they start from trained weights
            training["weights"] = str(folder / "run")
        stop_at(4, parse_experiment(document), folder / f"stopped-{method}")
    library = Library(folder)
    library.refresh()
    shutil.copy(IndexFile(folder).path, folder / "index.sqlite")


# -- valid inputs -------------------------------------------------------------------------------


def _methods(folder: Path) -> list[bytes]:
    """An experiment for every method, with all of its options."""
    small = small_experiment(folder)
    made = []
    for name in method_names():
        with suppress(ExperimentError):  # some need another optimiser
            document = small.model_dump(mode="json") | {"method": name}
            made.append(dump_experiment(parse_experiment(document)).encode())
    return made


def _session(folder: Path) -> list[bytes]:
    from lbc_gui.window.session_file import SessionState

    document = small_experiment(folder).model_dump(mode="json")
    form = {**document, "seed": "no", "pattern": "9:4"}
    made = []
    for run in ("", str(folder / "run")):
        state = SessionState(experiment=document, form=form, run=run, page=1, layer="a", epoch=0.5)
        made.append(state.model_dump_json().encode())
    return made


def _layout(folder: Path) -> list[bytes]:
    from lbc_gui.settings import Layout, Settings

    window, settings = _window(), Settings(folder / "saved.ini")
    parts = window.saveGeometry(), window.saveState()
    settings.save_layout(Layout(*parts, window.size(), ("log",), ()))
    settings.wait()
    return [(folder / "saved.ini").read_bytes()]


def _zipped(folder: Path) -> list[bytes]:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/b.bin", b"b" * 300)
        archive.writestr("c.bin", b"c" * 30)
    return [out.getvalue()]


def _tarred(folder: Path) -> list[bytes]:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as archive:
        archive.add(folder / "run/run.json", "a/b.bin")
        archive.add(folder / "run/run.json", "c.bin")
    return [out.getvalue()]


# -- readers ------------------------------------------------------------------------------------


def _resume(file: Path) -> None:
    """Train to the end from a checkpoint, in a copy of its run."""
    run = file.parent.with_name("resumed")
    shutil.rmtree(run, ignore_errors=True)
    shutil.copytree(file.parent, run)
    threads = torch.get_num_threads()
    try:
        Trainer(open_unfinished(run).experiment, run, resume=True).train()
    except TrainingError as error:
        if not is_sentence(str(error)):
            raise RuntimeError(str(error)) from error.__cause__
        raise
    finally:
        torch.set_num_threads(threads)


def _export(file: Path) -> None:
    load_trained_model(file)


def _read_teacher(file: Path) -> None:
    own_copy(file.parent).build()


@cache
def _network(experiment: Path) -> tuple[torch.nn.Module, dict[str, torch.Tensor]]:
    model = build(load_experiment(experiment).model, (1, 8, 8), 4)
    return model, copy.deepcopy(model.state_dict())


def _start_from(file: Path) -> None:
    model, state = _network(file.parent / "run/experiment.yaml")
    model.load_state_dict(state)
    InitialWeights(file).fill(model)


def _read_masks(file: Path) -> None:
    """The masks of a run that has lost its history."""
    (file.parent / "scores.history").unlink(missing_ok=True)
    read_masks(file.parent, "lbc")


def _read_weights(file: Path) -> None:
    read_weights(file.parent, "1", 4 / 3)


def _unpack(file: Path) -> None:
    place = file.with_name("unpacked")
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    shutil.copy(file, place / file.name)
    before = sorted(file.parent.iterdir())
    try:
        unpack(place / file.name)
    finally:
        assert sorted(file.parent.iterdir()) == before


def _read_index(file: Path) -> None:
    index = IndexFile(file.parent)
    index.path = file
    index.read()
    index.read(2)
    index.write({}, (), ("x",))


@cache
def _application() -> object:
    from PySide6.QtWidgets import QApplication

    return QApplication.instance() or QApplication(["fuzz"])


@cache
def _form() -> ExperimentForm:
    _application()
    from lbc_gui.experiment.form import ExperimentForm

    return ExperimentForm()


@cache
def _window() -> QMainWindow:
    """A window with panels like those of ours."""
    _application()
    from PySide6.QtCore import Qt
    from PySide6.QtWidgets import QDockWidget, QMainWindow, QPlainTextEdit

    window, area = QMainWindow(), Qt.DockWidgetArea
    window.setCentralWidget(QPlainTextEdit())
    for name, where in (
        ("experiment", area.LeftDockWidgetArea), ("block", area.RightDockWidgetArea),
        ("log", area.BottomDockWidgetArea), ("queue", area.BottomDockWidgetArea),
    ):  # fmt: skip
        dock = QDockWidget(name, window)
        dock.setObjectName(name)
        dock.setWidget(QPlainTextEdit())
        window.addDockWidget(where, dock)
    window.show()
    return window


def _read_session(file: Path) -> None:
    from lbc_gui.window.session_file import DamagedSessionError, SessionFile

    sessions, form = SessionFile(file.parent), _form()
    try:
        state = sessions.read()
        assert state is not None
        try:
            form.show_experiment(parse_experiment(state.experiment))
        except ExperimentError as error:
            sessions.reject(error)
        form.enter_document(dict(state.form))
        if state.run:
            open_run(Path(state.run))
    except DamagedSessionError:
        assert file.with_suffix(".damaged").exists()
        raise
    finally:
        sessions.close()


def _read_layout(file: Path) -> None:
    from PySide6.QtWidgets import QApplication

    from lbc_gui.settings import Settings

    window, layout = _window(), Settings(file).layout()
    if layout is not None:
        window.restoreGeometry(layout.geometry)
        window.restoreState(layout.docks)
        QApplication.processEvents()


def _resumptions() -> dict[str, Reader]:
    return {
        f"resume-{method}": Reader(
            f"stopped-{method}/checkpoint.pt", own(f"stopped-{method}/checkpoint.pt"), _resume,
            (TrainingError, RunError), 0.1, PICKLES, inside_torch,
        )
        for method in RESUMED
    }  # fmt: skip


STATE_READERS: dict[str, Reader] = {
    "method-options": Reader(
        "experiment.yaml", _methods, load_experiment, (ExperimentError,), 0.15, YAML_WORDS
    ),
    **_resumptions(),
    "export": Reader(
        "run/checkpoint.pt", own("run/checkpoint.pt"), _export, (ExportError,), 0.2, PICKLES,
        inside_torch,
    ),
    "teacher": Reader(
        f"stopped-lbc/{TEACHER}", own(f"stopped-lbc/{TEACHER}"), _read_teacher, (TrainingError,),
        0.2, PICKLES, inside_torch,
    ),
    "start-safetensors": Reader(
        "start.safetensors", own("run/model.safetensors"), _start_from, (TrainingError,), 0.3,
        JSON_WORDS, inside_safetensors,
    ),
    "start-checkpoint": Reader(
        "start.pt", own("run/checkpoint.pt"), _start_from, (TrainingError,), 0.2, PICKLES,
        inside_torch,
    ),
    "final-weights": Reader(
        f"run/{MODEL}", own(f"run/{MODEL}"), _read_masks,
        (ValueError, OSError, RunError, InspectionError), 0.3, JSON_WORDS, inside_safetensors,
    ),
    "past-weights": Reader(
        "stopped-lbc/checkpoint.pt", own("stopped-lbc/checkpoint.pt"), _read_weights, (), 0.2,
        PICKLES, inside_torch,
    ),
    "method-numbers": Reader(
        "run/method.records", own("stopped-elsa/method.records"),
        lambda file: read_numbers(file.parent), (ValueError,), 0.3, JSON_WORDS,
    ),
    "zip": Reader("a.zip", _zipped, _unpack, (DownloadError,), 0.3, SIZES, inside_zip),
    "tar": Reader("a.tar.gz", _tarred, _unpack, (DownloadError,), 0.3, SIZES, inside_gzip),
    "index": Reader(
        "index.sqlite", own("index.sqlite"), _read_index, (), 0.3, JSON_WORDS, inside_index
    ),
    "session": Reader(
        "session-1.json", _session, _read_session, (ValueError, RunError), 0.2, JSON_WORDS,
        inside_json,
    ),
    "layout": Reader("layout.ini", _layout, _read_layout, (), 0.3, JSON_WORDS),
    "varied-values": Reader(
        "values", lambda at: [b"4, 6, 8", b"0.1..0.3/5", b"4..8", b"1e-4..1e-1/4log, [1, a]"],
        lambda file: parse_values(file.read_text(errors="replace")), (QueueError,), 0.3, YAML_WORDS,
    ),
    "filter": Reader(
        "filter",
        lambda at: [b"accuracy > 97.5 and not (method = lbc or name ~ 'a b')", b"started=2026"],
        lambda file: filter_rows(file.read_text(errors="replace"), Frame(())), (FilterError,), 0.3,
        (b"and", b"or", b"not", b"(" * 3000, b"not " * 3000, b"'", b"has", b"~", b"1h30m"),
    ),
}  # fmt: skip
