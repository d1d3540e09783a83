"""The data loader: shuffled, augmented batches, shared between processes."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from lbc import config
from lbc.data.augmentation import Augmentation, Share, check_augmentation
from lbc.data.batches import MIN_BATCH_SIZE, batch_sizes, batches
from lbc.data.dataset import DataError, Dataset

MAX_TEST_BATCH = 500
"""Maximum number of images in a test batch."""

MAX_TEST_VALUES = 1 << 24
"""Maximum number of values in a test batch, so that large images come in smaller batches."""


def test_batch(in_shape: tuple[int, int, int]) -> int:
    """The number of images of a shape that are tested together."""
    return max(1, min(MAX_TEST_BATCH, MAX_TEST_VALUES // prod(in_shape)))


class Batch(NamedTuple):
    """One process's share of a batch of ``size`` images.

    ``images`` are float32 (b, channels, H, W), normalised; ``labels`` are int64 (b,), or class
    probabilities, float32 (b, classes), if images are mixed.
    """

    images: Tensor
    labels: Tensor
    size: int


class Loader:
    """Loads the batches of a data set for one of ``world`` processes.

    A batch depends only on the seed, the epoch and its index in the epoch, not on earlier batches
    or the number of workers. The concatenated shares of all ranks equal the batch of a single
    process. A last batch of fewer than ``min_size`` images is added to the previous one.

    Raises DataError if the images do not support the augmentation.
    """

    def __init__(
        self,
        data: Dataset,
        source: config.Source,
        batch_size: int,
        seed: int = 0,
        min_size: int = MIN_BATCH_SIZE,
        rank: int = 0,
        world: int = 1,
    ) -> None:
        check_augmentation(source.augment, data)
        augmentation = Augmentation(source.augment, data)
        self._dataset = BatchDataset(data, augmentation, batch_size, seed, min_size, rank, world)
        self._workers = source.workers
        self._next: list[Key] = []
        self._loader: DataLoader[Any] | None = None

    @property
    def steps(self) -> int:
        """Batches in an epoch."""
        return len(self._dataset.sizes)

    @property
    def test_count(self) -> int:
        """Images in the test split, for all ranks together."""
        return len(self._dataset.data.test.labels)

    @property
    def test_steps(self) -> int:
        """Batches of this rank's share of the test split."""
        return self._dataset.test_steps

    def batches(self, epoch: int, start_batch: int = 0) -> Iterator[Batch]:
        """Iterate over the training batches of an epoch, starting at ``start_batch``.

        Raises DataError if an image cannot be read.
        """
        return self._iterate([(epoch, batch) for batch in range(start_batch, self.steps)])

    def test_batches(self) -> Iterator[Batch]:
        """Iterate over this rank's share of the test split, in order. Raises DataError."""
        return self._iterate([(None, batch) for batch in range(self._dataset.test_steps)])

    def close(self) -> None:
        """Stop the worker processes."""
        self._loader = None

    def _iterate(self, keys: list[Key]) -> Iterator[Batch]:
        if not self._workers:
            return map(self._dataset.batch, keys)
        return self._from_workers(keys)

    def _from_workers(self, keys: list[Key]) -> Iterator[Batch]:
        self._next[:] = keys
        if self._loader is None:
            self._loader = self._start_workers()
        try:
            for batch in self._loader:
                if isinstance(batch, DataError):
                    raise batch
                yield batch
        except (RuntimeError, OSError, EOFError) as error:  # it ended, or could not be started
            self.close()
            reason = str(error).partition("\n")[0].rstrip(".")
            raise DataError(
                f"A data loading process stopped ({reason}): lower data.workers, or set it to 0."
            ) from error

    def _start_workers(self) -> DataLoader[Any]:
        return DataLoader(
            self._dataset,
            batch_size=None,
            sampler=self._next,
            num_workers=self._workers,
            persistent_workers=True,
            multiprocessing_context=_context(),
            generator=torch.Generator(),  # otherwise it advances the global generator
        )


Key = tuple[int | None, int]
"""(epoch, or None for the test split; index of the batch)."""


@dataclass(eq=False)
class BatchDataset(torch.utils.data.Dataset[Batch | DataError]):
    """Maps keys to batches, in any process."""

    data: Dataset
    augmentation: Augmentation
    batch_size: int
    seed: int
    min_size: int
    rank: int
    world: int

    def __post_init__(self) -> None:
        self._order: tuple[int, Sequence[Tensor]] = (-1, ())

    @property
    def sizes(self) -> list[int]:
        """The size of each training batch, for all ranks together."""
        return batch_sizes(len(self.data.train.labels), self.batch_size, self.min_size)

    @property
    def test_steps(self) -> int:
        return len(torch.split(self._test_rows(), test_batch(self.data.in_shape)))

    def __getitem__(self, key: Key) -> Batch | DataError:
        # An exception raised in a worker would reach the main process with its traceback as text.
        try:
            return self.batch(key)
        except DataError as error:
            return error

    def batch(self, key: Key) -> Batch:
        epoch, index = key
        return self._test(index) if epoch is None else self._train(epoch, index)

    def _train(self, epoch: int, index: int) -> Batch:
        if self._order[0] != epoch:
            count = len(self.data.train.labels)
            repeats = self.augmentation.settings.repeats
            order = batches(
                count, self.batch_size, self.seed, epoch, min_size=self.min_size, repeats=repeats
            )
            self._order = epoch, tuple(order)
        rows = self._order[1][index]
        own = torch.tensor_split(torch.arange(len(rows)), self.world)[self.rank]
        first = int(own[0]) if len(own) else 0
        share = Share(first, first + len(own), len(rows))
        images, labels = self.augmentation.batch(rows, share, (self.seed, epoch, index))
        return Batch(images, labels, len(rows))

    def _test(self, index: int) -> Batch:
        rows = torch.split(self._test_rows(), test_batch(self.data.in_shape))[index]
        images = self.data.normalise(self.data.test.read(rows))
        return Batch(images, self.data.test.labels[rows], len(rows))

    def _test_rows(self) -> Tensor:
        rows = torch.arange(len(self.data.test.labels))
        return torch.tensor_split(rows, self.world)[self.rank]


def _context() -> str:
    """The start method of worker processes; never forks a process that has threads."""
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return "spawn"
    multiprocessing.set_forkserver_preload([__name__])
    return "forkserver"
