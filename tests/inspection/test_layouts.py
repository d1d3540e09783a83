"""Layouts that people have: nested state dicts, wrappers, shards, compressed weights and masks."""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn.utils import parametrizations, prune, weight_norm

from lbc import sparsify
from lbc.cli.main import main
from lbc.inspection import (
    InspectionError,
    compare_checkpoints,
    inspect_checkpoint,
    open_checkpoint,
    survey_checkpoint,
)
from lbc.inspection.layouts import natural_key, without_wrappers
from lbc.sparsity.pattern import Pattern

PATTERN = Pattern(2, 4)


def sparse(*shape: int, seed: int = 0) -> Tensor:
    """A weight in which every block of four inputs keeps two at random places."""
    numbers = torch.Generator().manual_seed(seed)
    blocks = PATTERN.to_blocks(torch.empty(shape))
    order = torch.rand(blocks.shape, generator=numbers).argsort(dim=1)
    weight = torch.rand(blocks.shape, generator=numbers) + 0.5
    return PATTERN.from_blocks(weight * (order < 2), shape)


def statuses(path: Path, **options: Any) -> dict[str, str]:
    report = inspect_checkpoint(path, PATTERN, **options)
    return {layer.name: layer.status for layer in report.layers}


STATE = {"conv.weight": sparse(8, 8, 3, 3), "fc.weight": sparse(8, 8), "fc.bias": torch.ones(8)}
NAMES = {"conv", "fc"}


@pytest.mark.parametrize(
    "path",
    ["model_state_dict", "model_state", "state_dict_ema", "params_ema", "net", "module", "weights",
     "model.state_dict", "checkpoint.model.params", "0"],
)  # fmt: skip
def test_one_state_dict_is_found_wherever_it_lies(tmp_path: Path, path: str) -> None:
    content: Any = STATE
    for key in reversed(path.split(".")):
        content = [content] if key == "0" else {key: content, "epoch": 3, "name": "x"}
    torch.save(content, tmp_path / "a.pt")
    assert set(statuses(tmp_path / "a.pt")) == NAMES


def test_several_state_dicts_are_all_judged_and_one_can_be_chosen(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dense = {"fc.weight": torch.ones(8, 8)}
    optimizer = {
        "state": {0: {"exp_avg": torch.ones(4, 4)}},
        "named": {"w.weight": STATE["fc.weight"]},
    }
    file = tmp_path / "a.pth.tar"
    torch.save({"state_dict": STATE, "ema": {"shadow": dense}, "optimizer": optimizer}, file)
    assert statuses(file) == {
        "state_dict.conv": "valid",
        "state_dict.fc": "valid",
        "ema.shadow.fc": "violated",
    }
    assert statuses(file, part="state_dict") == dict.fromkeys(NAMES, "valid")
    assert main(["inspect", str(file), "--pattern", "2:4"]) == 1
    assert "2 state dicts: state_dict, ema.shadow" in capsys.readouterr().out
    assert main(["inspect", str(file), "--pattern", "2:4", "--part", "state_dict"]) == 0
    with pytest.raises(InspectionError, match=r"no state dict other: it has state_dict, ema"):
        survey_checkpoint(file, part="other")


@pytest.mark.parametrize(
    "wrapped",
    ["module.{}", "_orig_mod.{}", "module._orig_mod.{}", "_orig_mod.module.{}",
     "_fsdp_wrapped_module.{}", "net._fsdp_wrapped_module._checkpoint_wrapped_module.{}",
     "net.module.{}"],
)  # fmt: skip
def test_wrappers_are_stripped_wherever_they_stand(tmp_path: Path, wrapped: str) -> None:
    prefix = "net." if wrapped.startswith("net") else ""
    torch.save({wrapped.format(key): at for key, at in STATE.items()}, tmp_path / "a.pt")
    torch.save({prefix + key: at for key, at in STATE.items()}, tmp_path / "b.pt")
    assert compare_checkpoints(tmp_path / "a.pt", tmp_path / "b.pt").same


def test_a_submodule_called_module_is_no_wrapper_unless_it_is_alone() -> None:
    assert set(without_wrappers(["module.a", "b"]).values()) == {"module.a", "b"}
    averaged = without_wrappers(["n_averaged", "module.a.weight", "module.b.weight"])
    assert set(averaged.values()) == {"n_averaged", "a.weight", "b.weight"}
    assert sorted(["a.10", "a.9", "a.1"], key=natural_key) == ["a.1", "a.9", "a.10"]


def test_objects_that_lie_beside_weights_are_passed_over(tmp_path: Path) -> None:
    args = argparse.Namespace(lr=0.1, out=Path("x"))
    numbers = {"best": np.float64(3), "rng": np.arange(3)}
    torch.save({"state_dict": STATE, "args": args, **numbers}, tmp_path / "a.ckpt")
    assert set(statuses(tmp_path / "a.ckpt")) == NAMES


def write_shards(folder: Path, form: str) -> Path:
    """Twelve layers in two shards and their index."""
    state = {f"layers.{at}.weight": sparse(8, 16, seed=at) for at in range(12)}
    state["layers.3.weight"][0, :4] = 1
    ending, base = ("safetensors", "model") if form == "safetensors" else ("bin", "pytorch_model")
    listed: dict[str, str] = {}
    for number in (1, 2):
        name = f"{base}-0000{number}-of-00002.{ending}"
        part = {
            key: at for key, at in state.items() if (int(key.split(".")[1]) < 7) == (number == 1)
        }
        (save_file if form == "safetensors" else torch.save)(part, folder / name)
        listed |= dict.fromkeys(part, name)
    index = folder / f"{base}.{ending}.index.json"
    index.write_text(json.dumps({"metadata": {"total_size": 1}, "weight_map": listed}))
    return index


@pytest.mark.parametrize("form", ["safetensors", "bin"])
def test_shards_are_read_by_index_and_by_folder(tmp_path: Path, form: str) -> None:
    index = write_shards(tmp_path, form)
    expected = [f"layers.{at}" for at in range(12)]
    for path in (index, tmp_path):
        report = inspect_checkpoint(path, PATTERN)
        assert [layer.name for layer in report.layers] == expected
        assert [layer.name for layer in report.layers if layer.status == "violated"] == ["layers.3"]
    assert compare_checkpoints(index, tmp_path).same
    index.unlink()
    assert list(statuses(tmp_path)) == expected


def test_a_missing_shard_does_not_hide_the_others(tmp_path: Path) -> None:
    index = write_shards(tmp_path, "safetensors")
    (tmp_path / "model-00002-of-00002.safetensors").unlink()
    report = inspect_checkpoint(index, PATTERN)
    missing = [layer for layer in report.layers if layer.status == "not judged"]
    assert [layer.name for layer in missing] == [f"layers.{at}.weight" for at in range(7, 12)]
    assert "model-00002-of-00002.safetensors, is missing" in missing[0].reason


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[]", "is not an index of shards"),
        ("{", "is not an index of shards"),
        ("[" * 100_000, "is not an index of shards"),
        ('{"weight_map": {"a": "../x.bin"}}', "outside its own folder"),
        ('{"weight_map": {"a": "/etc/passwd"}}', "outside its own folder"),
    ],
)
def test_a_bad_index_is_a_sentence(tmp_path: Path, text: str, message: str) -> None:
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(text)
    with pytest.raises(InspectionError, match=message):
        survey_checkpoint(index)


