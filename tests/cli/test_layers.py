"""``lbc layers`` as run from a shell."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lbc.cli.main import main


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "e.yaml"
    path.write_text("model: {name: convnet, width: 16}\nlayers: {stages.2.conv: 1:8}\n")
    return path


def test_every_layer_has_a_row_with_its_plan_and_cost(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["layers", str(file)]) == 0
    lines = capsys.readouterr().out.splitlines()
    cells = [[cell.strip() for cell in line.split("│")[1:-1]] for line in lines if "│" in line]
    rows = {name: others for name, *others in cells}
    assert rows["stages.0.conv"][2] == "dense"
    assert rows["stages.0.conv"][-1] == "the first convolution"
    macs = 14 * 14 * 16 * 32 * 9
    assert rows["stages.1.conv"][1:7] == ["32×16×3×3", "2:4", "1,152", "6", "4,608", f"{macs:,}"]
    assert rows["stages.2.conv"][2:5] == ["1:8 *", "2,304", "8"]
    assert "2 sparse and 2 dense layers" in lines[-3]
    assert lines[-1] == "* Pattern set for this layer."


def test_json_has_the_same_values_and_they_add_up(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["layers", str(file), "--json", "--set", "model.name=deit-tiny", "model.patch=4",
                 "layers={}", "model={name: deit-tiny, patch: 4}"]) == 0  # fmt: skip
    output = json.loads(capsys.readouterr().out)
    assert output["image"] == [1, 28, 28]
    assert len(output["layers"]) == 52
    layers = sum(layer["macs"] for layer in output["layers"])
    assert layers + 12 * 2 * 50 * 50 * 192 == output["macs"]
    shares = sum(layer["share"] for layer in output["layers"])
    assert shares + output["share_elsewhere"] == pytest.approx(1)
    fc1 = next(layer for layer in output["layers"] if layer["name"] == "blocks.0.mlp.fc1")
    assert (fc1["shape"], fc1["positions"], fc1["calls"]) == ([768, 192], 50, 1)


def test_what_training_would_refuse_is_listed_and_said(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["layers", str(file), "--set", "pattern=16:32", "model.width=32"]) == 1
    out, err = capsys.readouterr()
    assert "601,080,390" in out and "Checkpoints" not in out and "GiB" not in out
    assert "This cannot be trained: 16:32 has more combinations" in err and err.count("\n") == 1


def test_an_image_of_another_size_needs_no_data(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "e.yaml"
    file.write_text("model: {name: resnet50}\ndata: {name: npz, file: nowhere.npz}\n")
    assert main(["layers", str(file), "--image", "3x224x224", "--json"]) == 0
    output = json.loads(capsys.readouterr().out)
    assert (output["parameters"], output["macs"]) == (25_557_032, 4_089_184_256)
    assert main(["layers", str(file)]) == 2
    assert "nowhere.npz" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        (["model={name: deit-tiny}"], "set model.patch to 2, 4, 7 or 14."),
        (["layers={nope: 1:4}"], "No layer with a weight is named 'nope'"),
        (["model.widht=3"], "did you mean 'width'"),
        (["model={import: nonsense}"], "write package.module:function"),
    ],
)
def test_an_error_is_one_sentence(
    file: Path, settings: list[str], text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["layers", str(file), "--set", *settings]) == 2
    captured = capsys.readouterr()
    assert text in captured.err and captured.out == ""
    assert captured.err.count("\n") == 1


@pytest.mark.parametrize("image", ["224", "3x0x4", "axbxc", "3x4x5x6"])
def test_an_invalid_image_size_is_refused(
    file: Path, image: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["layers", str(file), "--image", image])
    assert "--image" in capsys.readouterr().err
