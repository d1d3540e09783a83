"""Two processes under the callbacks remove the same combinations from the same weights."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("transformers")
pytest.importorskip("accelerate")
pytest.importorskip("lightning")

ROOT = Path(__file__).parents[2]

SCRIPT = """
import os, sys
from pathlib import Path
from torch.utils.data import DataLoader, TensorDataset
from lbc.training.ranks import digest
from tests.integrations import test_lightning, test_transformers

folder = Path(sys.argv[1])
shared = TensorDataset(test_lightning.INPUTS, test_lightning.LABELS)  # half for each process
_, of_lightning, record = test_lightning.train(
    folder / "lightning",
    data=DataLoader(shared, batch_size=4),
    strategy="ddp",
    devices=2,
)
loop, of_transformers, other = test_transformers.train(
    folder / "transformers",
    ddp_backend="gloo",
    ddp_find_unused_parameters=False,
    per_device_train_batch_size=4,
)
digests = [digest(at.model) for at in (of_lightning, of_transformers)]
(folder / os.environ["RANK"]).write_text(f"{record.live} {other.live} {digests}")
"""


@pytest.mark.timeout(300)
def test_two_processes_end_in_the_same_bits(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT, encoding="utf-8")
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    done = subprocess.run(
        [*torchrun, "--nproc-per-node", "2", str(script), str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=280,
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 0, done.stderr[-3000:]
    first, second = ((tmp_path / rank).read_text(encoding="utf-8") for rank in "01")
    assert first == second
    assert first.count("1, 1, 1]") == 2  # both were decided, and trained on
