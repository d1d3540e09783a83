"""The library never loads the window's toolkit, nor torch before it is needed."""

from __future__ import annotations

import pkgutil
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest

import lbc
from lbc.cli.main import COMMANDS
from lbc.config import Experiment
from lbc.training.trainer import Trainer

# What lbc.integrations attaches to is optional.
ABSENT = {
    f"lbc.integrations.{name}" for name in ("lightning", "transformers") if not find_spec(name)
}
MODULES = sorted({info.name for info in pkgutil.walk_packages(lbc.__path__, "lbc.")} - ABSENT)


@pytest.mark.parametrize(
    ("module", "option", "printed"),
    [
        ("lbc", "--version", f"lbc {lbc.__version__}\n"),
        ("lbc_gui", "--version", f"lbc-gui {lbc.__version__}\n"),
        ("lbc", "--help", "usage: lbc "),
    ],
)
def test_versions_and_help_are_printed_without_loading_torch(
    module: str, option: str, printed: str
) -> None:
    code = (
        "import atexit, runpy, sys\n"
        "del sys.argv[0]\n"
        "heavy = {'torch', 'PySide6', 'pyqtgraph'}\n"
        "atexit.register(lambda: print(*heavy & set(sys.modules), file=sys.stderr))\n"
        "runpy.run_module(sys.argv[0], run_name='__main__', alter_sys=True)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, module, option], capture_output=True, text=True, timeout=100
    )
    assert (done.returncode, done.stderr.strip()) == (0, "")
    assert done.stdout.startswith(printed)


NEEDED_AT_ONCE = (
    "lbc", "lbc.config", "lbc.sparsity.pattern", "lbc.sparsity.schedule",
    "lbc.pictures.score_codes", "lbc.pictures.colour_tables", "lbc.runs.events",
    "lbc.cli.main", "lbc.cli.run_list", *(f"lbc.cli.{name}" for name in COMMANDS),
    "lbc.queue.supervisor", "lbc.queue.commands",
    "lbc.library.index", "lbc.library.formats", "lbc.library.completion",
    "lbc.runs.records", "lbc.files.atomic", "lbc.runs.new_folder", "lbc.training.control",
)  # fmt: skip


def test_what_the_window_needs_at_once_does_not_load_torch() -> None:
    code = (
        "import importlib, sys\n"
        "for name in sys.argv[1:]:\n"
        "    importlib.import_module(name)\n"
        "    if {'torch', 'matplotlib'} & set(sys.modules): sys.exit(f'{name} loads them')"
    )
    command = [sys.executable, "-c", code, *NEEDED_AT_ONCE]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100)
    assert (done.returncode, done.stderr) == (0, "")


def test_pictures_of_a_run_need_neither_torch_nor_qt(
    quick: Callable[..., Experiment], tmp_path: Path
) -> None:
    run = tmp_path / "run"
    Trainer(quick(layers={"head": "4:8"}), run).train()
    code = """
import importlib, pkgutil, sys
from pathlib import Path

import numpy as np

import lbc.pictures
from lbc.pictures.layer_moment import past_moment, sample
from lbc.pictures.mask_comparison import ReferenceReader
from lbc.pictures.mask_snapshot import MaskRequest, draw_mask
from lbc.pictures.score_snapshot import ViewRequest, draw, draw_thumbnail
from lbc.runs.history_reader import Replay

for info in pkgutil.iter_modules(lbc.pictures.__path__, "lbc.pictures."):
    importlib.import_module(info.name)
replay = Replay(Path(sys.argv[1]))


def read_weights(run, layer, epoch):  # a checkpoint's are read with torch
    (shape,) = (info.shape for info in replay.layers if info.name == layer)
    return np.random.default_rng(0).standard_normal(shape).astype(np.float32)


references = ReferenceReader(read_weights)
for info in replay.layers:
    for at in range(len(replay.moments)):
        view = ViewRequest(info.name, block=1, moment=at)
        for show in ("weights", "beta", "mask", "best", "magnitude"):
            request = MaskRequest(**vars(view), show=show, against=0)
            moment = past_moment(replay, request.watch, at, read_weights)
            snapshot = draw_mask(moment, request, references.find(request, replay, moment))
            assert snapshot.numbers.winners is not None and snapshot.numbers.flips is not None
        assert snapshot.numbers.magnitude is not None and snapshot.block is not None
        assert draw(moment, view).cells.codes.any()
        assert draw_thumbnail(sample(moment), view.look).picture.codes.any()
print(*{"torch", "PySide6", "shiboken6", "pyqtgraph"} & set(sys.modules))
"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(run)], capture_output=True, text=True, timeout=100
    )
    assert (done.returncode, done.stdout.split()) == (0, []), done.stderr


def test_counting_combinations_does_not_load_torch() -> None:
    code = (
        "import sys, lbc\n"
        "p = lbc.Pattern(4, 8); s = lbc.Schedule(end=60)\n"
        "print(p.count, s.live(p, 30), p.density, 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=100)
    assert done.stdout.split() == ["70", "10", "0.5", "False"]


def test_training_loads_no_compiler_and_no_module_loads_qt() -> None:
    assert {"lbc.cli.main", "lbc.pictures.glyphs", "lbc.training.trainer"} < set(MODULES)
    code = """
import importlib, sys
from lbc.config import parse_experiment
from lbc.models.layer_cost import model_cost
from lbc.models import build_on_meta
from lbc.training.trainer import Trainer

for name in ("convnet", "mlp", "resnet20", "resnet18", "deit-tiny"):
    model = parse_experiment({"model": {"name": name}}).model
    assert model_cost(build_on_meta(model, (3, 32, 32), 10), (3, 32, 32)).macs
for optimizer in ("sgd", "adam", "adamw"):
    settings = {"optimizer": {"name": optimizer}, "training": {"epochs": 1, "batch_size": 1000}}
    Trainer(parse_experiment({"model": {"name": "mlp"}, "schedule": {"end": 1}} | settings), None).train()
assert "torch" in sys.modules
print(*{"torch._dynamo", "sympy"} & set(sys.modules))
for name in sys.argv[1:]:
    importlib.import_module(name)
print(*{"PySide6", "shiboken6", "pyqtgraph", "lbc_gui", "PyQt6"} & set(sys.modules))
"""  # noqa: E501
    command = [sys.executable, "-c", code, *MODULES]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100)
    assert (done.returncode, done.stdout.split(), done.stderr) == (0, [], "")
