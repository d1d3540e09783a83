"""What saved checkpoints hold: which layers keep which N:M, where they break it, what differs.

Files of any origin are read, and none of their code is run. Torch is loaded on first use, so that
the window can name these types before.
"""

from lbc.inspection.checkpoint import Checkpoint, Statement, checkpoint_file, open_checkpoint
from lbc.inspection.comparison import (
    CheckpointComparison,
    LayerComparison,
    compare_checkpoints,
    compare_weights,
)
from lbc.inspection.detection import Detection, detect, detect_weight
from lbc.inspection.errors import InspectionError
from lbc.inspection.report import Layer, Report, inspect_checkpoint
from lbc.inspection.safetensors_file import METADATA_KEY
from lbc.inspection.state_dict import PARAMETRIZED
from lbc.inspection.survey import Finding, Survey, survey_checkpoint
from lbc.inspection.torch_file import unloadable
from lbc.inspection.violations import Violations, find_violations

__all__ = [
    "METADATA_KEY",
    "PARAMETRIZED",
    "Checkpoint",
    "CheckpointComparison",
    "Detection",
    "Finding",
    "InspectionError",
    "Layer",
    "LayerComparison",
    "Report",
    "Statement",
    "Survey",
    "Violations",
    "checkpoint_file",
    "compare_checkpoints",
    "compare_weights",
    "detect",
    "detect_weight",
    "find_violations",
    "inspect_checkpoint",
    "open_checkpoint",
    "survey_checkpoint",
    "unloadable",
]
