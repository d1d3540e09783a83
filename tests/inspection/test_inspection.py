"""Checkpoints from any source are checked per layer; bad files give one-sentence errors."""

from __future__ import annotations

import json
import os
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn.utils import parametrize

from lbc.inspection import InspectionError, LayerReport, PatternReport, inspect_checkpoint
from lbc.models import ConvNet
from lbc.sparsity.compliance import Violation
from lbc.sparsity.pattern import Pattern

PATTERN = Pattern(2, 4)


def sparse(*shape: int) -> Tensor:
    """A weight that keeps the first two of every four input channels."""
    weight = torch.rand(shape) + 0.5
    weight[:, 2::4] = 0
    weight[:, 3::4] = 0
    return weight


def status(report: PatternReport) -> dict[str, str]:
    return {layer.name: layer.status for layer in report.layers}


def only(report: PatternReport) -> LayerReport:
    (layer,) = report.layers
    return layer


def error_message(path: Path) -> str:
    """The error for a file, which must name the file and be one sentence."""
    with pytest.raises(InspectionError) as caught:
        inspect_checkpoint(path, PATTERN)
    sentence = str(caught.value)
    assert str(path) in sentence and sentence.endswith(".") and "\n" not in sentence
    return sentence


STATE = {
    "stem.weight": torch.ones(8, 3, 3, 3),
    "block.conv.weight": sparse(8, 8, 3, 3),
    "block.norm.weight": torch.ones(8),
    "block.norm.num_batches_tracked": torch.tensor(3),
    "block.conv.bias": torch.ones(8),
    "sequence.weight": sparse(8, 8, 5),
    "steps.weight": torch.ones(4, 4, dtype=torch.int64),
    "head.weight": torch.ones(5, 8),
}
EXPECTED = {
    "stem": "not divisible",
    "block.conv": "valid",
    "sequence": "valid",
    "head": "violated",
    "steps.weight": "not judged",
}


