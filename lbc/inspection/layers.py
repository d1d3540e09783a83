"""The layers among the tensors of a checkpoint, their effective weights, and what is left."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from math import prod
from typing import TYPE_CHECKING

from lbc.inspection.errors import DamagedError, LayerError
from lbc.inspection.stored_tensor import FLOATS, StoredTensor

if TYPE_CHECKING:
    from torch import Tensor

PARAMETRIZED = "parametrizations.weight."
"""Prefix under which torch.nn.utils.parametrize stores the weight of a layer in training."""

BESIDE_WEIGHTS = (
    "_scale", "_scale_inv", "_zero_point", "_shape", "_g_idx", "_offset", ".absmax", ".quant_map",
    "scales", "_u", "_v",
)  # fmt: skip
"""Endings of the names of tensors that describe a weight and are none themselves."""

NO_WEIGHTS = (
    "embed", "token", "position", "bias", "gamma", "beta", "mean", "var", "std", "freq", "anchor",
)  # fmt: skip
"""Parts of the names of parameters and buffers that nothing is multiplied by as a matrix."""

QUANTISED = "it is {dtype}: whether a stored 0 is a zero depends on how it was quantised"
UNNAMED = "its name does not say that it is a weight, nor which dimension its inputs are"


@dataclass(frozen=True)
class Layers:
    """The layers by name; all other tensors; and which of those may be weights, with the reason
    why they cannot be judged."""

    layers: dict[str, StoredTensor] = field(default_factory=dict)
    others: dict[str, StoredTensor] = field(default_factory=dict)
    unjudged: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Composed:
    """A weight that several tensors make up: ``parts`` are their names."""

    name: str
    weight: StoredTensor
    parts: tuple[str, ...]


def find_layers(tensors: Mapping[str, StoredTensor]) -> Layers:
    """Sort the tensors of a checkpoint, in its order.

    A layer is a floating-point tensor of two or more dimensions whose name says that it is a
    weight, a weight with a mask, with weight normalisation or in compressed form, or a mask.
    """
    found = Layers()
    composed = {part: one for one in _composed(tensors) for part in one.parts}
    for key, tensor in tensors.items():
        weight = composed.get(key)
        if weight is not None:
            if key == weight.parts[0]:
                _add(found, weight.name, key, weight.weight)
        elif is_weight(key) and tensor.dtype in (*FLOATS, "bool") and len(tensor.shape) > 1:
            _add(found, layer_name(key), key, tensor)
        else:
            found.others[key] = tensor
            reason = _reason(key, tensor)
            if reason:
                found.unjudged[key] = reason
    return found


def _add(found: Layers, name: str, key: str, weight: StoredTensor) -> None:
    # A file may contain both a plain weight and one in training for the same layer.
    name = key if name in found.layers else name
    if weight.problem:
        found.others[name] = weight
        found.unjudged[name] = weight.problem
    elif weight.weights:
        found.layers[name] = weight


def is_weight(key: str) -> bool:
    """Whether a tensor of this name is a layer's weight or a mask of it."""
    last = key.removesuffix(".mask").rpartition(".")[2]
    return "weight" in last and not last.endswith((*BESIDE_WEIGHTS, "_orig", "_g"))


def layer_name(key: str) -> str:
    """``conv1`` for ``conv1.weight``; other names say themselves which of the weights it is."""
    return key.removesuffix(".mask").removesuffix(".weight")


def _reason(key: str, tensor: StoredTensor) -> str:
    """Why a tensor that may be a weight is not judged; "" if it is evidently none."""
    last = key.rpartition(".")[2]
    weight = "weight" in last
    if key.endswith(BESIDE_WEIGHTS) or ".parametrizations." in f".{key}":
        inside = key.endswith((".original", ".original0")) and "weight" in key
        return "its parametrization is not an N:M mask: remove it before saving" if inside else ""
    if tensor.problem:
        return tensor.problem if weight or len(tensor.shape) > 1 else ""
    if len(tensor.shape) < 2 or not tensor.weights:
        return ""
    if last.endswith("_orig"):
        return "it is not the weight itself: spectral normalisation or a pruning without its mask"
    if tensor.dtype in FLOATS:
        return "" if any(part in last.lower() for part in NO_WEIGHTS) else UNNAMED
    quantised = weight or tensor.dtype in ("int8", "uint8") or tensor.dtype.startswith("complex")
    return QUANTISED.format(dtype=tensor.dtype) if quantised else ""


def _composed(tensors: Mapping[str, StoredTensor]) -> Iterator[Composed]:
    for key, tensor in tensors.items():
        stem, _, last = key.rpartition(".")
        if last == "original" and ".parametrizations." in f".{key}":
            name = stem.replace("parametrizations.", "")
            for mask in (f"{stem}.0.mask", f"{stem}.0.layer.mask"):
                if mask in tensors and "weight" in name:
                    swapped = mask.endswith(".layer.mask")
                    weight = _masked(tensor, tensors[mask], swapped)
                    yield Composed(layer_name(name), weight, (key, mask))
        elif last == "original1" and f"{stem}.original0" in tensors:
            name = stem.replace("parametrizations.", "")
            other = f"{stem}.original0"
            yield Composed(layer_name(name), _normed(tensor, tensors[other]), (key, other))
        elif (
            last.endswith("weight_orig") and (mask := key.removesuffix("orig") + "mask") in tensors
        ):
            name = key.removesuffix("_orig")
            yield Composed(layer_name(name), _masked(tensor, tensors[mask]), (key, mask))
        elif last.endswith("weight_v") and (other := key.removesuffix("v") + "g") in tensors:
            name = key.removesuffix("_v")
            yield Composed(layer_name(name), _normed(tensor, tensors[other]), (key, other))
        elif last == "compressed" and {f"{stem}.bitmask", f"{stem}.shape"} <= tensors.keys():
            parts = tuple(f"{stem}.{at}" for at in ("compressed", "bitmask", "shape"))
            offsets = f"{stem}.row_offsets"
            unused = (offsets,) if offsets in tensors else ()
            yield Composed(stem, _bitmask(*(tensors[at] for at in parts)), (*parts, *unused))
        elif last == "weight" and tensor.dtype == "int8":
            scale = f"{stem}.weight_scale"
            if scale in tensors and f"{stem}.weight_zero_point" not in tensors:
                yield Composed(stem, _scaled(tensor, tensors[scale]), (key, scale))


