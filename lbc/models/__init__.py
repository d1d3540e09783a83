"""The models that an experiment can train."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from lbc import config
from lbc.models import external
from lbc.models.cifar_resnet import CifarResNet
from lbc.models.convnet import ConvNet
from lbc.models.deit import DeiT
from lbc.models.mlp import Mlp
from lbc.models.resnet import ResNet18, ResNet34, ResNet50
from lbc.sparsity.private_random import PrivateRandom

__all__ = [
    "CifarResNet",
    "ConvNet",
    "DeiT",
    "Mlp",
    "ResNet18",
    "ResNet34",
    "ResNet50",
    "build",
    "build_on_meta",
]

RESNETS = {"resnet18": ResNet18, "resnet34": ResNet34, "resnet50": ResNet50}
CIFAR_LAYERS = {"resnet20": 20, "resnet32": 32, "resnet56": 56}
DEIT_WIDTHS = {"deit-tiny": 192, "deit-small": 384}

Shape = tuple[int, int, int]


def build(
    model: config.Model, in_shape: Shape, classes: int, allow_import: bool = False
) -> nn.Module:
    """Build an experiment's model for images of ``in_shape`` (channels, height, width).

    ``allow_import``: the user has asked to run the code of an external model.

    Raises ValueError if its settings do not fit the images, or if the code of an external model
    is not allowed, cannot be imported, fails, or returns an unsuitable object.
    """
    return _builder(model, in_shape, classes, allow_import)()


def build_on_meta(
    model: config.Model, in_shape: Shape, classes: int, allow_import: bool = False
) -> nn.Module:
    """Build the model on the meta device, where tensors have shapes but no storage.

    An external model that does not support this is built with weights instead, from random numbers
    of its own. Raises ValueError like ``build``.
    """
    # Imports must run outside the meta device: tensors of an imported module would stay on it.
    make = _builder(model, in_shape, classes, allow_import)
    try:
        with torch.device("meta"), _SkipNormalInit():
            return make()
    except ValueError:
        if not isinstance(model, config.EXTERNAL):
            raise
    with PrivateRandom():
        return make()


class _SkipNormalInit(TorchFunctionMode):
    """Skips ``normal_`` on meta tensors, for which torch would import its compiler, in seconds."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        skipped = func is Tensor.normal_ and args[0].is_meta
        return args[0] if skipped else func(*args, **(kwargs or {}))


def _builder(
    model: config.Model, in_shape: Shape, classes: int, allow_import: bool
) -> Callable[[], nn.Module]:
    config.check_import(model, allow_import)
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
            embed_width = DEIT_WIDTHS[model.name]
            return partial(DeiT, embed_width, in_shape, classes, model.patch, model.drop_path)
        case config.Imported() | config.Timm() | config.Torchvision():
            return external.make_builder(model, in_shape, classes)