def test_folders_without_one_checkpoint_say_what_they_have(tmp_path: Path) -> None:
    for name in ("a.pt", "b.pt"):
        torch.save(STATE, tmp_path / name)
    with pytest.raises(InspectionError, match=r"several checkpoints \(a\.pt, b\.pt\)"):
        survey_checkpoint(tmp_path)
    (tmp_path / "b.pt").unlink()
    assert set(statuses(tmp_path)) == NAMES


class Everything(nn.Module):
    """A good layer beside weights of every other form."""

    def __init__(self) -> None:
        super().__init__()
        self.good = nn.Linear(16, 8, bias=False)
        self.good.weight = nn.Parameter(sparse(8, 16))
        self.attention = nn.MultiheadAttention(16, 2)
        self.video = nn.Conv3d(8, 8, 3)
        self.pruned = prune.l1_unstructured(nn.Linear(16, 8), "weight", 0.1)  # type: ignore[no-untyped-call]
        self.normed = parametrizations.weight_norm(nn.Linear(16, 8))
        self.recurrent = nn.LSTM(16, 4)
        self.spectral = parametrizations.spectral_norm(nn.Linear(16, 8))
        self.position = nn.Parameter(torch.ones(1, 5, 16))
        self.gate_up_proj = nn.Parameter(torch.ones(2, 16, 8))


def test_nothing_that_may_be_a_weight_is_passed_over(tmp_path: Path) -> None:
    model = Everything()
    with pytest.warns(FutureWarning):
        model.old_normed = weight_norm(nn.Linear(16, 8))
    state = model.state_dict() | {"packed.qweight": torch.ones(4, 4, dtype=torch.int32)}
    torch.save(state, tmp_path / "a.pt")
    found = statuses(tmp_path / "a.pt")
    assert found.pop("good") == "valid"
    unjudged = {name for name, status in found.items() if status == "not judged"}
    assert unjudged == {
        "spectral.parametrizations.weight.original", "gate_up_proj", "packed.qweight",
    }  # fmt: skip
    assert {name for name in found if name not in unjudged} == {
        "attention.in_proj_weight", "attention.out_proj", "video", "pruned", "normed", "old_normed",
        "recurrent.weight_ih_l0", "recurrent.weight_hh_l0",
    }  # fmt: skip
    assert all(found[name] == "violated" for name in found if name not in unjudged)


