"""Default DDP and fully_shard train a search to its end, with the same masks on every rank."""

from __future__ import annotations

import copy
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel

from lbc import Schedule, sparsify
from tests import warm
from tests.sparsity.networks import METHODS, images, perceptron, sgd

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="processes are forked")
RANKS = 2
WRAPS = ["ddp", "fully_shard"]


def run(rank: int, folder: Path) -> None:
    """Train in every way as one of several processes, and leave the weights in the folder."""
    dist.init_process_group(
        "gloo", init_method=f"file://{folder / 'meeting'}", rank=rank, world_size=RANKS
    )
    weights = [trained(rank, wrap, method) for wrap in WRAPS for method in METHODS]
    torch.save(weights, folder / f"{rank}.pt")
    dist.destroy_process_group()


def trained(rank: int, wrap: str, method: dict[str, Any]) -> dict[str, Tensor]:
    model = perceptron()
    sparsifier = sparsify(model, "2:4", **method)
    wrapped: Any = model
    if wrap == "ddp":
        wrapped = DistributedDataParallel(model)
    elif wrap == "fully_shard":
        from torch.distributed.device_mesh import init_device_mesh
        from torch.distributed.fsdp import fully_shard

        wrapped = fully_shard(model, mesh=init_device_mesh("cpu", (dist.get_world_size(),)))
    optimizer = sgd(model)
    for epoch in range(6):
        optimizer.zero_grad()
        wrapped(images(seed=10 * rank + epoch)).square().mean().backward()
        optimizer.step()
        sparsifier.follow(Schedule(end=3), epoch + 1, optimizer)
    return sparsifier.dense_state_dict()


@pytest.fixture
def alone() -> Iterator[None]:
    """A group of this process alone."""
    # Not in a file: its last reference writes to it, and aborts the process where it cannot.
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)  # type: ignore[attr-defined]
    yield
    dist.destroy_process_group()


@pytest.mark.usefixtures("alone")
@pytest.mark.parametrize("method", METHODS, ids=str)
@pytest.mark.parametrize("wrap", WRAPS)
def test_a_process_alone_ends_with_the_weights_of_plain_training(
    wrap: str, method: dict[str, Any]
) -> None:
    expected = trained(0, "", method)
    for key, value in trained(0, wrap, method).items():
        torch.testing.assert_close(value, expected[key])


def test_every_rank_ends_with_the_same_masks(tmp_path: Path) -> None:
    processes = [
        warm.start(run, rank, tmp_path, output=tmp_path / f"{rank}.log") for rank in range(RANKS)
    ]
    for process in processes:
        process.join(90)
    said = "".join((tmp_path / f"{rank}.log").read_text() for rank in range(RANKS))
    assert [process.exitcode for process in processes] == [0, 0], said
    ranks = [torch.load(tmp_path / f"{rank}.pt") for rank in range(RANKS)]
    assert len(ranks[0]) == len(WRAPS) * len(METHODS)
    for first, second in zip(*ranks, strict=True):
        assert first.keys() == perceptron().state_dict().keys()
        for key, value in first.items():
            assert torch.equal(value, second[key])
        for key in ("0.weight", "2.weight"):
            assert ((first[key] != 0).reshape(-1, 4).sum(1) == 2).all()
        assert len({tuple(row) for row in (first["2.weight"] != 0).tolist()}) > 1


@pytest.mark.usefixtures("alone")
def test_evaluation_leaves_frozen_scores_frozen_and_wrapped_models_can_be_copied() -> None:
    model = perceptron()
    sparsifier = sparsify(model, "2:4")
    wrapped = DistributedDataParallel(model)
    sparsifier.remove(1)
    with torch.no_grad():
        expected = wrapped(images())
    assert not any(scores.requires_grad for scores in sparsifier.score_parameters())
    assert torch.equal(copy.deepcopy(model)(images()), expected)


@pytest.mark.usefixtures("alone")
def test_a_divided_model_is_made_plain_by_its_dense_state_dict() -> None:
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    sparsifier = sparsify(perceptron(), "2:4")
    fully_shard(sparsifier.model, mesh=init_device_mesh("cpu", (1,)))
    with pytest.raises(ValueError, match=r"fully_shard and cannot .* save dense_state_dict\(\)"):
        sparsifier.finalize()
    assert set(sparsifier.dense_state_dict()) == set(perceptron().state_dict())
