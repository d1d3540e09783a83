"""Runs with an external model that this user started here, whose code resuming may run again.

They are recorded outside the run folders, so that nothing in a folder from someone else can claim
to be one.
"""

from __future__ import annotations

from contextlib import suppress
from hashlib import sha256
from pathlib import Path

from platformdirs import user_state_path

from lbc.config import EXTERNAL, Model


def remember_own(folder: Path, model: Model) -> None:
    """Record that the user trains ``model`` in ``folder``. Without a state folder, do nothing."""
    if isinstance(model, EXTERNAL):
        record = _record(folder, model)
        with suppress(OSError):
            record.parent.mkdir(parents=True, exist_ok=True)
            record.touch()


def may_import(folder: Path, model: Model) -> bool:
    """Whether resuming the run in ``folder`` runs no code, or only what this user ran in it."""
    return not isinstance(model, EXTERNAL) or _record(folder, model).exists()


def _record(folder: Path, model: Model) -> Path:
    run = f"{folder.resolve()}\0{model.model_dump_json()}"
    return user_state_path("lbc-explorer") / "own-runs" / sha256(run.encode()).hexdigest()
