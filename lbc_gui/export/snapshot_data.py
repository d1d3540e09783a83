"""The numbers behind the Scores page, the Masks page and the pinned block, as they are saved."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from lbc.pictures.glyphs import members_of, squares
from lbc.pictures.mask_snapshot import MaskSnapshot, Sheet
from lbc.pictures.score_codes import rank
from lbc.pictures.score_snapshot import BlockState, Snapshot
from lbc.sparsity.pattern import Pattern
from lbc_gui.export.view_export import Data, as_csv, as_npz


def data_name(layer: str, epoch: float) -> str:
    """Layer and moment in the name of a file, before it is made fit for one."""
    return f"{layer or 'model'} epoch {round(epoch, 2):g}"


def _facts(layer: str, shown: Snapshot | MaskSnapshot | Sheet) -> dict[str, Any]:
    return {
        "layer": np.array(layer or "model"),
        "pattern": np.array(str(shown.pattern)),
        "shape": np.array(shown.shape),
        "epoch": np.array(shown.epoch),
    }


def layer_data(snapshot: Snapshot) -> Data:
    """All scores of the open layer at the moment shown.

    npz: ``scores`` float32 (blocks, C), −inf where removed; ``combinations`` bool (C, M), true at
    the positions each holds; ``shape``, ``pattern``, ``layer``, ``epoch``. ``position_scores``
    (blocks, M), −inf where masked, where C is too large to be drawn. ``scores_epoch`` is when the
    scores are from. Where a history kept none: ``live`` (blocks, C) or ``kept`` (blocks, M).
    """
    past = snapshot.request.moment is not None
    known = not past or snapshot.scores_epoch is not None
    scores, by_position = snapshot.scores, snapshot.by_position
    arrays = _facts(snapshot.request.layer, snapshot)
    if known:
        scores_epoch = snapshot.scores_epoch if past else snapshot.epoch
        arrays["scores_epoch"] = np.array(scores_epoch)
        arrays["position_scores" if by_position else "scores"] = scores
    else:
        arrays["kept" if by_position else "live"] = scores > -np.inf
    if not by_position:
        arrays["combinations"] = snapshot.pattern.incidence_array
    cell = "position" if by_position else "combination"
    columns = ("block", cell, "score", "live") if known else ("block", cell, "live")
    rows = _cells(snapshot, known)
    csv = as_csv(columns, scores.size, rows)
    name = f"scores {data_name(snapshot.request.layer, snapshot.epoch)}"
    return Data(name, {".npz": as_npz(arrays), ".csv": csv})


def _cells(snapshot: Snapshot, known: bool) -> Iterator[tuple[object, ...]]:
    """Every score of every block; a combination is spelled by the positions it holds."""
    names = _cell_names(snapshot.pattern, snapshot.scores.shape[1], snapshot.by_position)
    for block, scores in enumerate(snapshot.scores):
        for name, score in zip(names, scores.tolist(), strict=True):
            live = score > -np.inf
            said = (score if live else "",) if known else ()
            yield block, name, *said, int(live)


def _cell_names(pattern: Pattern, count: int, by_position: bool) -> list[str]:
    if by_position:
        return [str(position) for position in range(count)]
    return [" ".join(map(str, members_of(pattern, combination))) for combination in range(count)]


def block_data(snapshot: Snapshot | MaskSnapshot, block: BlockState) -> Data:
    """Every combination of the pinned block; its weights and mask too where it is an npz.

    npz: ``scores`` float32 (C,), −inf where removed; ``combinations`` bool (C, M); ``kept`` bool
    (M,); ``weights`` float32 (M,) where they are known.
    """
    arrays = _facts(snapshot.request.layer, snapshot) | {
        "block": np.array(block.index),
        "scores": block.scores,
        "combinations": block.pattern.incidence_array,
        "kept": block.kept,
    }
    if block.weights is not None:
        arrays["weights"] = block.weights
    columns = ("combination", "kept", "score", "rank", "live")
    csv = as_csv(columns, len(block.scores), _combinations(block))
    name = f"block {block.index} {data_name(snapshot.request.layer, snapshot.epoch)}"
    return Data(name, {".csv": csv, ".npz": as_npz(arrays)})


def _combinations(block: BlockState) -> Iterator[tuple[object, ...]]:
    """Every combination in lexicographic order; removed ones have neither score nor rank."""
    ranks = rank(block.scores[None])[0].tolist()
    for combination, score in enumerate(block.scores.tolist()):
        members = members_of(block.pattern, combination)
        live = score > -np.inf
        said = (score, ranks[combination]) if live else ("", "")
        kept = squares(block.pattern, combination)
        yield " ".join(map(str, members)), kept, *said, int(live)


def mask_data(snapshot: MaskSnapshot) -> Data:
    """The open layer by blocks at the moment shown.

    npz: ``kept`` bool (blocks, M); ``weights``, ``position_scores``, the method's ``picture``
    (blocks, M) and ``winners`` (blocks,), where they are known; ``shape``, ``pattern``, ``layer``,
    ``epoch``; with a comparison ``other_kept`` and ``other_epoch``.
    """
    sheet, beside = snapshot.sheet, snapshot.beside
    arrays = _facts(sheet.layer, sheet) | {
        "kept": sheet.kept,
        "weights": sheet.weights,
        "position_scores": sheet.beta,
        "winners": sheet.best,
        "picture": sheet.picture,
    }
    if beside is not None:
        arrays |= {"other_kept": beside.kept, "other_epoch": np.array(beside.epoch)}
    known = {name: array for name, array in arrays.items() if array is not None}
    columns = ("block", "position", "kept", "weight")
    csv = as_csv(columns, sheet.kept.size, _weights(sheet))
    name = f"mask {data_name(sheet.layer, sheet.epoch)}"
    return Data(name, {".npz": as_npz(known), ".csv": csv})


def _weights(sheet: Sheet) -> Iterator[tuple[object, ...]]:
    for block, position in np.ndindex(sheet.kept.shape):
        weight = "" if sheet.weights is None else float(sheet.weights[block, position])
        yield block, position, int(sheet.kept[block, position]), weight
