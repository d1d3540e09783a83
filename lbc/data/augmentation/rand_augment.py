"""RandAugment (Cubuk et al., 2020), as DeiT's recipe uses it: two of fifteen changes an image.

The changes, and how a magnitude of 0 … 10 sets them, are those known as ``rand-m9-mstd0.5-inc1``:
each grows more severe with the magnitude, and each is left out with probability 1/2.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from PIL import Image, ImageEnhance, ImageOps
from torch import Tensor

from lbc.data.augmentation.draws import Draws

CHANGES = 2
CHANCE = 0.5
MOST = 10.0

Change = Callable[[Image.Image, float, int | tuple[int, ...]], Image.Image]
"""A picture, a severity of -1 … 1, the colour that fills what moves in → a picture.

Where a change has no direction, only the severity's size counts.
"""


def rand_augment(
    images: Tensor, magnitude: float, deviation: float, fill: Tensor, draws: Draws
) -> Tensor:
    """Images uint8 (b, 1 or 3, H, W), changed; ``fill`` (channels,) is the colour that moves in."""
    which = (draws.uniform(CHANGES) * len(ALL)).long().tolist()
    left_out = (draws.uniform(CHANGES) >= CHANCE).tolist()
    severity = (magnitude + deviation * draws.normal(CHANGES)).clamp(0, MOST) / MOST
    signed = torch.where(draws.uniform(CHANGES) < 0.5, -severity, severity).tolist()
    colour = tuple(fill.round().int().tolist())
    changed = torch.empty_like(images)
    for number, image in enumerate(images):
        picture = _picture(image)
        for index, skip, amount in zip(
            which[number], left_out[number], signed[number], strict=True
        ):
            if not skip:
                picture = ALL[index](picture, amount, colour if len(colour) > 1 else colour[0])
        changed[number] = _tensor(picture)
    return changed


def _picture(image: Tensor) -> Image.Image:
    array = image.permute(1, 2, 0).contiguous().numpy()
    return Image.fromarray(array[:, :, 0] if array.shape[2] == 1 else array)


def _tensor(picture: Image.Image) -> Tensor:
    pixels = torch.frombuffer(bytearray(picture.tobytes()), dtype=torch.uint8)
    return pixels.view(picture.height, picture.width, -1).permute(2, 0, 1)


def _moved(
    picture: Image.Image, matrix: tuple[float, ...], fill: int | tuple[int, ...]
) -> Image.Image:
    return picture.transform(
        picture.size,
        Image.Transform.AFFINE,
        matrix,
        Image.Resampling.BILINEAR,
        fillcolor=fill,
    )


def _shear_x(picture: Image.Image, amount: float, fill: int | tuple[int, ...]) -> Image.Image:
    return _moved(picture, (1, 0.3 * amount, 0, 0, 1, 0), fill)


def _shear_y(picture: Image.Image, amount: float, fill: int | tuple[int, ...]) -> Image.Image:
    return _moved(picture, (1, 0, 0, 0.3 * amount, 1, 0), fill)


def _translate_x(picture: Image.Image, amount: float, fill: int | tuple[int, ...]) -> Image.Image:
    return _moved(picture, (1, 0, 0.45 * amount * picture.width, 0, 1, 0), fill)


def _translate_y(picture: Image.Image, amount: float, fill: int | tuple[int, ...]) -> Image.Image:
    return _moved(picture, (1, 0, 0, 0, 1, 0.45 * amount * picture.height), fill)


def _rotate(picture: Image.Image, amount: float, fill: int | tuple[int, ...]) -> Image.Image:
    return picture.rotate(30 * amount, Image.Resampling.BILINEAR, fillcolor=fill)


def _posterize(picture: Image.Image, amount: float, _: object) -> Image.Image:
    left = 4 - int(4 * abs(amount))
    mask = 256 - (1 << (8 - left))  # Pillow's own posterize refuses to leave 0 bits
    return picture.point([level & mask for level in range(256)] * len(picture.getbands()))


def _solarize(picture: Image.Image, amount: float, _: object) -> Image.Image:
    return ImageOps.solarize(picture, 256 - int(256 * abs(amount)))


def _solarize_add(picture: Image.Image, amount: float, _: object) -> Image.Image:
    added = int(110 * abs(amount))
    table = [min(255, level + added) if level < 128 else level for level in range(256)]
    return picture.point(table * len(picture.getbands()))


def _enhanced(
    kind: Callable[
        [Image.Image],
        ImageEnhance.Brightness
        | ImageEnhance.Color
        | ImageEnhance.Contrast
        | ImageEnhance.Sharpness,
    ],
) -> Change:
    def change(picture: Image.Image, amount: float, _: object) -> Image.Image:
        return kind(picture).enhance(max(0.1, 1 + 0.9 * amount))

    return change


ALL: tuple[Change, ...] = (
    lambda picture, amount, fill: ImageOps.autocontrast(picture),
    lambda picture, amount, fill: ImageOps.equalize(picture),
    lambda picture, amount, fill: ImageOps.invert(picture),
    _rotate,
    _posterize,
    _solarize,
    _solarize_add,
    _enhanced(ImageEnhance.Color),
    _enhanced(ImageEnhance.Contrast),
    _enhanced(ImageEnhance.Brightness),
    _enhanced(ImageEnhance.Sharpness),
    _shear_x,
    _shear_y,
    _translate_x,
    _translate_y,
)
