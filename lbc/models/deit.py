"""DeiT-tiny and -small (Touvron et al., "Training data-efficient image transformers", ICML 2021).

The vision transformer of Dosovitskiy et al. (ICLR 2021) in two smaller sizes, without distillation.
"""

from __future__ import annotations

from math import gcd

import torch
import torch.nn.functional as F
from torch import Tensor, nn

HEAD_WIDTH = 64
EPSILON = 1e-6
STANDARD_DEVIATION = 0.02


class PatchEmbed(nn.Module):
    """Splits images into patches and projects each to ``width``: (B, I, H, W) → (B, T, D)."""

    def __init__(self, in_channels: int, width: int, patch: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(in_channels, width, patch, stride=patch)

    def forward(self, images: Tensor) -> Tensor:
        patches: Tensor = self.proj(images)
        return patches.flatten(2).transpose(1, 2)


class Attention(nn.Module):
    """Multi-head self-attention, 64 channels per head: tokens (B, T, D) → (B, T, D)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.heads = width // HEAD_WIDTH
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, tokens: Tensor) -> Tensor:
        qkv = self.qkv(tokens).unflatten(2, (3, self.heads, HEAD_WIDTH))
        query, key, value = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        attended = F.scaled_dot_product_attention(query, key, value)
        result: Tensor = self.proj(attended.transpose(1, 2).flatten(2))
        return result


class Perceptron(nn.Module):
    """Linear layer to 4 × ``width``, GELU, linear layer back: (B, T, D) → (B, T, D)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, 4 * width)
        self.act = nn.GELU()
        self.fc2 = nn.Linear(4 * width, width)

    def forward(self, tokens: Tensor) -> Tensor:
        result: Tensor = self.fc2(self.act(self.fc1(tokens)))
        return result


class DropPath(nn.Module):
    """In training, zeroes the branch of each image with probability ``rate``.

    The other branches are scaled by 1/(1 − rate), which preserves the mean (Huang et al., "Deep
    Networks with Stochastic Depth", ECCV 2016).
    """

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, branch: Tensor) -> Tensor:
        if not self.training or self.rate == 0:
            return branch
        kept = 1 - self.rate
        drawn = branch.new_empty(len(branch), *[1] * (branch.ndim - 1)).bernoulli_(kept)
        return branch * drawn / kept


class Block(nn.Module):
    """Pre-norm residual block: attention, then a perceptron: (B, T, D) → (B, T, D)."""

    def __init__(self, width: int, drop_path: float) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=EPSILON)
        self.attn = Attention(width)
        self.norm2 = nn.LayerNorm(width, eps=EPSILON)
        self.mlp = Perceptron(width)
        self.drop_path = DropPath(drop_path)

    def forward(self, tokens: Tensor) -> Tensor:
        tokens = tokens + self.drop_path(self.attn(self.norm1(tokens)))
        result: Tensor = tokens + self.drop_path(self.mlp(self.norm2(tokens)))
        return result


class DeiT(nn.Module):
    """Images (B, *in_shape) → logits (B, ``classes``).

    The stochastic depth rate rises linearly from 0 in the first block to ``drop_path`` in the last.
    Parameters have the names of timm, so that the published checkpoints can be loaded. Linear
    weights and embeddings are initialised from a truncated normal distribution with standard
    deviation 0.02, biases with 0, and the patch embedding with torch's default, as in the released
    code. With 1000 classes and 224 pixels, tiny has 5,717,416 parameters, small 22,050,664.

    Raises ValueError unless ``patch`` divides height and width.
    """

    def __init__(
        self,
        width: int,
        in_shape: tuple[int, int, int] = (3, 224, 224),
        classes: int = 1000,
        patch: int = 16,
        drop_path: float = 0.1,
        depth: int = 12,
    ) -> None:
        super().__init__()
        channels, height, side = in_shape
        if height % patch or side % patch:
            raise ValueError(
                f"Patches of {patch}×{patch} do not tile the images of {height}×{side} pixels: set "
                f"model.patch to {_divisors(gcd(height, side))}."
            )
        tokens = (height // patch) * (side // patch) + 1
        self.patch_embed = PatchEmbed(channels, width, patch)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        self.pos_embed = nn.Parameter(torch.zeros(1, tokens, width))
        rates = [drop_path * index / max(depth - 1, 1) for index in range(depth)]
        self.blocks = nn.Sequential(*(Block(width, rate) for rate in rates))
        self.norm = nn.LayerNorm(width, eps=EPSILON)
        self.head = nn.Linear(width, classes)
        self._initialise()

    def _initialise(self) -> None:
        nn.init.trunc_normal_(self.pos_embed, std=STANDARD_DEVIATION)
        nn.init.trunc_normal_(self.cls_token, std=STANDARD_DEVIATION)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=STANDARD_DEVIATION)
                nn.init.zeros_(module.bias)

    def no_weight_decay(self) -> set[str]:
        """Names of parameters without weight decay in the recipe; the same interface as in timm."""
        return {"pos_embed", "cls_token"}

    def forward(self, images: Tensor) -> Tensor:
        patches = self.patch_embed(images)
        cls_tokens = self.cls_token.expand(len(patches), -1, -1)
        tokens = torch.cat([cls_tokens, patches], dim=1) + self.pos_embed
        tokens = self.norm(self.blocks(tokens))
        logits: Tensor = self.head(tokens[:, 0])
        return logits


def _divisors(count: int) -> str:
    """The divisors of ``count`` as text, without 1 and, unless it is the only other, itself."""
    divisors = [side for side in range(2, count) if count % side == 0] or [count]
    *others, last = map(str, divisors)
    return f"{', '.join(others)} or {last}" if others else last
