"""The colours of the score heatmaps: perceptually uniform and safe for colour-blind eyes."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from cmap import Colormap

from lbc.pictures.score_codes import BLANK, HIGHEST, LOWEST, REMOVED, Codes, Colour

RGB = tuple[int, int, int]

MAPS: dict[Colour, str] = {
    "margin": "crameri:vik",
    "difference": "crameri:vik",
    "score": "viridis",
    "rank": "crameri:batlow",
}
"""The colour map for each colour."""

OTHERS = ("crameri:berlin", "cividis", "magma", "crameri:grayC")
"""Further maps, as uniform and as safe."""

REMOVED_COLOUR = (58, 61, 67)
"""A dark neutral that is in none of the maps."""

DISTINCT: tuple[RGB, ...] = (
    (230, 159, 0),
    (86, 180, 233),
    (0, 158, 115),
    (240, 228, 66),
    (0, 114, 178),
    (213, 94, 0),
    (204, 121, 167),
    (217, 217, 217),
)
"""Okabe and Ito's colours, safe for colour-blind eyes, with light grey in place of their black."""

BLACK, WHITE = (16, 20, 24), (242, 244, 246)

SAME_COLOUR = (190, 194, 200)
"""The colour of what both sides of a comparison keep."""


@lru_cache(maxsize=64)
def lookup_table(colour: Colour, background: RGB, name: str = "") -> Codes:
    """RGB of every colour code: uint8 (256, 3). Blank cells take the ``background``.

    ``name`` is a colour map to use instead of the one for ``colour``.
    """
    table = np.empty((256, 3), dtype=np.uint8)
    shades = Colormap(name or MAPS[colour]).lut(HIGHEST - LOWEST + 1)[:, :3]
    table[LOWEST : HIGHEST + 1] = np.round(shades * 255)
    table[REMOVED] = REMOVED_COLOUR
    table[BLANK] = background
    table.flags.writeable = False  # shared by all callers
    return table


def kinds_table(colours: Sequence[RGB], background: RGB) -> Codes:
    """RGB of codes that are kinds, counted from ``LOWEST``: uint8 (256, 3)."""
    table = np.zeros((256, 3), dtype=np.uint8)
    table[LOWEST : LOWEST + len(colours)] = colours
    table[REMOVED] = REMOVED_COLOUR
    table[BLANK] = background
    return table


def ink_on(colour: Sequence[int]) -> RGB:
    """Black or white text, whichever has more contrast on an RGB colour (WCAG 2.2, 1.4.3)."""
    red, green, blue = ((part / 255) ** 2.2 for part in colour)
    return BLACK if 0.2126 * red + 0.7152 * green + 0.0722 * blue > 0.18 else WHITE


def css(colour: Sequence[int]) -> str:
    """An RGB colour as HTML, SVG and matplotlib write it: #e69f00."""
    return "#" + "".join(f"{part:02x}" for part in colour)
