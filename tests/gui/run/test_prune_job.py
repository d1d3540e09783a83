"""Pruning in a thread of its own ends where it is, when it is cancelled."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from PySide6.QtCore import QObject
from pytestqt.qtbot import QtBot

from lbc.config.one_shot import one_shot_experiment
from lbc.models import build
from lbc_gui.run.prune_job import PruneJob, PruneProgress, PruneRequest
from tests.gui.conftest import SECONDS, small_experiment


def test_a_solver_is_cancelled_between_its_iterations(qtbot: QtBot, tmp_path: Path) -> None:
    base = small_experiment(model={"name": "mlp", "width": 64}, method="dense")
    checkpoint = tmp_path / "dense.pt"
    torch.save(build(base.model, (1, 28, 28), 10).state_dict(), checkpoint)
    settings = ["method.iterations=1000"]
    experiment = one_shot_experiment(base, checkpoint, "admm", "2:4", 32, settings)
    parent = QObject()
    job, said, shares = PruneJob(parent), list[str](), list[float]()

    def cancel_in_the_first_solver(events: Sequence[object]) -> None:
        shares.extend(
            one.share for one in events if isinstance(one, PruneProgress) and one.what == "Pruning"
        )
        if shares and shares[-1] > 0.25:  # the second half of the first of two layers
            job.cancel()

    job.arrived.connect(cancel_in_the_first_solver)
    job.said.connect(said.append)
    job.prune(PruneRequest(checkpoint, base, experiment, tmp_path / "runs", allow_import=False))
    qtbot.waitUntil(lambda: bool(said) and not job.running, timeout=SECONDS)
    assert said == ["Pruning was cancelled; nothing has been written."]
    assert 0.25 < shares[-1] < 0.5
    assert not [*(tmp_path / "runs").iterdir()]
