"""A module is the product of its matrices with its tokens."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from lbc.sparsity.calibration import matrix_form
from lbc.sparsity.calibration.convolution_windows import Windows
from lbc.sparsity.calibration.input_statistics import InputStatistics
from lbc.sparsity.calibration.matrix_form import (
    from_matrices,
    gram_chunks,
    input_parts,
    to_matrices,
    tokens,
)
from lbc.sparsity.pattern import Pattern
from lbc.sparsity.weight_sites import find_site

MODULES: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "linear": (lambda: nn.Linear(8, 6), (3, 5, 8)),
    "one token": (lambda: nn.Linear(8, 6), (8,)),
    "conv1d": (lambda: nn.Conv1d(8, 6, 3, stride=2, padding=1), (3, 8, 9)),
    "conv2d": (lambda: nn.Conv2d(4, 6, (3, 2), (2, 1), (1, 2), (2, 1)), (3, 4, 9, 7)),
    "same": (lambda: nn.Conv2d(4, 6, 2, padding="same"), (3, 4, 5, 5)),
    "reflected": (lambda: nn.Conv2d(4, 6, 3, padding=2, padding_mode="reflect"), (3, 4, 5, 5)),
    "circular": (lambda: nn.Conv2d(4, 6, 3, padding=1, padding_mode="circular"), (3, 4, 5, 4)),
    "grouped": (lambda: nn.Conv2d(8, 6, 3, groups=2), (3, 8, 5, 5)),
    "unbatched": (lambda: nn.Conv2d(4, 6, 3), (4, 5, 5)),
    "valid": (lambda: nn.Conv2d(4, 6, 3), (3, 4, 6, 7)),
    "padded": (lambda: nn.Conv2d(4, 6, 3, padding=1), (3, 4, 7, 6)),
    "padded point": (lambda: nn.Conv2d(4, 6, 3, padding=1), (3, 4, 1, 2)),
    "dilated": (lambda: nn.Conv2d(4, 6, (2, 3), padding=2, dilation=(3, 2)), (2, 4, 5, 9)),
    "large kernel": (lambda: nn.Conv1d(4, 6, 5, padding=1), (3, 4, 4)),
    "1×1": (lambda: nn.Conv2d(4, 6, 1), (3, 4, 3, 3)),
    "conv3d": (lambda: nn.Conv3d(4, 6, (1, 2, 3)), (2, 4, 3, 4, 5)),
    "transposed": (
        lambda: nn.ConvTranspose2d(4, 6, (3, 2), (2, 3), (1, 0), (1, 2), dilation=(2, 1)),
        (2, 4, 5, 4),
    ),
    "transposed 1d": (lambda: nn.ConvTranspose1d(4, 6, 3, padding=2), (2, 4, 7)),
}


def product(module: Any, weight: Tensor, *args: Tensor) -> Tensor:
    """Σ over all tokens of what the matrices make of them: (O,)."""
    parts = input_parts(module, "weight", args, {})
    matrices = to_matrices(weight, len(parts))
    totals = [
        sum((chunk @ matrix.T).sum(dim=0) for chunk in tokens(module, part))
        for matrix, part in zip(matrices, parts, strict=True)
    ]
    return torch.cat(totals)


@pytest.mark.filterwarnings("ignore:Using padding='same' with even")
@pytest.mark.parametrize("kind", MODULES)
def test_a_modules_output_is_its_matrices_times_its_tokens(kind: str) -> None:
    torch.manual_seed(0)
    make, shape = MODULES[kind]
    module: Any = make().double()
    inputs = torch.randn(shape, dtype=torch.float64)
    site = find_site(module, "")
    with torch.no_grad():
        module.bias.zero_()
        out = module(inputs)
        totals = product(module, site.canonical(module.weight), inputs)
    dim = 0 if kind == "unbatched" else 1
    expected = out.reshape(-1, 6) if isinstance(module, nn.Linear) else out.movedim(dim, -1)
    torch.testing.assert_close(totals, expected.reshape(-1, 6).sum(dim=0))


@pytest.mark.filterwarnings("ignore:Using padding='same' with even")
@pytest.mark.parametrize("kind", MODULES)
def test_the_gram_matrix_is_that_of_all_tokens(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(matrix_form, "CHUNK_VALUES", 250)  # some images at a time
    torch.manual_seed(0)
    make, shape = MODULES[kind]
    module = make()
    [part, *_] = input_parts(module, "weight", (torch.randn(shape, dtype=torch.float64),), {})
    rows = torch.cat([*tokens(module, part)])
    statistics = InputStatistics(rows.shape[1], gram=True, dtype=torch.float64)
    chunks = [*gram_chunks(module, part)]
    statistics.add(len(part), chunks)
    expected = rows.T @ rows
    close = torch.testing.assert_close
    close(statistics.gram, expected)
    close(statistics.sums, rows.sum(dim=0) / len(part))
    close(statistics.squares, expected.diagonal())
    assert statistics.tokens == len(rows)
    strided = kind in ("conv1d", "conv2d", "linear", "one token", "transposed", "transposed 1d")
    assert isinstance(chunks[0], Windows) != strided


@given(st.data())
@settings(max_examples=25, deadline=None)
def test_blocks_are_consecutive_columns(data: st.DataObject) -> None:
    groups = data.draw(st.integers(1, 3))
    rows, blocks, m = (data.draw(st.integers(low, 4)) for low in (1, 1, 2))
    kernel = data.draw(st.lists(st.integers(1, 3), max_size=3))
    shape = (groups * rows, blocks * m, *kernel)
    weight = torch.arange(torch.Size(shape).numel()).reshape(shape)
    matrices = to_matrices(weight, groups)
    assert torch.equal(from_matrices(matrices, shape), weight)
    assert torch.equal(matrices.reshape(-1, m), Pattern(1, m).to_blocks(weight))


def test_attention_projects_query_key_and_value() -> None:
    torch.manual_seed(0)
    module = nn.MultiheadAttention(8, 2)
    query, other = torch.randn(5, 3, 8), torch.randn(7, 3, 8)  # not batch first
    assert len(input_parts(module, "in_proj_weight", (query, query, query), {})) == 1
    parts = input_parts(module, "in_proj_weight", (query,), {"key": other, "value": other})
    assert [one.shape[:2] for one in parts] == [(3, 5), (3, 7), (3, 7)]
    assert input_parts(module, "k_proj_weight", (query, other, query), {})[0].shape == (3, 7, 8)
    assert input_parts(module, "q_proj_weight", (query, other, query), {})[0].shape == (3, 5, 8)