def test_effective_weights_are_those_that_the_network_uses(tmp_path: Path) -> None:
    model = Everything()
    with pytest.warns(FutureWarning):
        model.old_normed = weight_norm(nn.Linear(16, 8), dim=1)
    sparsify(model, "2:4", overrides={"attention.in_proj_weight": "2:4"}, skip=["position"])
    torch.save(model.state_dict(), tmp_path / "a.pt")
    with open_checkpoint(tmp_path / "a.pt") as checkpoint:
        for name in ("good", "attention.out_proj", "pruned", "normed", "old_normed", "video"):
            layer: Any = model.get_submodule(name)
            assert torch.allclose(checkpoint.weight(name), layer.weight)
        assert torch.equal(
            checkpoint.weight("attention.in_proj_weight"), model.attention.in_proj_weight
        )


def test_what_is_not_judged_fails_a_check_and_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    state = {"good.weight": sparse(8, 16), "coo.weight": torch.eye(8).to_sparse()}
    torch.save(state, tmp_path / "a.pt")
    command = ["inspect", str(tmp_path / "a.pt")]
    assert main(command) == 0
    assert "not judged: its layout is sparse_coo" in capsys.readouterr().out
    assert main([*command, "--pattern", "2:4"]) == 1
    out = capsys.readouterr().out
    assert "1 not judged" in out and "coo" in out
    assert main([*command, "--pattern", "2:4", "--skip", "coo"]) == 0


