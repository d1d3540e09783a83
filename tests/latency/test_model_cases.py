"""Cases of an experiment's network: what is one product, of which shape, with which mask."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from lbc.latency.model_cases import cases_of_run

NETWORK = """
import torch
from torch import nn

class Conv1D(nn.Module):
    def __init__(self, nf, nx):
        super().__init__()
        self.nf = nf
        self.weight = nn.Parameter(torch.randn(nx, nf))
    def forward(self, x):
        return x @ self.weight

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.up = nn.ConvTranspose2d(1, 4, 2, 2)
        self.more = nn.ConvTranspose2d(4, 4, 1)
        self.inner, self.attention = Conv1D(16, 16), nn.MultiheadAttention(16, 2, batch_first=True)
        self.head = nn.Linear(16, 10)
    def forward(self, images):
        x = self.more(self.up(images)).flatten(1)[:, :160].view(-1, 10, 16)
        x = self.inner(x)
        return self.head(self.attention(x, x, x)[0].mean(1))
"""


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a finished run of ``NETWORK``, with two of four weights of every block."""
    (tmp_path / "case_network.py").write_text(NETWORK)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "experiment.yaml").write_text("model: {import: 'case_network:Net'}\n")
    kept = torch.tensor([1.0, 1.0, 0.0, 0.0])
    projection = nn.Linear(16, 48).weight.detach() * kept.repeat(4)
    save_file(
        {
            "inner.weight": (torch.rand(16, 16) + 1) * kept.repeat(4)[:, None],
            "attention.in_proj_weight": projection,
            "attention.out_proj.weight": projection[:16].clone(),
        },
        tmp_path / "model.safetensors",
    )
    return tmp_path


def test_masks_lie_along_the_input_of_every_kind_of_layer(run: Path) -> None:
    cases, left_out = cases_of_run(run, batch=2, allow_import=True)
    assert {case.name: (case.m, case.n, case.k) for case in cases} == {
        "inner": (16, 20, 16),
        "attention.in_proj_weight": (48, 20, 16),
        "attention.out_proj": (16, 20, 16),
    }
    for case in cases:
        bits = np.unpackbits(np.frombuffer(case.mask or b"", np.uint8))
        assert bits.reshape(-1, 4).tolist() == [[1, 1, 0, 0]] * (case.m * case.k // 4)
    assert left_out == {
        "up": "the first convolution",
        "more": "a transposed convolution adds up overlapping products",
        "head": "the classifier",
    }
