"""Arrays without torch: their kinds, tensors as arrays, and passes over large ones."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from torch import Tensor

Array = npt.NDArray[Any]
Bools = npt.NDArray[np.bool_]
Bytes = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]
Indices = npt.NDArray[np.int64]

ArrayOrTensor: TypeAlias = "Array | Tensor"

CACHED_CELLS = 1 << 17
"""As many numbers as a processor's cache holds, with what is computed from them."""


def as_array(values: ArrayOrTensor) -> Array:
    """``values`` as an array, which shares the memory of a tensor on the CPU."""
    if isinstance(values, np.ndarray):
        return values
    tensor = values.detach().cpu()
    try:
        return np.asarray(tensor.numpy())
    except TypeError:  # numpy has no bfloat16; float32 holds it exactly
        return np.asarray(tensor.float().numpy())


def by_chunks(compute: Callable[[slice], Array], rows: int, cells: int) -> Array:
    """``compute`` of ``rows`` rows of so many ``cells``, as many at a time as a cache holds.

    So no intermediate copy is as large as the layer. The result is in Fortran order: passes over
    every block's k-th cell then run through memory in order.
    """
    size = max(1, CACHED_CELLS // cells)
    first = compute(slice(0, size))
    if rows <= size:
        return np.asfortranarray(first)
    whole = np.empty((rows, *first.shape[1:]), first.dtype, order="F")
    whole[:size] = first
    for start in range(size, rows, size):
        whole[start : start + size] = compute(slice(start, start + size))
    return whole


def put(scores: Floats, where: Bools, value: float) -> Floats:
    """Put ``value`` into ``scores``, float32, where true, and return them.

    Computes on bits: NumPy's own functions branch at every cell, and take ten times as long if the
    places are scattered.
    """
    bits = scores.view(np.uint32)
    changes = bits ^ np.float32(value).view(np.uint32)
    changes &= all_bits(where)
    bits ^= changes
    return scores


def all_bits(where: Bools) -> npt.NDArray[np.uint32]:
    """All bits set where true, none elsewhere."""
    return np.negative(where.view(np.uint8), dtype=np.uint32)


def percentile(sample: Array, percent: float) -> float:
    """The nearest value there is; NumPy's own, which interpolates, takes five times as long."""
    place = round((len(sample) - 1) * percent / 100)
    return float(np.partition(sample, place)[place])
