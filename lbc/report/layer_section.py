"""The part of a report that shows one layer, and the table of all."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from math import prod

import numpy as np

from lbc.pictures.colour_keys import combination_colours
from lbc.pictures.colour_tables import css
from lbc.pictures.glyphs import squares
from lbc.pictures.mask_numbers import histogram
from lbc.pictures.score_codes import Fold
from lbc.report.charts import Axis, Line, bar_chart, line_chart, small_bars
from lbc.report.layer_summary import LayerSummary
from lbc.report.pixels import (
    PngImage,
    colour_bar,
    mask_cells,
    mask_picture,
    score_level,
    score_picture,
    winner_picture,
)
from lbc.sparsity.arrays import Array, Bools, Indices
from lbc.sparsity.pattern import Pattern

LISTED = 5
"""Combinations named where there are too many for bars."""

COLUMN = 530
"""Width of a picture on the page, in CSS pixels."""
LOWEST, HIGHEST = 160, 420
"""Its height; shallow and tall layers are stretched to fit, both pictures of a layer alike."""

CORNER_ROWS, CORNER_COLUMNS = 32, 176
"""Outputs and weights of a wide layer that are also shown in full detail."""

NAMED_BARS = 16
"""With more bars, labels are numbers."""


def layer_table(layers: Sequence[LayerSummary], decided: bool) -> str:
    """One row a layer; ``decided``: whether every block has one combination."""
    heads = (
        "layer", "shape", "N:M", "blocks", "combinations", "live", "weights kept",
        "dead outputs", "dead inputs", "commonest winner", "winners",
    )  # fmt: skip
    head = "".join(f"<th>{head}</th>" for head in heads)
    rows = "".join(
        f"<tr>{_row(number, layer, decided)}</tr>" for number, layer in enumerate(layers)
    )
    return (
        f'<div class="wide"><table><thead><tr>{head}</tr></thead>'
        f"<tbody>{rows}</tbody></table></div>"
    )


def layer_section(number: int, layer: LayerSummary) -> str:
    """Pictures and charts of one layer."""
    about = (
        f"{_shape(layer)}, {layer.pattern}: {layer.blocks:,} blocks, "
        f"{layer.pattern.count:,} combinations each."
    )
    if not layer.begun or layer.mask is None or layer.counts is None:
        figures = "<p>No epoch had ended, and at the start all combinations are equal.</p>"
    else:
        height = _height(layer)
        shown = [_scores(layer, height), _mask(layer, layer.mask, height)]
        if prod(layer.shape[1:]) > 2 * COLUMN:
            shown += _corner(layer, layer.mask)
        if layer.winners is not None and int(layer.mask.sum()) == layer.blocks * layer.pattern.n:
            shown.append(_won(layer, layer.winners, height))
        shown += [_winners(layer, layer.counts), _changes(layer)]
        figures = f'<div class="two">{"".join(shown)}</div>'
    return (
        f'<section class="layer" id="layer-{number}"><h3>{_name(layer)}</h3>'
        f'<p class="quiet">{about}</p>{figures}</section>'
    )


def _name(layer: LayerSummary) -> str:
    return escape(layer.name) or "(the whole model)"


def _shape(layer: LayerSummary) -> str:
    return "×".join(map(str, layer.shape))


def _row(number: int, layer: LayerSummary, decided: bool) -> str:
    unknown = "–"
    dead = layer.dead or (unknown, unknown)
    kept = unknown if layer.mask is None else f"{float(layer.mask.mean()):.1%}"
    top = winners = unknown
    if layer.begun and layer.counts is not None:
        best = int(layer.counts.argmax())
        share = int(layer.counts[best]) / layer.blocks
        top = f"{squares(layer.pattern, best)} {share:.2%}"
        bars = histogram(layer.counts, layer.pattern)
        colours = _colours(layer.pattern, bars.by_position)
        winners = small_bars(bars.counts.tolist(), bars.expected, colours)
    live = 1 if decided else layer.live
    cells = (
        f'<a href="#layer-{number}">{_name(layer)}</a>', _shape(layer), layer.pattern,
        f"{layer.blocks:,}", f"{layer.pattern.count:,}",
        f"{live:,}" if live else unknown, kept, *dead,
    )  # fmt: skip
    return (
        "".join(f"<td>{cell}</td>" for cell in cells)
        + f'<td class="winner">{top}</td><td class="picture">{winners}</td>'
    )


def _height(layer: LayerSummary) -> float:
    """The height of square cells of scores, or of the mask, within the limits."""
    if layer.scores is None:
        rows, columns = layer.shape[0], prod(layer.shape[1:])
        return min(HIGHEST, max(LOWEST, 2 * COLUMN * rows / columns))
    rows, columns = Fold(layer.shape[0], layer.blocks, layer.pattern.count).size
    return min(HIGHEST, max(LOWEST, COLUMN * rows / columns))


def _image(picture: PngImage, width: int, height: float, alt: str) -> str:
    sharp = " sharp" if picture.width <= width and picture.height <= height else ""
    return (
        f'<img class="cells{sharp}" style="height:{height:.0f}px" src="{picture.uri}" '
        f'alt="{escape(alt)}">'
    )


def _reduction(picture: PngImage, how: str) -> str:
    rows, columns = picture.cells
    return f" One pixel is {how} of {rows} × {columns} cells." if rows * columns > 1 else ""


def _scores(layer: LayerSummary, height: float) -> str:
    pattern, scores = layer.pattern, layer.scores
    if scores is None:
        return ""
    level = score_level(scores.values)
    picture = score_picture(scores.values, layer.shape[0], level)
    state = "decided" if scores.live <= 1 else f"{scores.live} of {pattern.count} live"
    caption = (
        f"Scores after epoch {scores.epoch:g} ({state}), less the mean of their block. Rows: "
        f"output channels; along them the blocks, in each its {pattern.count} combinations."
        f"{_reduction(picture, 'the best')}"
    )
    bar = (
        f'<div class="bar-of-colours">−{level:.2g}<img class="sharp" src="{colour_bar()}" alt="">'
        f'+{level:.2g}<span class="swatch"></span>removed</div>'
    )
    image = _image(picture, COLUMN, height, "Scores")
    return f"<figure>{image}{bar}<figcaption>{caption}</figcaption></figure>"


def _mask(layer: LayerSummary, mask: Bools, height: float) -> str:
    picture = mask_picture(mask_cells(mask, layer.pattern))
    epoch = f"{layer.epoch:g}"
    order = "input channels" if len(layer.shape) == 2 else "kernel positions, input channels within"
    caption = (
        f"The mask after epoch {epoch}; blue is kept. Rows: output channels; columns: {order}."
        f"{_reduction(picture, 'the mean')}"
    )
    if layer.scores is None:
        caption += " Of patterns with so many combinations no scores are kept."
    alone = layer.scores is None
    wide = ' class="both"' if alone else ""
    image = _image(picture, 2 * COLUMN if alone else COLUMN, height, "Mask")
    return f"<figure{wide}>{image}<figcaption>{caption}</figcaption></figure>"


def _won(layer: LayerSummary, winners: Array, height: float) -> str:
    picture = winner_picture(winners, layer.shape[0], layer.pattern)
    caption = (
        "Every block in the colour of its winner. Rows: output channels; along them the blocks."
        f"{_reduction(picture, 'the first')}"
    )
    image = _image(picture, COLUMN, height, "Winners")
    return f"<figure>{image}<figcaption>{caption}</figcaption></figure>"


def _colours(pattern: Pattern, by_position: bool) -> list[str]:
    """CSS colours of all combinations; none of positions."""
    if by_position:
        return []
    return [css(rgb) for rgb in combination_colours(np.arange(pattern.count), pattern)]


def _corner(layer: LayerSummary, mask: Bools) -> list[str]:
    """The first blocks of the first outputs again, large enough to see every cell."""
    outputs, m = min(CORNER_ROWS, layer.shape[0]), layer.pattern.m
    blocks = min(CORNER_COLUMNS // m, layer.blocks // layer.shape[0])
    where = f"first {blocks} blocks of the first {outputs} output channels, cell by cell."
    figures = []
    if layer.scores is not None:
        values = layer.scores.values
        part = values.reshape(layer.shape[0], -1, layer.pattern.count)[:outputs, :blocks]
        picture = score_picture(part.reshape(-1, layer.pattern.count), outputs, score_level(values))
        figures.append((picture, "Scores of the first blocks", "Scores"))
    cells = mask_cells(mask, layer.pattern)[:outputs, : blocks * m]
    figures.append((mask_picture(cells), "Mask of the first blocks", "Mask"))
    wide = ' class="both"' if len(figures) == 1 else ""
    return [
        f"<figure{wide}>{_image(picture, picture.width, LOWEST, alt)}"
        f"<figcaption>{what} of the {where}</figcaption></figure>"
        for picture, alt, what in figures
    ]


def _winners(layer: LayerSummary, counts: Indices) -> str:
    pattern, blocks = layer.pattern, layer.blocks
    bars = histogram(counts, pattern)
    if not bars.by_position:
        names = [squares(pattern, c) for c in range(pattern.count)]
        axes = ("winning combination", "blocks won")
        labels = names
        if len(names) > NAMED_BARS:
            labels = [str(c + 1) for c in range(len(names))]
            axes = ("winning combination, in lexicographic order", "blocks won")
        caption = "Blocks that each combination has won."
    else:
        names = labels = [str(j) for j in range(pattern.m)]
        axes = ("position in the block", "blocks whose winner holds it")
        most = np.argsort(-counts, kind="stable")[:LISTED].tolist()
        named = ", ".join(f"{squares(pattern, c)} {int(counts[c]):,}" for c in most)
        won = int((counts > 0).sum())
        caption = (
            f"Positions that the winners hold. {won:,} of {pattern.count:,} combinations have won "
            f"a block, each expected in {blocks / pattern.count:.2g}; most often {named}."
        )
    expected = bars.expected, bars.deviation
    chart = bar_chart("Winning combinations", bars.counts.tolist(), names, labels, expected, axes,
                      _colours(pattern, bars.by_position))  # fmt: skip
    return (
        f"<figure>{chart}<figcaption>{caption} Dashed: the mean of a uniformly random choice, "
        "shaded: ± 2 standard deviations of it.</figcaption></figure>"
    )


def _changes(layer: LayerSummary) -> str:
    if not len(layer.epochs):
        return ""
    lines = [
        Line("best combination changed", layer.epochs, 100 * layer.changed, "green", dots=True)
    ]
    caption = "Blocks whose best combination is another than an epoch before"
    if layer.flipped.any():
        lines.append(Line("mask flips", layer.epochs, 100 * layer.flipped, "blue", dots=True))
        caption += ", and weights at which the mask is"
    end = float(layer.epochs[-1])
    unit = "% of blocks in an epoch" if len(lines) == 1 else "% of blocks, of weights in an epoch"
    chart = line_chart("Flips", lines, Axis("epoch", 0, end), Axis(unit, 0))
    return f"<figure>{chart}<figcaption>{caption}.</figcaption></figure>"