def test_comparisons_include_biases_and_every_other_tensor(tmp_path: Path) -> None:
    model = Everything()
    torch.save(model.state_dict(), tmp_path / "a.pt")
    for key in model.state_dict():
        changed = {name: at.clone() for name, at in model.state_dict().items()}
        changed[key] += 1
        torch.save(changed, tmp_path / "b.pt")
        found = compare_checkpoints(tmp_path / "a.pt", tmp_path / "b.pt")
        assert sum(layer.difference == "different" for layer in found.layers) == 1, key
    large = torch.tensor([2**62, 1])
    torch.save({"a.weight": sparse(8, 8), "steps": large}, tmp_path / "a.pt")
    torch.save(
        {"a.weight": sparse(8, 8), "steps": large - torch.tensor([2**30, 0])}, tmp_path / "b.pt"
    )
    assert not compare_checkpoints(tmp_path / "a.pt", tmp_path / "b.pt").same


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float8_e4m3fn])
@pytest.mark.parametrize("offsets", [False, True])
def test_bitmask_files_are_read_and_written_out_dense(
    tmp_path: Path, dtype: torch.dtype, offsets: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    """As compressed-tensors writes them: 20 inputs need three bytes of bits a row."""
    weight = sparse(8, 20).to(dtype)
    mask = weight.float() != 0
    values = weight.view(torch.uint8 if weight.element_size() == 1 else torch.int16)[mask]
    bits = np.packbits(mask.numpy(), axis=-1, bitorder="little")
    state = {
        "layers.0.q.compressed": values.view(dtype)
        if offsets
        else values.view(dtype).reshape(8, 10),
        "layers.0.q.bitmask": torch.from_numpy(bits),
        "layers.0.q.shape": torch.tensor([8, 20]) if offsets else torch.tensor([[8], [20]]),
        "norm.weight": torch.ones(8),
    }
    if offsets:
        state["layers.0.q.row_offsets"] = torch.arange(8) * 10
    save_file(state, tmp_path / "a.safetensors")
    assert statuses(tmp_path / "a.safetensors") == {"layers.0.q": "valid"}
    dense = tmp_path / "dense.safetensors"
    command = ["inspect", str(tmp_path / "a.safetensors"), "--write-dense", str(dense)]
    assert main(command) == 0
    assert "2 tensors" in capsys.readouterr().out
    from safetensors.torch import load_file

    written = load_file(dense)
    assert set(written) == {"layers.0.q.weight", "norm.weight"}
    assert torch.equal(written["layers.0.q.weight"].view(torch.uint8), weight.view(torch.uint8))
    assert main(command) == 2 and "exists already" in capsys.readouterr().err


def test_a_bitmask_that_does_not_fit_is_not_judged(tmp_path: Path) -> None:
    state = {
        "a.compressed": torch.ones(3),
        "a.bitmask": torch.tensor([[3]], dtype=torch.uint8),
        "a.shape": torch.tensor([1, 8]),
        "b.compressed": torch.ones(2),
        "b.bitmask": torch.tensor([[3]], dtype=torch.uint8),
        "b.shape": torch.tensor([1 << 30, 1 << 30]),
        "good.weight": sparse(8, 8),
    }
    save_file(state, tmp_path / "a.safetensors")
    assert statuses(tmp_path / "a.safetensors") == {
        "a": "not judged",
        "b": "not judged",
        "good": "valid",
    }


def test_the_masks_of_maskllm_are_judged(tmp_path: Path) -> None:
    """tool_compress_mask.py: numpy.packbits of all rows; and the masks themselves in a .pt."""
    good, bad = sparse(16, 32) != 0, torch.ones(16, 32, dtype=torch.bool)
    masks = {"layers.0.q_proj.weight.mask": good, "layers.1.q_proj.weight.mask": bad}
    packed: dict[str, Any] = {name: np.packbits(mask.numpy()) for name, mask in masks.items()}
    np.savez_compressed(tmp_path / "a.npz", **packed)
    torch.save({name: mask.float() for name, mask in masks.items()}, tmp_path / "a.pt")
    expected = {"layers.0.q_proj": "valid", "layers.1.q_proj": "violated"}
    assert statuses(tmp_path / "a.npz") == expected == statuses(tmp_path / "a.pt")


def test_npz_files_of_weights_are_read(tmp_path: Path) -> None:
    good: dict[str, Any] = {"fc.weight": sparse(8, 8).numpy(), "x": np.array([object()])}
    np.savez(tmp_path / "a.npz", **good)
    assert statuses(tmp_path / "a.npz")["fc"] == "valid"
    fortran = np.asfortranarray(sparse(8, 16).numpy())
    swapped: dict[str, Any] = {"fc.weight": fortran.astype(">f4", order="K")}
    np.savez(tmp_path / "b.npz", **swapped)
    with open_checkpoint(tmp_path / "b.npz") as checkpoint:
        assert np.array_equal(checkpoint.weight("fc").numpy(), fortran)


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_an_unreadable_file_is_not_called_missing(tmp_path: Path) -> None:
    torch.save(STATE, tmp_path / "a.pt")
    (tmp_path / "a.pt").chmod(0)
    with pytest.raises(InspectionError, match="Permission denied"):
        survey_checkpoint(tmp_path / "a.pt")


def test_what_is_no_regular_file_is_not_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.pt")
    with pytest.raises(InspectionError, match="neither a file nor a folder"):
        survey_checkpoint(tmp_path / "a.pt")


@pytest.mark.parametrize(
    ("start", "what"),
    [
        (b"version https://git-lfs.github.com/spec/v1\n", "Git LFS pointer"),
        (b"\x89HDF\r\n\x1a\n", "HDF5"),
        (b"GGUF\x03", "GGUF"),
        (b"<!DOCTYPE html>", "web page"),
        (b"\x1f\x8b\x08", "gzip"),
    ],
)
def test_files_of_other_kinds_are_named(tmp_path: Path, start: bytes, what: str) -> None:
    (tmp_path / "a.bin").write_bytes(start + bytes(600))
    with pytest.raises(InspectionError, match=what):
        survey_checkpoint(tmp_path / "a.bin")


def test_torchscript_and_exported_programs_are_named(tmp_path: Path) -> None:
    with pytest.warns(DeprecationWarning):
        torch.jit.script(nn.Linear(8, 8)).save(str(tmp_path / "a.pt"))  # type: ignore[no-untyped-call]
    with pytest.raises(InspectionError, match="TorchScript program"):
        survey_checkpoint(tmp_path / "a.pt")


def test_names_reach_the_terminal_printable(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    state = {"a\x1b[31m\u202eb.weight": sparse(8, 8), "a\\x1b[31m\\u202eb.weight": torch.ones(8, 8)}
    torch.save(state, tmp_path / "a.pt")
    main(["inspect", str(tmp_path / "a.pt")])
    out = capsys.readouterr().out
    assert "\x1b" not in out and "\u202e" not in out and "a\\x1b[31m\\u202eb" in out
    assert len(statuses(tmp_path / "a.pt")) == 2
    main(["inspect", str(tmp_path / "a.pt"), "--json"])
    assert "\x1b" not in capsys.readouterr().out


def test_weights_that_are_not_finite_are_mentioned(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for dtype in (torch.float32, torch.bfloat16, torch.float16, torch.float8_e5m2):
        weight = sparse(8, 16)
        weight[0, 0], weight[3, 1], weight[7, 3] = torch.nan, torch.inf, -torch.inf
        save_file({"a.weight": weight.to(dtype)}, tmp_path / "a.safetensors")
        main(["inspect", str(tmp_path / "a.safetensors")])
        out = capsys.readouterr().out
        assert "3 NaN or infinite" in out and "1 layer has NaN or infinite weights" in out
