"""A run can be drawn from its folder alone, however it ended."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from matplotlib.image import imread

from lbc.config import Experiment
from lbc.pictures.colour_tables import DISTINCT, REMOVED_COLOUR
from lbc.report.run_pngs import draw_run
from lbc.runs.events import EpochDone, Event, StepDone
from lbc.training.control import Control
from lbc.training.trainer import Trainer

MakeExperiment = Callable[..., Experiment]
SHALLOW = {"name": "mlp", "width": 32, "depth": 2}


def train(experiment: Experiment, folder: Path, until: type | None = None) -> None:
    control = Control()

    def emit(event: Event) -> None:
        if until is not None and isinstance(event, until):
            control.stop()

    Trainer(experiment, folder, control, emit).train()


def share_of(colour: tuple[int, int, int], path: Path) -> float:
    pixels = torch.from_numpy((imread(path)[..., :3] * 255).round())
    return float((pixels == torch.tensor(colour)).all(-1).double().mean())


def test_a_finished_run_has_curves_and_a_heatmap_of_every_layer(
    quick: MakeExperiment, tmp_path: Path
) -> None:
    train(quick(model=SHALLOW, layers={"head": "1:4"}), tmp_path)
    paths = draw_run(tmp_path)
    assert [path.name for path in paths] == [
        "curves.png", "scores-hidden.0.png", "scores-head.png"
    ]  # fmt: skip
    for path in paths:
        height, width, _ = imread(path).shape
        assert height > 400 and width > 400
    assert share_of(REMOVED_COLOUR, paths[1]) > 0.05
    for colour in DISTINCT[:6]:  # who won, in the last of the panels
        assert share_of(colour, paths[1]) > 0.01


@pytest.mark.parametrize("until", [StepDone, EpochDone])
def test_a_run_stopped_early_can_be_drawn(
    quick: MakeExperiment, tmp_path: Path, until: type
) -> None:
    train(quick(model=SHALLOW), tmp_path, until)
    paths = draw_run(tmp_path)
    assert len(paths) == 2
    assert all(path.stat().st_size > 5000 for path in paths)


def test_patterns_whose_scores_are_not_kept_have_only_curves(
    quick: MakeExperiment, tmp_path: Path
) -> None:
    train(quick(model=SHALLOW, pattern="4:16"), tmp_path)
    (curves,) = draw_run(tmp_path)
    assert curves.name == "curves.png"
    curves.write_bytes(b"")
    assert draw_run(tmp_path) == [curves]  # over the first
    assert curves.stat().st_size > 5000


@pytest.mark.skipif(sys.platform == "win32", reason="needs links and pipes")
def test_pictures_replace_links_and_no_pipes(quick: MakeExperiment, tmp_path: Path) -> None:
    run, victim = tmp_path / "run", tmp_path / "victim"
    train(quick(model=SHALLOW), run)
    victim.write_text("mine")
    (run / "pictures").mkdir()
    (run / "pictures" / "curves.png").symlink_to(victim)
    draw_run(run)
    assert victim.read_text() == "mine"
    (run / "pictures" / "curves.png").unlink()
    os.mkfifo(run / "pictures" / "curves.png")
    with pytest.raises(OSError, match="not a regular file"):
        draw_run(run)
