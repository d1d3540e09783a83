"""What torch needs on a machine to compile a model."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
import sysconfig
from pathlib import Path

import torch

from lbc.training.failures import TrainingError

REMEDY = "or set training.compile to false."
USUAL = {"darwin": "clang++", "win32": "cl"}
"""The compilers that torch looks for without CXX, by platform; elsewhere g++."""


def check_compiler() -> None:
    """Raise TrainingError with the remedy if torch could not compile a model here.

    Without it torch says so from within the first step, on many lines.
    """
    given = os.environ.get("CXX") or USUAL.get(sys.platform, "g++")
    name = shlex.split(given)[0] if sys.platform != "win32" else given
    if shutil.which(name) is None:
        raise TrainingError(
            f"training.compile needs a C++ compiler, and {name} is not on this machine: install "
            f"it, name another one in the environment variable CXX, {REMEDY}"
        )
    headers = Path(sysconfig.get_path("include")) / "Python.h"
    of_torch = Path(torch.__file__).parent / "include/torch"
    if getattr(sys, "frozen", False) or not (headers.is_file() and of_torch.is_dir()):
        raise TrainingError(
            "training.compile needs the headers of Python and torch, which this installation does "
            "not have: install LBC Explorer with pip into a Python that has its headers (on Debian "
            f"python3-dev), {REMEDY}"
        )
