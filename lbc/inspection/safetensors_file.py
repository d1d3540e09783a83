"""Lazy access to the tensors of a safetensors file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

METADATA_KEY = "lbc"
"""The metadata entry that describes the layers of an exported checkpoint."""


class LazyTensors(Mapping[str, object]):
    """A safetensors file as a mapping that reads tensors on demand."""

    def __init__(self, tensors: Any) -> None:
        self._tensors = tensors
        self._names = dict.fromkeys(tensors.keys())

    def __getitem__(self, name: str) -> object:
        if name not in self._names:
            raise KeyError(name)
        return self._tensors.get_tensor(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)
