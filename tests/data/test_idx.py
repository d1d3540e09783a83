"""IDX files of MNIST and EMNIST are read exactly; errors name damaged files."""

from __future__ import annotations

import gzip
import pickle
import struct
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lbc import config
from lbc.data import DataError, describe, load
from lbc.data.dataset import InMemoryImages
from lbc.data.idx import read_idx

Array = np.ndarray[Any, np.dtype[np.uint8]]
RANDOM = np.random.default_rng(0)
IMAGES = RANDOM.integers(0, 256, (12, 5, 4), dtype=np.uint8)
LABELS = (np.arange(12) % 3).astype(np.uint8)


def idx_bytes(array: Array) -> bytes:
    return struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.tobytes()


def written(
    folder: Path, images: Array = IMAGES, labels: Array = LABELS, packed: bool = False,
    prefixes: tuple[str, str] = ("train", "t10k"),
) -> config.IdxFiles:  # fmt: skip
    """Write both splits of a data set to a folder; the test split has half the images."""
    folder.mkdir(exist_ok=True)
    for prefix, part in zip(prefixes, (slice(None), slice(0, 6)), strict=True):
        for name, array in (("images-idx3", images[part]), ("labels-idx1", labels[part])):
            content = idx_bytes(array)
            file = folder / f"{prefix}-{name}-ubyte"
            if packed:
                file.with_name(file.name + ".gz").write_bytes(gzip.compress(content))
            else:
                file.write_bytes(content)
    return config.IdxFiles(folder=folder)


def error_message(source: config.IdxFiles, also_described: bool = False) -> str:
    with pytest.raises(DataError) as caught:
        load(source)
    sentence = str(caught.value)
    assert str(source.folder) in sentence
    assert "\n" not in sentence and sentence.endswith(".")
    if also_described:
        with pytest.raises(DataError):
            describe(source)
    return sentence


def arrays(split: object) -> tuple[Array, Array]:
    assert isinstance(split, InMemoryImages)
    return split.images.numpy(), split.labels.numpy()


shapes = st.tuples(st.integers(1, 9), st.integers(1, 6), st.integers(1, 6))


@given(shapes, st.integers(0, 1000), st.booleans())
def test_an_array_is_read_as_written(
    tmp_path_factory: pytest.TempPathFactory, shape: tuple[int, ...], seed: int, packed: bool
) -> None:
    array = np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)
    path = tmp_path_factory.getbasetemp() / ("x.gz" if packed else "x")
    content = idx_bytes(array)
    path.write_bytes(gzip.compress(content, 1) if packed else content)
    read = read_idx(path, 3)
    assert read.dtype == np.uint8 and np.array_equal(read, array)


@pytest.mark.parametrize("packed", [False, True])
def test_both_splits_load(tmp_path: Path, packed: bool) -> None:
    source = written(tmp_path / "mnist", packed=packed)
    data = load(source)
    assert (data.name, data.classes, data.in_shape) == ("mnist", 3, (1, 5, 4))
    for split, count in ((data.train, 12), (data.test, 6)):
        images, labels = arrays(split)
        assert np.array_equal(images[:, 0], IMAGES[:count])
        assert np.array_equal(labels, LABELS[:count])
    assert describe(source) == ((1, 5, 4), 3)


def test_alternative_names_and_folders_of_the_files_are_found(tmp_path: Path) -> None:
    written(tmp_path / "raw")
    for file in list((tmp_path / "raw").iterdir()):
        file.rename(file.with_name(file.name.replace("-idx", ".idx")))
    assert load(config.IdxFiles(folder=tmp_path)).classes == 3


@pytest.mark.parametrize("part", ["letters", "balanced"])
def test_emnist_images_are_transposed_and_letters_numbered_from_0(
    tmp_path: Path, part: Literal["letters", "balanced"]
) -> None:
    first = 1 if part == "letters" else 0
    lying, labels = np.ascontiguousarray(IMAGES.swapaxes(1, 2)), LABELS + np.uint8(first)
    prefixes = (f"emnist-{part}-train", f"emnist-{part}-test")
    written(tmp_path / "gzip", lying, labels, packed=True, prefixes=prefixes)
    source = config.IdxFiles(folder=tmp_path, emnist=part)
    data = load(source)
    assert (data.name, data.classes, data.in_shape) == (f"emnist-{part}", 3, (1, 5, 4))
    images, found = arrays(data.train)
    assert np.array_equal(images[:, 0], IMAGES) and np.array_equal(found, LABELS)
    assert describe(source) == ((1, 5, 4), 3)
    assert "is selected by data.emnist" in error_message(config.IdxFiles(folder=tmp_path))


