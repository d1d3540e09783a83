"""What a fork of a steered run begins with: the settings that the run had at that moment."""

from __future__ import annotations

from pathlib import Path

from lbc.config import load_experiment
from lbc.runs.effective_experiment import effective_experiment
from lbc.runs.interventions import read_interventions
from lbc.runs.kept_checkpoints import experiment_at
from lbc.training.fork import check_fork, fork_run
from lbc.training.trainer import Trainer
from lbc_gui.run.fork_job import read_origin
from tests.faults.experiment import small_experiment
from tests.training.test_steering import CHANGES, steering_trainer


def test_an_unchanged_fork_has_the_settings_of_its_moment(tmp_path: Path) -> None:
    experiment, run = small_experiment(tmp_path), tmp_path / "run"
    steering_trainer(experiment, run, {step: CHANGES[step] for step in (1, 4)}).train()
    origin = read_origin(run)
    settings = {
        point.epoch: (at.optimizer.lr, at.optimizer.weight_decay, at.training.epochs)
        for point in origin.points
        for at in [experiment_at(point)]
    }
    assert settings[1] == (0.05, 0.01, 2)
    assert settings[2] == settings[3] == (0.05, 0.01, 4)
    for point in origin.points[:3]:
        epoch, unchanged = point.epoch, experiment_at(point)
        assert check_fork(run, epoch, unchanged) == ()
        fork = fork_run(run, epoch, unchanged, tmp_path / f"fork-{epoch:g}")
        assert load_experiment(fork / "experiment.yaml") == effective_experiment(fork) == unchanged
        assert len(read_interventions(fork)) == (1 if epoch == 1 else 2)
        Trainer(unchanged, fork, resume=True).train()
        if epoch > 1:  # nothing was changed by hand after it
            for name in ("model.safetensors", "scores.history"):
                assert (fork / name).read_bytes() == (run / name).read_bytes()
