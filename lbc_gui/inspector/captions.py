"""Text for a layer and a weight of a checkpoint."""

from __future__ import annotations

from html import escape

from lbc.sparsity.blocks import weight_place
from lbc_gui.inspector.reader_thread import LayerPicture


def title(picture: LayerPicture) -> str:
    """Name, shape, the pattern it obeys, and how it compares."""
    found, comparison = picture.finding.detection, picture.comparison
    parts = [f"<b>{escape(picture.name)}</b>", "×".join(map(str, picture.shape)), found.headline]
    pattern = picture.pattern
    if pattern is not None and picture.violations is None:
        parts.append(f"{pattern} does not fit {picture.shape[1]} inputs")
    elif pattern is not None and picture.violations is not None and pattern != found.pattern:
        stated = "stated " if str(pattern) == picture.finding.stated else ""
        count = len(picture.violations)
        parts.append(f"{stated}{pattern} " + (f"broken {count:,} times" if count else "obeyed"))
    elif comparison is None:
        parts.append(f"{found.density:.1%} kept")
    if comparison is not None and comparison.agreement is not None:
        parts.append(f"{comparison.flipped:,} flipped ({1 - comparison.agreement:.2%})")
    elif comparison is not None:
        parts.append(comparison.difference)
    return " · ".join(parts)


def weight_text(picture: LayerPicture, row: int, column: int) -> str:
    """One weight: its position, its value, its block, and the other checkpoint's value."""
    output, inputs, *kernel = weight_place(picture.shape, row, column)
    weight = float(picture.rows[row, column])
    parts = [f"output {output} · input {inputs}"]
    if kernel:
        parts.append(f"kernel {', '.join(map(str, kernel))}")
    parts.append(f"weight {weight:+.6g}" if weight else "zero")
    if picture.others is not None:
        other = float(picture.others[row, column])
        said = f"{other:+.6g}" if other else "zero"
        parts.append(f"in the second {said}")
    if picture.violations is not None:
        pattern = picture.violations.pattern
        start = column // pattern.m * pattern.m
        kept = int((picture.rows[row, start : start + pattern.m] != 0).sum())
        block = row * (picture.rows.shape[1] // pattern.m) + column // pattern.m
        verdict = f", more than {pattern.n}" if kept > pattern.n else ""
        parts.append(f"block {block:,} keeps {kept} of {pattern.m}{verdict}")
    return " · ".join(parts)
