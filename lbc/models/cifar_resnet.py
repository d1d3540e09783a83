"""ResNet-20, -32, -56 for CIFAR (He et al., "Deep Residual Learning", CVPR 2016, section 4.2)."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from lbc.models.resnet import conv3x3


class CifarBlock(nn.Module):
    """Two 3x3 convolutions with a parameter-free shortcut: (B, I, H, W) → (B, O, H', W').

    If the shape changes, the shortcut subsamples by ``stride`` and pads the channels with zeros
    (option A of the paper).
    """

    def __init__(self, in_channels: int, channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = conv3x3(in_channels, channels, stride)
        self.bn1 = nn.BatchNorm2d(channels)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = conv3x3(channels, channels)
        self.bn2 = nn.BatchNorm2d(channels)
        self.stride = stride
        self.new_channels = channels - in_channels

    def forward(self, images: Tensor) -> Tensor:
        identity = images
        if self.stride > 1 or self.new_channels:
            subsampled = images[:, :, :: self.stride, :: self.stride]
            identity = F.pad(subsampled, (0, 0, 0, 0, 0, self.new_channels))
        branch = self.relu(self.bn1(self.conv1(images)))
        result: Tensor = self.relu(self.bn2(self.conv2(branch)) + identity)
        return result


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
        self.layer1 = stage(width, width, depth, 1)
        self.layer2 = stage(width, 2 * width, depth, 2)
        self.layer3 = stage(2 * width, 4 * width, depth, 2)
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


def stage(in_channels: int, channels: int, depth: int, stride: int) -> nn.Sequential:
    first = CifarBlock(in_channels, channels, stride)
    return nn.Sequential(first, *(CifarBlock(channels, channels, 1) for _ in range(1, depth)))
