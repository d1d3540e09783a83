"""Batches of a data set, ready to train on: in which order, by which process, how randomised."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from lbc import config
from lbc.data.augmentation import Augmentation, Share, check_augmentation
from lbc.data.batches import FEWEST, batch_sizes, batches
from lbc.data.dataset import DataError, Dataset

TEST_BATCH = 500
"""Most images that are tested at a time."""

TEST_VALUES = 1 << 24
"""Most numbers in a batch that is tested, so that large images come in smaller batches."""


class Batch(NamedTuple):
    """One process's share of a batch of ``size`` images.

    ``images`` are float32 (b, channels, H, W), normalised; ``labels`` int64 (b,), or where images
    were mixed the share of every class, float32 (b, classes).
    """

    images: Tensor
    labels: Tensor
    size: int


class Loader:
    """Serves a data set in batches, to one process of ``world``.

    A batch depends on the seed, the epoch and its number in the epoch, and on nothing else: not on
    batches served before, nor on the number of worker processes. The shares of all ranks, one
    after the other, are the batch that a single process is served. A last batch of less than
    ``fewest`` images joins the one before.

    Raises DataError where the augmentation does not suit the images.
    """

    def __init__(
        self,
        data: Dataset,
        source: config.Source,
        batch_size: int,
        seed: int = 0,
        fewest: int = FEWEST,
        rank: int = 0,
        world: int = 1,
    ) -> None:
        check_augmentation(source.augment, data)
        augmentation = Augmentation(source.augment, data)
        self._recipe = Recipe(data, augmentation, batch_size, seed, fewest, rank, world)
        self._workers = source.workers
        self._next: list[Key] = []
        self._processes: DataLoader[Any] | None = None

    @property
    def steps(self) -> int:
        """Batches in an epoch."""
        return len(self._recipe.sizes)

    @property
    def test_count(self) -> int:
        """Images in the test split, over all ranks."""
        return len(self._recipe.data.test.labels)

    def batches(self, epoch: int, start_batch: int = 0) -> Iterator[Batch]:
        """The training batches of an epoch, from ``start_batch`` on.

        Raises DataError where a picture cannot be read.
        """
        return self._serve([(epoch, batch) for batch in range(start_batch, self.steps)])

    def test_batches(self) -> Iterator[Batch]:
        """This rank's share of the test split, in order. Raises DataError as ``batches`` does."""
        return self._serve([(None, batch) for batch in range(self._recipe.test_steps)])

    def close(self) -> None:
        """End the worker processes."""
        self._processes = None

    def _serve(self, keys: list[Key]) -> Iterator[Batch]:
        if not self._workers:
            return map(self._recipe.batch, keys)
        return self._from_workers(keys)

    def _from_workers(self, keys: list[Key]) -> Iterator[Batch]:
        self._next[:] = keys
        if self._processes is None:
            self._processes = self._start()
        try:
            for batch in self._processes:
                if isinstance(batch, DataError):
                    raise batch
                yield batch
        except RuntimeError as error:
            self.close()
            said = str(error).partition("\n")[0].rstrip(".")
            raise DataError(
                f"A process that prepares images has ended ({said}): lower data.workers, or "
                f"set it to 0."
            ) from error

    def _start(self) -> DataLoader[Any]:
        return DataLoader(
            self._recipe,
            batch_size=None,
            sampler=self._next,
            num_workers=self._workers,
            persistent_workers=True,
            multiprocessing_context=_context(),
            generator=torch.Generator(),  # else it draws from the generator of everybody
        )


Key = tuple[int | None, int]
"""Epoch, or None for the test split, and the number of a batch."""


@dataclass(eq=False)
class Recipe(torch.utils.data.Dataset[Batch | DataError]):
    """Makes any batch from its key, in whichever process."""

    data: Dataset
    augmentation: Augmentation
    batch_size: int
    seed: int
    fewest: int
    rank: int
    world: int

    def __post_init__(self) -> None:
        self._order: tuple[int, Sequence[Tensor]] = (-1, ())

    @property
    def sizes(self) -> list[int]:
        """How many images each training batch holds, over all ranks."""
        return batch_sizes(len(self.data.train.labels), self.batch_size, self.fewest)

    @property
    def test_steps(self) -> int:
        return len(torch.split(self._test_rows(), self._test_size()))

    def __getitem__(self, key: Key) -> Batch | DataError:
        # An exception would cross to the main process wrapped in the worker's traceback.
        try:
            return self.batch(key)
        except DataError as error:
            return error

    def batch(self, key: Key) -> Batch:
        epoch, number = key
        return self._test(number) if epoch is None else self._train(epoch, number)

    def _train(self, epoch: int, number: int) -> Batch:
        if self._order[0] != epoch:
            count = len(self.data.train.labels)
            repeats = self.augmentation.settings.repeats
            order = batches(
                count, self.batch_size, self.seed, epoch, fewest=self.fewest, repeats=repeats
            )
            self._order = epoch, tuple(order)
        rows = self._order[1][number]
        mine = torch.tensor_split(torch.arange(len(rows)), self.world)[self.rank]
        first = int(mine[0]) if len(mine) else 0
        share = Share(first, first + len(mine), len(rows))
        images, labels = self.augmentation.batch(rows, share, (self.seed, epoch, number))
        return Batch(images, labels, len(rows))

    def _test(self, number: int) -> Batch:
        rows = torch.split(self._test_rows(), self._test_size())[number]
        images = self.data.normalised(self.data.test.read(rows))
        return Batch(images, self.data.test.labels[rows], len(rows))

    def _test_rows(self) -> Tensor:
        every = torch.arange(len(self.data.test.labels))
        return torch.tensor_split(every, self.world)[self.rank]

    def _test_size(self) -> int:
        channels, height, width = self.data.in_shape
        return max(1, min(TEST_BATCH, TEST_VALUES // (channels * height * width)))


def _context() -> str:
    """How worker processes start: never by forking a process that has threads."""
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return "spawn"
    multiprocessing.set_forkserver_preload([__name__])
    return "forkserver"
