"""The layers of an ONNX file: the stored weights of Conv, Gemm and MatMul nodes.

Each weight is transposed to torch's layout, (O, I, *kernel), so that blocks run along the inputs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lbc.inspection.errors import InspectionError, LayerError
from lbc.inspection.state_dict import StoredWeight

if TYPE_CHECKING:
    from torch import Tensor

NUMPY_FLOATS = ("float16", "float32", "float64")
"""Types that numpy and torch share; other floating-point types are converted to float32."""


@dataclass(frozen=True)
class WeightUse:
    """A node that multiplies by a stored weight; ``transposed`` if the weight is (I, O)."""

    node: Any
    tensor: str
    transposed: bool


def onnx_layers(file: Path) -> dict[str, StoredWeight]:
    """The layers of an ONNX file by name, in the order of the graph.

    A layer is a Conv, or a Gemm or MatMul with a stored matrix on one side. It is named after its
    weight or bias or, if the exporter has renamed those, after its node. Raises InspectionError if
    the onnx package is missing or cannot read the file.
    """
    graph = _read(file).graph
    stored = _stored_tensors(graph)
    layers: dict[str, StoredWeight] = {}
    seen: set[tuple[str, bool]] = set()
    for use in _uses(graph, stored):
        tensor = stored[use.tensor]
        shape = tuple(tensor.dims)
        if (use.tensor, use.transposed) in seen or len(shape) not in (2, 3, 4) or 0 in shape:
            continue
        seen.add((use.tensor, use.transposed))
        name = _layer_name(use, graph, stored)
        unique = use.tensor if name in layers else name
        shape = (shape[1], shape[0]) if use.transposed else shape
        layers[unique] = StoredWeight(shape, partial(_weight, tensor, unique, use.transposed))
    return layers


def _read(file: Path) -> Any:
    try:
        import onnx
    except ImportError as error:
        raise InspectionError(
            f"Reading {file} needs the package onnx: pip install 'lbc-explorer[onnx]'."
        ) from error
    try:
        return onnx.load(str(file))
    except FileNotFoundError as error:
        raise InspectionError(
            f"{file} stores its weights in another file, {error.filename}, which is missing: copy "
            "both."
        ) from error
    except Exception as error:  # protobuf, onnx and numpy each raise their own
        reason = " ".join(str(error).split())
        raise InspectionError(
            f"{file} is truncated or not an ONNX file ({reason}): copy or export it again."
        ) from error


def _stored_tensors(graph: Any) -> dict[str, Any]:
    """Initializers and the values of Constant nodes, by output name."""
    stored = {tensor.name: tensor for tensor in graph.initializer}
    for node in graph.node:
        if node.op_type == "Constant" and node.output:
            for attribute in node.attribute:
                if attribute.name == "value":
                    stored[node.output[0]] = attribute.t
    return {name: tensor for name, tensor in stored.items() if _is_floating_point(tensor)}


def _is_floating_point(tensor: Any) -> bool:
    from onnx import TensorProto

    if tensor.data_type not in TensorProto.DataType.values():
        return False
    name = TensorProto.DataType.Name(tensor.data_type)
    return bool(name == "DOUBLE" or name.startswith(("FLOAT", "BFLOAT")))


def _uses(graph: Any, stored: Mapping[str, Any]) -> Iterator[WeightUse]:
    """Nodes with a stored weight, possibly behind a Transpose node."""
    transposes = {
        node.output[0]: node.input[0]
        for node in graph.node
        if node.op_type == "Transpose" and node.output and node.input and node.input[0] in stored
        and len(stored[node.input[0]].dims) == 2
    }  # fmt: skip
    for node in graph.node:
        inputs = {"Conv": (1,), "Gemm": (1,), "MatMul": (1, 0)}.get(node.op_type, ())
        for index in inputs:
            edge = node.input[index] if index < len(node.input) else ""
            tensor = transposes.get(edge, edge)
            if tensor in stored:
                # In y = x·B the matrix B is (I, O); in y = A·x the matrix A is (O, I).
                transposed = node.op_type == "MatMul" and index == 1
                transposed |= node.op_type == "Gemm" and not _attribute(node, "transB")
                matrix = node.op_type != "MatMul" or len(stored[tensor].dims) == 2
                if matrix:
                    yield WeightUse(node, tensor, transposed != (edge in transposes))
                break


def _attribute(node: Any, name: str) -> int:
    return next((int(at.i) for at in node.attribute if at.name == name), 0)


def _layer_name(use: WeightUse, graph: Any, stored: Mapping[str, Any]) -> str:
    if use.tensor.endswith(".weight"):
        return use.tensor.removesuffix(".weight")
    partners = list(use.node.input[2:])
    for node in graph.node:
        if node.op_type == "Add" and set(use.node.output) & set(node.input):
            partners += node.input
    for edge in partners:
        if edge in stored and edge.endswith(".bias"):
            return str(edge.removesuffix(".bias"))
    return _module_path(use.node) or use.tensor


def _module_path(node: Any) -> str:
    """``/stages/stages.1/conv/Conv``, as torch names nodes → ``stages.1.conv``; otherwise ""."""
    first, *parts = node.name.split("/")
    if first or len(parts) < 2:
        return ""
    names: list[str] = []
    for part in parts[:-1]:
        if names and part.startswith(names[-1] + "."):
            names.pop()
        names.append(part)
    return ".".join(names)


def _weight(tensor: Any, name: str, transposed: bool) -> Tensor:
    import numpy as np
    import torch
    from onnx import numpy_helper

    try:
        array = np.asarray(numpy_helper.to_array(tensor))
    except Exception as error:  # the dimensions do not fit the data, or onnx is too old
        raise LayerError(f"the weight of layer {name} is damaged.") from error
    if array.dtype.name not in NUMPY_FLOATS:
        array = array.astype(np.float32)
    weight = torch.from_numpy(np.array(array, dtype=array.dtype.newbyteorder("=")))
    return weight.T if transposed else weight
