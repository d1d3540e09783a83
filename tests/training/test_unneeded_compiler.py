"""What a window does before the first step of a run does not load torch's compiler."""

from __future__ import annotations

import subprocess
import sys

EXAMINED = """
import sys
from lbc.config import parse_experiment
from lbc.models import build
from lbc.sparsity.private_random import PrivateRandom
from lbc.training.preparation import preview

for model in ("mlp", "convnet", "resnet20", "resnet18", "deit-tiny"):
    size = 224 if model.startswith("deit") else 32
    experiment = parse_experiment({"model": {"name": model}})
    preview(experiment, (3, size, size), 10)
    with PrivateRandom():
        build(experiment.model, (3, size, size), 10)
print([name for name in ("torch._dynamo", "torch._inductor", "sympy") if name in sys.modules])
"""


def test_a_network_is_examined_without_the_compiler() -> None:
    """Which takes three seconds of a processor, in which the window hardly answers."""
    command = [sys.executable, "-c", EXAMINED]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=True)
    assert done.stdout == "[]\n"
