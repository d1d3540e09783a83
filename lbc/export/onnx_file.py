"""The model as ONNX, run by onnxruntime before it is kept."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import torch

from lbc.export.trained import ExportError, Trained, refuse_existing

IMAGES = 16
"""How many random images both programs must agree on."""

TOLERANCE = 1e-3
"""Largest difference, as a share of the largest logit or of 1, that passes for rounding."""

NEEDED = ("onnx", "onnxscript", "onnxruntime")


def write_onnx(trained: Trained, path: Path) -> float:
    """Write the model, images (B, channels, H, W) → logits (B, classes) for any B.

    Returns the largest difference of a logit from torch's, on normally distributed images.
    Raises ExportError where a package is missing, the model cannot be exported, or onnxruntime
    disagrees; nothing is left behind then.
    """
    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        raise ExportError(
            f"ONNX needs the package(s) {', '.join(missing)}: pip install 'lbc-explorer[onnx]'."
        )
    refuse_existing(path)
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        _export(trained, temporary)
        difference = _compared(trained, temporary)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    return difference


def _export(trained: Trained, path: Path) -> None:
    images = torch.zeros(2, *trained.in_shape)
    try:
        with _quiet():
            torch.onnx.export(
                trained.model,
                (images,),
                path,
                dynamo=True,
                input_names=["images"],
                output_names=["logits"],
                dynamic_shapes=({0: torch.export.Dim("batch")},),
                external_data=False,
                verbose=False,
            )
    except OSError:
        raise
    except Exception as error:  # of the exporter's many kinds
        said = str(error).strip().partition("\n")[0]
        raise ExportError(f"torch cannot write this model as ONNX: {said}") from error


@torch.no_grad()
def _compared(trained: Trained, path: Path) -> float:
    import onnxruntime

    images = torch.randn(IMAGES, *trained.in_shape, generator=torch.Generator().manual_seed(0))
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {"images": images.numpy()})
    expected = trained.model(images)
    difference = float((torch.from_numpy(found) - expected).abs().max())
    if not difference <= TOLERANCE * max(1.0, float(expected.abs().max())):
        raise ExportError(
            f"onnxruntime's logits differ from torch's by up to {difference:.2g}, so the file was "
            "not kept: report this with the model and the versions of onnx and torch."
        )
    return difference


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the exporter's warnings about packages and functions that are not ours."""
    logger = logging.getLogger("torch.onnx")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(before)
