"""Everything that reads a file of unknown origin: what valid files are, and what it may raise."""

from __future__ import annotations

import gzip
import io
import json
import struct
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save

from lbc.config import Cifar10, IdxFiles, NpzFile, load_experiment
from lbc.config.strict_yaml import ExperimentError
from lbc.data import DataError, describe, load
from lbc.data.folder import ImageFiles
from lbc.files.resources import resource
from lbc.inspection import InspectionError, survey_checkpoint
from lbc.latency.files import as_csv, load_measurements
from lbc.latency.measurement import MeasurementError
from lbc.latency.worker import PREFIX
from lbc.library.columns import Frame
from lbc.library.formats import (
    as_json,
    format_csv,
    format_markdown,
    format_plain,
    json_value,
    list_runs,
)
from lbc.library.run_summary import summarize_run
from lbc.queue.commands import add_variations, read_queue
from lbc.runs.annotations import read_annotations
from lbc.runs.events import Intervened, Steering
from lbc.runs.history_reader import Replay
from lbc.runs.kept_checkpoints import (
    ForkPoint,
    content_at,
    experiment_at,
    kept_moments,
    read_content,
)
from lbc.runs.metrics import EPOCH_COLUMNS, STEP_COLUMNS
from lbc.runs.opened_run import open_run
from lbc.runs.record_tail import RecordTail, read_first
from lbc.runs.records import read_records
from lbc.runs.run_state import RunError, read_state
from lbc.training.checkpoint import read_checkpoint
from lbc.training.failures import TrainingError
from lbc.training.trainer import Trainer
from tests.faults.experiment import small_experiment
from tests.faults.mutations import (
    inside_gzip,
    inside_history,
    inside_png,
    inside_safetensors,
    inside_zip,
)
from tests.faults.process_readers import PROCESS_READERS
from tests.faults.reader import JSON_WORDS, NPY, PICKLES, SIZES, YAML_WORDS, Reader, own
from tests.faults.state_readers import STATE_READERS, write_states
from tests.faults.structures import either, inside_json, inside_line, inside_torch


def write_everything(folder: Path) -> None:
    """What all readers need."""
    write_valid(folder)
    write_states(folder)


def write_valid(folder: Path) -> None:
    """A finished run with its data, a queue, images, and everything else that is read."""
    experiment = small_experiment(folder)
    Trainer(experiment, folder / "run").train()
    done = Intervened(Steering((("optimizer.lr", 0.2),)), 1, 0.5, 1)
    lines = [json.dumps(asdict(done))]
    (folder / "run" / "interventions.jsonl").write_text("\n".join([*lines, *lines]) + "\n")
    (folder / "run" / "library.json").write_text('{"title": "a", "tags": ["b", "c"], "star": true}')
    add_variations(folder / "runs", experiment, {"optimizer.lr": [0.1, 0.2]})
    labels = bytes([0, 1] * 3)
    for split in ("train", "t10k"):
        (folder / f"{split}-labels-idx1-ubyte").write_bytes(_idx(labels, 6))
        (folder / f"{split}-images-idx3-ubyte.gz").write_bytes(
            gzip.compress(_idx(bytes(range(96)), 6, 4, 4))
        )
    record = b"\1" + bytes(3072)
    for name in (*(f"data_batch_{k}.bin" for k in range(1, 6)), "test_batch.bin"):
        (folder / name).write_bytes(record + b"\0" + record[1:])


def _idx(data: bytes, *shape: int) -> bytes:
    return bytes([0, 0, 8, len(shape)]) + struct.pack(f">{len(shape)}I", *shape) + data


# -- valid inputs -------------------------------------------------------------------------------


def _experiments(folder: Path) -> list[bytes]:
    examples = sorted(resource("experiments").glob("*.yaml"))
    return [(folder / "run/experiment.yaml").read_bytes(), *(one.read_bytes() for one in examples)]


def _tensors() -> dict[str, torch.Tensor]:
    weight = torch.arange(32.0).reshape(4, 8) % 3
    return {"a.weight": weight, "a.bias": torch.ones(4), "b.weight": weight.half()}


