"""``lbc prune``: what it prints, writes and refuses."""

from __future__ import annotations

import json
import os
import shlex
import signal
import sys
import time
from pathlib import Path

import pytest
import safetensors.torch
import torch

from lbc.cli.main import main
from lbc.config import load_experiment
from lbc.models import build
from lbc.training.trainer import Trainer
from tests import warm

NET = """
name: net
method: dense
pattern: 2:4
model: {name: mlp, width: 16}
schedule: {end: 1}
training: {epochs: 1, batch_size: 500}
"""


SHAPES = {"1.weight": (16, 784), "1.bias": (16,), "2.weight": (10, 16), "2.bias": (10,)}
"""The parameters of the network in slow.py."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working directory with an experiment, a run of it, and weights alone."""
    folder = tmp_path_factory.mktemp("work")
    (folder / "net.yaml").write_text(NET)
    experiment = load_experiment(folder / "net.yaml")
    Trainer(experiment, folder / "net").train()
    torch.save(build(experiment.model, (1, 28, 28), 10).state_dict(), folder / "alone.pt")
    return folder


@pytest.fixture(autouse=True)
def working_directory(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)


def test_a_run_is_pruned_and_trained_on(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["prune", "net", "--method", "wanda", "--pattern", "1:4", "--calibrate", "32"]) == 0
    said = capsys.readouterr().out
    file = Path("net-wanda-1-4.safetensors")
    assert file.is_file()
    for part in ("hidden.0", "16×784", "1:4", "25.0%", "accuracy on the test split before", " s: "):
        assert part in said
    assert main(["inspect", str(file), "--pattern", "1:4", "--skip", "head"]) == 0
    [line] = [line.split() for line in said.splitlines() if "lbc train" in line]
    assert main([*line[1:], "--out", "tuned"]) == 0
    capsys.readouterr()
    assert main(["inspect", "tuned", "--pattern", "1:4", "--skip", "head"]) == 0


def test_a_layer_with_its_own_pattern_keeps_it_when_it_is_trained_on(
    capsys: pytest.CaptureFixture[str],
) -> None:
    settings = ["layers.hidden.1=1:8", "method.damping=0.1"]
    assert main(["prune", "net", "--calibrate", "32", "--set", *settings]) == 0
    said = capsys.readouterr().out
    [line] = [shlex.split(line) for line in said.splitlines() if "lbc train" in line]
    assert line[-1] == settings[0]
    assert main([*line[1:], "--out", "tuned-own"]) == 0
    weights = safetensors.torch.load_file("tuned-own/model.safetensors")
    density = {name: (weight != 0).double().mean().item() for name, weight in weights.items()}
    assert (density["hidden.0.weight"], density["hidden.1.weight"]) == (0.5, 0.125)


def test_weights_alone_need_an_experiment_and_json_has_every_figure(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["prune", "alone.pt"]) == 2
    assert "name the experiment with its model and data by --experiment" in capsys.readouterr().err
    arguments = ["--experiment", "net.yaml", "--method", "asp", "--calibrate", "8", "--json"]
    assert main(["prune", "alone.pt", *arguments, "--set", "layers.hidden.1=1:8"]) == 0
    out, err = capsys.readouterr()
    result = json.loads(out)
    assert not err
    assert (result["file"], result["method"]) == ("alone-asp-2-4.safetensors", "asp")
    assert [(at["name"], at["pattern"], at["density"]) for at in result["layers"]] == [
        ("hidden.0", "2:4", 0.5),
        ("hidden.1", "1:8", 0.125),
    ]
    assert all(0 < at["error"] < 1 for at in result["layers"])
    assert 0 <= result["accuracy_after"] <= 1 and 0 <= result["accuracy_before"] <= 1
    assert main(["prune", "alone.pt", *arguments]) == 0
    assert json.loads(capsys.readouterr().out)["file"] == "alone-asp-2-4-2.safetensors"


@pytest.mark.parametrize(
    ("arguments", "status", "sentence"),
    [
        (["nothing"], 2, "nothing does not exist: check the path."),
        (["net.yaml", "--experiment", "net.yaml"], 1, "net.yaml"),
        (["net", "--method", "sparsegtp"], 2, "did you mean sparsegpt?"),
        (["net", "--method", "lbc"], 2, "does not prune a model at once: choose admm, asp"),
        (["net", "--calibrate", "4001"], 1, "There are 4,000 training images, and 4,001 are"),
        (["net", "--pattern", "3:2"], 2, "pattern: 3:2 is impossible"),
        (["net", "--pattern", "1:5"], 1, "input width 784 is not a multiple of 5"),
        (["net", "--set", "method.dampng=1"], 2, "did you mean 'damping'?"),
        (["net", "--out", "alone.pt"], 1, "alone.pt exists already: choose another file."),
        (["net", "--experiment", "other.yaml"], 2, "other.yaml: The file does not exist"),
        (["alone.pt", "--experiment", "wide.yaml"], 1, "is of another network"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(
    arguments: list[str], status: int, sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("wide.yaml").write_text(NET.replace("16", "32"))
    before = {*Path().iterdir()}
    assert main(["prune", *arguments]) == status
    out, err = capsys.readouterr()
    assert sentence in err and len(err.splitlines()) == 1 and not out
    assert {*Path().iterdir()} == before


@pytest.mark.parametrize("count", ["0", "-3", "many"])
def test_images_are_counted_from_one(count: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["prune", "net", "--calibrate", count])
    assert ended.value.code == 2
    assert f"{count!r} is no number of images: give 1 or more." in capsys.readouterr().err


SLOW = """
import time
from pathlib import Path
from torch import nn

class Slow(nn.Sequential):
    def forward(self, images):
        if len(images) == 32:  # a batch for calibration
            Path("calibrating").touch()
            time.sleep(0.1)
        return super().forward(images)

def network():
    return Slow(nn.Flatten(), nn.Linear(784, 16), nn.Linear(16, 10))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGINT for one process")
def test_an_interrupted_calibration_writes_nothing(folder: Path) -> None:
    (folder / "slow.py").write_text(SLOW)
    (folder / "slow.yaml").write_text(
        NET.replace("{name: mlp, width: 16}", "{import: 'slow:network'}")
    )
    torch.save({name: torch.zeros(shape) for name, shape in SHAPES.items()}, folder / "slow.pt")
    before = {*folder.iterdir()}
    arguments = ["--experiment", "slow.yaml", "--allow-import", "--calibrate", 3200]
    process = warm.start(warm.lbc, "prune", "slow.pt", *arguments, output=folder / "printed")
    assert process.pid is not None
    while not (folder / "calibrating").exists():
        assert process.is_alive(), (folder / "printed").read_text()
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGINT)
    process.join(timeout=60)
    assert process.exitcode == 130
    said = (folder / "printed").read_text()
    assert said == "Pruning was stopped; nothing has been written.\n"
    left = {path.name for path in {*folder.iterdir()} - before} - {"__pycache__"}
    assert left == {"printed", "calibrating"}


def test_code_that_an_experiment_names_is_run_only_if_allowed(
    capsys: pytest.CaptureFixture[str],
) -> None:
    Path("code.yaml").write_text(NET.replace("{name: mlp, width: 16}", "{import: 'no_such:net'}"))
    assert main(["prune", "alone.pt", "--experiment", "code.yaml"]) == 2
    assert "add --allow-import" in capsys.readouterr().err
    arguments = ["alone.pt", "--experiment", "code.yaml", "--allow-import"]
    assert main(["prune", *arguments]) == 1
    assert "no_such" in capsys.readouterr().err
