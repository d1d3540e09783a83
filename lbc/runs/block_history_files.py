"""Biographies of blocks as a table or as arrays, for other programs."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from io import TextIOWrapper
from typing import IO, Any, cast

import numpy as np

from lbc.runs.block_history import Biography, Life, Removal
from lbc.runs.events import Intervention
from lbc.sparsity.arrays import Array

Row = dict[str, object]


def write_csv(file: IO[bytes], lives: Sequence[Life]) -> None:
    """One row per block and moment; combinations are named by their positions, ``0-1``.

    Columns: layer, block, epoch, winner; for every combination its score and whether it is live;
    for every position β, whether the mask keeps it, and its weight; then removals and
    interventions. Unknown cells are empty; weights observed between two moments have rows of their
    own.
    """
    tables = [_rows(life) for life in lives]
    columns = dict.fromkeys(name for rows in tables for row in rows for name in row)
    for last in ("removed", "intervention"):
        columns[last] = columns.pop(last, None)
    text = TextIOWrapper(file, encoding="utf-8", newline="")
    writer = csv.DictWriter(text, list(columns), restval="")
    writer.writeheader()
    for rows in tables:
        writer.writerows(rows)
    text.detach()  # the caller closes the file


def write_npz(file: IO[bytes], lives: Sequence[Life]) -> None:
    """The arrays of every ``Life``, ``members`` (C, N), removals and interventions in columns.

    For several blocks, names begin with the block's index in ``lives``: ``0/winners``. An unknown
    rank is 0, an unknown margin nan; arrays that were never recorded are left out, and so is
    ``group_width`` where single weights are kept.
    """
    arrays: dict[str, Any] = {}
    for k, life in enumerate(lives):
        start = f"{k}/" if len(lives) > 1 else ""
        arrays |= {f"{start}{name}": at for name, at in _arrays(life).items() if at is not None}
    np.savez_compressed(file, **arrays)


def _arrays(life: Life) -> dict[str, Any]:
    history = life.biography
    removals, done = history.removals, history.interventions
    what = [one.intervention for one in done if isinstance(one.intervention, Intervention)]
    seen = len(life.weight_epochs) > 0
    return {
        "layer": np.array(life.layer),
        "block": np.array(life.block),
        "pattern": np.array([history.pattern.n, history.pattern.m]),
        "group_width": np.array(history.pattern.width) if history.pattern.width > 1 else None,
        "members": history.pattern.member_array,
        "epochs": history.epochs,
        "winners": history.winners,
        "live": history.live,
        "mask": history.mask,
        "scores": history.scores,
        "position_scores": history.position_scores,
        "weight_epochs": life.weight_epochs if seen else None,
        "weights": life.weights if seen else None,
        "removed_moment": np.array([one.moment for one in removals], np.int64),
        "removed_combination": np.array([one.combination for one in removals], np.int64),
        "removed_rank": np.array([one.rank or 0 for one in removals], np.int64),
        "removed_of": np.array([one.of for one in removals], np.int64),
        "removed_margin": np.array(
            [np.nan if one.margin is None else one.margin for one in removals], np.float64
        ),
        "removed_cause": np.array([one.cause for one in removals], "U5"),
        "done_moment": np.array([one.moment for one in done], np.int64),
        "done_action": np.array([one.action for one in what], "U5"),
        "done_combination": np.array([one.combination for one in what], np.int64),
    }


def _rows(life: Life) -> list[Row]:
    """The rows of moments and of observed weights, by epoch."""
    rows = _moments(life.biography)
    by_epoch: dict[object, Row] = {row["epoch"]: row for row in rows}  # the last of equal ones
    for epoch, weights in zip(life.weight_epochs.tolist(), life.weights, strict=True):
        row = by_epoch.get(epoch)
        if row is None:
            row = {"epoch": epoch}
            rows.append(row)
        row |= {f"weight {j}": repr(float(weight)) for j, weight in enumerate(weights)}
    rows.sort(key=lambda row: cast(float, row["epoch"]))
    return [{"layer": life.layer, "block": life.block, **row} for row in rows]


def _moments(life: Biography) -> list[Row]:
    names = ["-".join(map(str, members)) for members in life.pattern.member_array]
    positions = list(map(str, range(life.pattern.m)))
    columns: dict[str, list[object]] = {
        "epoch": life.epochs.tolist(),
        "winner": [names[winner] for winner in life.winners],
    }
    for label, held, table in (
        ("score", names, life.scores),
        ("live", names, life.live),
        ("beta", positions, life.position_scores),
        ("kept", positions, life.mask),
    ):
        if table is not None:
            columns |= {f"{label} {name}": _cells(table[:, k]) for k, name in enumerate(held)}
    moments = range(len(life.epochs))
    columns["removed"] = [
        "; ".join(_described(names, one) for one in life.removals if one.moment == moment)
        for moment in moments
    ]
    columns["intervention"] = [
        "; ".join(
            f"{what.action} {names[what.combination]}"
            for done in life.interventions
            if done.moment == moment and isinstance(what := done.intervention, Intervention)
        )
        for moment in moments
    ]
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def _cells(column: Array) -> list[object]:
    if column.dtype == bool:
        return list(column.astype(int).tolist())
    return ["" if np.isnan(value) else repr(float(value)) for value in column]


def _described(names: list[str], one: Removal) -> str:
    rank = "" if one.rank is None else f", rank {one.rank} of {one.of}"
    margin = "" if one.margin is None else f", margin {one.margin:.6g}"
    return f"{names[one.combination]} by {one.cause}{rank}{margin}"
