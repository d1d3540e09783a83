"""RandAugment (Cubuk et al., 2020) as in the DeiT recipe: two of fifteen operations per image.

The operations and their strength at a magnitude of 0 … 10 are those of timm's
``rand-m9-mstd0.5-inc1``: each gets stronger with the magnitude and is skipped with probability 1/2.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from PIL import Image, ImageEnhance, ImageOps
from torch import Tensor

from lbc.data.augmentation.draws import Draws

OPERATIONS_PER_IMAGE = 2
PROBABILITY = 0.5
MAX_MAGNITUDE = 10.0

Fill = int | tuple[int, ...]
Operation = Callable[[Image.Image, float, Fill], Image.Image]
"""(image, strength in -1 … 1, fill colour of uncovered pixels) → image.

Operations without a direction use the absolute strength.
"""


def rand_augment(
    images: Tensor, magnitude: float, std: float, fill: Tensor, draws: Draws
) -> Tensor:
    """Transform images, uint8 (b, 1 or 3, H, W).

    The magnitude has standard deviation ``std``; ``fill`` (channels,) is the fill colour.
    """
    count = OPERATIONS_PER_IMAGE
    chosen = (draws.uniform(count) * len(OPERATIONS)).long().tolist()
    skipped = (draws.uniform(count) >= PROBABILITY).tolist()
    strength = (magnitude + std * draws.normal(count)).clamp(0, MAX_MAGNITUDE) / MAX_MAGNITUDE
    signed = torch.where(draws.uniform(count) < 0.5, -strength, strength).tolist()
    channels = tuple(fill.round().int().tolist())
    colour = channels if len(channels) > 1 else channels[0]
    result = torch.empty_like(images)
    for number, image in enumerate(images):
        transformed = _to_pil(image)
        for index, skip, amount in zip(
            chosen[number], skipped[number], signed[number], strict=True
        ):
            if not skip:
                transformed = OPERATIONS[index](transformed, amount, colour)
        result[number] = _to_tensor(transformed)
    return result


def _to_pil(image: Tensor) -> Image.Image:
    array = image.permute(1, 2, 0).contiguous().numpy()
    return Image.fromarray(array[:, :, 0] if array.shape[2] == 1 else array)


def _to_tensor(image: Image.Image) -> Tensor:
    pixels = torch.frombuffer(bytearray(image.tobytes()), dtype=torch.uint8)
    return pixels.view(image.height, image.width, -1).permute(2, 0, 1)


def _affine(image: Image.Image, matrix: tuple[float, ...], fill: Fill) -> Image.Image:
    bilinear = Image.Resampling.BILINEAR
    return image.transform(image.size, Image.Transform.AFFINE, matrix, bilinear, fillcolor=fill)


def _shear_x(image: Image.Image, amount: float, fill: Fill) -> Image.Image:
    return _affine(image, (1, 0.3 * amount, 0, 0, 1, 0), fill)


def _shear_y(image: Image.Image, amount: float, fill: Fill) -> Image.Image:
    return _affine(image, (1, 0, 0, 0.3 * amount, 1, 0), fill)


def _translate_x(image: Image.Image, amount: float, fill: Fill) -> Image.Image:
    return _affine(image, (1, 0, 0.45 * amount * image.width, 0, 1, 0), fill)


def _translate_y(image: Image.Image, amount: float, fill: Fill) -> Image.Image:
    return _affine(image, (1, 0, 0, 0, 1, 0.45 * amount * image.height), fill)


def _rotate(image: Image.Image, amount: float, fill: Fill) -> Image.Image:
    return image.rotate(30 * amount, Image.Resampling.BILINEAR, fillcolor=fill)


def _posterize(image: Image.Image, amount: float, _: object) -> Image.Image:
    bits = 4 - int(4 * abs(amount))
    mask = 256 - (1 << (8 - bits))  # Pillow's posterize does not accept 0 bits
    return image.point([level & mask for level in range(256)] * len(image.getbands()))


def _solarize(image: Image.Image, amount: float, _: object) -> Image.Image:
    return ImageOps.solarize(image, 256 - int(256 * abs(amount)))


def _solarize_add(image: Image.Image, amount: float, _: object) -> Image.Image:
    added = int(110 * abs(amount))
    table = [min(255, level + added) if level < 128 else level for level in range(256)]
    return image.point(table * len(image.getbands()))


def _enhance(
    kind: Callable[
        [Image.Image],
        ImageEnhance.Brightness
        | ImageEnhance.Color
        | ImageEnhance.Contrast
        | ImageEnhance.Sharpness,
    ],
) -> Operation:
    def enhance(image: Image.Image, amount: float, _: object) -> Image.Image:
        return kind(image).enhance(max(0.1, 1 + 0.9 * amount))

    return enhance


OPERATIONS: tuple[Operation, ...] = (
    lambda image, amount, fill: ImageOps.autocontrast(image),
    lambda image, amount, fill: ImageOps.equalize(image),
    lambda image, amount, fill: ImageOps.invert(image),
    _rotate,
    _posterize,
    _solarize,
    _solarize_add,
    _enhance(ImageEnhance.Color),
    _enhance(ImageEnhance.Contrast),
    _enhance(ImageEnhance.Brightness),
    _enhance(ImageEnhance.Sharpness),
    _shear_x,
    _shear_y,
    _translate_x,
    _translate_y,
)
