"""External models: building them, and one-sentence errors if that fails."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import torch

from lbc.cli.main import main
from lbc.config import Experiment, dump_experiment, load_experiment, parse_experiment
from lbc.models import build, build_on_meta
from lbc.models.layer_cost import model_cost
from lbc.training.trainer import Trainer

IMAGE = (1, 28, 28)

MODULE = """
import sys
from pathlib import Path
import torch
from torch import nn

Path("imported").touch()
SCALE = torch.ones(10)
number = 3

class Net(nn.Module):
    def __init__(self, width=16):
        super().__init__()
        self.flatten = nn.Flatten()
        self.one, self.two, self.head = nn.Linear(784, width), nn.Linear(width, width), nn.Linear(width, 10)
    def forward(self, images):
        return self.head(self.two(self.one(self.flatten(images)).relu()).relu()) * SCALE.to(images.device)

class ReadsValues(Net):
    "Can neither be built nor run on the meta device."
    def __init__(self):
        super().__init__(width=int(torch.linspace(0, 16, 2)[1].item()))
    def forward(self, images):
        return super().forward(images + images.sum().item())

class Within:
    make = Net

def few(): return nn.Sequential(nn.Flatten(), nn.Linear(784, 8))
def narrow(): return nn.Sequential(nn.Flatten(), nn.Linear(700, 10))
def pair():
    net = Net()
    net.head = nn.LSTM(16, 10)
    net.forward = lambda images: net.head(net.one(net.flatten(images)))
    return net
def nothing(): return None
def boom(): raise RuntimeError("no luck\\nin a second line")
def leave(): sys.exit(3)
"""  # noqa: E501


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with the user's modules."""
    (tmp_path / "mine.py").write_text(MODULE)
    (tmp_path / "broken.py").write_text("import nowhere_at_all\n")
    (tmp_path / "half.py").write_text("def make(:\n")
    (tmp_path / "leaves.py").write_text("import sys\nsys.exit()\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    for name in ("mine", "broken", "half", "leaves"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    return tmp_path


def experiment(path: str, **kwargs: object) -> Experiment:
    return parse_experiment({"model": {"import": path, "kwargs": kwargs}})


@pytest.mark.parametrize("path", ["mine:Net", "mine:Within.make"])
def test_a_function_in_the_current_folder_is_called_with_its_arguments(path: str) -> None:
    model = experiment(path, width=24).model
    assert build(model, IMAGE, 10, allow_import=True).get_parameter("one.weight").shape == (24, 784)
    on_meta = build_on_meta(model, IMAGE, 10, allow_import=True)
    assert all(at.is_meta for at in on_meta.parameters())


def test_building_on_meta_does_not_affect_the_tensors_of_the_user_s_module() -> None:
    # A module imported under the meta device would create its own tensors there.
    build_on_meta(experiment("mine:Net").model, IMAGE, 10, allow_import=True)
    assert sys.modules["mine"].SCALE.device.type == "cpu"


def test_a_model_that_fails_on_meta_is_built_with_weights_and_keeps_the_random_state() -> None:
    state = torch.get_rng_state()
    model = build_on_meta(experiment("mine:ReadsValues").model, IMAGE, 10, allow_import=True)
    assert torch.equal(torch.get_rng_state(), state)
    assert model_cost(model, IMAGE).layers["two"].macs == 256


def test_reading_and_writing_an_experiment_imports_nothing(folder: Path) -> None:
    file = folder / "experiment.yaml"
    file.write_text("model: {import: 'mine:Net', kwargs: {width: 24}}\n")
    loaded = load_experiment(file)
    file.write_text(dump_experiment(loaded))
    assert load_experiment(file) == loaded == experiment("mine:Net", width=24)
    assert not (folder / "imported").exists()
    build(loaded.model, IMAGE, 10, allow_import=True)
    assert (folder / "imported").exists()


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("nowhere_at_all:make", "because there is no module 'nowhere_at_all'"),
        ("mine.inner:make", "because there is no module 'mine.inner'"),
        ("broken:make", "importing broken failed: ModuleNotFoundError: No module named 'nowhere"),
        ("half:make", "model.import: importing half failed: SyntaxError: "),
        ("leaves:make", "model.import: importing leaves failed: SystemExit: "),
        ("mine:absent", "model.import: mine has no absent: "),
        ("mine:number", "mine:number is of type int, which is not callable"),
        ("mine:nothing", "mine:nothing returned NoneType: it must return a torch.nn.Module."),
        ("mine:boom", "mine:boom failed: RuntimeError: no luck (mine.py, line "),
        ("mine:leave", "mine:leave failed: SystemExit: 3 (mine.py, line "),
        ("mine:narrow", "The model does not accept images of 1×28×28: RuntimeError: "),
        ("mine:few", "mine:few returns 1×8 for one image instead of 1×10: "),
        ("mine:pair", "mine:pair returns tuple instead of a tensor of logits."),
    ],
)
def test_an_unusable_function_is_reported_in_one_sentence(path: str, message: str) -> None:
    for make in (build, build_on_meta):
        with pytest.raises(ValueError) as caught:
            make(experiment(path).model, IMAGE, 10, allow_import=True)
        assert message in str(caught.value)
        assert "\n" not in str(caught.value)


