"""The layers of an ONNX file: the constant weights of its nodes, in subgraphs and functions too.

Each weight is brought to torch's layout, (O, I, *kernel), so that blocks run along the inputs.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lbc.files.small_file import open_regular
from lbc.inspection.errors import DamagedError, InspectionError, LayerError
from lbc.inspection.layers import Layers
from lbc.inspection.onnx_constants import Constants, Scope, scopes
from lbc.inspection.stored_tensor import FLOATS, StoredTensor, unreadable

if TYPE_CHECKING:
    from torch import Tensor

USES = {
    "Conv": ((1, "kernel"),),
    "FusedConv": ((1, "kernel"),),
    "ConvTranspose": ((1, "transposed kernel"),),
    "Gemm": ((1, "x·W"), (0, "W·x")),
    "FusedGemm": ((1, "x·W"), (0, "W·x")),
    "MatMul": ((1, "x·W"), (0, "W·x")),
    "FusedMatMul": ((1, "x·W"), (0, "W·x")),
    "QLinearConv": ((3, "kernel"),),
    "QLinearMatMul": ((3, "x·W"), (0, "W·x")),
    "ConvInteger": ((1, "kernel"),),
    "MatMulInteger": ((1, "x·W"), (0, "W·x")),
    "DynamicQuantizeMatMul": ((1, "x·W"),),
    "LSTM": ((1, "W·x"), (2, "W·x")),
    "GRU": ((1, "W·x"), (2, "W·x")),
    "RNN": ((1, "W·x"), (2, "W·x")),
}  # fmt: skip
"""The inputs of each operation that may be a weight, and where its inputs lie in it."""

ZERO_POINTS = {
    ("QLinearConv", 3): 5, ("QLinearMatMul", 3): 5, ("QLinearMatMul", 0): 2, ("ConvInteger", 1): 3,
    ("MatMulInteger", 1): 3, ("MatMulInteger", 0): 2, ("DynamicQuantizeMatMul", 1): 3,
}  # fmt: skip
"""Which input says what number stands for zero in a quantised weight."""

MOST_NODES = 200_000
"""The most nodes that a model may have once its functions are put in place."""


@dataclass(frozen=True)
class WeightUse:
    """A node that multiplies by the constant ``edge``, whose values ``root`` holds."""

    scope: Scope
    node: Any
    index: int
    form: str
    edge: str
    root: str

    @property
    def zero_point(self) -> str:
        index = ZERO_POINTS.get((self.node.op_type, self.index))
        return str(self.node.input[index]) if index and index < len(self.node.input) else ""


def onnx_layers(file: Path) -> Layers:
    """The layers of an ONNX file by name, in the order of the graph.

    A layer is named after its weight or bias or, if the exporter has renamed those, after its node.
    Raises InspectionError if the onnx package is missing, LayerError if it cannot read the file.
    """
    model = _inlined(_read(file))
    constants = Constants(file.parent, model.opset_import)
    found = Layers()
    seen: set[tuple[int, str, str]] = set()
    used: set[tuple[int, str]] = set()
    graphs = list(scopes(model.graph))
    for use in _uses(graphs, constants):
        key = (id(use.scope), use.edge, use.form)
        if key in seen:
            continue
        seen.add(key)
        used |= {(id(scope), name) for scope, name in constants.sources(use.scope, use.edge)}
        weight = _weight(use, constants)
        name = _layer_name(use)
        name = f"{name} ({use.root})" if name in found.layers or name in found.others else name
        if weight.problem:
            found.others[name], found.unjudged[name] = weight, weight.problem
        elif weight.weights:
            found.layers[name] = weight
    for scope in graphs:
        for name, tensor in scope.stored.items():
            if (id(scope), name) not in used:
                _add_rest(found, name, constants.stored(tensor), scope)
    for tensor in (sparse for scope in (model.graph,) for sparse in scope.sparse_initializer):
        name = str(tensor.values.name)
        found.others[name] = unreadable("", tuple(tensor.dims), "it is a sparse initializer")
        found.unjudged[name] = found.others[name].problem
    return found


def _read(file: Path) -> Any:
    try:
        import onnx
    except ImportError as error:
        raise InspectionError(
            f"Reading {file} needs the package onnx: pip install 'lbc-explorer[onnx]'."
        ) from error
    try:
        with open_regular(file) as stream:
            return onnx.load(stream, load_external_data=False)
    except OSError:
        raise
    except Exception as error:  # protobuf, onnx and numpy each raise their own
        reason = " ".join(str(error).split())
        raise DamagedError(
            f"is truncated or not an ONNX file ({reason}): copy or export it again."
        ) from error


def _inlined(model: Any) -> Any:
    """The model with the nodes of its local functions in place of their calls."""
    if not model.functions:
        return model
    sizes: dict[tuple[str, str], int | None] = {}
    functions = {(at.domain, at.name): at for at in model.functions}

    def size(node: Any) -> int:
        key = (node.domain, node.op_type)
        if key not in functions:
            inner = [at.g for at in node.attribute if at.HasField("g")]
            return 1 + sum(size(other) for graph in inner for other in graph.node)
        if key not in sizes:
            sizes[key] = None
            sizes[key] = sum(size(inner) for inner in functions[key].node)
        known = sizes[key]
        if known is None or known > MOST_NODES:
            raise LayerError("has functions that call themselves, or far too many of them.")
        return known

    if sum(size(node) for node in model.graph.node) > MOST_NODES:
        raise LayerError(f"has more than {MOST_NODES:,} nodes once its functions are in place.")
    from onnx.inliner import inline_local_functions

    try:
        return inline_local_functions(model)
    except Exception as error:  # C++ raises whatever it likes
        raise DamagedError("has functions that cannot be put in place: export it again.") from error


def _uses(graphs: list[Scope], constants: Constants) -> Iterator[WeightUse]:
    for scope in graphs:
        for node in scope.nodes:
            for index, form in USES.get(node.op_type, ()):
                edge = node.input[index] if index < len(node.input) else ""
                sources = constants.sources(scope, edge) if edge else []
                if not sources:
                    continue
                holder, root = max(sources, key=lambda at: len(at[0].stored[at[1]].dims))
                if len(holder.stored[root].dims) > 1:
                    yield WeightUse(scope, node, index, form, edge, root)
                    if not form.startswith("W") or index == 0:
                        break


def _weight(use: WeightUse, constants: Constants) -> StoredTensor:
    """The weight of a node in torch's layout, or why it cannot be read."""
    import torch

    try:
        stored = constants.tensor(use.scope, use.edge)
        zero = constants.tensor(use.scope, use.zero_point) if use.zero_point else None
    except LayerError as error:
        return unreadable("", (), str(error))
    if stored.problem or (zero is not None and zero.problem):
        return stored if stored.problem else replace(stored, problem="its zero point is unreadable")
    quantised = stored.dtype not in FLOATS
    if quantised and (use.node.op_type, use.index) not in ZERO_POINTS:
        return replace(stored, problem=f"it is {stored.dtype}, and no floating-point weight")
    group = _attribute(use.node, "group", 1)
    swapped = (use.form == "x·W") != bool(_attribute(use.node, ("transA", "transB")[use.index % 2]))
    try:
        shape = tuple(
            _canonical(torch.empty(stored.shape, device="meta"), use, swapped, group).shape
        )
    except (RuntimeError, IndexError, ValueError, ZeroDivisionError):
        return replace(stored, problem=f"its shape does not fit {use.node.op_type}")

    def load() -> Tensor:
        values = stored.read()
        if quantised:
            offset = zero.read() if zero is not None else torch.zeros(())
            kernel = "kernel" in use.form and offset.ndim == 1 and offset.numel() > 1
            offset = offset.reshape(-1, *(1,) * (values.ndim - 1)) if kernel else offset
            values = values.float() - offset
        return _canonical(values, use, swapped, group)

    return replace(stored, shape=shape, load=load)


