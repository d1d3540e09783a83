"""The loop that the documentation shows for accelerate, with what such loops add to it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from lbc.sparsity.compliance import check
from lbc.sparsity.pattern import Pattern
from lbc.sparsity.schedule import Schedule
from lbc.sparsity.sparsification import sparsify

accelerate = pytest.importorskip("accelerate")

SCHEDULE = Schedule("linear", end=2)


def train(
    accumulated: int = 1, save: Path | None = None, resume: Path | None = None, done: int = 0
) -> tuple[nn.Module, list[int]]:
    """Three epochs of six batches, saved or resumed after ``done`` steps; combinations left."""
    torch.manual_seed(0)
    inputs = torch.randn(48, 16)
    labels = (inputs.sum(1) > 0).long()
    accelerator = accelerate.Accelerator(cpu=True, gradient_accumulation_steps=accumulated)
    model = nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 32), nn.Linear(32, 2))
    sparsifier = sparsify(model, "2:4", scores="per_weight")
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    loader = DataLoader(TensorDataset(inputs, labels), batch_size=8)
    prepared, optimizer, loader = accelerator.prepare(model, optimizer, loader)
    if resume:
        accelerator.load_state(str(resume))
    step, live = done if resume else 0, []
    for epoch in range(step // 6, 3):
        batches = accelerator.skip_first_batches(loader, step % 6) if step % 6 else loader
        for x, y in batches:
            with accelerator.accumulate(prepared):
                accelerator.backward(nn.functional.cross_entropy(prepared(x), y))
                if accelerator.sync_gradients:
                    accelerator.clip_grad_norm_(prepared.parameters(), 1.0)
                optimizer.step()
                optimizer.zero_grad()
            step += 1
            if accelerator.sync_gradients:
                sparsifier.follow(SCHEDULE, step / 6, optimizer)
                live.append(sparsifier.layers["2"].live_count)
            if save and step == done:
                accelerator.save_state(str(save))
        assert step == 6 * (epoch + 1)
    return accelerator.unwrap_model(prepared), live


@pytest.mark.parametrize("accumulated", [1, 4])
def test_combinations_go_as_the_schedule_says(accumulated: int) -> None:
    model, live = train(accumulated)
    stepped = [
        n for n in range(1, 19) if (n - 1) % 6 % accumulated == accumulated - 1 or n % 6 == 0
    ]
    assert live == [SCHEDULE.live(Pattern(2, 4), n / 6) for n in stepped]
    weight = model.get_submodule("2").weight
    assert isinstance(weight, torch.Tensor)
    assert check(weight, Pattern(2, 4)).density == 0.5


@pytest.mark.parametrize("done", [3, 6, 8, 15])
def test_a_resumed_search_ends_in_the_same_bits(tmp_path: Path, done: int) -> None:
    whole, _ = train(save=tmp_path / "state", done=done)
    resumed, _ = train(resume=tmp_path / "state", done=done)
    for key, value in whole.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[key]), key
