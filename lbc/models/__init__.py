"""The networks an experiment can train."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from lbc import config
from lbc.models import external as foreign
from lbc.models.cifar_resnet import CifarResNet
from lbc.models.convnet import ConvNet
from lbc.models.deit import DeiT
from lbc.models.mlp import Mlp
from lbc.models.resnet import ResNet18, ResNet34, ResNet50

__all__ = [
    "CifarResNet",
    "ConvNet",
    "DeiT",
    "Mlp",
    "ResNet18",
    "ResNet34",
    "ResNet50",
    "build",
    "lay_out",
]

RESNETS = {"resnet18": ResNet18, "resnet34": ResNet34, "resnet50": ResNet50}
CIFAR_LAYERS = {"resnet20": 20, "resnet32": 32, "resnet56": 56}
DEIT_WIDTHS = {"deit-tiny": 192, "deit-small": 384}

Shape = tuple[int, int, int]


def build(model: config.Model, in_shape: Shape, classes: int) -> nn.Module:
    """The network an experiment names, for images of ``in_shape`` (channels, height, width).

    Raises ValueError with one sentence where its settings do not fit the images, and for a
    network from elsewhere where its code cannot be imported or does not return what is needed.
    """
    return _maker(model, in_shape, classes)()


def lay_out(model: config.Model, in_shape: Shape, classes: int) -> nn.Module:
    """The same network with shapes instead of weights, on the meta device, where nothing is stored.

    Only a network from elsewhere that cannot be made so is built in full, from a random state of
    its own. Raises ValueError as ``build`` does.
    """
    make = _maker(model, in_shape, classes)  # imports: outside the meta device, which would stay
    try:
        with torch.device("meta"), _Undrawn():
            return make()
    except ValueError:
        if not isinstance(model, config.EXTERNAL):
            raise
    with torch.random.fork_rng(devices=[]):
        return make()


class _Undrawn(TorchFunctionMode):
    """Normal random numbers are not drawn: for those that the meta device would not draw either,
    torch loads its compiler, which takes seconds."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        drawn = func is Tensor.normal_ and args[0].is_meta
        return args[0] if drawn else func(*args, **(kwargs or {}))


def _maker(model: config.Model, in_shape: Shape, classes: int) -> Callable[[], nn.Module]:
    channels, height, width = in_shape
    match model:
        case config.ConvNet():
            side = min(height, width)
            return partial(ConvNet, channels, side, classes, model.width, model.depth)
        case config.Mlp():
            return partial(Mlp, channels * height * width, classes, model.width, model.depth)
        case config.CifarResNet():
            layers = CIFAR_LAYERS[model.name]
            return partial(CifarResNet, layers, classes, channels, model.width)
        case config.ResNet():
            return partial(RESNETS[model.name], classes, channels)
        case config.DeiT():
            sparse_width = DEIT_WIDTHS[model.name]
            return partial(DeiT, sparse_width, in_shape, classes, model.patch, model.drop_path)
        case config.Imported() | config.Timm() | config.Torchvision():
            return foreign.maker(model, in_shape, classes)
