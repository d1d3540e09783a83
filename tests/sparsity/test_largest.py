"""The masks of the largest magnitudes, against sorting each block."""

from __future__ import annotations

from math import isnan, nan
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from lbc import Pattern, sparsify
from lbc.sparsity import largest as module
from lbc.sparsity.largest import following, largest
from lbc.sparsity.live_sets import keep_best

SHAPES = ((5, 48), (3, 48, 2), (2, 48, 3, 2))
VALUES = (0.0, -0.0, 1.0, -1.0, 2.0, -2.0, 1e-30, float("inf"), float("-inf"), float("nan"))


def sorted_blocks(weight: Tensor, pattern: Pattern) -> tuple[Tensor, Tensor]:
    """The mask and the (N + 1)-th largest magnitudes, by sorting each block: NaN comes first.

    Where it holds one, the mask is that of ``keep_best``.
    """
    blocks = pattern.to_blocks(weight.abs())
    kept = keep_best(blocks, pattern.n)
    after = torch.empty(len(blocks), dtype=weight.dtype)
    for block, values in enumerate(blocks.tolist()):
        finite = [(-value, j) for j, value in enumerate(values) if not isnan(value)]
        order = sorted(finite)
        if len(finite) == pattern.m:
            kept[block] = False
            kept[block, [j for _, j in order[: pattern.n]]] = True
        place = pattern.n - (pattern.m - len(finite))
        after[block] = -order[place][0] if place >= 0 else nan
    out, width, *kernel = weight.shape
    after = after.reshape(out, *kernel, width // pattern.m).movedim(-1, 1)
    return pattern.from_blocks(kept, tuple(weight.shape)), after


def in_memory(weight: Tensor, channels_last: bool) -> Tensor:
    return weight.movedim(1, -1).contiguous().movedim(-1, 1) if channels_last else weight


@settings(deadline=None, max_examples=60)
@given(
    data=st.data(),
    pattern=st.sampled_from(["1:2", "2:4", "3:4", "1:6", "4:8", "2:12", "8:16", "3:24"]),
    shape=st.sampled_from(SHAPES),
    channels_last=st.booleans(),
    kind=st.sampled_from([torch.float32, torch.float64]),
)
def test_the_largest_are_those_of_a_sort_with_ties_and_values_that_are_not_finite(
    data: Any, pattern: str, shape: tuple[int, ...], channels_last: bool, kind: torch.dtype
) -> None:
    chosen = Pattern.parse(pattern)
    several = data.draw(st.lists(st.sampled_from(VALUES), min_size=2, max_size=8))
    seed = data.draw(st.integers(0, 1000))
    draw = torch.randint(len(several), shape, generator=torch.Generator().manual_seed(seed))
    weight = in_memory(torch.tensor(several, dtype=kind)[draw], channels_last)
    mask, after = sorted_blocks(weight, chosen)
    got = torch.empty_like(after)
    assert torch.equal(largest(weight, chosen, got), mask)
    assert torch.equal(got.nan_to_num(7), after.nan_to_num(7))


@pytest.mark.parametrize("kind", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("pattern", ["1:4", "2:4", "4:8", "1:16", "8:16", "2:24"])
def test_the_largest_of_random_weights_in_chunks(
    kind: torch.dtype, pattern: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CHUNK", 200)
    chosen = Pattern.parse(pattern)
    torch.manual_seed(0)
    for shape in SHAPES:
        for channels_last in (False, True):
            weight = in_memory(torch.randn(shape), channels_last).to(kind)
            mask, after = sorted_blocks(weight, chosen)
            got = torch.empty_like(after)
            assert torch.equal(largest(weight, chosen, got), mask)
            assert torch.equal(got, after) and torch.equal(following(weight, chosen), after)
            assert largest(weight, chosen).stride() == weight.stride()
            old = keep_best(chosen.to_blocks(weight.abs()), chosen.n)
            assert torch.equal(chosen.to_blocks(mask), old)


def test_a_module_may_be_used_twice_before_the_backward_pass() -> None:
    layer = nn.Linear(8, 8)
    sparsify(layer, "2:4", "sr-ste")
    layer(layer(torch.ones(1, 8))).sum().backward()
    assert layer.parametrizations.weight.original.grad is not None  # type: ignore[union-attr]
