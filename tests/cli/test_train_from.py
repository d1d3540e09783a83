"""``lbc train --from``: what is printed, recorded and refused."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from lbc.cli.main import main
from lbc.config import load_experiment
from lbc.models import build

QUICK = """
name: quick
model: {name: mlp, width: 16}
schedule: {end: 1}
training: {epochs: 1, batch_size: 500}
"""


def test_training_starts_from_a_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("quick.yaml").write_text(QUICK)
    experiment = load_experiment("quick.yaml")
    state = build(experiment.model, (1, 28, 28), 10).state_dict()
    torch.save({"state_dict": {f"model.{name}": at for name, at in state.items()}}, "dense.pt")
    assert main(["train", "quick.yaml", "--from", "dense.pt", "--out", "run"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "dense.pt, SHA-256" in said and "their names without model." in said
    assert "hidden.0.weight (16×784)" in said and "Left over: none." in said
    kept = load_experiment("run/experiment.yaml")
    assert kept.training.weights == tmp_path / "dense.pt"
    assert main(["train", "--resume", "run", "--from", "dense.pt"]) == 2
    assert "omit --from or --resume" in capsys.readouterr().err
    Path("dense.pt").write_bytes(b"no checkpoint")
    assert main(["train", "quick.yaml", "--from", "dense.pt", "--out", "other"]) == 1
    assert "dense.pt" in capsys.readouterr().err and not Path("other").exists()
    Path("relative.yaml").write_text(QUICK.replace("epochs: 1,", "epochs: 1, weights: dense.pt,"))
    assert load_experiment(tmp_path / "relative.yaml").training.weights == tmp_path / "dense.pt"
