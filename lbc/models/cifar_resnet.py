"""ResNet-20, -32, -56 for CIFAR (He et al., "Deep Residual Learning", CVPR 2016, section 4.2)."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from lbc.models.resnet import BasicBlock, conv3x3, stage


class PaddedShortcut(nn.Module):
    """A parameter-free shortcut: subsamples by ``stride`` and adds channels of zeros."""

    def __init__(self, new_channels: int, stride: int) -> None:
        super().__init__()
        self.new_channels = new_channels
        self.stride = stride

    def forward(self, images: Tensor) -> Tensor:
        subsampled = images[:, :, :: self.stride, :: self.stride]
        return F.pad(subsampled, (0, 0, 0, 0, 0, self.new_channels))


class CifarBlock(BasicBlock):
    """A ``BasicBlock`` whose shortcut is parameter-free (option A of the paper)."""

    @staticmethod
    def shortcut(in_channels: int, out_channels: int, stride: int) -> nn.Module | None:
        if stride == 1 and in_channels == out_channels:
            return None
        return PaddedShortcut(out_channels - in_channels, stride)


class CifarResNet(nn.Module):
    """Images (B, ``in_channels``, H, W) of any size → logits (B, ``classes``).

    ``layers`` counts convolutions and the classifier: 20, 32, 56 or any 6n + 2. The three stages
    have ``width``, 2 and 4 × ``width`` channels. Weights are initialised from a normal distribution
    with standard deviation √(2/fan-in) (He et al., "Delving Deep into Rectifiers", ICCV 2015,
    eq. 10). With width 16 and 10 classes: 269,722, 464,154 and 853,018 parameters.

    Raises ValueError for any other number of layers.
    """

    def __init__(
        self, layers: int, classes: int = 10, in_channels: int = 3, width: int = 16
    ) -> None:
        super().__init__()
        depth, odd = divmod(layers - 2, 6)
        if odd or depth < 1:
            raise ValueError(f"A CIFAR ResNet needs 8, 14, 20 … 6n + 2 layers, not {layers}.")
        self.conv1 = conv3x3(in_channels, width)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        self.layer1 = stage(CifarBlock, width, width, depth, 1)
        self.layer2 = stage(CifarBlock, width, 2 * width, depth, 2)
        self.layer3 = stage(CifarBlock, 2 * width, 4 * width, depth, 2)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.flatten = nn.Flatten()
        self.fc = nn.Linear(4 * width, classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
        nn.init.zeros_(self.fc.bias)

    def forward(self, images: Tensor) -> Tensor:
        features = self.relu(self.bn1(self.conv1(images)))
        features = self.layer3(self.layer2(self.layer1(features)))
        logits: Tensor = self.fc(self.flatten(self.avgpool(features)))
        return logits
