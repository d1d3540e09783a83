"""The constants of an ONNX graph: initializers, and what nodes compute from them alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from lbc.inspection.errors import DamagedError, LayerError
from lbc.inspection.stored_tensor import SIZES, Extent, StoredTensor, tensor_in, unreadable

FOLLOWED = {
    "Identity", "Cast", "Reshape", "Transpose", "Squeeze", "Unsqueeze", "Flatten", "Shape", "Split",
    "Slice", "Concat", "Where", "Clip", "Neg", "Add", "Sub", "Mul", "Div", "QuantizeLinear",
    "DequantizeLinear",
}  # fmt: skip
"""Operations that make a weight of constants; none makes much of little."""

QUANTISATION = ("QuantizeLinear", "DequantizeLinear")
BROADCASTING = {"Add", "Sub", "Mul", "Div", "Where", "Clip"}

LONGEST_CHAIN, MOST_ELEMENTS = 64, 1 << 28
"""The most operations one after the other, and elements in all of them together."""


@dataclass(frozen=True)
class Scope:
    """The names that the nodes of one graph see: their own graph's, then those of ``outer``."""

    stored: Mapping[str, Any]
    made: Mapping[str, Any]
    nodes: tuple[Any, ...]
    outer: Scope | None = None

    def find(self, name: str) -> tuple[Scope, Any]:
        """The tensor or node that a name stands for, or None, and the scope that has it."""
        at: Scope | None = self
        while at is not None:
            if name in at.stored or name in at.made:
                return at, at.stored.get(name, at.made.get(name))
            at = at.outer
        return self, None


def scopes(graph: Any, outer: Scope | None = None) -> Iterator[Scope]:
    """A graph and those in the branches and loops of its nodes."""
    stored = {str(tensor.name): tensor for tensor in graph.initializer}
    made = {}
    for node in graph.node:
        if not all(isinstance(at, str) for at in (*node.input, *node.output, node.op_type)):
            raise DamagedError("has names that are no text: export it again.")
        for output in node.output:
            made[output] = node
        for attribute in node.attribute:
            if node.op_type == "Constant" and attribute.name == "value" and node.output:
                stored[node.output[0]] = attribute.t
    scope = Scope(stored, made, tuple(graph.node), outer)
    yield scope
    for node in graph.node:
        for attribute in node.attribute:
            for inner in (*attribute.graphs, *([attribute.g] if attribute.HasField("g") else ())):
                yield from scopes(inner, scope)