def _safetensors(folder: Path) -> list[bytes]:
    stated = json.dumps({"layers": {"a": "2:4"}, "skipped": {"b": "too small"}})
    return [
        save(_tensors(), metadata={"lbc": stated}),
        (folder / "run/model.safetensors").read_bytes(),
    ]


def _saved(legacy: bool) -> bytes:
    tensors = _tensors()
    out = io.BytesIO()
    content = {"state_dict": tensors, "parameter": torch.nn.Parameter(tensors["a.weight"].T)}
    torch.save(content, out, _use_new_zipfile_serialization=not legacy)
    return out.getvalue()


def _archive(folder: Path) -> list[bytes]:
    made = []
    for write in (np.savez, np.savez_compressed):
        out = io.BytesIO()
        arrays: dict[str, Any] = {name: tensor.numpy() for name, tensor in _tensors().items()}
        write(out, **arrays)
        made.append(out.getvalue())
    return made


def _onnx(folder: Path) -> list[bytes]:
    from onnx import TensorProto, helper, numpy_helper

    matrix = np.arange(32, dtype=np.float32).reshape(4, 8) % 3
    stored = [numpy_helper.from_array(matrix, name) for name in ("w.weight", "v")]
    stored.append(numpy_helper.from_array(np.array([8, 4]), "shape"))
    stored.append(numpy_helper.from_array(np.array([1, 0]), "starts"))
    nodes = [
        helper.make_node("Gemm", ["x", "w.weight"], ["h"], transB=1),
        helper.make_node("Reshape", ["v", "shape"], ["u"]),
        helper.make_node("Transpose", ["u"], ["t"], perm=[1, 0]),
        helper.make_node("Slice", ["t", "starts", "shape"], ["s"]),
        helper.make_node("Mul", ["s", "v"], ["m"]),
        helper.make_node("Split", ["u"], ["p", "q"], axis=0),
        helper.make_node("Concat", ["p", "q"], ["c"], axis=1),
        helper.make_node("MatMul", ["h", "m"], ["y"]),
        helper.make_node("MatMul", ["h", "c"], ["z"]),
    ]
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, None)
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    model = helper.make_model(helper.make_graph(nodes, "graph", [x], [y], stored))
    return [model.SerializeToString()]


def _pictures(folder: Path) -> list[bytes]:
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (9, 7, 3), dtype=np.uint8))
    exif = Image.Exif()
    exif[274] = 6
    made = []
    for kind, changed in (
        ("PNG", image), ("JPEG", image), ("GIF", image), ("BMP", image), ("TIFF", image),
        ("WEBP", image), ("PPM", image), ("TGA", image), ("ICO", image), ("PCX", image),
        ("PNG", image.convert("P")), ("JPEG2000", image), ("SGI", image), ("DDS", image),
    ):  # fmt: skip
        out = io.BytesIO()
        more = {"exif": exif} if kind in ("PNG", "JPEG", "TIFF", "WEBP") else {}
        changed.save(out, kind, **more)
        made.append(out.getvalue())
    return made


def _measurements(folder: Path) -> list[bytes]:
    whole = json.loads(resource("measurements/cpu-amd-epyc-one-thread.json").read_text())
    one = whole["measurements"][0]
    one["results"] = one["results"][:2]
    stream = [
        {"kind": "hello", "schema": 1, "device": one["device"], "backend": one["backend"],
         "dtype": one["dtype"]},
        {"kind": "start", "index": 0},
        {"kind": "result", **one["results"][0]},
        {"kind": "timeout", "what": "job", "index": 1},
        {"kind": "failed", "class": "error", "message": "no", "way": "x"},
        {"kind": "done"},
    ]  # fmt: skip
    lines = "".join(f"{PREFIX}{json.dumps(line)}\n" for line in stream)
    return [json.dumps({**whole, "measurements": [one]}).encode(), b"Welcome\n" + lines.encode()]


# -- readers ------------------------------------------------------------------------------------


def _read_metrics(names: tuple[str, ...], file: Path) -> None:
    RecordTail(file, names).read()
    read_first(file, names)
    read_records(file)