def test_letters_numbered_from_0_are_rejected(tmp_path: Path) -> None:
    written(tmp_path, prefixes=("emnist-letters-train", "emnist-letters-test"))
    source = config.IdxFiles(folder=tmp_path, emnist="letters")
    assert "letters are numbered from 1" in error_message(source, also_described=True)


HEADER = struct.pack(">HBBIII", 0, 8, 3, 12, 5, 4)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is not an IDX file"),
        (b"<html>not found", "is not an IDX file"),
        (b"\0\0\x08", "is not an IDX file"),
        (b"\0\0\x0d\x03" + HEADER[4:], "type 0x0d"),
        (b"\0\0\x08\x01" + HEADER[4:], "has 1 dimension(s), but images have 3"),
        (HEADER[:9], "truncated after 9 bytes"),
        (HEADER, "states 12×5×4 = 240 bytes, but it has only 0"),
        (HEADER + IMAGES.tobytes()[:-1], "only 239"),
        (HEADER + IMAGES.tobytes() + b"x", "it has more"),
        (struct.pack(">HBBIII", 0, 8, 3, 2**32 - 1, 2**32 - 1, 2**32 - 1), "only 0"),
        (struct.pack(">HBBIII", 0, 8, 3, 12, 0, 4), "is empty"),
        (struct.pack(">HBBIII", 0, 8, 3, 0, 5, 4), "0 images but"),
        (pickle.dumps({"data": 1}), "is not an IDX file"),
    ],
)
@pytest.mark.parametrize("packed", [False, True])
def test_the_error_names_a_damaged_file(
    tmp_path: Path, content: bytes, words: str, packed: bool
) -> None:
    source = written(tmp_path, packed=packed)
    file = tmp_path / ("train-images-idx3-ubyte" + (".gz" if packed else ""))
    file.write_bytes(gzip.compress(content) if packed else content)
    sentence = error_message(source)
    assert words in sentence and file.name in sentence


def test_the_error_names_a_truncated_or_invalid_gz_file(tmp_path: Path) -> None:
    source = written(tmp_path, packed=True)
    file = tmp_path / "train-labels-idx1-ubyte.gz"
    whole = file.read_bytes()
    for content in (*(whole[:length] for length in range(0, len(whole), 5)), b"plain", whole[:-4]):
        file.write_bytes(content)
        assert file.name in error_message(source, also_described=True)


def test_labels_and_images_must_match(tmp_path: Path) -> None:
    source = written(tmp_path)
    (tmp_path / "train-labels-idx1-ubyte").write_bytes(idx_bytes(LABELS[:-1]))
    assert "12 images but" in error_message(source)
    (tmp_path / "train-labels-idx1-ubyte").write_bytes(idx_bytes(LABELS * np.uint8(0)))
    assert "at least two classes" in error_message(source, also_described=True)
    written(tmp_path)
    (tmp_path / "t10k-labels-idx1-ubyte").write_bytes(idx_bytes(LABELS[:6] + np.uint8(2)))
    assert "the label 3, first at image 1, but there are 3 classes" in error_message(source)
    written(tmp_path)
    (tmp_path / "t10k-images-idx3-ubyte").write_bytes(idx_bytes(IMAGES[:6, :3]))
    assert "are 5×4 but the test images are 3×4" in error_message(source)


def test_the_error_names_missing_files_and_folders(tmp_path: Path) -> None:
    source = config.IdxFiles(folder=tmp_path)
    assert "has neither train-labels-idx1-ubyte" in error_message(source, also_described=True)
    assert "is not a folder" in error_message(config.IdxFiles(folder=tmp_path / "nowhere"), True)
