"""The digits and users' files are split and normalised; bad files give one-sentence errors."""

from __future__ import annotations

import io
import os
import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lbc import config
from lbc.data import DataError, Dataset, batch_sizes, batches, describe, load
from lbc.data.digits import _read_splits
from lbc.data.npz import read_arrays
from lbc.data.selection import stratified_split
from lbc.files.resources import resource
from tests.whole_split import all_tested_on, all_trained_on

IMAGES = np.random.default_rng(0).integers(0, 256, (40, 6, 5), dtype=np.uint8)
LABELS = np.arange(40) % 4


def npz(path: Path, test_share: float = 0.25) -> config.NpzFile:
    return config.NpzFile(file=path, test_share=test_share)


def saved(folder: Path, **arrays: Any) -> Path:
    path = folder / "mine.npz"
    np.savez_compressed(path, **arrays)
    return path


def error_message(path: Path, test_share: float = 0.25) -> str:
    """The error for a file, which must name the file and be one sentence."""
    with pytest.raises(DataError) as caught:
        load(npz(path, test_share))
    sentence = str(caught.value)
    assert str(path) in sentence and sentence.endswith(".") and "\n" not in sentence
    return sentence


def assert_normalised(data: Dataset) -> None:
    images = all_trained_on(data)
    assert images.dtype == all_tested_on(data).dtype == torch.float32
    assert data.train.labels.dtype == data.test.labels.dtype == torch.int64
    std, mean = torch.std_mean(images.double(), dim=(0, 2, 3), correction=0)
    assert torch.allclose(mean, torch.zeros_like(mean), atol=1e-5)
    assert torch.allclose(std, torch.ones_like(std), atol=1e-5)


@pytest.fixture(scope="module")
def digits() -> Dataset:
    return load(config.Digits())


def test_digits_are_split_evenly_and_normalised(digits: Dataset) -> None:
    assert (digits.name, digits.classes, digits.in_shape) == ("digits", 10, (1, 28, 28))
    assert all_trained_on(digits).shape == (4000, 1, 28, 28)
    assert all_tested_on(digits).shape == (1000, 1, 28, 28)
    assert digits.train.labels.bincount().tolist() == [400] * 10
    assert digits.test.labels.bincount().tolist() == [100] * 10
    assert_normalised(digits)


def test_every_digit_is_in_exactly_one_split_with_its_own_label(digits: Dataset) -> None:
    def rows(images: np.ndarray[Any, Any], labels: np.ndarray[Any, Any]) -> list[bytes]:
        return sorted(
            bytes([label]) + image.tobytes() for image, label in zip(images, labels, strict=True)
        )

    with np.load(resource("data/mnist_5k.npz")) as arrays:
        stored = rows(arrays["images"] > 127, arrays["labels"])
    images = torch.cat([all_trained_on(digits), all_tested_on(digits)])[:, 0]
    labels = torch.cat([digits.train.labels, digits.test.labels])
    # Ink is 0 ... 255, so its level 127.5 is half-way between the extremes after any scaling.
    ink = images > (images.min() + images.max()) / 2
    assert rows(ink.numpy(), labels.numpy()) == stored


def test_digits_are_the_same_in_every_load(digits: Dataset) -> None:
    _read_splits.cache_clear()
    again = load(config.Digits())
    assert torch.equal(all_trained_on(again), all_trained_on(digits))
    assert torch.equal(again.test.labels, digits.test.labels)


def test_describe_reports_the_shape_and_classes_of_the_digits(digits: Dataset) -> None:
    assert describe(config.Digits()) == (digits.in_shape, digits.classes)


