"""BatchNorm statistics after weights have changed without training."""

from __future__ import annotations

import copy

import torch
from torch import nn

from lbc.training.norm_statistics import renew_statistics


def test_statistics_are_the_average_over_the_batches_and_nothing_else_changes() -> None:
    torch.manual_seed(0)
    norms = nn.BatchNorm1d(4), nn.BatchNorm1d(4, momentum=0.3)
    model = nn.Sequential(nn.Linear(6, 4), norms[0], nn.Dropout(0.5), nn.Linear(4, 4), norms[1])
    before = copy.deepcopy(model.state_dict())
    batches = list(torch.randn(3, 8, 6))
    assert renew_statistics(model, batches)
    inputs = [model[0](images).detach() for images in batches]
    means = torch.stack([values.mean(0) for values in inputs]).mean(0)
    variances = torch.stack([values.var(0) for values in inputs]).mean(0)
    torch.testing.assert_close(norms[0].running_mean, means)
    torch.testing.assert_close(norms[0].running_var, variances)
    assert norms[1].momentum == 0.3 and not any(at.training for at in model.modules())
    after = copy.deepcopy(model.state_dict())
    changed = [key for key, value in after.items() if not torch.equal(value, before[key])]
    assert changed and all("running" in key or "num_batches" in key for key in changed)
    renew_statistics(model, batches)  # dropout draws nothing
    assert torch.equal(model.state_dict()["4.running_mean"], after["4.running_mean"])


def test_a_model_without_statistics_does_not_change() -> None:
    model = nn.Sequential(nn.Linear(6, 4), nn.BatchNorm1d(4, track_running_stats=False)).train()
    assert not renew_statistics(model, [torch.randn(3, 6)])
    assert model.training
