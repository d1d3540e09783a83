"""ONNX files, verified with onnxruntime before they are kept."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import torch

from lbc.export.trained import ExportError, TrainedModel, require_new_file
from lbc.files.atomic import replaceable

IMAGES = 16
"""Number of random images on which onnxruntime and torch are compared."""

TOLERANCE = 1e-3
"""Largest accepted difference, relative to the largest logit or to 1."""

PACKAGES = ("onnx", "onnxscript", "onnxruntime")


def write_onnx(trained: TrainedModel, path: Path) -> float:
    """Write the model, images (B, channels, H, W) → logits (B, classes) for any B.

    Returns the largest difference between onnxruntime's logits and torch's, on normally
    distributed images. Raises ExportError, leaving no file, if a package is missing, the model
    cannot be exported, or the logits differ by more than TOLERANCE.
    """
    missing = [name for name in PACKAGES if find_spec(name) is None]
    if missing:
        raise ExportError(
            f"ONNX needs the package(s) {', '.join(missing)}: pip install 'lbc-explorer[onnx]'."
        )
    require_new_file(path)
    path = replaceable(path, follow=True)
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        _export(trained, temporary)
        difference = _verify(trained, temporary)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    return difference


def _export(trained: TrainedModel, path: Path) -> None:
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
    except Exception as error:  # the exporter raises many types
        reason = str(error).strip().partition("\n")[0]
        raise ExportError(f"torch cannot write this model as ONNX: {reason}") from error


@torch.no_grad()
def _verify(trained: TrainedModel, path: Path) -> float:
    import onnxruntime

    images = torch.randn(IMAGES, *trained.in_shape, generator=torch.Generator().manual_seed(0))
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    (logits,) = session.run(None, {"images": images.numpy()})
    expected = trained.model(images)
    difference = float((torch.from_numpy(logits) - expected).abs().max())
    if not difference <= TOLERANCE * max(1.0, float(expected.abs().max())):
        raise ExportError(
            f"onnxruntime's logits differ from torch's by up to {difference:.2g}, so no file was "
            "written: please report this with the model and the versions of onnx and torch."
        )
    return difference


@contextmanager
def _quiet() -> Iterator[None]:
    """A context without the exporter's warnings about other packages."""
    logger = logging.getLogger("torch.onnx")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(before)
