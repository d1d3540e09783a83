"""Export of trained models: dense weights with zeros, and a description of the sparse layers."""

from lbc.export.onnx_file import write_onnx
from lbc.export.safetensors_file import write_safetensors
from lbc.export.trained import ExportError, TrainedModel, load_trained_model

__all__ = ["ExportError", "TrainedModel", "load_trained_model", "write_onnx", "write_safetensors"]