def _read_run(file: Path) -> None:
    open_run(file.parent)


def _list_run(file: Path) -> None:
    """The run in the table of a library, beside one that is whole."""
    frame = Frame((summarize_run(file.parent), summarize_run(file.parent.with_name("stopped-lbc"))))
    for name in frame.names:
        frame.ranks(name)
    rows = np.arange(2)
    for write in (format_plain, format_markdown):
        write(list_runs(frame, rows, frame.names))
    format_csv(frame, rows, frame.names)
    json.dumps([json_value(as_json(run)) for run in frame.runs])


def _read_entries(file: Path) -> None:
    """Restore a queue, whose own file is lost, from the files of its entries."""
    (file.parents[1] / "queue.json").unlink(missing_ok=True)
    read_queue(file.parents[1])


def _read_history(file: Path) -> None:
    replay = Replay(file)
    for info in replay.layers:
        for at in reversed(range(len(replay.moments))):
            replay.layer(info.name, at)
            replay.scores_kept(info.name, at)


def _read_fork_point(file: Path) -> None:
    point = ForkPoint(file, 1.0, 3, 0)
    read_content.cache_clear()  # inputs may be written within one tick of the clock of files
    kept_moments(file.parent)
    content_at(point)
    experiment_at(point)


def _read_picture(file: Path) -> None:
    name = np.array([file.name.encode()])
    files = ImageFiles(file.parent, name, torch.zeros(1).long(), 8, 8, "bilinear")
    files.read(torch.arange(1))


def _read_data(source: NpzFile | IdxFiles | Cifar10) -> None:
    describe(source)
    load(source)


def _read_settings(file: Path) -> None:
    from lbc_gui.settings import Settings

    settings = Settings(file)
    for name in (
        "theme", "declined_run", "recent_servers", "recent_files", "introduced", "columns",
        "estimate",
    ):  # fmt: skip
        getattr(settings, name)
    settings.layout()


def _settings(folder: Path) -> list[bytes]:
    from PySide6.QtCore import QByteArray, QSize

    from lbc_gui.settings import EstimateChoice, Layout, Settings

    file = folder / "valid.ini"
    settings = Settings(file)
    settings.theme = "dark"
    settings.estimate = EstimateChoice()
    settings.add_server("user@server:/runs/a")
    settings.add_recent_file("/runs/a")
    layout = QByteArray(b"\0\1\2" * 20)
    settings.save_layout(Layout(layout, layout, QSize(900, 700), ("log",), ()))
    settings.wait()
    return [file.read_bytes()]


def _index(folder: Path) -> list[bytes]:
    (folder / "one.safetensors").write_bytes(save(_tensors()))
    return [json.dumps({"weight_map": dict.fromkeys(_tensors(), "one.safetensors")}).encode()]


_REFUSED_RUN = (RunError,)
_REFUSED_DATA = (DataError,)
_REFUSED_FILE = (InspectionError,)


