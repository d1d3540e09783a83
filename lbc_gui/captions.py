"""Text for blocks, scores and removals, the same on every page."""

from __future__ import annotations

import numpy as np

from lbc.runs.history_walks import RemovalTimes
from lbc.sparsity.arrays import Floats
from lbc.sparsity.blocks import block_coordinates
from lbc.sparsity.pattern import Pattern

ORDINALS = {1: "st", 2: "nd", 3: "rd"}


def ordinal(number: int) -> str:
    """1st, 2nd, 3rd, 4th …, 11th, 12th, 13th."""
    teen = number % 100 in (11, 12, 13)
    return f"{number}{'th' if teen else ORDINALS.get(number % 10, 'th')}"


def with_minus(text: str) -> str:
    """Numbers with minus signs, as they are printed, and not hyphens, which data have."""
    return text.replace("-", "−")


def place(shape: tuple[int, ...], pattern: Pattern, block: int) -> str:
    """The position of a block in its weight: output channel, inputs, kernel position."""
    coordinates = block_coordinates(shape, pattern, block)
    first, last = coordinates[0], coordinates[-1]
    kernel = f" · kernel {', '.join(map(str, first[2:]))}" if len(first) > 2 else ""
    return f"output {first[0]} · inputs {first[1]}–{last[1]}{kernel}"


def gone_text(gone: RemovalTimes | None, block: int, cell: int) -> str:
    """When a combination or position was removed, and its rank then, as far as known."""
    epoch = None if gone is None else gone.epoch(block, cell)
    if gone is None or epoch is None:
        return "removed"
    standing = gone.rank(block, cell)
    rank = "" if standing is None else f", as {ordinal(standing[0])} of {standing[1]}"
    return f"removed at epoch {epoch:.2f}{rank}"


def score_text(scores: Floats, cell: int) -> str:
    """A live score of a block, its difference from the mean and its rank.

    ``scores`` is (K,), −inf where removed.
    """
    score = scores[cell]
    live = scores[scores > -np.inf]
    above = score - live.mean(dtype=np.float64)
    better = int((scores > score).sum() + (scores[:cell] == score).sum())
    standing = f"{ordinal(better + 1)} of {len(live)}"
    return with_minus(f"score {score:.5f} ({above:+.5f} from the block's mean) · {standing}")
