"""Where the state dicts lie in a checkpoint, and the names that wrappers leave in them."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")

WRAPPERS = {
    "_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module", "_forward_module",
    "_fpw_module",
}  # fmt: skip
"""What torch.compile, FSDP, activation checkpointing, Lightning and Fabric insert into names."""

BESIDE_MODULE = {"n_averaged"}
"""Keys that AveragedModel has beside those of the ``module`` that it wraps."""

DEEPEST, MOST_CONTAINERS, MOST_ITEMS = 4, 10_000, 64


@dataclass(frozen=True)
class StateDict(Generic[T]):
    """A dictionary of tensors at ``path`` in a checkpoint, "" for the top."""

    path: str
    tensors: Mapping[str, T]


def find_state_dicts(
    content: object, kind: type[T], ndim: Callable[[T], int]
) -> list[StateDict[T]]:
    """The state dicts in nested dictionaries and lists: those with a tensor of two dimensions.

    The states of optimisers, which have such tensors too, are left out.
    """
    found = []
    for path, container in _containers(content):
        tensors = {name: at for name, at in container.items() if isinstance(at, kind)}
        if any(ndim(at) > 1 for at in tensors.values()):
            found.append(StateDict(path, tensors))
    return found


def _containers(content: object) -> Iterator[tuple[str, dict[str, object]]]:
    """Nested dictionaries, each once, with the path of keys that leads to it."""
    seen: set[int] = set()
    waiting: list[tuple[tuple[str, ...], object]] = [((), content)]
    while waiting and len(seen) < MOST_CONTAINERS:
        path, at = waiting.pop(0)
        if id(at) in seen or len(path) > DEEPEST or any("optim" in key.lower() for key in path):
            continue
        seen.add(id(at))
        if isinstance(at, dict):
            named = {key: value for key, value in at.items() if isinstance(key, str)}
            yield ".".join(path), named
            inner = [(key, value) for key, value in named.items() if _nests(value)]
        elif isinstance(at, list | tuple) and len(at) <= MOST_ITEMS:
            inner = [(str(number), value) for number, value in enumerate(at) if _nests(value)]
        else:
            continue
        waiting += [((*path, key), value) for key, value in inner]


def _nests(value: object) -> bool:
    return isinstance(value, dict | list | tuple) and bool(value)


def merge(state_dicts: list[StateDict[T]]) -> dict[str, T]:
    """The tensors of all state dicts under unique names without wrappers.

    If there are several, names begin with the path of their state dict.
    """
    merged: dict[str, T] = {}
    for one in state_dicts:
        prefix = f"{one.path}." if one.path and len(state_dicts) > 1 else ""
        plain = without_wrappers(list(one.tensors))
        for key, tensor in one.tensors.items():
            name = prefix + plain[key]
            merged[prefix + key if name in merged else name] = tensor
    return merged


def natural_key(name: str) -> str:
    """A key that sorts names by their numbers: ``layers.2`` before ``layers.10``."""
    return re.sub(r"\d{1,15}", lambda number: number[0].zfill(15), name)


def without_wrappers(keys: list[str]) -> dict[str, str]:
    """The name of each key of a state dict without the components that wrappers insert.

    ``module`` is a wrapper where nothing lies beside it: DataParallel, DDP or AveragedModel.
    """
    parts = {key: tuple(at for at in key.split(".") if at not in WRAPPERS) for key in keys}
    children: dict[tuple[str, ...], set[str]] = defaultdict(set)
    for names in parts.values():
        for depth, name in enumerate(names):
            children[names[:depth]].add(name)
    return {
        key: ".".join(
            name
            for depth, name in enumerate(names)
            if name != "module"
            or depth == len(names) - 1
            or children[names[:depth]] - BESIDE_MODULE != {"module"}
        )
        for key, names in parts.items()
    }
