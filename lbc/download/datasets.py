"""URLs, sizes and checksums of the well-known data sets.

Sizes and SHA-256 are those of TensorFlow Datasets (``url_checksums``). They were compared with
those in other programs that download the same files, not computed from files of our own.
"""

from __future__ import annotations

from dataclasses import dataclass

IDX_NAMES = (
    "train-images-idx3-ubyte.gz",
    "train-labels-idx1-ubyte.gz",
    "t10k-images-idx3-ubyte.gz",
    "t10k-labels-idx1-ubyte.gz",
)


Content = tuple[int, str]
"""Size in bytes and SHA-256."""


@dataclass(frozen=True)
class RemoteFile:
    """One file: its URL, local file name, size in bytes and SHA-256."""

    url: str
    name: str
    size: int
    sha256: str


@dataclass(frozen=True)
class RemoteDataset:
    """A data set: its files, and the ``data`` settings of an experiment that uses it."""

    title: str
    files: tuple[RemoteFile, ...]
    settings: str


def _idx(title: str, base: str, *contents: Content) -> RemoteDataset:
    files = tuple(
        RemoteFile(base + name, name, *content)
        for name, content in zip(IDX_NAMES, contents, strict=True)
    )
    return RemoteDataset(title, files, "name: idx")


def _archive(
    title: str, url: str, content: Content, settings: str, name: str = ""
) -> RemoteDataset:
    file = RemoteFile(url, name or url.rpartition("/")[2], *content)
    return RemoteDataset(title, (file,), settings)


DATASETS = {
    "mnist": _idx(
        "MNIST",
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        (9_912_422, "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609"),
        (28_881, "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c"),
        (1_648_877, "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6"),
        (4_542, "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6"),
    ),
    "fashion-mnist": _idx(
        "Fashion-MNIST",
        "https://fashion-mnist.s3.eu-central-1.amazonaws.com/",
        (26_421_880, "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84"),
        (29_515, "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845"),
        (4_422_102, "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073"),
        (5_148, "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5"),
    ),
    "kmnist": _idx(
        "KMNIST",
        "https://codh.rois.ac.jp/kmnist/dataset/kmnist/",
        (18_165_135, "51467d22d8cc72929e2a028a0428f2086b092bb31cfb79c69cc0a90ce135fde4"),
        (29_497, "e38f9ebcd0f3ebcdec7fc8eabdcdaef93bb0df8ea12bee65224341c8183d8e17"),
        (3_041_136, "edd7a857845ad6bb1d0ba43fe7e794d164fe2dce499a1694695a792adfac43c5"),
        (5_120, "20bb9a0ef54c7db3efc55a92eef5582c109615df22683c380526788f98e42a1c"),
    ),
    "emnist": _archive(
        "EMNIST",
        "https://biometrics.nist.gov/cs_links/EMNIST/gzip.zip",
        (561_753_746, "fb9bb67e33772a9cc0b895e4ecf36d2cf35be8b709693c3564cea2a019fcda8e"),
        "name: idx, emnist: balanced",
        "emnist.zip",
    ),
    "cifar-10": _archive(
        "CIFAR-10, binary version",
        "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
        (170_052_171, "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd"),
        "name: cifar10",
    ),
    "cifar-100": _archive(
        "CIFAR-100, binary version",
        "https://www.cs.toronto.edu/~kriz/cifar-100-binary.tar.gz",
        (168_513_733, "58a81ae192c23a4be8b1804d68e518ed807d710a4eb253b1f2a199162a40d8ec"),
        "name: cifar100",
    ),
}