def _together(first: StoredTensor, *others: StoredTensor) -> StoredTensor:
    """The header of ``first``, with the size and the problems of all."""
    problem = next((at.problem for at in (first, *others) if at.problem), "")
    size = first.bytes + sum(at.bytes for at in others)
    return replace(first, bytes=size, problem=problem, mapped=False)


def _masked(weight: StoredTensor, mask: StoredTensor, swapped: bool = False) -> StoredTensor:
    """``weight`` where the mask is not zero; ``swapped``: the weight is (I, O, *kernel)."""
    both = _together(weight, mask)
    first, *kernel = weight.shape or (0,)
    shape = (kernel[0], first, *kernel[1:]) if swapped and kernel else weight.shape
    if len(shape) < 2 or mask.shape != shape or weight.dtype not in FLOATS:
        problem = "its mask has another shape or its weight no floating-point type"
        return replace(both, problem=both.problem or problem)

    def load() -> Tensor:
        own = weight.read().movedim(0, 1) if swapped else weight.read()
        factor = mask.read()
        return own * factor if factor.is_floating_point() else own.masked_fill(factor == 0, 0)

    return replace(both, shape=shape, load=load)


def _normed(direction: StoredTensor, length: StoredTensor) -> StoredTensor:
    """Weight normalisation: g · v / |v|, the norm over the dimensions in which g has size 1."""
    both = _together(direction, length)
    shapes = zip(direction.shape, length.shape, strict=False)
    fits = len(length.shape) in (0, len(direction.shape)) and all(b in (1, a) for a, b in shapes)
    if not fits or len(direction.shape) < 2 or direction.dtype not in FLOATS:
        return replace(both, problem=both.problem or "it is not the norm and direction of a weight")

    def load() -> Tensor:
        import torch

        v, g = direction.read(), length.read()
        wide = torch.promote_types(v.dtype, torch.float32)
        axes = [axis for axis in range(v.ndim) if not g.ndim or g.shape[axis] == 1]
        norm = torch.linalg.vector_norm(v.to(wide), dim=axes, keepdim=True).clamp_min(1e-30)
        weight: Tensor = v.to(wide) * (g.to(wide) / norm)
        return weight

    return replace(both, load=load)


def _scaled(weight: StoredTensor, scale: StoredTensor) -> StoredTensor:
    """Symmetric int8 of compressed-tensors: value times scale, one for each row or for all."""
    both = replace(_together(weight, scale), dtype="float32")
    rows = (weight.shape[:1] + (1,) * (len(weight.shape) - 1), (1,), ())
    if scale.shape not in rows or scale.dtype not in FLOATS or len(weight.shape) < 2:
        problem = QUANTISED.format(dtype="int8")
        return replace(both, problem=both.problem or problem)
    return replace(both, load=lambda: weight.read() * scale.read().float())


def _bitmask(values: StoredTensor, bits: StoredTensor, stated: StoredTensor) -> StoredTensor:
    """``sparse-24-bitmask`` and ``sparse-bitmask`` of compressed-tensors.

    ``bits`` uint8 (O, ⌈I / 8⌉) has a bit for each weight, the lowest of a byte first, and
    ``values`` the weights whose bit is set, row by row
    (vllm-project/compressed-tensors, compressors/sparse_compressors).
    """
    both = _together(values, bits, stated)
    if both.problem or prod(stated.shape) > 8 or not stated.dtype.startswith("int"):
        return replace(both, problem=both.problem or "its shape is damaged")
    try:
        shape = tuple(int(size) for size in stated.read().flatten().tolist())
    except LayerError as error:
        return replace(both, problem=str(error))
    rows = (prod(shape[:-1]), -(-shape[-1] // 8)) if shape else ()
    if len(shape) < 2 or min(shape) < 0 or bits.dtype != "uint8" or prod(bits.shape) != prod(rows):
        return replace(both, shape=(), problem="its bitmask does not fit its shape")
    return replace(both, shape=shape, load=partial(unpack_bitmask, values, bits, shape))


def unpack_bitmask(values: StoredTensor, bits: StoredTensor, shape: tuple[int, ...]) -> Tensor:
    """The dense weight of a compressed one. Raises DamagedError."""
    import numpy as np
    import torch

    packed = bits.read().numpy().reshape(-1, -(-shape[-1] // 8))
    mask = np.unpackbits(packed, axis=-1, count=shape[-1], bitorder="little").view(np.bool_)
    kept = values.read().flatten()
    if int(mask.sum()) != len(kept):
        raise DamagedError("its bitmask does not fit its values")
    raw = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}[kept.element_size()]
    dense = torch.zeros(mask.shape, dtype=raw)  # no type of eight bits can be indexed
    dense[torch.from_numpy(mask)] = kept.view(raw)
    return dense.view(kept.dtype).reshape(shape)