FILE_READERS: dict[str, Reader] = {
    "experiment": Reader(
        "experiment.yaml", _experiments, load_experiment, (ExperimentError,), 0.15, YAML_WORDS
    ),
    "queue": Reader(
        "runs/queue.json", own("runs/queue.json"), lambda file: read_queue(file.parent),
        (OSError,), 1, JSON_WORDS, inside_json,
    ),
    "queued-entry": Reader(
        "runs/.queue/1.yaml", own("runs/.queue/1.yaml"),
        _read_entries, (OSError,), 0.5, JSON_WORDS, inside_line,
    ),
    "run-state": Reader(
        "run/run.json", own("run/run.json"), lambda file: read_state(file.parent),
        _REFUSED_RUN, 4, JSON_WORDS, inside_json,
    ),
    "interventions": Reader(
        "run/interventions.jsonl", own("run/interventions.jsonl"), _read_run, _REFUSED_RUN, 0.15,
        JSON_WORDS, inside_line,
    ),
    "annotations": Reader(
        "run/library.json", own("run/library.json"), lambda file: read_annotations(file.parent),
        _REFUSED_RUN, 4, JSON_WORDS, inside_json,
    ),
    "steps": Reader(
        "run/steps.records", own("run/steps.records"), partial(_read_metrics, STEP_COLUMNS),
        (ValueError,), 4, JSON_WORDS,
    ),
    "epochs": Reader(
        "run/epochs.records", own("run/epochs.records"), partial(_read_metrics, EPOCH_COLUMNS),
        (ValueError,), 4, JSON_WORDS,
    ),
    "opened-run": Reader(
        "run/epochs.records", own("run/epochs.records"), _read_run, _REFUSED_RUN, 0.15,
        JSON_WORDS,
    ),
    "history": Reader(
        "run/scores.history", own("run/scores.history"), _read_history, (ValueError,), 0.6,
        (*SIZES, *JSON_WORDS), inside_history,
    ),
    "checkpoint": Reader(
        "run/checkpoint.pt", own("run/checkpoint.pt"),
        lambda file: read_checkpoint(file.read_bytes(), file), (TrainingError,), 0.2, PICKLES,
        either(inside_zip, inside_torch),
    ),
    "fork-point": Reader(
        "run/checkpoint.pt", own("run/checkpoint.pt"), _read_fork_point, _REFUSED_RUN, 0.2,
        PICKLES, either(inside_zip, inside_torch),
    ),
    "safetensors": Reader(
        "a.safetensors", _safetensors, survey_checkpoint, _REFUSED_FILE, 1, JSON_WORDS,
        inside_safetensors,
    ),
    "shard-index": Reader(
        "model.safetensors.index.json", _index, survey_checkpoint, _REFUSED_FILE, 0.5, JSON_WORDS,
        inside_json,
    ),
    "torch": Reader(
        "a.pt", lambda folder: [_saved(False)], survey_checkpoint, _REFUSED_FILE, 0.5, PICKLES,
        either(inside_zip, inside_torch),
    ),
    "legacy-torch": Reader(
        "b.pt", lambda folder: [_saved(True)], survey_checkpoint, _REFUSED_FILE, 1, PICKLES
    ),
    "onnx": Reader("a.onnx", _onnx, survey_checkpoint, _REFUSED_FILE, 0.4, SIZES),
    "npz-weights": Reader(
        "a.npz", _archive, survey_checkpoint, _REFUSED_FILE, 0.4, NPY, inside_zip
    ),
    "npz-images": Reader(
        "images.npz", own("images.npz"), lambda file: _read_data(NpzFile(file=file)),
        _REFUSED_DATA, 0.4, NPY, inside_zip,
    ),
    "idx-labels": Reader(
        "train-labels-idx1-ubyte", own("train-labels-idx1-ubyte"),
        lambda file: _read_data(IdxFiles(folder=file.parent)), _REFUSED_DATA, 0.6, SIZES,
    ),
    "idx-images": Reader(
        "train-images-idx3-ubyte.gz", own("train-images-idx3-ubyte.gz"),
        lambda file: _read_data(IdxFiles(folder=file.parent)), _REFUSED_DATA, 0.6, SIZES,
        inside_gzip,
    ),
    "cifar": Reader(
        "data_batch_1.bin", own("data_batch_1.bin"),
        lambda file: _read_data(Cifar10(folder=file.parent)), _REFUSED_DATA, 0.4,
    ),
    "picture": Reader(
        "a.png", _pictures, _read_picture, _REFUSED_DATA, 0.6, SIZES, inside_png
    ),
    "latency": Reader(
        "latency.json", _measurements, lambda file: as_csv(load_measurements(file)),
        (MeasurementError,), 1, JSON_WORDS, inside_line,
    ),
    "settings": Reader("window.ini", _settings, _read_settings, (), 0.5, JSON_WORDS),
    "listed-run": Reader(
        "run/run.json", own("run/run.json"), _list_run, (), 0.3, JSON_WORDS, inside_json
    ),
}  # fmt: skip
"""Readers of what a user may open, and of what a run and a window write."""

READERS = {**FILE_READERS, **PROCESS_READERS, **STATE_READERS}