@pytest.mark.parametrize(
    "images, in_shape",
    [
        (IMAGES, (1, 6, 5)),
        (IMAGES[..., None], (1, 6, 5)),
        (np.stack([IMAGES, 255 - IMAGES, IMAGES // 3], axis=-1), (3, 6, 5)),
        (IMAGES.astype(np.float64) / 255, (1, 6, 5)),
        (IMAGES.astype(">f4"), (1, 6, 5)),
        (IMAGES.astype(np.uint16) * 200, (1, 6, 5)),
        (np.asfortranarray(IMAGES), (1, 6, 5)),
    ],
    ids=["grey", "one channel", "colour", "float64", "big-endian", "uint16", "fortran"],
)
def test_users_images_load_from_any_numeric_type(
    tmp_path: Path, images: np.ndarray[Any, Any], in_shape: tuple[int, int, int]
) -> None:
    path = saved(tmp_path, images=images, labels=LABELS)
    data = load(npz(path))
    assert (data.name, data.classes, data.in_shape) == ("mine", 4, in_shape)
    assert (len(data.train.labels), len(data.test.labels)) == (30, 10)
    assert_normalised(data)
    assert describe(npz(path)) == (in_shape, 4)


def test_channels_keep_their_own_pixels(tmp_path: Path) -> None:
    colours = np.stack([IMAGES, 255 - IMAGES, np.full_like(IMAGES, 9)], axis=-1)
    data = load(npz(saved(tmp_path, images=colours, labels=LABELS)))
    red, green, blue = all_trained_on(data).unbind(1)
    assert torch.allclose(red, -green, atol=1e-5)
    # A constant channel is shifted to 0 instead of being divided by 0.
    assert torch.equal(blue, torch.zeros_like(blue))


def test_the_test_split_is_normalised_by_the_training_split(tmp_path: Path) -> None:
    train, test = stratified_split(torch.from_numpy(LABELS), 0.25)
    images = IMAGES.astype(np.float32)
    images[test] += 1000
    data = load(npz(saved(tmp_path, images=images, labels=LABELS)))
    assert_normalised(data)
    expected = (images[test] - images[train].mean()) / images[train].std()
    assert np.allclose(all_tested_on(data)[:, 0], expected, rtol=1e-4)


@given(
    st.lists(st.integers(0, 4), min_size=2, max_size=200), st.floats(0.05, 0.95, exclude_max=True)
)
def test_a_split_is_disjoint_complete_and_balanced(values: list[int], share: float) -> None:
    labels = torch.tensor(values)
    train, test = stratified_split(labels, share)
    assert sorted(train.tolist() + test.tolist()) == list(range(len(values)))
    assert len(test) == int(len(values) * share)
    of_class = labels.bincount(minlength=5)
    in_test = labels[test].bincount(minlength=5)
    assert ((in_test - of_class * share).abs() < 1 + 1e-6).all()


@pytest.mark.parametrize(
    "arrays, words",
    [
        ({"images": IMAGES}, "no array 'labels'"),
        ({"labels": LABELS, "pictures": IMAGES}, "no array 'images' (it has labels, pictures)"),
        ({"images": IMAGES.astype(object), "labels": LABELS}, "can run code"),
        ({"images": IMAGES, "labels": LABELS.astype(object)}, "can run code"),
        ({"images": IMAGES, "labels": LABELS[:-1]}, "40 images but 39 labels"),
        ({"images": IMAGES[:0], "labels": LABELS[:0]}, "is empty"),
        ({"images": IMAGES[:, :0], "labels": LABELS}, "is empty"),
        ({"images": IMAGES, "labels": LABELS - 1}, "label -1"),
        ({"images": IMAGES, "labels": LABELS / 2}, "must be integers"),
        ({"images": IMAGES, "labels": LABELS[:, None]}, "must be integers of shape (images,)"),
        ({"images": IMAGES, "labels": LABELS * 0 + 3}, "Every label"),
        ({"images": IMAGES, "labels": LABELS.astype(np.uint64) + 2**63}, "without gaps"),
        ({"images": np.full((40, 2, 2), np.nan), "labels": LABELS}, "NaN"),
        ({"images": np.full((40, 2, 2), 1e300), "labels": LABELS}, "extremely large"),
        ({"images": IMAGES.astype(complex), "labels": LABELS}, "type complex128"),
        ({"images": IMAGES.astype(str), "labels": LABELS}, "uint8 or float32"),
        ({"images": IMAGES[0], "labels": LABELS}, "must be (images, height, width)"),
        ({"images": np.zeros((40, 3, 8, 8)), "labels": LABELS}, "transpose"),
        ({"images": IMAGES[:2], "labels": LABELS[:2]}, "too few"),
    ],
)
def test_an_invalid_file_is_rejected_with_a_sentence(
    tmp_path: Path, arrays: dict[str, Any], words: str
) -> None:
    assert words in error_message(saved(tmp_path, **arrays))


def test_the_first_bad_image_is_named(tmp_path: Path) -> None:
    images = IMAGES.astype(np.float32)
    images[17, 3, 3] = np.inf
    assert "first in image 17" in error_message(saved(tmp_path, images=images, labels=LABELS))


def test_a_truncated_file_is_rejected(tmp_path: Path) -> None:
    whole = saved(tmp_path, images=IMAGES, labels=LABELS).read_bytes()
    path = tmp_path / "cut.npz"
    for length in range(0, len(whole), 97):
        path.write_bytes(whole[:length])
        error_message(path)
        with pytest.raises(DataError):
            describe(npz(path))


def test_a_file_with_flipped_bytes_loads_or_is_rejected(tmp_path: Path) -> None:
    whole = saved(tmp_path, images=IMAGES, labels=LABELS).read_bytes()
    path = tmp_path / "flipped.npz"
    rejected = 0
    for place in range(0, len(whole), 23):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0x55]) + whole[place + 1 :])
        for read in (load, describe):
            try:
                read(npz(path))
            except DataError:
                rejected += 1
    assert rejected


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_no_single_flipped_bit_is_read_as_other_arrays(tmp_path: Path, save: Any) -> None:
    path, rejected = tmp_path / "flipped.npz", 0
    save(path, images=IMAGES[:12, :3, :3], labels=LABELS[:12])
    whole = path.read_bytes()
    for bit in range(0, 8 * len(whole), 5):
        place = bit // 8
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1 << bit % 8]) + whole[place + 1 :])
        try:
            images, labels = read_arrays(path)
        except DataError:
            rejected += 1
        else:
            assert images.tolist() == IMAGES[:12, :3, :3].tolist()
            assert labels.tolist() == LABELS[:12].tolist()
    assert rejected > len(whole) / 2


