"""Networks are built in one thread while a run in another draws random numbers."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from lbc.config import parse_experiment
from lbc.models import build
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


ONES = torch.ones(1, 9, 4)
DRAWS: dict[str, Callable[[], Tensor]] = {
    "rand": lambda: torch.rand(4),
    "rand_like": lambda: torch.rand_like(torch.ones(4)),
    "randn": lambda: torch.randn(2, 2),
    "randn_like": lambda: torch.randn_like(torch.ones(4)),
    "randint": lambda: torch.randint(90, (4,)),
    "randint from": lambda: torch.randint(10, 90, (4,)),
    "randint_like": lambda: torch.randint_like(torch.ones(4), 90),
    "randint_like from": lambda: torch.randint_like(torch.ones(4), 10, 90),
    "randperm": lambda: torch.randperm(40),
    "normal": lambda: torch.normal(0.0, 1.0, (4,)),
    "normal of tensors": lambda: torch.normal(torch.zeros(4), torch.ones(4)),
    "bernoulli": lambda: torch.bernoulli(torch.full((40,), 0.5)),
    "multinomial": lambda: torch.multinomial(torch.ones(9), 4),
    "poisson": lambda: torch.poisson(torch.full((9,), 4.0)),
    "uniform_": lambda: torch.empty(4).uniform_(2, 3),
    "normal_ by keyword": lambda: torch.empty(4).normal_(mean=2, std=3),
    "exponential_": lambda: torch.empty(4).exponential_(),
    "random_": lambda: torch.empty(4).random_(90),
    "dropout": lambda: functional.dropout(torch.ones(40)),
    "dropout of channels": lambda: functional.dropout2d(torch.ones(2, 20, 3, 3)),
    "alpha_dropout": lambda: functional.alpha_dropout(torch.ones(40), training=True),
    "rrelu": lambda: functional.rrelu(-torch.ones(4), training=True),
    "gumbel_softmax": lambda: functional.gumbel_softmax(torch.zeros(2, 4)),
    "attention": lambda: functional.scaled_dot_product_attention(ONES, ONES, ONES, dropout_p=0.5),
    "gamma": lambda: torch.distributions.Gamma(torch.ones(4), 1.0).sample(),
    "dirichlet": lambda: torch.distributions.Dirichlet(torch.ones(4)).sample(),
    "out": lambda: torch.rand(4, out=torch.empty(4)),
    "kaiming": lambda: nn.init.kaiming_uniform_(torch.empty(4, 4)),
    "truncated": lambda: nn.init.trunc_normal_(torch.empty(4, 4)),
    "orthogonal": lambda: nn.init.orthogonal_(torch.empty(4, 4)),
}  # fmt: skip


@pytest.mark.parametrize("grad", [True, False])
@pytest.mark.parametrize("draw", DRAWS.values(), ids=DRAWS)
def test_each_way_of_drawing_uses_the_generator(draw: Callable[[], Tensor], grad: bool) -> None:
    torch.manual_seed(5)
    expected = draw()
    before = torch.get_rng_state()
    with PrivateRandom(5), torch.set_grad_enabled(grad):
        assert torch.equal(draw(), expected)
        assert torch.equal(torch.get_rng_state(), before)


def test_a_generator_that_is_given_and_another_device_stay_as_they_are() -> None:
    own = torch.Generator().manual_seed(3)
    expected = torch.rand(4, generator=torch.Generator().manual_seed(3))
    with PrivateRandom():
        assert torch.equal(torch.rand(4, generator=own), expected)
        assert nn.Linear(2, 2, device="meta").weight.is_meta
        assert torch.randn(2, device="meta").is_meta
