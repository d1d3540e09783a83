"""The library never loads the window's toolkit, nor torch before it is needed."""

from __future__ import annotations

import pkgutil
import subprocess
import sys

import pytest

import lbc

MODULES = sorted(info.name for info in pkgutil.walk_packages(lbc.__path__, "lbc."))


def loaded_by(*modules: str) -> set[str]:
    """The top-level packages in sys.modules after importing ``modules`` in a new process."""
    code = (
        "import importlib, sys\n"
        "for name in sys.argv[1:]: importlib.import_module(name)\n"
        "print(*{name.partition('.')[0] for name in sys.modules})"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *modules], capture_output=True, text=True, timeout=100
    )
    assert (done.returncode, done.stderr) == (0, "")
    return set(done.stdout.split())


def test_no_module_loads_qt() -> None:
    assert {"lbc.cli.main", "lbc.pictures.glyphs", "lbc.training.trainer"} < set(MODULES)
    loaded = loaded_by(*MODULES)
    assert {"lbc", "torch"} < loaded
    assert not loaded & {"PySide6", "shiboken6", "pyqtgraph", "lbc_gui", "PyQt6"}


@pytest.mark.parametrize(
    "modules",
    [
        ("lbc",),
        ("lbc.config",),
        ("lbc.sparsity.pattern", "lbc.sparsity.schedule"),
        ("lbc.pictures.score_codes", "lbc.pictures.colour_tables", "lbc.runs.events"),
        ("lbc.cli.main",),
        ("lbc.runs.records", "lbc.files.atomic", "lbc.runs.new_folder", "lbc.training.control"),
    ],
    ids=lambda modules: modules[0],
)
def test_what_the_window_needs_at_once_does_not_load_torch(modules: tuple[str, ...]) -> None:
    loaded = loaded_by(*modules)
    assert "lbc" in loaded
    assert not loaded & {"torch", "matplotlib"}


def test_counting_combinations_does_not_load_torch() -> None:
    code = (
        "import sys, lbc\n"
        "p = lbc.Pattern(4, 8); s = lbc.Schedule(end=60)\n"
        "print(p.count, s.live(p, 30), p.density, 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=100)
    assert done.stdout.split() == ["70", "10", "0.5", "False"]


def test_neither_laying_out_nor_training_loads_the_compiler() -> None:
    code = """
import sys
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
"""  # noqa: E501
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=100)
    assert (done.returncode, done.stdout.split()) == (0, []), done.stderr
