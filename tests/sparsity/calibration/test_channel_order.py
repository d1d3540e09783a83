"""Channels that are reordered without changing what a network computes."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from lbc.models import DeiT, ResNet18
from lbc.sparsity.calibration import channel_order, ria, wanda
from lbc.sparsity.calibration.channel_order import Channels, movable_channels, reorder_channels
from lbc.sparsity.calibration.one_shot import prune_in_order
from lbc.sparsity.compliance import check
from lbc.sparsity.pattern import Pattern
from lbc.sparsity.sparsification import sparsify


class Residual(nn.Module):
    """A block in which only what lies inside the branch may be reordered."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3)
        self.conv1, self.norm = nn.Conv2d(8, 16, 3, padding=1), nn.BatchNorm2d(16)
        self.pool = nn.MaxPool2d(3, 1, 1)
        self.conv2 = nn.Conv2d(16, 8, 3, padding=1)
        self.conv3 = nn.Conv2d(8, 16, 1)
        self.fc1, self.fc2 = nn.Linear(16, 24), nn.Linear(24, 8)
        self.head = nn.Linear(8, 3)

    def forward(self, images: Tensor) -> Tensor:
        stem = self.stem(images)
        branch = self.pool(torch.relu(self.norm(self.conv1(stem))))
        features = self.conv3(stem + self.conv2(branch)).mean(dim=(2, 3))
        logits: Tensor = self.head(self.fc2(nn.functional.gelu(self.fc1(features))))
        return logits


def prepared(model: nn.Module) -> nn.Module:
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                for tensor in (module.weight, module.bias, module.running_mean, module.running_var):
                    assert isinstance(tensor, Tensor)
                    tensor.uniform_(0.5, 2, generator=generator)
    sparsify(model, "2:4", "asp")
    return model


def images(size: int = 8, count: int = 6) -> Tensor:
    return torch.randn(count, 3, size, size, generator=torch.Generator().manual_seed(1))


def residual() -> nn.Module:
    torch.manual_seed(0)
    return prepared(Residual())


def test_only_channels_between_two_layers_may_move() -> None:
    assert movable_channels(residual()) == [
        Channels("conv1", ("norm",), "conv2"),
        Channels("fc1", (), "fc2"),
    ]


class SecondReader(Residual):
    def forward(self, images: Tensor) -> Tensor:
        hidden = self.fc1(images)
        out: Tensor = self.head(self.fc2(hidden) + hidden[:, :8])
        return out


class SecondCall(Residual):
    def forward(self, images: Tensor) -> Tensor:
        out: Tensor = self.head(self.fc2(self.fc1(self.fc1(images)[:, :16])))
        return out


class MixedBetween(Residual):
    def forward(self, images: Tensor) -> Tensor:
        out: Tensor = self.head(self.fc2(self.fc1(images).flip(1)))
        return out


class SharedBias(Residual):
    def __init__(self) -> None:
        super().__init__()
        self.fc3 = nn.Linear(16, 24)
        self.fc3.bias = self.fc1.bias

    def forward(self, images: Tensor) -> Tensor:
        out: Tensor = self.head(self.fc2(self.fc1(images)))
        return out


@pytest.mark.parametrize("kind", [SecondReader, SecondCall, MixedBetween, SharedBias])
def test_channels_that_something_else_depends_on_stay(kind: Callable[[], Residual]) -> None:
    model = kind()
    sparsify(model, "2:4", "asp")
    assert movable_channels(model) == []


@pytest.mark.parametrize(
    ("make", "layers"),
    [
        (residual, ["conv2", "fc2"]),
        (
            lambda: prepared(DeiT(64, (3, 8, 8), 4, 4, depth=2)),
            [f"blocks.{block}.mlp.fc2" for block in (0, 1)],
        ),
    ],
    ids=["residual", "deit"],
)
def test_the_network_computes_the_same_and_blocks_keep_more(
    make: Callable[[], nn.Module], layers: list[str]
) -> None:
    model = make()
    before = model.eval()(images()).detach()
    moved = reorder_channels(model.train(), [images()], ria.scores)
    assert [*moved] == layers and model.training
    assert all(order.kept > order.kept_before for order in moved.values())
    torch.testing.assert_close(model.eval()(images()).detach(), before, rtol=1e-4, atol=1e-5)
    again = reorder_channels(model, [images()], ria.scores)
    for name, order in again.items():
        assert order.kept_before == pytest.approx(moved[name].kept, rel=1e-4)
    prune_in_order(model, [images()], ria.solve)
    for name in layers:
        weight = model.get_submodule(name).weight
        assert isinstance(weight, Tensor) and check(weight.detach(), Pattern(2, 4)).valid


def test_resnet_moves_the_channels_within_its_blocks() -> None:
    model = ResNet18(classes=4)
    sparsify(model, "2:4", "asp")
    found = [way.consumer for way in movable_channels(model)]
    assert found == [f"layer{stage}.{block}.conv2" for stage in (1, 2, 3, 4) for block in (0, 1)]


def test_the_optimisers_momentum_moves_along() -> None:
    outputs = []
    for reorder in (False, True):
        model = residual()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
        for step in range(4):
            if step == 2 and reorder:
                assert reorder_channels(model, [images()], wanda.scores, optimizer)
            optimizer.zero_grad()
            model(images()).square().mean().backward()
            optimizer.step()
        outputs.append(model.eval()(images()).detach())
    torch.testing.assert_close(*outputs, rtol=1e-3, atol=1e-4)


def test_an_order_that_changes_the_outputs_is_taken_back(monkeypatch: pytest.MonkeyPatch) -> None:
    model = residual()
    wrong = [Channels("stem", (), "conv1")]  # a residual connection reads them too
    monkeypatch.setattr(channel_order, "movable_channels", lambda _: wrong)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    assert reorder_channels(model, [images()], ria.scores) == {}
    after = model.state_dict()
    assert all(torch.equal(tensor, after[name]) for name, tensor in before.items())
