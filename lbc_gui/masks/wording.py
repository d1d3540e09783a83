"""Masks in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lbc.masks import block_coordinates
from lbc_gui.masks.drawing import Sheet
from lbc_gui.masks.numbers import Numbers
from lbc_gui.scores.wording import glyphs

if TYPE_CHECKING:
    from lbc.mask_statistics import Agreement

LISTED = 6
"""Dead channels that are named one by one."""


def cell_words(sheet: Sheet, block: int, position: int) -> tuple[str, str]:
    """What stands in a cell of a mask: its weight, or its gain, or its place; kept or removed."""
    kept = "kept" if sheet.kept[block, position] else "removed"
    if sheet.weights is not None:
        return f"{sheet.weights[block, position]:+.4f}", kept
    if sheet.beta is not None:
        return f"{sheet.beta[block, position]:+.5f}", kept
    return kept, f"position {position}"


def weight_text(sheet: Sheet, block: int, position: int, since: float | None = None) -> str:
    """One weight: its coordinates, its value, whether it is kept, and its block's best.

    ``since`` is the epoch from which it has been removed.
    """
    out, into, *kernel = block_coordinates(sheet.shape, sheet.pattern, block)[position]
    parts = [f"output {out} · input {into}"]
    if kernel:
        parts[0] += f" · kernel {', '.join(map(str, kernel))}"
    if sheet.weights is not None:
        parts.append(f"weight {sheet.weights[block, position]:+.5f}")
    if sheet.beta is not None:
        parts.append(f"β {sheet.beta[block, position]:+.5f}")
    if sheet.kept[block, position]:
        parts.append("kept")
    else:
        parts.append("removed" if since is None else f"removed since epoch {since:.2f}")
    parts.append(f"block {block}")
    kept = tuple(int(j) for j in sheet.kept[block].nonzero()[0])
    if sheet.pattern.m <= 16:
        parts[-1] += f" {glyphs(kept, sheet.pattern.m)}"
    return " · ".join(parts)


def dead_text(numbers: Numbers) -> str:
    """Channels that keep nothing, as links ``o3`` and ``i12``."""
    return "<br>".join((
        _dead("output", "o", numbers.dead_outputs),
        _dead("input", "i", numbers.dead_inputs),
    ))  # fmt: skip


def _dead(kind: str, letter: str, channels: tuple[int, ...]) -> str:
    if not channels:
        return f"no dead {kind} channel"
    links = ", ".join(f'<a href="{letter}{at}">{at}</a>' for at in channels[:LISTED])
    more = ", …" if len(channels) > LISTED else ""
    plural = "" if len(channels) == 1 else "s"
    return f"<b>{len(channels):,}</b> dead {kind} channel{plural}: {links}{more}"


def numbers_text(numbers: Numbers, against: str) -> str:
    """Everything that is counted, in lines; ``against`` names what the mask is compared with."""
    lines = [f"<b>{numbers.density:.1%}</b> of the weights kept", dead_text(numbers)]
    if numbers.magnitude is not None:
        lines.append(_agreement(numbers.magnitude, "as by |w|", numbers.decided))
    if numbers.agreement is not None and numbers.flips is not None:
        lines.append(_agreement(numbers.agreement, f"as {against}", numbers.decided))
        flips = numbers.flips
        lines.append(f"{flips.switched_on:,} kept only here, {flips.switched_off:,} only there")
    if numbers.changed is not None:
        lines.append(f"{numbers.changed:.1%} of blocks have another best combination")
    return "<br>".join(lines)


def _agreement(found: Agreement, what: str, decided: bool) -> str:
    text = f"<b>{found.positions:.1%}</b> of positions, {found.blocks:.1%} of blocks {what}"
    if not decided:
        return text
    return f"{text} (by chance {found.chance_positions:.1%}, {found.chance_blocks:.1%})"
