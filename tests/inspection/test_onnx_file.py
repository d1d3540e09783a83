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
