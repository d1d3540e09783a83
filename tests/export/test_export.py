"""Exported files compute what was trained and describe their sparse layers correctly."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

import lbc
from lbc.cli.main import main
from lbc.config import Experiment
from lbc.export import ExportError, load_trained_model, write_onnx, write_safetensors
from lbc.export.safetensors_file import build_manifest
from lbc.export.semi_structured import find_two_four_layers
from lbc.inspection import open_checkpoint
from lbc.runs.events import Event, StepDone
from lbc.runs.weights import read_weights
from lbc.sparsity.compliance import check
from lbc.sparsity.pattern import Pattern
from lbc.training.control import Control
from lbc.training.trainer import Trainer

MakeExperiment = Callable[..., Experiment]

CONVNET = {"name": "convnet", "width": 8, "depth": 2}


@pytest.fixture(scope="module")
def run(quick: MakeExperiment, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of a convolutional network at 1:4 with averaged weights."""
    run = tmp_path_factory.mktemp("finished") / "run"
    training = {"epochs": 2, "batch_size": 1000, "ema_decay": 0.5}
    experiment = quick(model=CONVNET, pattern="1:4", training=training)
    Trainer(experiment, run).train()
    return run


def test_safetensors_equal_those_of_the_run_and_have_a_manifest(run: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.safetensors"
    assert main(["export", str(run), "--out", str(out)]) == 0
    exported, trained = load_file(out), load_file(run / "model.safetensors")
    assert exported.keys() == trained.keys()
    assert all(torch.equal(exported[name], trained[name]) for name in trained)
    manifest = json.loads((tmp_path / "out.json").read_text())
    assert manifest["file"] == "out.safetensors" and manifest["decided"] is True
    assert manifest["model"] == CONVNET and manifest["in_shape"] == [1, 28, 28]
    (layer,) = manifest["layers"]
    weight = exported[layer["weight"]]
    assert layer["name"] == "stages.1.conv" and layer["shape"] == list(weight.shape)
    assert (layer["n"], layer["m"], layer["axis"]) == (1, 4, 1)
    assert layer["density"] == check(weight, Pattern(1, 4)).density == 0.25
    blocks = weight.movedim(layer["axis"], -1).reshape(-1, layer["m"])
    assert int((blocks != 0).sum(1).max()) == layer["n"]
    assert "width" not in layer
    trained_pairs = replace(load_trained_model(run), patterns={layer["name"]: Pattern(2, 8, 2)})
    (pairs,) = build_manifest(trained_pairs, "pairs.safetensors")["layers"]
    assert (pairs["n"], pairs["m"], pairs["width"]) == (2, 8, 2)
    assert manifest["dense"] == {"stages.0.conv": "the first convolution", "head": "the classifier"}
    assert main(["inspect", str(out), "--pattern", "1:4"]) == 0


ATTENTION = """
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.Linear(28, 16)
        self.layer = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True)
        self.head = nn.Linear(16, 10)
    def forward(self, images):
        return self.head(self.layer(self.embed(images.squeeze(1))).mean(1))
"""


def test_a_projection_of_attention_is_exported_and_read_from_the_checkpoint(
    quick: MakeExperiment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "attention_network.py").write_text(ATTENTION)
    monkeypatch.syspath_prepend(tmp_path)
    experiment = quick(model={"import": "attention_network:Net"})
    Trainer(experiment, tmp_path / "run").train()
    out = tmp_path / "out.safetensors"
    assert main(["export", str(tmp_path / "run"), "--out", str(out), "--allow-import"]) == 0
    layers = {at["name"]: at for at in json.loads((tmp_path / "out.json").read_text())["layers"]}
    layer = layers["layer.self_attn.in_proj_weight"]
    weight = load_file(out)[layer["weight"]]
    assert (layer["shape"], layer["axis"], layer["density"]) == ([48, 16], 1, 0.5)
    assert check(weight, Pattern(2, 4)).valid
    dense = read_weights(tmp_path / "run", layer["name"], float(experiment.training.epochs))
    assert dense is not None
    assert torch.equal(torch.where(weight != 0, torch.from_numpy(dense.copy()), 0), weight)


def test_an_unfinished_search_is_decided_and_reported(
    quick: MakeExperiment, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    control = Control()

    def stop(event: Event) -> None:
        if isinstance(event, StepDone) and event.step == 5:
            control.stop()

    Trainer(quick(), tmp_path / "run", control, stop).train()
    out = tmp_path / "out.safetensors"
    assert main(["export", str(tmp_path / "run" / "checkpoint.pt"), "--out", str(out)]) == 0
    assert "The search was unfinished" in capsys.readouterr().out
    assert json.loads((tmp_path / "out.json").read_text())["decided"] is False
    assert check(load_file(out)["hidden.0.weight"], Pattern(2, 4)).valid


def test_onnxruntime_computes_the_same_as_torch(run: Path, tmp_path: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    trained = load_trained_model(run)
    difference = write_onnx(trained, tmp_path / "out.onnx")
    assert 0 <= difference < 1e-4
    session = onnxruntime.InferenceSession(str(tmp_path / "out.onnx"))
    for count in (1, 5):
        images = torch.randn(count, 1, 28, 28)
        (logits,) = session.run(None, {"images": images.numpy()})
        with torch.no_grad():
            expected = trained.model(images)
        assert torch.allclose(torch.from_numpy(logits), expected, atol=1e-4)
    assert [file.name for file in tmp_path.glob("*.onnx*")] == ["out.onnx"]
    with open_checkpoint(tmp_path / "out.onnx") as written, open_checkpoint(run) as own:
        assert set(written.layers) == set(own.layers)
        for name in own.layers:  # the exporter may fold norms into weights, which preserves zeros
            assert torch.equal(written.weight(name) != 0, own.weight(name) != 0)


def test_a_failed_onnx_export_leaves_no_file(run: Path, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")

    class NonDeterministic(nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return images.flatten(1)[:, :10] + torch.rand(1)  # different in every call

    trained = load_trained_model(run)
    trained.model.__class__ = NonDeterministic
    with pytest.raises(ExportError, match="logits differ from torch's by up to"):
        write_onnx(trained, tmp_path / "out.onnx")
    assert not list(tmp_path.glob("*.onnx*")) and not list(tmp_path.glob(".*"))


def test_existing_files_and_invalid_checkpoints_are_refused(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine.json").write_text("mine")
    (tmp_path / "torn.pt").write_bytes((run / "checkpoint.pt").read_bytes()[:500])
    for source, out, text in (
        (run, "mine.safetensors", "mine.json already exists"),
        (run, "deep/out.safetensors", "does not exist: create it first"),
        (tmp_path, "out.safetensors", "checkpoint.pt does not exist"),
        (tmp_path / "torn.pt", "out.safetensors", "torn.pt is truncated"),
        (run / "model.safetensors", "out.safetensors", "model.safetensors is truncated, or not"),
    ):
        assert main(["export", str(source), "--out", str(tmp_path / out)]) == 2
        assert text in capsys.readouterr().err
    assert (tmp_path / "mine.json").read_text() == "mine"
    with pytest.raises(ExportError):
        write_safetensors(load_trained_model(run), tmp_path / "mine.safetensors")


def two_four(*shape: int) -> nn.Linear:
    layer = nn.Linear(shape[1], shape[0])
    with torch.no_grad():
        layer.weight.view(-1, 4)[:, :2] = 0
    return layer


def test_only_two_four_layers_are_found() -> None:
    broken = two_four(64, 64)
    with torch.no_grad():
        broken.weight[3, 4:7] = 1
    model = nn.Sequential(two_four(32, 64), two_four(64, 128), two_four(10, 64), broken)
    layers, reasons = find_two_four_layers(model)
    assert layers == {"0": model[0], "1": model[1]}
    assert reasons == {
        "2": "10×64 is not a multiple of 32×64, as the kernels require",
        "3": "1 blocks keep more than 2 of 4 weights",
    }


def test_a_model_that_cannot_be_converted_is_refused_and_unchanged() -> None:
    model = nn.Sequential(two_four(32, 64), nn.Linear(32, 64))
    before = model[0].weight
    with pytest.raises(ValueError, match="requires a CUDA GPU"):
        lbc.to_sparse_semi_structured(model)
    assert model[0].weight is before
    with pytest.raises(ValueError, match=r"No layer of the model is 2:4 \(0: "):
        lbc.to_sparse_semi_structured(nn.Sequential(nn.Linear(64, 64)))
    with pytest.raises(ValueError, match="it has no Linear layer"):
        lbc.to_sparse_semi_structured(nn.Sequential(nn.ReLU()))
    lbc.sparsify(searching := nn.Sequential(nn.Linear(64, 64), nn.Linear(64, 4)), "2:4")
    with pytest.raises(ValueError, match="still parametrized"):
        lbc.to_sparse_semi_structured(searching)


class OnTheSecondGpu(torch.Tensor):
    """A CPU tensor that names another device, for a machine without GPUs."""

    @property
    def device(self) -> torch.device:  # type: ignore[override]
        return torch.device("cuda:1")


def test_the_gpu_of_the_weights_must_have_sparse_tensor_cores(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    layer = two_four(32, 64).half()
    layer.weight = nn.Parameter(layer.weight.detach().as_subclass(OnTheSecondGpu))
    second = torch.device("cuda:1")
    monkeypatch.setattr(
        torch.cuda, "get_device_capability", lambda at=None: (7, 5) if at == second else (9, 0)
    )
    with pytest.raises(ValueError, match="no sparse tensor cores"):
        lbc.to_sparse_semi_structured(nn.Sequential(layer))


@pytest.mark.skipif(
    not torch.cuda.is_available() or torch.cuda.get_device_capability()[0] < 8,
    reason="needs sparse tensor cores",
)
def test_sparse_tensor_cores_compute_the_same() -> None:
    model = nn.Sequential(two_four(128, 128), nn.ReLU(), two_four(64, 128)).cuda().half()
    images = torch.randn(64, 128, device="cuda", dtype=torch.float16)
    with torch.inference_mode():
        expected = model(images)
        assert lbc.to_sparse_semi_structured(model) == ("0", "2")
        assert torch.allclose(model(images), expected, atol=1e-2)
