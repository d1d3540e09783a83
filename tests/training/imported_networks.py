"""Networks for ``model: {import: …}`` in which version 0.1.0 made other layers sparse."""

from __future__ import annotations

from torch import Tensor, nn


def attention() -> nn.Module:
    """Rows of an image as tokens. Version 0.1.0 knew no input projection of an attention."""
    return nn.Sequential(
        *(nn.AvgPool2d((2, 1)), nn.Flatten(1, 2), nn.Linear(28, 16)),
        nn.TransformerEncoderLayer(16, 2, 16, dropout=0.1, batch_first=True),
        *(nn.Flatten(), nn.Linear(14 * 16, 10)),
    )


def volume() -> nn.Module:
    """An image as seven slices. Version 0.1.0 knew no Conv3d."""
    return nn.Sequential(
        nn.Unflatten(2, (7, 4)),
        *(nn.Conv3d(1, 8, 3, stride=(1, 1, 2)), nn.ReLU()),
        *(nn.Conv3d(8, 8, (3, 1, 3), stride=(2, 1, 4)), nn.ReLU()),
        *(nn.Flatten(), nn.Linear(2 * 2 * 3 * 8, 16), nn.ReLU(), nn.Linear(16, 10)),
    )


def transposed() -> nn.Module:
    """Version 0.1.0 knew no transposed convolution."""
    return nn.Sequential(
        *(nn.Conv2d(1, 8, 3, stride=4), nn.ReLU(), nn.ConvTranspose2d(8, 16, 2, stride=2)),
        *(nn.BatchNorm2d(16), nn.ReLU(), nn.Conv2d(16, 8, 3, stride=3), nn.ReLU()),
        *(nn.Flatten(), nn.Linear(8 * 4 * 4, 10)),
    )


class TwoHeads(nn.Module):
    """Version 0.1.0 took the last linear layer registered for the one that makes the output."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.other = nn.Linear(32, 10), nn.Linear(32, 10)
        self.pool = nn.Sequential(nn.AvgPool2d((7, 4)), nn.Flatten())
        self.body = nn.Linear(28, 32)

    def forward(self, images: Tensor) -> Tensor:
        hidden = self.body(self.pool(images)).relu()
        output: Tensor = self.one(hidden) + self.other(hidden)
        return output
