"""The data of the mask picture, for saving."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from lbc.inspection.rows import Rows, as_floats, weight_rows
from lbc.inspection.violations import find_violations
from lbc.sparsity.blocks import weight_place
from lbc_gui.export.view_export import Data, as_csv, as_npz
from lbc_gui.inspector.reader_thread import LayerPicture


def layer_data(picture: LayerPicture) -> Data:
    """All weights of the open layer.

    npz: ``weights`` (O, kernel · I), the inputs of one kernel position side by side; ``shape`` of
    the weight; ``other_weights`` of the other checkpoint; the ``pattern`` checked and the blocks
    that break it, ``violations`` int64 (V,), if a pattern is chosen.
    """
    arrays: dict[str, Any] = {
        "layer": np.array(picture.name),
        "shape": np.array(picture.shape),
        "weights": as_floats(weight_rows(picture.weight())),
    }
    if picture.other is not None:
        arrays["other_weights"] = as_floats(weight_rows(picture.other()))
    if picture.pattern is not None:
        arrays["pattern"] = np.array(str(picture.pattern))
    if picture.violations is not None:
        arrays["violations"] = find_violations(picture.weight(), picture.violations.pattern).blocks
    kernel = tuple(f"kernel_{axis}" for axis in range(len(picture.shape) - 2))
    columns = ("output", "input", *kernel, "weight")
    csv = as_csv(columns, picture.codes.size, _weights(picture, arrays["weights"]))
    return Data(f"weights {picture.name}", {".npz": as_npz(arrays), ".csv": csv})


def _weights(picture: LayerPicture, rows: Rows) -> Iterator[tuple[object, ...]]:
    for row, weights in enumerate(rows):
        for column, weight in enumerate(weights.tolist()):
            yield *weight_place(picture.shape, row, column), weight
