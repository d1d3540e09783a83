"""Batches depend only on seed, epoch and index, not on workers, ranks or the starting batch."""

from __future__ import annotations

import pytest
import torch

from lbc import config
from lbc.data import Batch, Loader, load
from lbc.data.dataset import Dataset


@pytest.fixture(scope="module")
def digits() -> Dataset:
    return load(config.Digits())


def loader(data: Dataset, workers: int = 0, rank: int = 0, world: int = 1) -> Loader:
    source = config.Digits(workers=workers)
    return Loader(data, source, 300, seed=3, min_size=2 * world, rank=rank, world=world)


def assert_same(one: list[Batch], other: list[Batch]) -> None:
    assert len(one) == len(other)
    for mine, theirs in zip(one, other, strict=True):
        assert torch.equal(mine.images, theirs.images)
        assert torch.equal(mine.labels, theirs.labels)
        assert mine.size == theirs.size


def test_an_epoch_can_be_resumed_at_any_batch(digits: Dataset) -> None:
    whole = list(loader(digits).batches(epoch=2))
    assert [batch.size for batch in whole] == [300] * 13 + [100]
    for start in (1, 7, 13, 14):
        assert_same(list(loader(digits).batches(2, start)), whole[start:])


def test_epochs_and_seeds_differ(digits: Dataset) -> None:
    first, second = (next(iter(loader(digits).batches(epoch))) for epoch in (0, 1))
    assert not torch.equal(first.labels, second.labels)


def test_concatenated_ranks_equal_the_batch_of_one_process(digits: Dataset) -> None:
    ranks = [loader(digits, rank=rank, world=3) for rank in range(3)]
    whole = list(loader(digits).batches(1))
    for batch, *shares in zip(whole, *(rank.batches(1) for rank in ranks), strict=True):
        assert torch.equal(torch.cat([share.images for share in shares]), batch.images)
        assert torch.equal(torch.cat([share.labels for share in shares]), batch.labels)
        assert {share.size for share in shares} == {batch.size}
    tested = torch.cat([batch.labels for rank in ranks for batch in rank.test_batches()])
    assert torch.equal(tested, digits.test.labels)


def test_worker_processes_do_not_change_the_batches(digits: Dataset) -> None:
    workers = loader(digits, workers=2)
    alone = loader(digits)
    state = torch.get_rng_state()
    assert_same(list(workers.batches(0, 5)), list(alone.batches(0, 5)))
    interrupted = workers.batches(1)
    next(interrupted)
    assert_same(list(workers.test_batches()), list(alone.test_batches()))
    assert_same(list(workers.batches(2)), list(alone.batches(2)))
    assert torch.equal(torch.get_rng_state(), state)
    workers.close()
