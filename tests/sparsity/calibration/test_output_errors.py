"""Errors measured after pruning are those that pruning itself reports."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from lbc.sparsity.calibration.input_statistics import InputStatistics
from lbc.sparsity.calibration.one_shot import prune_in_order
from lbc.sparsity.calibration.output_errors import output_errors
from lbc.sparsity.calibration.solution import Progress, Solution, keep_largest
from lbc.sparsity.pattern import Pattern
from lbc.sparsity.sparsification import sparsify
from tests.sparsity.calibration.test_one_shot import images, network


def largest(
    weight: Tensor, _statistics: InputStatistics, pattern: Pattern, _progress: Progress
) -> Solution:
    return Solution(keep_largest(weight.abs(), pattern))


def attention() -> nn.Sequential:
    layer = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True)
    return nn.Sequential(nn.Linear(8, 16), layer, nn.Linear(16, 4))


def sequences() -> list[Tensor]:
    return list(torch.split(torch.randn(6, 5, 8), 2))


@pytest.mark.parametrize(
    ("make", "inputs", "count"), [(network, images, 4), (attention, sequences, 5)]
)
def test_errors_are_those_of_pruning_in_order(
    make: Callable[[], nn.Module], inputs: Callable[[], list[Tensor]], count: int
) -> None:
    torch.manual_seed(0)
    model, batches = make().eval(), inputs()
    sparsifier = sparsify(model, "2:4", "asp")
    twin = copy.deepcopy(model)
    reported = {one.name: one.error for one in prune_in_order(twin, batches, largest)}
    sparsifier.remove(1)
    shares: list[float] = []
    errors = output_errors(model, batches, shares.append)
    assert errors == pytest.approx(reported, rel=1e-4)
    assert len(errors) == count
    assert shares == sorted(shares) and {*shares} == {i / count for i in range(count + 1)}
