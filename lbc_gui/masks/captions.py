"""Masks in words."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING

from lbc.pictures.glyphs import glyphs
from lbc.pictures.mask_numbers import MaskNumbers
from lbc.pictures.mask_snapshot import Sheet
from lbc.sparsity.blocks import block_coordinates, weight_place
from lbc.sparsity.pattern import Pattern
from lbc_gui.captions import with_minus
from lbc_gui.widgets.text import html

if TYPE_CHECKING:
    from lbc.sparsity.mask_statistics import Agreement

LISTED = 3
"""The most dead channels that are listed by number."""


def cell_words(sheet: Sheet, block: int, position: int) -> tuple[str, str]:
    """The text of a cell of a mask: its value, weight, gain or position; kept or removed."""
    kept = "kept" if sheet.kept[block, position] else "removed"
    if sheet.picture is not None:
        return f"{sheet.picture[block, position]:.4g}", kept
    if sheet.weights is not None:
        return with_minus(f"{sheet.weights[block, position]:+.4f}"), kept
    if sheet.beta is not None:
        return with_minus(f"β {sheet.beta[block, position]:+.5f}"), kept
    return kept, f"position {position}"


def weight_text(sheet: Sheet, block: int, position: int, since: float | None = None) -> str:
    """One weight: its coordinates, its value, whether it is kept, and its block's best.

    ``since`` is the epoch at which it was last removed.
    """
    out, into, *kernel = block_coordinates(sheet.shape, sheet.pattern, block)[position]
    parts = [f"output {out} · input {into}"]
    if kernel:
        parts[0] += f" · kernel {', '.join(map(str, kernel))}"
    if sheet.picture is not None:
        parts.append(f"{sheet.picture_label} {sheet.picture[block, position]:.4g}")
    if sheet.weights is not None:
        parts.append(with_minus(f"weight {sheet.weights[block, position]:+.5f}"))
    if sheet.beta is not None:
        parts.append(with_minus(f"β {sheet.beta[block, position]:+.5f}"))
    if sheet.kept[block, position]:
        parts.append("kept")
    else:
        # What SR-STE kept at a past moment may have been removed again later.
        known = since is not None and since <= sheet.epoch
        parts.append(f"removed since epoch {since:.2f}" if known else "removed")
    parts.append(f"block {block}")
    kept = tuple(int(j) for j in sheet.kept[block].nonzero()[0])
    if sheet.pattern.m <= 16:
        parts[-1] += f" {glyphs(kept, sheet.pattern.m)}"
    return " · ".join(parts)


def input_text(shape: tuple[int, ...], channel: int, at: int) -> str:
    """Which column of an input channel is shown, by the number of its kernel position."""
    _, _, *kernel = weight_place(shape, 0, at * shape[1])
    return (
        f"input {channel} · kernel {', '.join(map(str, kernel))}, position {at + 1} of "
        f"{prod(shape[2:])} · click again for the next one"
    )


def numbers_text(numbers: MaskNumbers, against: str) -> str:
    """All counts, one per line; ``against`` names what the mask is compared with.

    Channels that keep nothing are links, ``o3`` or ``i12``.
    """
    lines = [
        html("<b>{:.1%}</b> of the weights kept", numbers.density),
        _dead("outputs", "o", numbers.dead_outputs),
        _dead("inputs", "i", numbers.dead_inputs),
    ]
    if numbers.magnitude is not None:
        lines.append(_agreement("same as by |w|", numbers.magnitude, numbers.decided))
    if numbers.agreement is not None:
        lines.append(_agreement(f"same as {against}", numbers.agreement, numbers.decided))
    if numbers.flips is not None:
        flips = numbers.flips
        lines.append(f"only here {flips.switched_on:,}, only there {flips.switched_off:,}")
    if numbers.changed is not None:
        lines.append(html("another best in <b>{:.1%}</b> of blocks", numbers.changed))
    return "<br>".join(lines)


def chance_text(numbers: MaskNumbers, pattern: Pattern) -> str:
    """How much two random masks agree; empty if nothing is compared."""
    found = numbers.agreement or numbers.magnitude
    if found is None:
        return ""
    text = (
        f"Two {pattern} masks drawn at random agree in {found.chance_positions:.1%} of the weights "
        f"and in {found.chance_blocks:.2%} of the blocks: κ is then 0, and 1 if they are equal."
    )
    return text if numbers.decided else f"{text} These are not all decided yet, and keep more."


def _dead(kind: str, letter: str, channels: tuple[int, ...]) -> str:
    if not channels:
        return f"dead {kind}: none"
    links = [html('<a href="{}{}">{}</a>', letter, at, at) for at in channels[:LISTED]]
    more = ["…"] if len(channels) > LISTED else []
    return html("dead {}: <b>{:,}</b> (", kind, len(channels)) + ", ".join(links + more) + ")"


def _agreement(what: str, found: Agreement, decided: bool) -> str:
    """Shares, and κ if both masks are ``decided``: before, they keep more than it assumes."""
    shares = html(
        "{}: <b>{:.1%}</b> of weights, {:.1%} of blocks", what, found.positions, found.blocks
    )
    return shares + html(", κ {:.2f}", found.kappa) if decided else shares
