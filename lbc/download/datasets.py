"""URLs and checksums of the well-known data sets.

The checksums of Fashion-MNIST and CIFAR are the published ones; the others are those used by
torchvision. All were compared with other programs that download the same files.
"""

from __future__ import annotations

from dataclasses import dataclass

IDX_NAMES = (
    "train-images-idx3-ubyte.gz",
    "train-labels-idx1-ubyte.gz",
    "t10k-images-idx3-ubyte.gz",
    "t10k-labels-idx1-ubyte.gz",
)


@dataclass(frozen=True)
class RemoteFile:
    """One file: its URL, local file name and MD5."""

    url: str
    name: str
    md5: str


@dataclass(frozen=True)
class RemoteDataset:
    """A data set: its files, and the ``data`` settings of an experiment that uses it."""

    title: str
    files: tuple[RemoteFile, ...]
    settings: str


def _idx(title: str, base: str, *checksums: str) -> RemoteDataset:
    files = tuple(
        RemoteFile(base + name, name, md5) for name, md5 in zip(IDX_NAMES, checksums, strict=True)
    )
    return RemoteDataset(title, files, "name: idx")


def _archive(title: str, url: str, md5: str, settings: str, name: str = "") -> RemoteDataset:
    return RemoteDataset(title, (RemoteFile(url, name or url.rpartition("/")[2], md5),), settings)


DATASETS = {
    "mnist": _idx(
        "MNIST",
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        "f68b3c2dcbeaaa9fbdd348bbdeb94873",
        "d53e105ee54ea40749a09fcbcd1e9432",
        "9fb629c4189551a2d022fa330f9573f3",
        "ec29112dd5afa0611ce80d1b7f02629c",
    ),
    "fashion-mnist": _idx(
        "Fashion-MNIST",
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
        "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
        "25c81989df183df01b3e8a0aad5dffbe",
        "bef4ecab320f06d8554ea6380940ec79",
        "bb300cfdad3c16e7a12a480ee83cd310",
    ),
    "kmnist": _idx(
        "KMNIST",
        "http://codh.rois.ac.jp/kmnist/dataset/kmnist/",
        "bdb82020997e1d708af4cf47b453dcf7",
        "e144d726b3acfaa3e44228e80efcd344",
        "5c965bf0a639b31b8f53240b1b52f4d7",
        "7320c461ea6c1c855c0b718fb2a4b134",
    ),
    "emnist": _archive(
        "EMNIST",
        "https://biometrics.nist.gov/cs_links/EMNIST/gzip.zip",
        "58c8d27c78d21e728a6bc7b3cc06412e",
        "name: idx, emnist: balanced",
        "emnist.zip",
    ),
    "cifar-10": _archive(
        "CIFAR-10, binary version",
        "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
        "c32a1d4ab5d03f1284b67883e8d87530",
        "name: cifar10",
    ),
    "cifar-100": _archive(
        "CIFAR-100, binary version",
        "https://www.cs.toronto.edu/~kriz/cifar-100-binary.tar.gz",
        "03b5dce01913d631647c71ecec9e9cb8",
        "name: cifar100",
    ),
}
