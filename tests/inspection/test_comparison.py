"""Comparison of two checkpoints, and the colour codes of masks and differences."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from safetensors.torch import save_file

from lbc.cli.main import main
from lbc.inspection import InspectionError, compare_checkpoints, compare_weights, find_violations
from lbc.inspection.comparison import absolute_differences
from lbc.inspection.picture import (
    BROKEN,
    KEPT,
    ONLY_FIRST,
    ONLY_SECOND,
    SHADES,
    ZERO,
    difference_codes,
    mask_codes,
    top_level,
)
from lbc.sparsity.pattern import Pattern

Floats = npt.NDArray[np.float32]

numbers = st.sampled_from([0.0, -0.0, 0.5, -2.0, 1e-38, 3e38, -3e38, np.nan, np.inf, -np.inf])
pairs = array_shapes(min_dims=2, max_dims=2, max_side=6).flatmap(
    lambda shape: st.tuples(
        arrays(np.float32, shape, elements=numbers), arrays(np.float32, shape, elements=numbers)
    )
)


@given(pairs)
def test_differences_equal_those_of_a_naive_loop(pair: tuple[Floats, Floats]) -> None:
    one, other = pair
    largest, flipped = 0.0, 0
    for a, b in zip(one.ravel().tolist(), other.ravel().tolist(), strict=True):
        same = a == b or (a != a and b != b)
        with np.errstate(over="ignore", invalid="ignore"):
            gap = 0.0 if same else abs(float(np.float32(a) - np.float32(b)))
        largest = max(largest, np.inf if gap != gap else gap)
        flipped += (a != 0) != (b != 0)
    found = compare_weights("a", torch.from_numpy(one), torch.from_numpy(other))
    assert (found.largest, found.flipped) == (largest, flipped)
    assert found.difference == ("different" if largest else "same")
    assert found.agreement == 1 - flipped / one.size


@given(pairs)
def test_differences_are_symmetric(pair: tuple[Floats, Floats]) -> None:
    assert np.array_equal(absolute_differences(*pair), absolute_differences(*reversed(pair)))


def test_every_kind_of_difference_is_reported(tmp_path: Path) -> None:
    first, second = tmp_path / "a.safetensors", tmp_path / "b.pt"
    kept = torch.tensor([[1.0, 0.0, 2.0, 0.0]])
    save_file(
        {
            "same.weight": kept,
            "other.weight": kept.clone(),
            "shape.weight": kept.clone(),
            "gone.weight": kept.clone(),
        },
        first,
    )
    changed = torch.tensor([[1.0, 0.25, 0.0, 0.0]])
    second_state = {
        "new.weight": kept,
        "shape.weight": kept.repeat(2, 1),
        "other.weight": changed,
        "same.weight": kept.double(),
    }
    torch.save({"model": {f"module.{key}": value for key, value in second_state.items()}}, second)
    found = compare_checkpoints(first, second)
    assert {at.name: (at.difference, at.largest, at.flipped) for at in found.layers} == {
        "gone": ("only in the first", None, None),
        "other": ("different", 2.0, 2),
        "same": ("same", 0.0, 0),
        "shape": ("other shape", None, None),
        "new": ("only in the second", None, None),
    }
    assert [at.agreement for at in found.layers] == [None, 0.5, 1.0, None, None]
    assert not found.same
    assert compare_checkpoints(first, first).same
    assert json.loads(json.dumps(found.as_dict()))["layers"][1] == {
        "name": "other",
        "difference": "different",
        "first": [1, 4],
        "second": [1, 4],
        "largest": 2.0,
        "flipped": 2,
        "agreement": 0.5,
        "reason": "",
    }


def test_the_error_names_the_file_that_cannot_be_read(tmp_path: Path) -> None:
    save_file({"a.weight": torch.ones(2, 4)}, tmp_path / "a.safetensors")
    (tmp_path / "b.safetensors").write_bytes(b"nonsense")
    with pytest.raises(InspectionError, match=r"b\.safetensors"):
        compare_checkpoints(tmp_path / "a.safetensors", tmp_path / "b.safetensors")


def test_the_command_detects_compares_and_writes_violations(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = tmp_path / "a.safetensors", tmp_path / "b.safetensors"
    weight = torch.ones(8, 8)
    weight[:, ::2] = 0
    save_file({"fc.weight": weight, "head.weight": torch.ones(2, 8)}, first)
    assert main(["inspect", str(first)]) == 0
    out = capsys.readouterr().out
    assert "1:2" in out and "2 layers: 1 1:2, 1 dense; 0 violations." in out
    assert main(["inspect", str(first), "--json", "--skip", "head"]) == 0
    (layer,) = json.loads(capsys.readouterr().out)["layers"]
    assert layer["headline"] == "1:2" and layer["obeyed"] == ["1:2", "2:4", "4:8"]

    assert main(["inspect", str(first), "--against", str(first)]) == 0
    weight[0, 0] = 1
    save_file({"fc.weight": weight, "head.weight": torch.ones(2, 8)}, second)
    assert main(["inspect", str(first), "--against", str(second)]) == 1
    assert "2 tensors, 1 of them different" in capsys.readouterr().out
    assert main(["inspect", str(first), "--against", str(second), "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["layers"][0]["flipped"] == 1
    assert main(["inspect", str(first), "--against", str(second), "--pattern", "2:4"]) == 2
    assert "cannot be combined" in capsys.readouterr().err

    for pattern in ([], ["--pattern", "2:4"]):
        for skip, said in (("haed", "did you mean 'head'?"), ("x*", "layers are fc, head.")):
            assert main(["inspect", str(first), *pattern, "--skip", skip]) == 2
            told = " ".join(capsys.readouterr().err.split())
            assert f"No layer with a weight is named {skip!r}: " in told and said in told

    lines = tmp_path / "v.csv"
    assert main(["inspect", str(second), "--violations", str(lines)]) == 1
    assert "Wrote" in capsys.readouterr().out
    assert lines.read_text().splitlines()[1:] == ['fc,1:2,0,2,"(0,0) (0,1)"']
    assert main(["inspect", str(second), "--violations", str(lines)]) == 2
    assert "already exists" in capsys.readouterr().err
    lines = tmp_path / "w.csv"
    args = ["inspect", str(second), "--pattern", "1:2", "--violations", str(lines)]
    assert main(args) == 1
    assert len(lines.read_text().splitlines()) == 1 + 1 + 8


@given(pairs)
def test_codes_distinguish_zero_kept_and_violating_weights(pair: tuple[Floats, Floats]) -> None:
    rows = np.tile(pair[0], (1, 4))
    codes = mask_codes(torch.from_numpy(rows), 2.0, Pattern(2, 4))
    for (row, column), number in np.ndenumerate(rows):
        start = column // 4 * 4
        broken = np.count_nonzero(rows[row, start : start + 4]) > 2
        if number == 0:
            assert codes[row, column] == ZERO
        else:
            share = 1.0 if number != number else min(1.0, abs(float(number)) / 2)
            shade = (
                int(np.float32(abs(number)) * np.float32((SHADES - 1) / 2)) if share < 1 else 125
            )
            assert codes[row, column] == (BROKEN if broken else KEPT) + shade


def test_the_number_of_chunks_does_not_affect_the_codes(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = torch.randn(40, 32, generator=torch.Generator().manual_seed(0))
    rows[rows < 0.3] = 0
    whole = mask_codes(rows, 2.0, Pattern(1, 4))
    monkeypatch.setattr("lbc.inspection.rows.CHUNK", 100)
    violations = find_violations(rows, Pattern(1, 4))
    assert np.array_equal(mask_codes(rows, 2.0, Pattern(1, 4)), whole)
    assert violations.count == sum(at.kept > 1 for at in violations) > 0
    assert [at.block for at in find_violations(rows, Pattern(1, 4), 3)] == [
        at.block for at in violations
    ][:3]


def test_difference_codes_show_which_checkpoint_keeps_a_weight() -> None:
    one = torch.tensor([[0, 1, 0, 2, 2, np.nan]])
    other = torch.tensor([[0.0, 0, 1, 2, 3, 1]])
    codes = difference_codes(one, other, top=1.0)
    last = KEPT + SHADES - 1
    assert codes.tolist() == [[ZERO, ONLY_FIRST, ONLY_SECOND, KEPT, last, last]]
    assert ZERO < KEPT < BROKEN < ONLY_FIRST < ONLY_SECOND  # the largest code of a pixel is drawn


def test_the_top_level_ignores_zeros_and_non_finite_values() -> None:
    assert top_level(np.zeros((2, 2), dtype=np.float32)) == 1.0
    rows = np.array([[0, 0, 3, np.inf, np.nan, 3]], dtype=np.float32)
    assert top_level(rows) == 3.0
