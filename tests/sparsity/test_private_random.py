"""Networks are built in one thread while a run in another draws random numbers."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from lbc.config import parse_experiment
from lbc.models import build, build_blank
from lbc.sparsity.private_random import PrivateRandom

MODELS = ["mlp", "convnet", "resnet20", "resnet18", "deit-tiny"]


@pytest.mark.parametrize("name", MODELS)
def test_a_network_has_the_numbers_of_its_seed_and_draws_none_of_the_others(name: str) -> None:
    size = 32 if name.startswith("deit") else 28
    model = parse_experiment({"model": {"name": name}}).model
    torch.manual_seed(5)
    expected = build(model, (3, size, size), 10).state_dict()
    torch.manual_seed(0)
    before = torch.get_rng_state()
    with PrivateRandom(5):
        built = build(model, (3, size, size), 10).state_dict()
        assert torch.equal(torch.get_rng_state(), before)  # not only set back in the end
    assert list(built) == list(expected)
    assert all(torch.equal(built[key], value) for key, value in expected.items())
    build_blank(model, (3, size, size), 10)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_generator_that_is_given_and_another_device_stay_as_they_are() -> None:
    own = torch.Generator().manual_seed(3)
    expected = torch.rand(4, generator=torch.Generator().manual_seed(3))
    with PrivateRandom():
        assert torch.equal(torch.rand(4, generator=own), expected)
        assert nn.Linear(2, 2, device="meta").weight.is_meta
        assert torch.randn(2, device="meta").is_meta
