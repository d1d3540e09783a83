"""CIFAR's binary versions are read exactly; the pickled versions are rejected."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lbc import config
from lbc.data import DataError, describe, load
from lbc.data.cifar import read_records
from lbc.data.dataset import InMemoryImages

Array = np.ndarray[Any, np.dtype[np.uint8]]
TEN = [*(f"data_batch_{number}.bin" for number in range(1, 6)), "test_batch.bin"]


def records(labels: Array, seed: int = 0) -> Array:
    """Records of random images with these labels (B, label bytes)."""
    pixels = np.random.default_rng(seed).integers(0, 256, (len(labels), 3072), dtype=np.uint8)
    return np.concatenate([labels, pixels], axis=1)


def ten(folder: Path) -> config.Cifar10:
    """Two records per file; the first has class 0."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, name in enumerate(TEN):
        labels = np.array([[number], [9 - number]], np.uint8)
        records(labels, number).tofile(folder / name)
    return config.Cifar10(folder=folder)


def hundred(folder: Path) -> config.Cifar100:
    for seed, name in enumerate(("train.bin", "test.bin")):
        fine = np.arange(100, dtype=np.uint8)
        records(np.stack([fine // 5, fine], axis=1), seed).tofile(folder / name)
    return config.Cifar100(folder=folder)


def error_message(source: config.Cifar10 | config.Cifar100) -> str:
    with pytest.raises(DataError) as caught:
        load(source)
    sentence = str(caught.value)
    assert str(source.folder) in sentence and "\n" not in sentence and sentence.endswith(".")
    return sentence


@given(st.integers(1, 6), st.integers(1, 2), st.integers(0, 1000))
def test_records_are_read_as_written(
    tmp_path_factory: pytest.TempPathFactory, count: int, label_bytes: int, seed: int
) -> None:
    random = np.random.default_rng(seed)
    labels = random.integers(0, 100, (count, label_bytes), dtype=np.uint8)
    images = random.integers(0, 256, (count, 32, 32, 3), dtype=np.uint8)
    path = tmp_path_factory.getbasetemp() / "records.bin"
    with path.open("wb") as file:
        for label, image in zip(labels, images, strict=True):
            file.write(bytes(label))
            for channel in range(3):  # red, then green, then blue, each row by row
                file.write(image[:, :, channel].tobytes())
    read_labels, read_images = read_records(path, label_bytes)
    assert np.array_equal(read_labels, labels)
    assert np.array_equal(read_images, images.transpose(0, 3, 1, 2))


@pytest.mark.parametrize("inside", ["", "cifar-10-batches-bin"])
def test_cifar10_loads(tmp_path: Path, inside: str) -> None:
    ten(tmp_path / inside)
    source = config.Cifar10(folder=tmp_path)
    data = load(source)
    assert (data.name, data.classes, data.in_shape) == ("cifar10", 10, (3, 32, 32))
    assert data.train.labels.tolist() == [0, 9, 1, 8, 2, 7, 3, 6, 4, 5]
    assert data.test.labels.tolist() == [5, 4]
    assert isinstance(data.train, InMemoryImages) and data.train.images.dtype == torch.uint8
    first = records(np.zeros((2, 1), np.uint8), 0)[0, 1:].reshape(3, 32, 32)
    assert np.array_equal(data.train.images[0].numpy(), first)
    assert describe(source) == ((3, 32, 32), 10)


def test_cifar100_has_fine_and_coarse_labels(tmp_path: Path) -> None:
    source = hundred(tmp_path)
    data = load(source)
    assert data.classes == 100 and data.train.labels.tolist() == list(range(100))
    coarse = config.Cifar100(folder=tmp_path, labels="coarse")
    assert load(coarse).test.labels.tolist() == [fine // 5 for fine in range(100)]
    assert describe(coarse) == ((3, 32, 32), 20)


def test_the_error_names_a_damaged_file(tmp_path: Path) -> None:
    source = ten(tmp_path)
    file = tmp_path / "data_batch_3.bin"
    whole = file.read_bytes()
    for content in (b"", whole[:-1], whole + b"x", pickle.dumps({"data": b"1" * 50})):
        file.write_bytes(content)
        assert "data_batch_3.bin is damaged" in error_message(source)
    file.write_bytes(whole[:3073] + b"\x0a" + whole[3074:])
    assert "has the label 10, first at image 1, but there are 10 classes" in error_message(source)
    file.unlink()
    assert "has no data_batch_3.bin" in error_message(source)
    with pytest.raises(DataError, match="has no data_batch_3"):
        describe(source)


def test_the_pickled_versions_are_never_loaded(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[Any, ...]:
            return Path.touch, (tmp_path / "sprung",)

    for name, source in (
        ("data_batch_1", config.Cifar10(folder=tmp_path)),
        ("train", config.Cifar100(folder=tmp_path)),
    ):
        (tmp_path / name).write_bytes(pickle.dumps(Trap()))
        sentence = error_message(source)
        assert "can run code" in sentence and "binary version" in sentence
    assert not (tmp_path / "sprung").exists()


def test_the_error_names_a_missing_folder(tmp_path: Path) -> None:
    assert "is not a folder" in error_message(config.Cifar100(folder=tmp_path / "nowhere"))