@dataclass
class Constants:
    """Reads and computes the constants of a model in ``folder``. Raises LayerError."""

    folder: Path
    opsets: Any

    def sources(self, scope: Scope, name: str) -> list[tuple[Scope, str]]:
        """The stored tensors that a constant is computed from; empty if it is no constant, or if
        that takes more than ``LONGEST_CHAIN`` operations."""
        sources: list[tuple[Scope, str]] = []
        seen: set[tuple[int, str]] = set()
        waiting = [(scope, name)]
        while waiting:
            scope, found = waiting[-1][0].find(name := waiting.pop()[1])
            if found is None or len(seen) > LONGEST_CHAIN:
                return []
            if (id(scope), name) in seen:
                continue
            seen.add((id(scope), name))
            if name in scope.stored:
                sources.append((scope, name))
            elif _is_followed(found):
                waiting += [(scope, at) for at in found.input if at]
            else:
                return []
        return sources

    def tensor(self, scope: Scope, name: str) -> StoredTensor:
        """A constant as a tensor, computed when it is read. Raises LayerError."""
        scope, found = scope.find(name)
        if name in scope.stored:
            return self.stored(found)
        if found is not None and found.op_type == "Identity":
            return self.tensor(scope, found.input[0])
        array = self._array(scope, name)  # only for its type and shape: it is computed again
        dtype, shape, size = array.dtype.name, array.shape, array.nbytes
        return StoredTensor(dtype, shape, size, lambda: as_tensor(self._array(scope, name)))

    def stored(self, tensor: Any) -> StoredTensor:
        """A tensor as the file has it."""
        from onnx import TensorProto, numpy_helper

        names = {value: name for name, value in TensorProto.DataType.items()}
        dtype = _DTYPES.get(names.get(tensor.data_type, ""), names.get(tensor.data_type, "unknown"))
        shape = tuple(tensor.dims)
        if tensor.data_location == TensorProto.EXTERNAL:
            extent = self._external(tensor)
            if isinstance(extent, str):
                return unreadable(dtype.lower(), shape, extent)
            return tensor_in(extent, dtype, shape)
        if any(size < 0 for size in shape):
            return unreadable(dtype.lower(), shape, "its shape is impossible")
        if dtype not in SIZES:
            return unreadable(dtype.lower(), shape, f"its type, {dtype.lower()}, is not read")

        def load() -> Any:
            try:
                return as_tensor(np.asarray(numpy_helper.to_array(tensor)))
            except Exception as error:  # the dimensions do not fit the data
                raise DamagedError("its data are damaged") from error

        return StoredTensor(dtype, shape, prod(shape) * SIZES[dtype], load)

    def _array(self, scope: Scope, name: str) -> np.ndarray[Any, Any]:
        """Compute a constant with onnx's reference implementation. Raises LayerError."""
        held = sum(prod(at.stored[key].dims) for at, key in self.sources(scope, name))
        room = min(MOST_ELEMENTS, LONGEST_CHAIN * max(0, held) + LONGEST_CHAIN)
        array: np.ndarray[Any, Any] = self._compute(scope, name, {}, [room])
        return array

    def _compute(
        self, scope: Scope, name: str, known: dict[tuple[int, str], Any], left: list[int]
    ) -> Any:
        scope, found = scope.find(name)
        key = (id(scope), name)
        if key in known:
            return known[key]
        known[key] = np.zeros(0)  # until it is computed: a circle ends here
        if name in scope.stored:
            result = self._values(found)
        else:
            inputs = {at: self._compute(scope, at, known, left) for at in found.input if at}
            if found.op_type in QUANTISATION:
                # One scale for all is often stored as a vector, which onnx takes for one a row.
                inputs = {
                    at: one.reshape(()) if one.size == 1 else one for at, one in inputs.items()
                }
            _check_growth(found.op_type, list(inputs.values()))
            result = self._run(found, inputs, name)
        left[0] -= result.size
        if left[0] < 0:
            raise LayerError("it is too large to be computed from its parts")
        known[key] = result
        return result

    def _run(self, node: Any, inputs: dict[str, Any], name: str) -> np.ndarray[Any, Any]:
        import warnings

        from onnx import TensorProto, helper
        from onnx.reference import ReferenceEvaluator

        given = [helper.make_tensor_value_info(at, TensorProto.UNDEFINED, None) for at in inputs]
        made = helper.make_tensor_value_info(name, TensorProto.UNDEFINED, None)
        graph = helper.make_graph([node], "constant", given, [made])
        version = next((at.version for at in self.opsets if at.domain in ("", "ai.onnx")), 1)
        if node.op_type in QUANTISATION:  # the reference has these since 19, as they were before
            version = max(version, 21)
        try:
            with warnings.catch_warnings(), np.errstate(all="ignore"):
                warnings.simplefilter("ignore")
                model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", version)])
                outputs: Any = ReferenceEvaluator(model).run([name], inputs)
                return np.asarray(outputs[0])
        except Exception as error:  # whatever a node with wrong inputs leads to
            raise LayerError(f"the {node.op_type} that makes it cannot be computed") from error

    def _values(self, tensor: Any) -> np.ndarray[Any, Any]:
        from onnx import TensorProto, numpy_helper

        whole = tensor
        try:
            if tensor.data_location == TensorProto.EXTERNAL:
                extent = self._external(tensor)
                if isinstance(extent, str):
                    raise LayerError(extent)
                whole = TensorProto(dims=tensor.dims, data_type=tensor.data_type)
                whole.raw_data = extent.map().tobytes()
            return np.asarray(numpy_helper.to_array(whole))
        except LayerError:
            raise
        except Exception as error:  # protobuf and numpy each raise their own
            raise DamagedError("its data are damaged") from error

    def _external(self, tensor: Any) -> Extent | str:
        """The bytes of a tensor in another file, or why they cannot be had."""
        stated = {entry.key: entry.value for entry in tensor.external_data}
        location = stated.get("location", "")
        file = self.folder / location
        inside = file.resolve().is_relative_to(self.folder.resolve())
        if not location or not inside or Path(location).is_absolute():
            return "its data are in a file outside this folder, which is not opened"
        if not file.is_file():
            what = "is no regular file" if file.exists() else "is missing: copy both files"
            return f"its data are in {location}, which {what}"
        try:
            start, end = int(stated.get("offset", 0)), file.stat().st_size
            size = int(stated.get("length", end - start))
        except ValueError:
            return "the place of its data is damaged"
        if start < 0 or size < 0 or start + size > end:
            return f"its data are not all in {location}: copy it again"
        return Extent(file, start, size)


_DTYPES = {
    "FLOAT": "float32", "DOUBLE": "float64", "FLOAT16": "float16", "BFLOAT16": "bfloat16",
    "FLOAT8E4M3FN": "float8_e4m3fn", "FLOAT8E5M2": "float8_e5m2",
    "FLOAT8E4M3FNUZ": "float8_e4m3fnuz", "FLOAT8E5M2FNUZ": "float8_e5m2fnuz",
    "INT64": "int64", "INT32": "int32", "INT16": "int16", "INT8": "int8", "UINT8": "uint8",
    "BOOL": "bool", "UINT16": "uint16", "UINT32": "uint32", "UINT64": "uint64",
}  # fmt: skip


def as_tensor(array: np.ndarray[Any, Any]) -> Any:
    """The values of an array; types that numpy lacks become float32."""
    import torch

    if array.dtype.kind not in "fiub" or array.dtype.name not in SIZES:
        array = array.astype(np.float32)
    native = array.astype(array.dtype.newbyteorder("="), copy=False)
    return torch.from_numpy(np.array(native, order="C"))


def _is_followed(node: Any) -> bool:
    return node.op_type in FOLLOWED and node.domain in ("", "ai.onnx")


def _check_growth(operation: str, inputs: list[np.ndarray[Any, Any]]) -> None:
    """Raise LayerError if broadcasting would make much of little."""
    if operation in BROADCASTING:
        try:
            size = prod(np.broadcast_shapes(*(at.shape for at in inputs)))
        except ValueError as error:
            raise LayerError(f"the {operation} that makes it cannot be computed") from error
        if size > 4 * max(at.size for at in inputs):
            raise LayerError(f"the {operation} that makes it is no weight's")
