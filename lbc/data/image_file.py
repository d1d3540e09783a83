"""One image file: opening it, turning it upright, converting it to RGB."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from PIL import ExifTags, Image, UnidentifiedImageError

from lbc.data.dataset import DataError
from lbc.files.small_file import open_regular

UNREAD = ("BUFR", "EPS", "GRIB", "HDF5", "MPEG", "WMF")
"""Formats that Pillow only recognises, and EPS, a program that Ghostscript would run."""

DEEP_MODES = ("I", "F")
"""Prefixes of Pillow's modes with more than 8 bits per channel, which conversion would clip."""

MOST_MEGAPIXELS = 60
"""Of one image, which takes up to 8 bytes a pixel while it is decoded; a file may claim any."""

UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What turns an image upright, by its EXIF orientation (CIPA DC-008, 4.6.5)."""


logging.getLogger("PIL").setLevel(logging.CRITICAL)  # what its decoders log, they raise too


@cache
def formats() -> tuple[str, ...]:
    """The formats of Pillow that are read."""
    Image.init()
    return tuple(name for name in Image.ID if name not in UNREAD)


@cache
def endings() -> tuple[str, ...]:
    """The endings of files in these formats, in lower case."""
    read = {*formats(), "MPO"}  # read as JPEG
    return tuple(end for end, name in Image.registered_extensions().items() if name in read)


@contextmanager
def opened(path: Path) -> Iterator[Image.Image]:
    """Open an image file; nothing is decoded yet. Raises DataError, which names the file."""
    try:
        with open_regular(path) as file, Image.open(file, formats=formats()) as image:
            if image.width * image.height > MOST_MEGAPIXELS * 1e6:
                raise DataError(
                    f"{path} has {image.width} × {image.height} pixels, more than "
                    f"{MOST_MEGAPIXELS} megapixels: save it smaller."
                )
            if image.mode.startswith(DEEP_MODES):
                raise DataError(
                    f"{path} has more than 8 bits per channel (Pillow mode {image.mode}), "
                    f"which is not supported: save it with 8 bits."
                )
            yield image
    except DataError:
        raise
    except FileNotFoundError as error:
        raise DataError(f"{path} is missing: restore it, or start a new run.") from error
    except UnidentifiedImageError as error:
        raise DataError(f"{path} is not an image: replace or remove it.") from error
    except Exception as error:  # every decoder raises its own exceptions
        if isinstance(error, OSError) and error.errno is not None:
            raise DataError.unreadable(path, error) from error
        reason = str(error).partition("\n")[0].rstrip(".") or type(error).__name__
        raise DataError(f"{path} is damaged ({reason}): replace or remove it.") from error


def orientation(image: Image.Image) -> int:
    """The EXIF orientation, 1 if there is none. May decode a PNG."""
    found = image.getexif().get(ExifTags.Base.Orientation, 1)
    return found if found in UPRIGHT else 1


def decode(image: Image.Image) -> Image.Image:
    """Decode the first frame, upright, in RGB."""
    image.load()  # which turns a TIFF, and removes its orientation
    if image.mode == "P" and "transparency" in image.info:
        rgb = image.convert("RGBA").convert("RGB")  # avoids a warning of Pillow
    else:
        rgb = image.convert("RGB")
    turn = UPRIGHT.get(orientation(image))
    return rgb if turn is None else rgb.transpose(turn)