@pytest.mark.parametrize("content", [b"", b"hello", b"PK\x03\x04 not really", os.urandom(500)])
def test_a_file_of_another_format_is_rejected(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "other.npz"
    path.write_bytes(content)
    assert "truncated or not an .npz file" in error_message(path)


def test_a_single_array_is_not_an_npz_file(tmp_path: Path) -> None:
    path = tmp_path / "one.npz"
    with path.open("wb") as file:
        np.save(file, IMAGES)
    assert "not an .npz file" in error_message(path)


def test_a_missing_file_and_a_folder_are_rejected(tmp_path: Path) -> None:
    assert "does not exist" in error_message(tmp_path / "nowhere.npz")
    assert "cannot be read" in error_message(tmp_path)


class Trap:
    """Unpickling this writes a file."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.target,)


def test_no_code_in_a_data_file_ever_runs(tmp_path: Path) -> None:
    sprung = tmp_path / "sprung"
    plain = tmp_path / "plain.npz"
    plain.write_bytes(pickle.dumps(Trap(sprung)))
    error_message(plain)
    inside = saved(tmp_path, images=np.array([Trap(sprung)] * 40), labels=LABELS)
    assert "can run code" in error_message(inside)
    with pytest.raises(DataError, match="can run code"):
        describe(npz(inside))
    assert not sprung.exists()


def test_a_header_that_claims_more_than_memory_is_rejected(tmp_path: Path) -> None:
    header = io.BytesIO()
    claim = {"descr": "<f8", "fortran_order": False, "shape": (1 << 20, 1 << 20, 1 << 20)}
    np.lib.format.write_array_header_1_0(header, claim)
    path = tmp_path / "huge.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("images.npy", header.getvalue())
        archive.writestr("labels.npy", header.getvalue())
    error_message(path)


def test_the_shipped_digits_state_their_origin() -> None:
    notes = resource("data/README.md").read_text(encoding="utf-8")
    assert "LeCun" in notes and "ShareAlike 3.0" in notes


def test_the_error_names_a_missing_shipped_file() -> None:
    with pytest.raises(FileNotFoundError, match=r"data/nowhere\.npz is missing"):
        resource("data/nowhere.npz")


@given(st.integers(0, 300), st.integers(1, 40), st.integers(0, 1000))
def test_batches_visit_every_sample_once(length: int, batch_size: int, seed: int) -> None:
    drawn = list(batches(length, batch_size, seed, epoch=3))
    assert [len(batch) for batch in drawn] == batch_sizes(length, batch_size)
    assert sorted(int(i) for batch in drawn for i in batch) == list(range(length))
    assert all(len(batch) == batch_size for batch in drawn[:-1])
    assert all(len(batch) <= batch_size + 1 for batch in drawn)
    if batch_size > 1 and length > 1:
        assert all(len(batch) > 1 for batch in drawn)


@pytest.mark.parametrize(
    "length, sizes", [(8, [4, 4]), (9, [4, 5]), (10, [4, 4, 2]), (1, [1]), (0, [])]
)
def test_a_single_last_sample_is_added_to_the_previous_batch(length: int, sizes: list[int]) -> None:
    assert batch_sizes(length, 4) == sizes


def test_the_order_depends_only_on_seed_and_epoch() -> None:
    orders = {
        (seed, epoch): torch.cat(list(batches(100, 7, seed, epoch))).tolist()
        for seed in range(3)
        for epoch in range(3)
    }
    assert len({tuple(order) for order in orders.values()}) == 9
    torch.rand(3)  # the global generator has no effect
    whole = list(batches(100, 7, 2, 1))
    assert torch.cat(whole).tolist() == orders[2, 1]
    for start in range(len(whole) + 1):
        rest = list(batches(100, 7, 2, 1, start))
        assert [batch.tolist() for batch in rest] == [batch.tolist() for batch in whole[start:]]


@pytest.mark.parametrize(
    "length, min_size, sizes", [(19, 4, [8, 11]), (20, 4, [8, 8, 4]), (3, 4, [3])]
)
def test_a_batch_too_small_for_all_processes_is_added_to_the_previous_one(
    length: int, min_size: int, sizes: list[int]
) -> None:
    assert batch_sizes(length, 8, min_size) == sizes


def test_an_archive_that_would_fill_the_memory_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "bomb.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in ("images", "labels"):
            archive.writestr(f"{name}.npy", b"\x93NUMPY")
        for part in archive.infolist():
            part.file_size = 1 << 50
    with pytest.raises(DataError, match=r"bomb\.npz does not fit into memory"):
        read_arrays(path)
