"""The part of a source's images that an experiment uses: ``data.take`` and ``data.test_share``."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor

from lbc import config
from lbc.data.dataset import (
    DataError,
    Dataset,
    Images,
    InMemoryImages,
    TakeError,
    channel_statistics,
)

MIN_TRAIN_IMAGES = 2
"""BatchNorm needs a batch of at least two samples."""

SPLIT_SEED = 0
"""The split does not depend on the experiment's seed, so that all runs share the test images."""

Split = TypeVar("Split", bound=Images)


def select_splits(
    source: config.Source, where: Path | str, train: Split, load_test: Callable[[], Split]
) -> tuple[Split, Split]:
    """Return the training and the test images that a source asks for.

    ``train`` has all training images, ``load_test`` loads the source's own test images; it is not
    called if the test images are a share of the training images. Raises DataError, with ``where``
    as the place of the images.
    """
    if source.take:
        check_take(source, where, len(train.labels))
        train = train.select(first_rows(train.labels, source.take))
    if source.test_share:
        train, test = _split(train, source.test_share, where, "testing", "data.test_share")
    else:
        test = load_test()
    if source.take and _count_classes(train) < 2:
        raise DataError(
            f"With data.take {source.take:,}, the training images in {where} are all of one class, "
            f"but training needs at least two: raise data.take."
        )
    return train, test


def hold_out(data: Dataset, share: float) -> Dataset:
    """Take a share of every class out of the training images, to compare a method's choices on.

    The statistics of images in memory are those of the rest. The choice depends on the labels
    alone. Raises DataError if there are too few images.
    """
    where = f"the training set of {data.name}"
    train, held_out = _split(data.train, share, where, "comparing choices", "method.held_out")
    note = (
        f"{len(held_out.labels):,} of the {len(data.train.labels):,} training images are held out, "
        "to compare choices on."
    )
    data = replace(data, train=train, held_out=held_out, notes=(*data.notes, note))
    if isinstance(train, InMemoryImages):
        mean, std = channel_statistics(train.images)
        data = replace(data, mean=mean, std=std)
    return data


def check_take(source: config.Source, where: Path | str, count: int) -> None:
    """Raise TakeError, a DataError, if ``source.take`` exceeds the number of images."""
    if source.take > count:
        raise TakeError(
            f"data.take is {source.take:,}, but there are only {count:,} images to take in "
            f"{where}: lower data.take, or set it to 0 for all."
        )


def missing_classes(data: Dataset) -> Iterator[str]:
    """A sentence for each split that has no image of some class."""
    for images, split in ((data.train, "training"), (data.test, "test")):
        if missing := data.classes - _count_classes(images):
            yield f"No {split} images of {missing:,} of the {data.classes:,} classes are used."


def first_rows(labels: Tensor, count: int) -> Tensor:
    """Return the ascending indices of the first ``count`` samples, int64.

    Where the labels (B,) are sorted by class, the first samples of every class count in turn.
    """
    turn = torch.arange(len(labels))
    if bool((labels.diff() >= 0).all()):
        turn -= torch.searchsorted(labels, labels)
    return turn.argsort(stable=True)[:count].sort().values


def stratified_split(labels: Tensor, test_share: float) -> tuple[Tensor, Tensor]:
    """Return the ascending indices of the training and of the test samples, int64.

    ⌊B·test_share⌋ samples are for testing, with the same share of each class to within one sample.
    The split depends only on the labels.
    """
    generator = torch.Generator().manual_seed(SPLIT_SEED)
    shuffled = torch.randperm(len(labels), generator=generator)
    by_class = shuffled[labels[shuffled].argsort(stable=True)]
    # In class order, a sample goes to the test split if position × share passes an integer there.
    passed = (torch.arange(len(labels) + 1, dtype=torch.float64) * test_share).floor()
    in_test = passed.diff() > 0
    return by_class[~in_test].sort().values, by_class[in_test].sort().values


def _split(
    images: Split, share: float, where: Path | str, purpose: str, key: str
) -> tuple[Split, Split]:
    """The images to train on, and a share for another purpose, which ``key`` sets."""
    count = len(images.labels)
    held_out = int(count * share)
    if held_out < 1 or count - held_out < MIN_TRAIN_IMAGES:
        raise DataError(
            f"{count:,} images in {where} are too few to hold out {100 * share:g}% for {purpose}: "
            f"use more images or change {key}."
        )
    rest, taken = stratified_split(images.labels, share)
    return images.select(rest), images.select(taken)


def _count_classes(images: Images) -> int:
    """The number of classes that have an image."""
    return int(images.labels.bincount().count_nonzero())
