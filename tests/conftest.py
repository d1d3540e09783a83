"""What many tests share: a quick experiment, and settings for a machine that may be busy."""

from __future__ import annotations

import gc
import importlib
import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import count
from pathlib import Path

import pytest
from hypothesis import settings

from lbc.config import Experiment, parse_experiment

# On small nets several threads mostly wait for each other, and all of them for other programs.
# Set before torch is loaded; the processes that tests start inherit it.
os.environ["OMP_NUM_THREADS"] = "1"

# Helpers outside test modules also say what an assertion compared.
pytest.register_assert_rewrite(
    "tests.runs.searches", "tests.sparsity.searches", "tests.training.resumption"
)

settings.register_profile("lbc", deadline=None)
settings.load_profile("lbc")


@pytest.hookimpl(tryfirst=True)
def pytest_collection(session: pytest.Session) -> None:
    """Let each worker of a run of all tests import another part of the test modules first.

    Rewriting the assertions of all modules takes longer than importing torch and Qt. Rewritten
    modules are kept as bytecode, so that each is rewritten by one worker and loaded by the others.
    """
    gc.disable()  # millions of nodes of syntax trees, none of them in a cycle
    worker = getattr(session.config, "workerinput", None)
    if worker is None or session.config.args != session.config.getini("testpaths"):
        return
    root = Path(__file__).parents[1]
    modules = sorted((root / "tests").rglob("test_*.py"))
    first = int(worker["workerid"].removeprefix("gw"))
    for path in modules[first :: worker["workercount"]]:
        with suppress(Exception, pytest.skip.Exception):  # is reported when it is collected
            importlib.import_module(".".join(path.relative_to(root).with_suffix("").parts))


def pytest_collection_finish() -> None:
    """Exempt modules and tests from garbage collection, which takes long over so many objects."""
    gc.freeze()
    gc.enable()


@pytest.fixture(scope="session")
def state_folders(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Paths without end. ``mktemp`` for each test would look through the folders of all others."""
    folder = tmp_path_factory.mktemp("state")
    return (folder / str(number) for number in count())


@pytest.fixture(autouse=True)
def state_folder(state_folders: Iterator[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test has folders of its own for what is kept outside the run folders."""
    folder = next(state_folders)
    monkeypatch.setenv("XDG_STATE_HOME", str(folder / "state"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder / "cache"))


@pytest.fixture(scope="session")
def quick() -> Callable[..., Experiment]:
    """An experiment of eight steps an epoch; keyword arguments replace whole sections."""

    def make(**sections: object) -> Experiment:
        base: dict[str, object] = {
            "name": "quick",
            "model": {"name": "mlp", "width": 32},
            "schedule": {"end": 2},
            "training": {"epochs": 2, "batch_size": 500},
        }
        return parse_experiment(base | sections)

    return make
