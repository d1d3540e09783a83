"""ONNX layers are found from their nodes, transposed to torch's layout and named as in torch."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from lbc.inspection import InspectionError, open_checkpoint, survey_checkpoint

onnx = pytest.importorskip("onnx")
from onnx import TensorProto, helper, numpy_helper  # noqa: E402


def write(
    path: Path, nodes: list[Any], tensors: dict[str, np.ndarray[Any, Any]], **options: Any
) -> Path:
    """Write a file with these nodes; the graph need not be valid."""
    values = [numpy_helper.from_array(array, name) for name, array in tensors.items()]
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, None)
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    graph = helper.make_graph(nodes, "graph", [x], [y], values)
    onnx.save(helper.make_model(graph), str(path), **options)
    return path


def weights(path: Path) -> dict[str, torch.Tensor]:
    with open_checkpoint(path) as checkpoint:
        return {name: checkpoint.weight(name).clone() for name in checkpoint.layers}


MATRIX = np.arange(1, 25, dtype=np.float32).reshape(3, 8)
"""Three outputs of eight inputs."""


@pytest.mark.parametrize(
    ("node", "stored"),
    [
        (helper.make_node("Gemm", ["x", "w"], ["y"], transB=1), MATRIX),
        (helper.make_node("Gemm", ["x", "w"], ["y"], transB=0), MATRIX.T),
        (helper.make_node("Gemm", ["x", "w"], ["y"]), MATRIX.T),
        (helper.make_node("MatMul", ["x", "w"], ["y"]), MATRIX.T),
        (helper.make_node("MatMul", ["w", "x"], ["y"]), MATRIX),
    ],
    ids=["Gemm, transposed", "Gemm", "Gemm by default", "x·W", "W·x"],
)
def test_matrices_are_transposed_to_outputs_by_inputs(
    tmp_path: Path, node: Any, stored: np.ndarray[Any, Any]
) -> None:
    path = write(tmp_path / "a.onnx", [node], {"w": np.ascontiguousarray(stored)})
    (weight,) = weights(path).values()
    assert np.array_equal(weight.numpy(), MATRIX)
    with open_checkpoint(path) as checkpoint:
        assert [stored.shape for stored in checkpoint.layers.values()] == [(3, 8)]


def test_a_transpose_node_before_the_product_is_followed(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Transpose", ["w"], ["transposed"], perm=[1, 0]),
        helper.make_node("MatMul", ["x", "transposed"], ["y"]),
    ]
    (weight,) = weights(write(tmp_path / "a.onnx", nodes, {"w": MATRIX})).values()
    assert np.array_equal(weight.numpy(), MATRIX)


def test_constants_are_read_and_other_tensors_are_ignored(tmp_path: Path) -> None:
    kernel = np.ones((4, 8, 3, 3), dtype=np.float32)
    nodes = [
        helper.make_node("Constant", [], ["k"], value=numpy_helper.from_array(kernel)),
        helper.make_node("Conv", ["x", "k"], ["a"], name="/stages/stages.1/conv/Conv"),
        helper.make_node("MatMul", ["a", "batched"], ["b"]),
        helper.make_node("MatMul", ["b", "whole"], ["c"]),
        helper.make_node("Mul", ["c", "scale"], ["d"]),
        helper.make_node("Gemm", ["d", "q"], ["e"]),
        helper.make_node("Gemm", ["e", "q"], ["f"]),
        helper.make_node("Add", ["f", "q.bias"], ["g"]),
        helper.make_node("Gemm", ["g", "plain.weight"], ["h"]),
        helper.make_node("Gemm", ["h", "half"], ["y"]),
    ]
    tensors: dict[str, np.ndarray[Any, Any]] = {
        "batched": np.ones((2, 4, 4), dtype=np.float32),
        "whole": np.ones((4, 4), dtype=np.int64),
        "scale": np.ones((4, 4), dtype=np.float32),
        "q": np.ones((4, 4), dtype=np.float32),
        "q.bias": np.ones(4, dtype=np.float32),
        "plain.weight": np.ones((4, 4), dtype=np.float64),
        "half": np.ones((4, 4), dtype=np.float16),
    }
    found = weights(write(tmp_path / "a.onnx", nodes, tensors))
    assert {name: tuple(weight.shape) for name, weight in found.items()} == {
        "stages.1.conv": (4, 8, 3, 3),
        "batched": (8, 4),
        "q": (4, 4),
        "plain": (4, 4),
        "half": (4, 4),
    }
    assert found["plain"].dtype is torch.float64


@pytest.mark.parametrize("kind", [TensorProto.BFLOAT16, TensorProto.FLOAT8E4M3FN])
def test_narrow_types_are_converted_exactly(tmp_path: Path, kind: int) -> None:
    tensor = helper.make_tensor("w", kind, [2, 4], [0.0, 1.5, -2.0, 0.0, 0.0, 0.25, 8.0, 0.0])
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, None)
    nodes = [helper.make_node("Gemm", ["x", "w"], ["x2"], transB=1)]
    onnx.save(
        helper.make_model(helper.make_graph(nodes, "g", [x], [x], [tensor])), tmp_path / "a.onnx"
    )
    (weight,) = weights(tmp_path / "a.onnx").values()
    assert weight.tolist() == [[0.0, 1.5, -2.0, 0.0], [0.0, 0.25, 8.0, 0.0]]


SPARSE = np.tile(np.array([[1, 0, 0, 2, 3, 4, 0, 0]], dtype=np.float32), (8, 2))
"""Eight outputs of sixteen inputs, 2:4."""

QUANTISED: dict[str, np.ndarray[Any, Any]] = {
    "q": SPARSE.astype(np.int8) + np.int8(3), "s": np.array(0.5, np.float32),
    "z": np.array(3, np.int8),
}  # fmt: skip

node = helper.make_node


@pytest.mark.parametrize(
    ("nodes", "tensors", "factor"),
    [
        (
            [
                node("QuantizeLinear", ["w", "s", "z"], ["c"]),
                node("DequantizeLinear", ["c", "s", "z"], ["d"]),
                node("Gemm", ["x", "d"], ["y"], transB=1),
            ],
            {"w": SPARSE, "s": np.array(0.5, np.float32), "z": np.array(3, np.int8)},
            1,
        ),
        (
            [
                node("DequantizeLinear", ["q", "s", "z"], ["d"]),
                node("Transpose", ["d"], ["t"], perm=[1, 0]),
                node("MatMul", ["x", "t"], ["y"]),
            ],
            QUANTISED,
            0.5,
        ),
        (
            [
                node("Cast", ["h"], ["c"], to=TensorProto.FLOAT),
                node("Identity", ["c"], ["i"]),
                node("Reshape", ["i", "shape"], ["r"]),
                node("Gemm", ["x", "r"], ["y"], transB=1),
            ],
            {"h": SPARSE.reshape(4, 32).astype(np.float16), "shape": np.array([8, 16])},
            1,
        ),
        ([node("Gemm", ["w", "x"], ["y"], transA=1)], {"w": SPARSE.T}, 1),
        ([node("MatMul", ["x", "w"], ["y"])], {"w": np.stack([SPARSE[:4].T, SPARSE[4:].T])}, 1),
        (
            [node("MatMulInteger", ["x", "q", "", "z"], ["y"])],
            QUANTISED | {"q": QUANTISED["q"].T},
            1,
        ),
        ([node("LSTM", ["x", "w"], ["y"], hidden_size=2)], {"w": SPARSE[None]}, 1),
        (
            [node("ConvTranspose", ["x", "w"], ["y"], group=2)],
            {"w": SPARSE.reshape(2, 4, 16).transpose(0, 2, 1).reshape(32, 4, 1)},
            1,
        ),
    ],
    ids=["Q, DQ", "DQ of int8", "Cast, Identity, Reshape", "transA", "a stack of matrices",
         "MatMulInteger", "LSTM", "ConvTranspose in groups"],
)  # fmt: skip
def test_weights_behind_constant_nodes_and_in_other_operations_are_read(
    tmp_path: Path, nodes: list[Any], tensors: dict[str, np.ndarray[Any, Any]], factor: float
) -> None:
    tensors = {name: np.array(at, order="C") for name, at in tensors.items()}
    found = weights(write(tmp_path / "a.onnx", nodes, tensors))
    (weight,) = found.values()
    assert np.array_equal(weight.numpy().reshape(8, 16), factor * SPARSE)


def test_weights_in_branches_and_functions_are_read(tmp_path: Path) -> None:
    y = helper.make_tensor_value_info("o", TensorProto.FLOAT, None)
    own = [numpy_helper.from_array(MATRIX, "v")]
    branches = [
        helper.make_graph([node("Gemm", ["x", "w"], ["o"], transB=1)], "then", [], [y]),
        helper.make_graph([node("Gemm", ["x", "v"], ["o"], transB=1)], "else", [], [y], own),
    ]
    choice = node("If", ["c"], ["h"], then_branch=branches[0], else_branch=branches[1])
    inner = [node("Transpose", ["B"], ["T"], perm=[1, 0]), node("MatMul", ["A", "T"], ["C"])]
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("own", 1)]
    function = helper.make_function("own", "Linear", ["A", "B"], ["C"], inner, opsets)
    call = node("Linear", ["h", "u"], ["y"], domain="own")
    values = [numpy_helper.from_array(at, name) for name, at in (("w", SPARSE), ("u", SPARSE))]
    graph = helper.make_graph([choice, call], "g", [], [], values)
    model = helper.make_model(graph, functions=[function], opset_imports=opsets)
    onnx.save(model, str(tmp_path / "a.onnx"))
    assert {name: tuple(at.shape) for name, at in weights(tmp_path / "a.onnx").items()} == {
        "w": (8, 16),
        "v": (3, 8),
        "u": (8, 16),
    }
    again = node("Linear", ["A", "B"], ["C"], domain="own")
    function = helper.make_function("own", "Linear", ["A", "B"], ["C"], [again], opsets)
    model = helper.make_model(graph, functions=[function], opset_imports=opsets)
    onnx.save(model, str(tmp_path / "a.onnx"))
    assert "call themselves" in error_message(tmp_path / "a.onnx")


def test_what_is_left_is_named(tmp_path: Path) -> None:
    nodes = [
        node("Gather", ["table", "i"], ["a"]),
        node("Gemm", ["a", "w"], ["b"], transB=1),
        node("MatMulNBits", ["b", "packed"], ["y"], domain="com.microsoft"),
        node("Gemm", ["b", "negative"], ["z"]),
    ]
    tensors = {
        "table": MATRIX,
        "w": SPARSE,
        "i": np.array([1]),
        "packed": np.ones((4, 4), np.uint8),
        "negative": MATRIX,
    }
    path = write(tmp_path / "a.onnx", nodes, tensors)
    model = onnx.load(str(path))
    model.graph.initializer[-1].dims[0] = -3
    onnx.save(model, str(path))
    found = survey_checkpoint(path)
    assert [layer.name for layer in found.layers] == ["w"]
    assert {one.name: one.reason for one in found.unjudged} == {
        "negative": "its shape is impossible",
        "table": "it is an input of Gather",
        "packed": "it is an input of MatMulNBits",
    }


def test_chains_that_grow_are_not_computed(tmp_path: Path) -> None:
    nodes = [node("Concat", [f"c{at}"] * 2, [f"c{at + 1}"], axis=0) for at in range(40)]
    nodes += [node("Gemm", ["x", "c40"], ["y"]), node("Gemm", ["x", "w"], ["z"])]
    found = survey_checkpoint(write(tmp_path / "a.onnx", nodes, {"c0": MATRIX, "w": SPARSE}))
    assert [one.reason for one in found.unjudged] == [
        "it is too large to be computed from its parts"
    ]


def test_data_outside_the_folder_are_not_opened(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    save: dict[str, Any] = {"save_as_external_data": True, "location": "a.bin", "size_threshold": 0}
    gemm = node("Gemm", ["x", "w"], ["y"], transB=1)
    path = write(tmp_path / "in" / "a.onnx", [gemm], {"w": SPARSE}, **save)
    (tmp_path / "in" / "a.bin").rename(tmp_path / "a.bin")
    model = onnx.load(str(path), load_external_data=False)
    for place in ("../a.bin", str(tmp_path / "a.bin")):
        model.graph.initializer[0].external_data[0].value = place
        path.write_bytes(model.SerializeToString())
        assert "outside this folder" in error_message(path)


def error_message(path: Path) -> str:
    with pytest.raises(InspectionError) as caught:
        survey_checkpoint(path)
    sentence = str(caught.value)
    assert str(path) in sentence and sentence.endswith(".") and "\n" not in sentence
    return sentence


def test_a_damaged_file_is_rejected_or_read(tmp_path: Path) -> None:
    node = helper.make_node("Gemm", ["x", "fc.weight"], ["y"], transB=1)
    path = write(tmp_path / "a.onnx", [node], {"fc.weight": MATRIX})
    whole = path.read_bytes()
    rejected = 0
    for length in range(0, len(whole), 3):
        path.write_bytes(whole[:length])
        try:
            survey_checkpoint(path)
        except InspectionError as error:
            assert str(path) in str(error)
            rejected += 1
    for place in range(0, len(whole), 3):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0x15]) + whole[place + 1 :])
        try:
            survey_checkpoint(path)
        except InspectionError:
            rejected += 1
    assert rejected > 10


def test_a_file_without_layers_is_rejected(tmp_path: Path) -> None:
    node = helper.make_node("Relu", ["x"], ["y"])
    assert "has no layers" in error_message(write(tmp_path / "a.onnx", [node], {}))


def test_weights_in_another_file_are_read_or_reported_missing(tmp_path: Path) -> None:
    node = helper.make_node("Gemm", ["x", "fc.weight"], ["y"], transB=1)
    big = np.tile(MATRIX, (100, 1))
    path = write(
        tmp_path / "a.onnx",
        [node],
        {"fc.weight": big},
        save_as_external_data=True,
        location="a.bin",
    )
    assert np.array_equal(weights(path)["fc"].numpy(), big)
    (tmp_path / "a.bin").unlink()
    assert "a.bin" in error_message(path)


def test_the_error_for_the_missing_package_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.onnx").write_bytes(b"")
    monkeypatch.setitem(sys.modules, "onnx", None)
    assert "pip install 'lbc-explorer[onnx]'" in error_message(tmp_path / "a.onnx")
