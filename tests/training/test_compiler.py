"""Without what torch compiles with, a run that is to be compiled does not begin, and says why."""

from __future__ import annotations

import shutil
import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path

import pytest

from lbc.config import Experiment
from lbc.training.compiler import check_compiler
from lbc.training.control import Control
from lbc.training.failures import TrainingError
from lbc.training.trainer import Trainer


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only folder of programs, with a compiler in it."""
    folder = tmp_path / "bin"
    folder.mkdir()
    program = folder / "anyc++"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setenv("CXX", "anyc++ -O2")
    return folder


def test_a_run_does_not_begin_without_a_compiler(
    path: Path, monkeypatch: pytest.MonkeyPatch, quick: Callable[..., Experiment]
) -> None:
    monkeypatch.delenv("CXX")
    assert shutil.which("g++") is None
    run = path.parent / "run"
    experiment = quick(training={"epochs": 2, "batch_size": 500, "compile": True})
    with pytest.raises(TrainingError, match=r"needs a C\+\+ compiler.* set training\.compile to"):
        Trainer(experiment, run, Control()).train()
    assert not run.exists()


def test_headers_are_needed_too(
    path: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    places = {"include": str(tmp_path)}
    monkeypatch.setattr(sysconfig, "get_path", places.__getitem__)
    with pytest.raises(TrainingError, match="headers of Python"):
        check_compiler()
    (tmp_path / "Python.h").touch()
    check_compiler()
    monkeypatch.setattr(sys, "frozen", True, raising=False)
    with pytest.raises(TrainingError, match="headers of Python"):
        check_compiler()