def _canonical(weight: Tensor, use: WeightUse, swapped: bool, group: int) -> Tensor:
    """To (O, I, *kernel): a stack of matrices becomes one with their rows."""
    if use.form == "kernel":
        return weight
    if use.form == "transposed kernel":
        inputs, outputs, *kernel = weight.shape
        grouped = weight.reshape(group, inputs // group, outputs, *kernel).swapaxes(1, 2)
        return grouped.reshape(group * outputs, inputs // group, *kernel)
    matrices = weight.swapaxes(-1, -2) if swapped else weight
    return matrices.reshape(-1, matrices.shape[-1])


def _add_rest(found: Layers, name: str, tensor: StoredTensor, scope: Scope) -> None:
    found.others[name] = tensor
    numbers = tensor.dtype in FLOATS or tensor.dtype in ("int8", "uint8") or tensor.problem
    if len(tensor.shape) > 1 and tensor.weights and numbers:
        users = sorted({node.op_type for node in scope.nodes if name in node.input})
        by = f"it is an input of {', '.join(users[:3])}" if users else "no layer uses it"
        found.unjudged[name] = tensor.problem or by


def _attribute(node: Any, name: str, default: int = 0) -> int:
    return next((int(at.i) for at in node.attribute if at.name == name), default)


def _layer_name(use: WeightUse) -> str:
    root = use.root.removesuffix("_quantized")
    if root.endswith(".weight"):
        return root.removesuffix(".weight")
    partners = list(use.node.input[2:])
    for node in use.scope.nodes:
        if node.op_type == "Add" and set(use.node.output) & set(node.input):
            partners += node.input
    for edge in partners:
        if edge.endswith(".bias") and use.scope.find(edge)[1] is not None:
            return str(edge.removesuffix(".bias"))
    return _module_path(use.node) or use.root


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
