"""What many tests share: a quick experiment, and settings for a machine that may be busy."""

from __future__ import annotations

import os
from collections.abc import Callable

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


@pytest.fixture(autouse=True)
def state_folder(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test has folders of its own for what is kept outside the run folders."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))


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