def test_unknown_arguments_are_reported() -> None:
    with pytest.raises(ValueError, match=r"^mine:Net failed: TypeError: .*'wdth'\.$"):
        build(experiment("mine:Net", wdth=3).model, IMAGE, 10, allow_import=True)


def test_a_file_does_not_shadow_an_installed_package(folder: Path) -> None:
    (folder / "colorsys.py").write_text("raise RuntimeError('the wrong one')\n")
    sys.modules.pop("colorsys", None)
    with pytest.raises(ValueError, match=r"^model.import: colorsys has no make"):
        build(experiment("colorsys:make").model, IMAGE, 10, allow_import=True)


def test_a_user_s_own_model_can_be_trained(folder: Path) -> None:
    finished = Trainer(
        parse_experiment({
            "model": {"import": "mine:Net"},
            "schedule": {"end": 1},
            "training": {"epochs": 1, "batch_size": 500},
        }),
        folder / "run",
    ).train()  # fmt: skip
    assert finished.status == "finished"
    assert finished.density == 0.5


@pytest.mark.parametrize("package", ["timm", "torchvision"])
def test_the_error_for_a_missing_package_says_how_to_install_it(
    folder: Path, package: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "e.yaml").write_text(f"model: {{name: {package}, model: resnet18}}\n")
    monkeypatch.setitem(sys.modules, package, None)  # as if it were not installed
    assert main(["layers", "e.yaml", "--allow-import"]) == 2
    printed = capsys.readouterr()
    assert (printed.out, printed.err) == (
        "",
        f"model.name: {package} is not installed: run 'pip install {package}', or choose another "
        "model.\n",
    )


def test_a_timm_model_gets_the_channels_and_classes() -> None:
    pytest.importorskip("timm")
    model = parse_experiment({"model": {"name": "timm", "model": "resnet10t"}}).model
    built = build(model, IMAGE, 7, allow_import=True)
    assert built(torch.zeros(2, *IMAGE)).shape == (2, 7)
    on_meta = build_on_meta(model, IMAGE, 7, allow_import=True)
    assert "fc" in model_cost(on_meta, IMAGE).layers


def test_deit_loads_checkpoints_of_timm() -> None:
    timm = pytest.importorskip("timm")
    theirs = timm.create_model("deit_tiny_patch16_224").eval()
    ours = build(parse_experiment({"model": {"name": "deit-tiny"}}).model, (3, 224, 224), 1000)
    ours.load_state_dict(theirs.state_dict())
    images = torch.randn(1, 3, 224, 224)
    torch.testing.assert_close(ours.eval()(images), theirs(images))


@pytest.mark.parametrize("name", ["resnet18", "resnet50"])
def test_resnets_load_checkpoints_of_torchvision(name: str) -> None:
    pytest.importorskip("torchvision")
    shape = (3, 64, 64)
    wanted = {"name": "torchvision", "model": name}
    theirs = build(parse_experiment({"model": wanted}).model, shape, 10, allow_import=True).eval()
    ours = build(parse_experiment({"model": {"name": name}}).model, shape, 10).eval()
    ours.load_state_dict(theirs.state_dict())
    images = torch.randn(1, *shape)
    torch.testing.assert_close(ours(images), theirs(images))


def test_the_layers_command_prints_its_layers_as_json(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from lbc.cli.main import main

    (folder / "e.yaml").write_text("model: {import: 'mine:Net'}\npattern: 2:8\n")
    assert main(["layers", "e.yaml", "--json", "--set", "layers.two=1:4", "--allow-import"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert [(at["name"], at["pattern"], at["overridden"]) for at in printed["layers"]] == [
        ("one", "2:8", False),
        ("two", "1:4", True),
        ("head", None, False),
    ]
