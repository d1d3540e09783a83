"""``data.take`` and ``data.test_share`` select the same part of any source."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lbc import config
from lbc.config import parse_experiment
from lbc.config.strict_yaml import ExperimentError
from lbc.data import DataError, Dataset, describe, load
from lbc.data.dataset import InMemoryImages, channel_statistics
from lbc.data.folder import ImageFiles
from lbc.data.selection import first_rows
from tests.data.test_cifar import ten
from tests.data.test_idx import written
from tests.data.test_image_folder import FORMATS, folder, root

__all__ = ["root"]

RANDOM = np.random.default_rng(3)
IMAGES = RANDOM.integers(0, 256, (60, 5, 4), dtype=np.uint8)
LABELS = RANDOM.integers(0, 3, 60).astype(np.uint8)


def idx(path: Path) -> config.IdxFiles:
    return written(path / "idx", IMAGES, LABELS)


def npz(path: Path, images: Any = IMAGES, labels: Any = LABELS, **settings: Any) -> config.NpzFile:
    file = path / f"{len(labels)}.npz"
    np.savez(file, images=images, labels=labels)
    return config.NpzFile(file=file, **settings)


SOURCES: dict[str, Callable[[Path], config.Data]] = {
    "idx": idx,
    "npz": npz,
    "cifar10": lambda path: ten(path / "cifar"),
    "digits": lambda _: config.Digits(),
    "folder": lambda path: folder(path),
}


def loaded(source: config.Data, **settings: Any) -> Dataset:
    return load(source.model_copy(update=settings))


def contents(images: object) -> tuple[torch.Tensor, torch.Tensor]:
    assert isinstance(images, InMemoryImages)
    return images.images, images.labels


def rejected(source: config.Data, **settings: Any) -> str:
    with pytest.raises(DataError) as caught:
        loaded(source, **settings)
    assert "\n" not in str(caught.value) and str(caught.value).endswith(".")
    return str(caught.value)


@pytest.mark.parametrize("take", [24, 60])
@pytest.mark.parametrize("make", [idx, npz])
def test_part_of_a_set_is_the_same_to_the_last_bit_as_an_npz_of_its_images(
    tmp_path: Path, make: Callable[[Path], config.Data], take: int
) -> None:
    seen = loaded(make(tmp_path), take=take, test_share=0.5)
    (tmp_path / "npz").mkdir()
    same = loaded(npz(tmp_path / "npz", IMAGES[:take], LABELS[:take]), test_share=0.5)
    assert len(seen.train.labels) == len(seen.test.labels) == take // 2
    for ours, theirs in ((seen.train, same.train), (seen.test, same.test)):
        for one, other in zip(contents(ours), contents(theirs), strict=True):
            assert torch.equal(one, other) and one.dtype == other.dtype
            assert one.stride() == other.stride()
    assert torch.equal(seen.mean, same.mean) and torch.equal(seen.std, same.std)
    assert (seen.in_shape, seen.classes) == (same.in_shape, same.classes)


@pytest.mark.parametrize("name", ["idx", "cifar10", "digits"])
def test_take_alone_keeps_the_test_images_of_the_source(tmp_path: Path, name: str) -> None:
    source = SOURCES[name](tmp_path)
    whole, part = loaded(source), loaded(source, take=7)
    images, labels = contents(whole.train)
    rows = first_rows(labels, 7)
    assert torch.equal(contents(part.train)[0], images[rows])
    assert torch.equal(part.train.labels, labels[rows])
    assert torch.equal(contents(part.test)[0], contents(whole.test)[0])
    assert (part.classes, part.in_shape) == (whole.classes, whole.in_shape)
    assert describe(source.model_copy(update={"take": 7})) == (
        whole.in_shape,
        whole.classes,
    )


labels_of_samples = st.lists(st.integers(0, 4), min_size=2, max_size=60)


@given(labels_of_samples, st.integers(1, 60))
def test_the_first_samples_are_taken_and_of_sorted_ones_as_many_of_every_class(
    values: list[int], count: int
) -> None:
    labels = torch.tensor(values)
    rows = first_rows(labels, count)
    assert rows.dtype == torch.int64 and len(rows) == min(count, len(values))
    if values != sorted(values):
        assert rows.tolist() == list(range(len(rows)))
    ordered = labels.sort().values
    rows = first_rows(ordered, count)
    assert bool((rows.diff() > 0).all())
    taken, there = ordered[rows].bincount(minlength=5), ordered.bincount(minlength=5)
    most = int(taken.max())
    assert all(
        have in (most, most - 1) or have == of for have, of in zip(taken, there, strict=True)
    )
    for value in range(5):  # the first of each class
        of_class = (ordered == value).nonzero()[:, 0].tolist()
        assert [row for row in rows.tolist() if row in of_class] == of_class[: int(taken[value])]


def test_digits_are_taken_from_every_class() -> None:
    seen = loaded(config.Digits(), take=1000)
    assert seen.train.labels.bincount().tolist() == [100] * 10
    assert seen.test.labels.bincount().tolist() == [100] * 10


def test_a_folder_needs_no_test_images_and_only_those_taken_are_opened(root: Path) -> None:
    for name in ("cat", "dog", "eel"):
        (root / "train" / name / f"{name}5.tif").write_bytes(b"cut off")
    for file in sorted((root / "val").rglob("*"), reverse=True):
        file.unlink() if file.is_file() else file.rmdir()
    (root / "val").rmdir()
    seen = loaded(folder(root), take=12, test_share=0.5)
    assert seen.train.labels.tolist() == seen.test.labels.tolist() == [0, 0, 1, 1, 2, 2]
    assert isinstance(seen.train, ImageFiles) and isinstance(seen.test, ImageFiles)
    names = [name.decode() for name in (*seen.train.names, *seen.test.names)]
    assert sorted(names) == [
        f"{name}/{name}{number}.{FORMATS[number]}"
        for name in ("cat", "dog", "eel")
        for number in range(4)
    ]
    assert "cat5.tif is not an image" in rejected(folder(root), test_share=0.5)


@pytest.mark.parametrize(
    ("make", "files"), [(idx, "t10k-*"), (lambda path: ten(path / "cifar"), "test_batch.bin")]
)
def test_test_files_are_not_needed_for_a_share_of_the_training_images(
    tmp_path: Path, make: Callable[[Path], config.Data], files: str
) -> None:
    source = make(tmp_path)
    for file in tmp_path.rglob(files):
        file.unlink()
    assert len(loaded(source, test_share=0.5).test.labels) > 1
    rejected(source)


@pytest.mark.parametrize(
    ("name", "count"),
    [("idx", "60"), ("npz", "60"), ("cifar10", "10"), ("digits", "4,000"), ("folder", "18")],
)
def test_more_images_than_there_are_is_an_error_with_both_numbers(
    root: Path, name: str, count: str
) -> None:
    source = SOURCES[name](root)
    sentence = rejected(source, take=4001)
    assert "data.take is 4,001" in sentence and f"only {count} images" in sentence
    if name != "folder":  # describing a folder does not list its files
        with pytest.raises(DataError, match=r"data\.take is 4,001"):
            describe(source.model_copy(update={"take": 4001}))


def test_too_few_images_are_an_error_that_names_the_setting(tmp_path: Path) -> None:
    labels = np.repeat([0, 1, 0], 20)
    source = npz(tmp_path, labels=labels)
    assert "of one class" in rejected(source, take=20, test_share=0.5)
    assert "data.take 1," in rejected(idx(tmp_path), take=1)
    assert "3 images" in rejected(idx(tmp_path), take=3, test_share=0.1)
    assert "to hold out 90%" in rejected(source, take=3, test_share=0.9)


def test_a_class_without_images_is_noted(tmp_path: Path) -> None:
    assert loaded(idx(tmp_path)).notes == loaded(idx(tmp_path), test_share=0.5).notes == ()
    few = int(np.flatnonzero(LABELS[0] != LABELS)[0]) + 1
    assert loaded(idx(tmp_path), take=few).notes == (
        "No training images of 1 of the 3 classes are used.",
    )
    assert (
        "No test images of 9 of the 10 classes are used."
        in loaded(config.Digits(), take=10, test_share=0.1).notes
    )


def test_a_setting_that_cannot_be_is_an_error() -> None:
    for setting, message in (
        ("data.take=-1", "Must be at least 0, not -1."),
        ("data.take=2.5", "Must be a whole number, not 2.5."),
        ("data.test_share=1", "Must be below 1, not 1."),
    ):
        with pytest.raises(ExperimentError, match=message):
            parse_experiment({}, settings=[setting])
    with pytest.raises(ExperimentError, match="Must be above 0, not 0"):
        parse_experiment({"data": {"name": "npz", "file": "a.npz", "test_share": 0}})


@pytest.mark.parametrize("make", SOURCES.values(), ids=SOURCES)
def test_held_out_images_are_a_share_of_every_class_of_the_training_images(
    root: Path, tmp_path: Path, make: Callable[[Path], config.Data]
) -> None:
    source = make(root if make is SOURCES["folder"] else tmp_path)
    whole, seen = load(source), load(source, held_out=0.25)
    assert whole.held_out is None and seen.held_out is not None
    every, rest, taken = (
        images.labels.bincount(minlength=seen.classes)
        for images in (whole.train, seen.train, seen.held_out)
    )
    assert torch.equal(rest + taken, every) and (taken - 0.25 * every).abs().max() <= 1
    assert len(seen.test.labels) == len(whole.test.labels)
    assert f"{int(taken.sum()):,} of the {int(every.sum()):,} training images" in seen.notes[-1]
    if isinstance(seen.train, InMemoryImages):
        mean, std = channel_statistics(seen.train.images)
        assert torch.equal(seen.mean, mean) and torch.equal(seen.std, std)
        pixels = [contents(one)[0] for one in (seen.train, seen.held_out)]
        assert torch.equal(
            torch.cat(pixels).sort(0).values, contents(whole.train)[0].sort(0).values
        )
    else:
        assert torch.equal(seen.mean, whole.mean)
    again = load(source, held_out=0.25).held_out
    assert again is not None and torch.equal(again.labels, seen.held_out.labels)
