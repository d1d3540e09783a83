"""The numbers behind the Masks page, as they are saved."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from lbc.pictures.mask_snapshot import MaskSnapshot
from lbc_gui.export.view_export import Data, as_csv, as_npz


def mask_data(snapshot: MaskSnapshot) -> Data:
    """The open layer by blocks at the moment shown.

    npz: ``kept`` bool (blocks, M); ``weights``, ``position_scores`` (blocks, M) and ``winners``
    (blocks,), where they are known; ``shape``, ``pattern``, ``layer``, ``epoch``; with a comparison
    ``other_kept`` and ``other_epoch``.
    """
    sheet, beside = snapshot.sheet, snapshot.beside
    layer, epoch = sheet.layer or "model", f"{round(sheet.epoch, 2):g}"
    arrays: dict[str, Any] = {
        "layer": np.array(layer),
        "pattern": np.array(str(sheet.pattern)),
        "shape": np.array(sheet.shape),
        "epoch": np.array(sheet.epoch),
        "kept": sheet.kept,
        "weights": sheet.weights,
        "position_scores": sheet.beta,
        "winners": sheet.best,
    }
    if beside is not None:
        arrays |= {"other_kept": beside.kept, "other_epoch": np.array(beside.epoch)}
    known = {name: array for name, array in arrays.items() if array is not None}
    columns = ("block", "position", "kept", "weight")
    csv = as_csv(columns, sheet.kept.size, _cells(snapshot))
    return Data(f"mask {layer} epoch {epoch}", {".npz": as_npz(known), ".csv": csv})


def _cells(snapshot: MaskSnapshot) -> Iterator[tuple[object, ...]]:
    kept, weights = snapshot.sheet.kept, snapshot.sheet.weights
    for block, position in np.ndindex(kept.shape):
        weight = "" if weights is None else float(weights[block, position])
        yield block, position, int(kept[block, position]), weight
