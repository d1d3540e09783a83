"""A block's biography as a table or as arrays, for other programs."""

from __future__ import annotations

import csv
from io import BytesIO, StringIO
from pathlib import Path
from typing import Any

import numpy as np

from lbc.runs.atomic import write_atomically
from lbc.runs.biography import Biography, Removal
from lbc.runs.history_parts import Array, incidence


def write_csv(path: Path, life: Biography) -> None:
    """One row for each moment; combinations are named by the positions they hold, ``0-1``.

    Columns: epoch, winner, of every combination its score and whether it lives, of every position
    β and whether the mask keeps it, then what was removed and what the user did. Empty where
    nothing was kept. Raises OSError, with the old file untouched, where it cannot be written.
    """
    names = [_name(life, combination) for combination in range(life.pattern.count)]
    columns: dict[str, list[object]] = {
        "epoch": life.epochs.tolist(),
        "winner": [names[winner] for winner in life.winners],
    }
    for label, held, table in (
        ("score", names, life.scores),
        ("live", names, life.live),
        ("beta", list(map(str, range(life.pattern.m))), life.position_scores),
        ("kept", list(map(str, range(life.pattern.m))), life.mask),
    ):
        if table is not None:
            columns |= {f"{label} {name}": _cells(table[:, k]) for k, name in enumerate(held)}
    moments = range(len(life.epochs))
    columns["removed"] = [
        "; ".join(_told(names, one) for one in life.removals if one.moment == moment)
        for moment in moments
    ]
    columns["intervention"] = [
        "; ".join(
            f"{done.intervention.action} {names[done.intervention.combination]}"
            for done in life.interventions
            if done.moment == moment
        )
        for moment in moments
    ]
    text = StringIO()
    writer = csv.writer(text)
    writer.writerow(columns)
    writer.writerows(zip(*columns.values(), strict=True))
    write_atomically(path, lambda file: file.write(text.getvalue().encode()))


def write_npz(path: Path, life: Biography) -> None:
    """The arrays of ``Biography``, ``members`` (C, N), and removals and interventions in columns.

    An unknown rank is 0, an unknown margin nan; what was never kept is left out. Raises OSError as
    ``write_csv`` does.
    """
    removals, done = life.removals, life.interventions
    arrays: dict[str, Any] = {
        "pattern": np.array([life.pattern.n, life.pattern.m]),
        "members": np.nonzero(incidence(life.pattern))[1].reshape(-1, life.pattern.n),
        "epochs": life.epochs,
        "winners": life.winners,
        "live": life.live,
        "mask": life.mask,
        "scores": life.scores,
        "position_scores": life.position_scores,
        "removed_moment": np.array([one.moment for one in removals], np.int64),
        "removed_combination": np.array([one.combination for one in removals], np.int64),
        "removed_rank": np.array([one.rank or 0 for one in removals], np.int64),
        "removed_of": np.array([one.of for one in removals], np.int64),
        "removed_margin": np.array(
            [np.nan if one.margin is None else one.margin for one in removals], np.float64
        ),
        "removed_cause": np.array([one.cause for one in removals], "U5"),
        "done_moment": np.array([one.moment for one in done], np.int64),
        "done_action": np.array([one.intervention.action for one in done], "U5"),
        "done_combination": np.array([one.intervention.combination for one in done], np.int64),
    }
    memory = BytesIO()
    np.savez_compressed(memory, **{name: at for name, at in arrays.items() if at is not None})
    write_atomically(path, lambda file: file.write(memory.getbuffer()))


def _name(life: Biography, combination: int) -> str:
    return "-".join(map(str, np.flatnonzero(incidence(life.pattern)[combination])))


def _cells(column: Array) -> list[object]:
    if column.dtype == bool:
        return list(column.astype(int).tolist())
    return ["" if np.isnan(value) else repr(float(value)) for value in column]


def _told(names: list[str], one: Removal) -> str:
    rank = "" if one.rank is None else f", rank {one.rank} of {one.of}"
    margin = "" if one.margin is None else f", margin {one.margin:.6g}"
    return f"{names[one.combination]} by {one.cause}{rank}{margin}"
