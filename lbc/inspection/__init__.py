"""Inspection of checkpoint files: the N:M of each layer, its violations, and comparisons.

Reads files from any source without running code in them. torch is imported on first use, so that
the window can import these types before.
"""

from lbc.inspection.checkpoint import ExportMetadata, OpenCheckpoint, open_checkpoint
from lbc.inspection.comparison import (
    CheckpointComparison,
    LayerComparison,
    compare_checkpoints,
    compare_weights,
)
from lbc.inspection.detection import Detection, detect_weight
from lbc.inspection.errors import InspectionError
from lbc.inspection.layers import PARAMETRIZED
from lbc.inspection.report import LayerReport, PatternReport, inspect_checkpoint
from lbc.inspection.safetensors_file import METADATA_KEY
from lbc.inspection.survey import Finding, Survey, Unjudged, survey_checkpoint
from lbc.inspection.torch_file import explain_unloadable
from lbc.inspection.violations import Violations, find_violations

__all__ = [
    "METADATA_KEY",
    "PARAMETRIZED",
    "CheckpointComparison",
    "Detection",
    "ExportMetadata",
    "Finding",
    "InspectionError",
    "LayerComparison",
    "LayerReport",
    "OpenCheckpoint",
    "PatternReport",
    "Survey",
    "Unjudged",
    "Violations",
    "compare_checkpoints",
    "compare_weights",
    "detect_weight",
    "explain_unloadable",
    "find_violations",
    "inspect_checkpoint",
    "open_checkpoint",
    "survey_checkpoint",
]
