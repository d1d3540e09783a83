"""Text for a layer and a weight of a checkpoint. All of it is plain text."""

from __future__ import annotations

from math import prod

from lbc.inspection.errors import LayerError
from lbc.sparsity.blocks import weight_place
from lbc_gui.captions import with_minus
from lbc_gui.inspector.reader_thread import LayerPicture


def title(picture: LayerPicture) -> str:
    """Name, shape, the pattern it obeys, and how it compares."""
    found, comparison = picture.finding.detection, picture.comparison
    parts = [picture.name, "×".join(map(str, picture.shape)), found.headline]
    pattern = picture.pattern
    if pattern is not None and picture.violations is None:
        parts.append(f"{pattern} does not fit {picture.shape[1]} inputs")
    elif pattern is not None and picture.violations is not None and pattern != found.pattern:
        stated = "stated " if str(pattern) == picture.finding.stated else ""
        count = picture.violations.count
        parts.append(f"{stated}{pattern} " + (f"broken {count:,} times" if count else "obeyed"))
    elif comparison is None:
        parts.append(f"{found.density:.1%} kept")
    if found.counts.nonfinite:
        parts.append(f"{found.counts.nonfinite:,} NaN or infinite")
    if comparison is not None and comparison.agreement is not None:
        parts.append(f"{comparison.flipped:,} flipped ({1 - comparison.agreement:.2%})")
    elif comparison is not None:
        parts.append(comparison.difference)
    return " · ".join(parts)


def weight_text(picture: LayerPicture, row: int, column: int) -> str:
    """One weight: its position, its value, its block, and the other checkpoint's value."""
    place = weight_place(picture.shape, row, column)
    output, inputs, *kernel = place
    try:
        values = picture.weight()
        others = picture.other() if picture.other is not None else None
    except LayerError:
        return "The file has changed: open it again."
    weight = float(values[place])
    parts = [f"output {output} · input {inputs}"]
    if kernel:
        parts.append(f"kernel {', '.join(map(str, kernel))}")
    parts.append(with_minus(f"weight {weight:+.6g}") if weight else "zero")
    if others is not None:
        other = float(others[place])
        said = with_minus(f"{other:+.6g}") if other else "zero"
        parts.append(f"in the second {said}")
    if picture.violations is not None:
        pattern = picture.violations.pattern
        start = inputs // pattern.m * pattern.m
        at: tuple[int | slice, ...] = (output, slice(start, start + pattern.m), *kernel)
        members = values[at]
        kept = int((members != 0).sum())
        touched = int(pattern.unit_sums((members != 0)[None]).sum()) * pattern.width
        block = row * (prod(picture.shape[1:]) // pattern.m) + column // pattern.m
        most = pattern.n if pattern.width == 1 else pattern.limit
        verdict = f", more than {most}" if touched > pattern.n else ""
        parts.append(f"block {block:,} keeps {kept} of {pattern.m}{verdict}")
    return " · ".join(parts)
