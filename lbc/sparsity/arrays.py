"""The kinds of arrays that the code without torch works on, and tensors as such arrays."""

from __future__ import annotations

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


def as_array(values: ArrayOrTensor) -> Array:
    """``values`` as an array, which shares the memory of a tensor on the CPU."""
    if isinstance(values, np.ndarray):
        return values
    tensor = values.detach().cpu()
    try:
        return np.asarray(tensor.numpy())
    except TypeError:  # numpy has no bfloat16; float32 holds it exactly
        return np.asarray(tensor.float().numpy())
