"""Colours as an image of Qt."""

from __future__ import annotations

import numpy as np
from PySide6.QtGui import QImage

from lbc.pictures.score_codes import Codes


def rgb_image(colours: Codes) -> QImage:
    """An image of its own from RGB, uint8 (height, width, 3)."""
    height, width, _ = colours.shape
    pixels = np.ascontiguousarray(colours).tobytes()
    return QImage(pixels, width, height, 3 * width, QImage.Format.Format_RGB888).copy()
