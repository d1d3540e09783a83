"""Detection of N:M from the zeros of a weight, and the list of violations."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import Tensor

from lbc.inspection import detect_weight, find_violations, survey_checkpoint
from lbc.inspection.block_counts import WIDTHS, BlockCounts
from lbc.inspection.detection import Detection
from lbc.inspection.rows import as_floats, block_counts, weight_rows
from lbc.inspection.survey import violations_in
from lbc.inspection.violations import save_violations
from lbc.sparsity.blocks import weight_place
from lbc.sparsity.compliance import check
from lbc.sparsity.pattern import Pattern


def made(pattern: Pattern, *shape: int, seed: int = 0) -> Tensor:
    """A weight in which every block keeps exactly N of M at random positions."""
    numbers = torch.Generator().manual_seed(seed)
    blocks = pattern.to_blocks(torch.empty(shape))
    units = pattern.units
    order = torch.rand((len(blocks), units.m), generator=numbers).argsort(dim=1)
    weight = torch.rand(blocks.shape, generator=numbers) + 0.5
    return pattern.from_blocks(weight * pattern.of_units(order < units.n), shape)


def unstructured(density: float, *shape: int) -> Tensor:
    numbers = torch.Generator().manual_seed(1)
    kept = torch.rand(shape, generator=numbers) < density
    return (torch.rand(shape, generator=numbers) + 0.5) * kept


masks = st.tuples(
    st.integers(1, 5),
    st.sampled_from([1, 2, 3, 4, 6, 8, 10, 12, 14, 16, 24, 32]),
    st.sampled_from([(), (3,)]),
).flatmap(
    lambda at: st.lists(
        st.booleans(),
        min_size=(size := at[0] * at[1] * int(np.prod(at[2], dtype=int))),
        max_size=size,
    ).map(lambda kept: torch.tensor(kept).float().reshape(at[0], at[1], *at[2]))
)


@given(masks, st.sampled_from(["", "1:24", "4:24x4", "3:6x3", "6:12x6"]))
def test_counts_equal_those_of_a_naive_loop(weight: Tensor, more: str) -> None:
    asked = [Pattern.parse(more)] if more else []
    found = detect_weight(weight, asked)
    width = weight.shape[1]
    counted = {(m, 1): blocks for m, blocks in found.blocks.items()} | found.counts.groups
    cuts = {(m, 1) for m in WIDTHS} | {(m, 2) for m in WIDTHS if m in (*range(4, 17, 2), 32)}
    cuts |= {(pattern.m, pattern.width) for pattern in asked}
    assert set(counted) == {(m, of) for m, of in cuts if width % m == 0}
    for (m, of), numbers in counted.items():
        naive = [0] * (m // of + 1)
        for row in (weight.movedim(1, -1).reshape(-1, width) != 0).tolist():
            for start in range(0, width, m):
                naive[sum(any(row[at : at + of]) for at in range(start, start + m, of))] += 1
        assert numbers == tuple(naive)
    assert found.counts.kept == int((weight != 0).sum())


@given(masks)
def test_obeyed_patterns_hold_and_no_stricter_one_does(weight: Tensor) -> None:
    found = detect_weight(weight)
    for m in found.blocks:
        obeyed = [pattern for pattern in found.obeyed if pattern.m == m]
        holding = [n for n in range(1, m) if check(weight, Pattern(n, m)).valid]
        assert [pattern.n for pattern in obeyed] == holding[:1]
    if found.strictest is not None:
        lowest = min(pattern.density for pattern in found.obeyed)
        assert found.strictest.density == lowest
        assert all(p.m >= found.strictest.m for p in found.obeyed if p.density == lowest)


@given(
    masks,
    st.sampled_from([
        Pattern(1, 2), Pattern(2, 4), Pattern(1, 3), Pattern(5, 8), Pattern(4, 8, 2),
        Pattern(4, 6, 2), Pattern(3, 6, 3),
    ]),
)  # fmt: skip
def test_violations_equal_those_of_a_naive_loop(weight: Tensor, pattern: Pattern) -> None:
    shape = tuple(weight.shape)
    if shape[1] % pattern.m:
        with pytest.raises(ValueError, match="not a multiple"):
            find_violations(weight, pattern)
        return
    found = list(find_violations(weight, pattern))
    naive = []
    kernels = list(product(*(range(size) for size in shape[2:])))
    for number, (o, kernel, group) in enumerate(
        product(range(shape[0]), kernels, range(shape[1] // pattern.m))
    ):
        inputs = range(group * pattern.m, (group + 1) * pattern.m)
        places = [(o, i, *kernel) for i in inputs if weight[(o, i, *kernel)] != 0]
        touched = {(i % pattern.m) // pattern.width for _, i, *_ in places}
        if len(touched) * pattern.width > pattern.n:
            naive.append((number, len(places), tuple(places)))
    assert [(at.block, at.kept, at.coordinates) for at in found] == naive
    first = check(weight, pattern).first
    assert (found[0] if found else None) == first
    assert detect_weight(weight, [pattern]).count_violations(pattern) == len(found)


@given(masks)
def test_rows_match_the_weight_at_their_coordinates(weight: Tensor) -> None:
    weight = torch.arange(1.0, weight.numel() + 1).reshape(weight.shape)
    rows = as_floats(weight_rows(weight))
    for (row, column), number in np.ndenumerate(rows):
        assert weight[weight_place(tuple(weight.shape), row, column)] == number


@pytest.mark.parametrize("m", [2, 3, 12, 64, 255])
def test_blocks_of_any_width_are_counted(m: int) -> None:
    kept = (np.random.default_rng(0).random((3, 4 * m)) < 0.9).astype(np.uint8)
    expected = kept.reshape(3, 4, m).astype(int).sum(axis=2)
    assert np.array_equal(block_counts(kept, m), expected)


DETECTED = [
    "1:2", "2:4", "3:4", "1:4", "4:8", "2:8", "1:16", "8:32",
    "1:3", "2:3", "1:6", "2:6", "3:6", "4:6", "5:6", "6:8", "7:8", "1:10", "5:10", "8:10", "9:10",
    "1:12", "2:12", "6:12", "8:12", "10:12", "11:12", "12:14", "14:16", "4:5", "3:7", "5:9",
]  # fmt: skip


@pytest.mark.parametrize("pattern", DETECTED)
def test_the_pattern_of_a_pruned_weight_is_detected(pattern: str) -> None:
    at = Pattern.parse(pattern)
    every = 5040 if 5040 % at.m == 0 else 32 * at.m  # M up to 16 divide it, without 11 and 13
    for shape in ((24, every), (16, 24 * at.m, 3, 3)):
        found = detect_weight(made(at, *shape))
        assert found.headline == pattern
        assert found.strictest == at


@pytest.mark.parametrize("pattern", ["2:4x2", "4:8x2", "2:8x2", "6:8x2", "4:6x2", "8:16x2"])
def test_weights_that_are_kept_in_pairs_are_detected(pattern: str) -> None:
    at = Pattern.parse(pattern)
    weight = made(at, 64, 96)
    found = detect_weight(weight)
    assert found.headline == pattern
    assert found.strictest == Pattern(at.n, at.m)  # of single weights
    weight[3, : at.m] = 1
    assert detect_weight(weight).headline == f"{pattern} except 1 block"
    # Random masks of single weights are in pairs by chance only.
    assert detect_weight(made(Pattern(at.n, at.m), 64, 96)).headline == f"{at.n}:{at.m}"


def test_channels_that_are_zero_in_pairs_are_not_pairs_of_weights() -> None:
    weight = torch.ones(64, 256)
    for start in range(0, 256, 4):
        weight[:, start : start + 2] = 0
    assert detect_weight(weight).headline == "2:4"


@pytest.mark.parametrize("width", [3, 6, 12, 24])
def test_a_few_channels_that_are_zero_are_no_pattern(width: int) -> None:
    for keep in (1, width // 3, width // 2):
        weight = torch.ones(32, width, 3, 3)
        weight[:, torch.arange(width) % (width // keep) > 0] = 0
        found = detect_weight(weight).pattern
        assert found is None or found.m in (2, 4, 8)
    thirds = torch.ones(16, 192)
    thirds[:, torch.arange(192) % 3 > 0] = 0
    assert detect_weight(thirds).headline == "1:3"


def test_what_a_pattern_implies_is_not_listed_beside_it() -> None:
    found = detect_weight(made(Pattern(2, 4), 64, 96))
    assert Pattern(4, 6) in found.obeyed
    assert found.independent == (Pattern(2, 4),)


def test_a_few_violations_do_not_prevent_detection() -> None:
    weight = made(Pattern(2, 4), 64, 64, 3, 3)
    weight[5, :4, 1, 2] = 1
    found = detect_weight(weight)
    assert found.headline == "2:4 except 1 block"
    assert Pattern(2, 4) not in found.obeyed
    weight[6] = 1
    assert detect_weight(weight).headline == "2:4 except 145 blocks"


@pytest.mark.parametrize("density", [0.03, 0.1, 0.3, 0.5, 0.7, 0.9, 0.95])
def test_random_zeros_are_unstructured(density: float) -> None:
    found = detect_weight(unstructured(density, 64, 64, 3, 3))
    assert (found.headline, found.pattern) == ("unstructured", None)


def test_dense_and_all_zero_layers_are_recognised() -> None:
    assert detect_weight(torch.ones(4, 32)).headline == "dense"
    assert detect_weight(torch.ones(4, 3, 7, 7)).headline == "dense"
    empty = detect_weight(torch.zeros(4, 32))
    assert (empty.headline, empty.pattern, empty.density) == ("all zero", None, 0.0)
    assert detect_weight(-torch.zeros(4, 4)).headline == "all zero"
    assert detect_weight(torch.full((4, 4), torch.nan)).headline == "dense"


def test_blocks_wider_than_255_are_counted() -> None:
    found = detect_weight(torch.ones(2, 1024), [Pattern(1, 512)])
    assert found.blocks[512][512] == 4
    violations = find_violations(torch.ones(2, 1024), Pattern(300, 512))
    assert violations.blocks.tolist() == [0, 1, 2, 3]


def test_the_violations_of_an_uncounted_pattern_are_unknown() -> None:
    assert (
        Detection(
            (1, 4), BlockCounts(4, 0, {4: (0, 0, 0, 0, 1)}, np.ones(4, np.int64), 1)
        ).count_violations(Pattern(1, 3))
        is None
    )


def test_a_checkpoint_is_surveyed_and_its_violations_written(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    broken = made(Pattern(1, 4), 8, 8, 3, 3)
    broken[3, 4:, 0, 1] = 1
    stated = '{"layers": {"stated": "6:12", "odd": "7:9"}, "skipped": {"head": "classifier"}}'
    save_file(
        {
            "sparse.weight": made(Pattern(2, 4), 16, 32),
            "broken.weight": broken,
            "stated.weight": torch.ones(2, 12),
            "head.weight": torch.ones(2, 8),
            "odd.weight": torch.ones(2, 2),
        },
        path,
        metadata={"lbc": stated},
    )
    survey = survey_checkpoint(path)
    found = {layer.name: (str(layer.pattern), layer.violation_count) for layer in survey.layers}
    assert found == {
        "sparse": ("2:4", 0),
        "broken": ("1:4", 1),
        "stated": ("6:12", 2),
        "head": ("None", 0),
        "odd": ("None", 0),
    }
    stated_by_layer = {layer.name: layer.as_dict()["stated"] for layer in survey.layers}
    assert stated_by_layer["head"] == "dense: classifier" and stated_by_layer["sparse"] is None
    lines = tmp_path / "violations.csv"
    assert save_violations(lines, violations_in(path, None, ["broken", "odd"])) == 1
    assert lines.read_text().splitlines() == [
        "layer,pattern,block,kept,coordinates",
        'broken,1:4,57,4,"(3,4,0,1) (3,5,0,1) (3,6,0,1) (3,7,0,1)"',
    ]
    assert [layer.name for layer in survey_checkpoint(path, ["[bs]*"]).layers] == ["head", "odd"]
