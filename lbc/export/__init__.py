"""Trained models for other programs: dense with zeros, and what is sparse in them."""

from lbc.export.onnx_file import write_onnx
from lbc.export.safetensors_file import write_safetensors
from lbc.export.trained import ExportError, Trained, load_trained

__all__ = ["ExportError", "Trained", "load_trained", "write_onnx", "write_safetensors"]