def test_a_safetensors_file_is_checked_layer_by_layer(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    save_file(STATE, path)
    report = inspect_checkpoint(path, PATTERN)
    assert status(report) == EXPECTED
    assert not report.valid
    assert report.checked == 3


def test_the_model_of_a_run_folder_is_checked(tmp_path: Path) -> None:
    save_file(STATE, tmp_path / "model.safetensors")
    assert status(inspect_checkpoint(tmp_path, PATTERN)) == EXPECTED


@pytest.mark.parametrize("suffix", [".pt", ".pth", ".PT"])
@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("nest", [None, "model", "state_dict"])
@pytest.mark.parametrize("prefix", ["", "module."])
def test_the_state_dict_of_a_torch_file_can_be_nested(
    tmp_path: Path, suffix: str, zipped: bool, nest: str | None, prefix: str
) -> None:
    state = {prefix + key: value for key, value in STATE.items()}
    content = state if nest is None else {"epoch": 3, "noise": torch.zeros(2), nest: state}
    path = tmp_path / f"checkpoint{suffix}"
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    assert status(inspect_checkpoint(str(path), PATTERN)) == EXPECTED


def test_a_submodule_called_module_keeps_its_name(tmp_path: Path) -> None:
    torch.save({"module.a.weight": sparse(4, 4), "b.weight": sparse(4, 4)}, tmp_path / "a.pt")
    assert set(status(inspect_checkpoint(tmp_path / "a.pt", PATTERN))) == {"module.a", "b"}


def test_a_violation_has_coordinates_and_a_model_without_any_is_valid(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    weight = sparse(8, 8, 3, 3)
    save_file({"conv.weight": weight}, path)
    layer = only(inspect_checkpoint(path, PATTERN))
    assert layer == LayerReport("conv", (8, 8, 3, 3), "valid", "", 0.5)

    weight[3, 7, 1, 2] = 1e-30
    save_file({"conv.weight": weight}, path)
    report = inspect_checkpoint(path, PATTERN)
    layer = only(report)
    assert not report.valid
    assert (layer.status, layer.violations) == ("violated", 1)
    assert layer.reason == "1 of 144 blocks keep more than 2 weights"
    block = ((3 * 3 + 1) * 3 + 2) * 2 + 1
    assert layer.first == Violation(block, 3, ((3, 4, 1, 2), (3, 5, 1, 2), (3, 7, 1, 2)))


@pytest.mark.parametrize(
    "dtype", [torch.float16, torch.bfloat16, torch.float64, torch.float8_e4m3fn]
)
def test_weights_of_any_precision_are_checked(tmp_path: Path, dtype: torch.dtype) -> None:
    path = tmp_path / "a.safetensors"
    save_file(
        {"good.weight": sparse(4, 8).to(dtype), "bad.weight": torch.ones(4, 8).to(dtype)}, path
    )
    assert status(inspect_checkpoint(path, PATTERN)) == {"good": "valid", "bad": "violated"}


def test_the_weight_of_a_bare_layer_is_found(tmp_path: Path) -> None:
    torch.save(nn.Linear(8, 4).state_dict(), tmp_path / "a.pt")
    assert status(inspect_checkpoint(tmp_path / "a.pt", PATTERN)) == {"weight": "violated"}


class Masked(nn.Module):
    """A parametrization like that of LBC: a mask as a buffer."""

    mask: Tensor

    def __init__(self, mask: Tensor) -> None:
        super().__init__()
        self.register_buffer("mask", mask)

    def forward(self, weight: Tensor) -> Tensor:
        return weight * self.mask


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_masks_are_applied_to_a_checkpoint_saved_during_training(
    tmp_path: Path, suffix: str
) -> None:
    model = ConvNet(1, 8, 3, width=8, depth=2)
    keep = sparse(16, 8, 3, 3) > 0
    parametrize.register_parametrization(
        model.get_submodule("stages.1.conv"), "weight", Masked(keep)
    )
    path = tmp_path / f"a{suffix}"

    def saved() -> PatternReport:
        if suffix == ".pt":
            torch.save({"model": model.state_dict()}, path)
        else:
            save_file(model.state_dict(), path)
        return inspect_checkpoint(path, PATTERN, skip=["head"])

    assert status(saved())["stages.1.conv"] == "valid"
    keep[2, 2, 0, 0] = True
    report = saved()
    assert status(report)["stages.1.conv"] == "violated"
    first = next(layer.first for layer in report.layers if layer.name == "stages.1.conv")
    assert first is not None
    assert first.coordinates == ((2, 0, 0, 0), (2, 1, 0, 0), (2, 2, 0, 0))


@pytest.mark.parametrize(
    ("mask", "reason"),
    [
        (None, "a.parametrizations.weight.original: its parametrization is not an N:M mask"),
        (torch.ones(4, 4, dtype=torch.bool), "layer a: its mask has another shape"),
    ],
)
def test_another_parametrization_is_not_judged(
    tmp_path: Path, mask: Tensor | None, reason: str
) -> None:
    state = {"a.parametrizations.weight.original": torch.ones(4, 8)}
    if mask is not None:
        state["a.parametrizations.weight.0.mask"] = mask
    torch.save(state, tmp_path / "a.pt")
    assert reason in error_message(tmp_path / "a.pt")


def test_layers_are_dense_by_design_if_the_file_or_the_user_says_so(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    statement = {"layers": {"block.conv": "2:4"}, "skipped": {"head": "the classifier"}}
    state = STATE | {"extra.0.weight": torch.ones(4, 8)}
    save_file(state, path, metadata={"lbc": json.dumps(statement), "format": "pt"})
    report = inspect_checkpoint(path, PATTERN, skip=["extra.*", "steps*"])
    dense = {
        layer.name: layer.reason for layer in report.layers if layer.status == "dense by design"
    }
    assert dense == {
        "head": "the classifier",
        "extra.0": "skipped on request",
        "steps.weight": "skipped on request",
    }
    assert report.valid
    assert report.checked == 2


def test_the_reason_mentions_another_pattern_stated_by_the_file(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    metadata = {"lbc": json.dumps({"layers": {"a": "3:4"}})}
    save_file({"a.weight": torch.ones(4, 8)}, path, metadata=metadata)
    assert only(inspect_checkpoint(path, PATTERN)).reason.endswith(
        "(the file states 3:4 for this layer)"
    )


@pytest.mark.parametrize("entry", ["", "[]", "{", '{"skipped": ["a"]}', "[" * 10_000, "null"])
def test_an_invalid_metadata_entry_is_rejected(tmp_path: Path, entry: str) -> None:
    save_file(STATE, tmp_path / "a.safetensors", metadata={"lbc": entry})
    assert "metadata entry 'lbc'" in error_message(tmp_path / "a.safetensors")


def test_the_report_can_be_serialised_as_json(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    save_file({"a.weight": torch.ones(1, 4), "b.weight": sparse(1, 4)}, path)
    assert json.loads(json.dumps(inspect_checkpoint(path, PATTERN).as_dict())) == {
        "checkpoint": str(path),
        "pattern": "2:4",
        "valid": False,
        "checked": 2,
        "parts": [],
        "layers": [
            {
                "name": "a",
                "shape": [1, 4],
                "status": "violated",
                "reason": "1 of 1 blocks keep more than 2 weights",
                "density": 1.0,
                "violations": 1,
                "first": {
                    "block": 0,
                    "kept": 4,
                    "coordinates": [[0, 0], [0, 1], [0, 2], [0, 3]],
                },
                "nonfinite": 0,
                "damaged": False,
            },
            {
                "name": "b",
                "shape": [1, 4],
                "status": "valid",
                "reason": "",
                "density": 0.5,
                "violations": 0,
                "first": None,
                "nonfinite": 0,
                "damaged": False,
            },
        ],
    }


class Trap:
    """Unpickling this writes a file."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.target,)


def test_no_code_in_a_checkpoint_ever_runs(tmp_path: Path) -> None:
    sprung, path = tmp_path / "sprung", tmp_path / "a.pt"
    content = STATE | {"trap": Trap(sprung)}
    torch.save(content, path)
    assert "can run code" in error_message(path)
    torch.save(content, path, _use_new_zipfile_serialization=False)
    error_message(path)
    path.write_bytes(pickle.dumps(content))
    error_message(path)
    disguised = tmp_path / "a.safetensors"
    disguised.write_bytes(path.read_bytes())
    error_message(disguised)
    assert not sprung.exists()


def test_the_error_for_a_pickled_model_names_its_class(tmp_path: Path) -> None:
    torch.save(nn.Linear(4, 4), tmp_path / "a.pt")
    assert "torch.nn.modules.linear.Linear" in error_message(tmp_path / "a.pt")


@pytest.mark.parametrize("name", ["a.pt", "a.safetensors", "legacy.pt"])
def test_a_truncated_checkpoint_is_rejected(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    if name == "a.safetensors":
        save_file(STATE, path)
    else:
        torch.save(STATE, path, _use_new_zipfile_serialization=name == "a.pt")
    whole = path.read_bytes()
    for length in range(0, len(whole) - 1, 397):
        path.write_bytes(whole[:length])
        error_message(path)


@pytest.mark.parametrize("name", ["a.pt", "a.safetensors"])
def test_a_checkpoint_with_flipped_bytes_is_checked_or_rejected(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    if name == "a.safetensors":
        save_file(STATE, path, metadata={"lbc": "{}"})
    else:
        torch.save(STATE, path)
    whole = path.read_bytes()
    rejected = 0
    for place in range(0, len(whole), 61):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0x15]) + whole[place + 1 :])
        try:
            inspect_checkpoint(path, PATTERN)
        except InspectionError:
            rejected += 1
    assert rejected


@pytest.mark.parametrize("name", ["a.pt", "a.safetensors"])
@pytest.mark.parametrize("content", [b"", b"hello\n", os.urandom(400), b"PK\x03\x04oops"])
def test_a_file_of_another_format_is_rejected(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    error_message(tmp_path / name)


@pytest.mark.parametrize(
    "content",
    [torch.ones(4, 4), {}, {"model": 3}, {3: torch.ones(4, 4)}, {"optimizer": STATE}],
)
def test_a_torch_file_without_layers_is_rejected(tmp_path: Path, content: object) -> None:
    torch.save(content, tmp_path / "a.pt")
    assert "no state dict with layers" in error_message(tmp_path / "a.pt")


@pytest.mark.parametrize("key", ["a", "weight_scale", "a.weight"])
def test_a_safetensors_file_without_layers_is_rejected(tmp_path: Path, key: str) -> None:
    shape = (4,) if key == "a.weight" else (4, 4)
    save_file({key: torch.ones(shape)}, tmp_path / "a.safetensors")
    assert "has no layers" in error_message(tmp_path / "a.safetensors")


@pytest.mark.parametrize(
    "weight",
    [
        torch.ones(1, 1).expand(1 << 20, 1 << 20),
        torch.zeros(1 << 20, 1 << 20, device="meta"),
        torch.eye(8).to_sparse(),
    ],
    ids=["expanded", "meta", "sparse layout"],
)
def test_a_weight_without_all_of_its_data_is_rejected(tmp_path: Path, weight: Tensor) -> None:
    torch.save({"a.weight": weight}, tmp_path / "a.pt")
    assert "layer a" in error_message(tmp_path / "a.pt")


def test_missing_files_folders_and_unknown_formats_are_rejected(tmp_path: Path) -> None:
    assert "does not exist" in error_message(tmp_path / "nowhere.pt")
    assert "has no model.safetensors" in error_message(tmp_path)
    (tmp_path / "a.bin").write_bytes(b"x")
    assert "unsupported format" in error_message(tmp_path / "a.bin")
