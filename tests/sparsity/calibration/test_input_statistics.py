"""Sums over inputs, however they come."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from lbc.sparsity.calibration import input_statistics, matrix_form
from lbc.sparsity.calibration.input_statistics import InputStatistics
from lbc.sparsity.calibration.matrix_form import tokens


def test_sums_are_those_of_all_inputs_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(input_statistics, "PANEL", 5)
    torch.manual_seed(0)
    batches = [torch.randn(3, 7, 12, dtype=torch.float64) + one for one in range(4)]
    statistics = InputStatistics(12, gram=True, dtype=torch.float64)
    for batch in batches:
        statistics.add(3, torch.split(batch.reshape(-1, 12), 10))
    every = torch.cat(batches).reshape(-1, 12)
    close = torch.testing.assert_close
    assert (statistics.samples, statistics.tokens) == (12, 84)
    close(statistics.norms, every.norm(dim=0))
    close(statistics.gram, every.T @ every)
    assert torch.equal(statistics.gram, statistics.gram.T)
    close(statistics.sums, torch.cat(batches).sum(dim=1).mean(dim=0))
    within = torch.stack([one.reshape(-1, 12).var(dim=0, correction=0) for one in batches])
    close(statistics.variances, within.mean(dim=0))
    weight = torch.randn(3, 12, dtype=torch.float64)
    assert statistics.output_energy(weight) == pytest.approx(
        float((every @ weight.T).square().sum())
    )


def test_a_convolutions_gram_matrix_is_that_of_its_patches(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(matrix_form, "CHUNK_VALUES", 100)  # one image at a time
    torch.manual_seed(0)
    convolution = nn.Conv2d(4, 6, 3, stride=2, padding=1)
    images = torch.randn(5, 4, 7, 7)
    statistics = InputStatistics(36, gram=True)
    statistics.add(5, tokens(convolution, images))
    patches = nn.functional.unfold(images, 3, padding=1, stride=2)  # (B, channels × positions, T)
    rows = patches.reshape(5, 4, 9, -1).permute(0, 3, 2, 1).reshape(-1, 36)
    torch.testing.assert_close(statistics.gram, rows.T @ rows)
    assert statistics.tokens == len(rows)


def test_values_of_16_bits_are_summed_as_32() -> None:
    rows = torch.full((4000, 2), 10.0, dtype=torch.float16)
    statistics = InputStatistics(2, gram=True)
    statistics.add(1, [rows])
    assert statistics.gram.tolist() == [[4e5, 4e5], [4e5, 4e5]]
    assert statistics.finite
    statistics.add(1, [torch.tensor([[1.0, torch.nan]])])
    assert not statistics.finite


def test_without_the_gram_matrix_there_is_none() -> None:
    with pytest.raises(ValueError, match="without the Gram matrix"):
        _ = InputStatistics(2, gram=False).gram
