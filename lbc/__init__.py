"""Learning Best Combination: train networks whose weights obey an N:M sparsity pattern.

    >>> from lbc import Schedule, sparsify
    >>> sparsifier = sparsify(model, "2:4", scores="per_weight")
    >>> optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    >>> for epoch in range(12):
    ...     train(model, optimizer)
    ...     sparsifier.follow(Schedule(end=8), epoch + 1, optimizer)
    >>> sparsifier.finalize()

Names are loaded on first use, so that ``import lbc`` does not wait for torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lbc.config import Experiment, load_experiment
    from lbc.export.semi_structured import to_sparse_semi_structured
    from lbc.sparsity.pattern import Pattern
    from lbc.sparsity.schedule import Schedule
    from lbc.sparsity.sparsification import sparsify
    from lbc.sparsity.sparsifier import Sparsifier

    __version__: str

__all__ = [
    "Experiment",
    "Pattern",
    "Schedule",
    "Sparsifier",
    "__version__",
    "load_experiment",
    "sparsify",
    "to_sparse_semi_structured",
]

_HOMES = {
    "Experiment": "lbc.config",
    "Pattern": "lbc.sparsity.pattern",
    "Schedule": "lbc.sparsity.schedule",
    "Sparsifier": "lbc.sparsity.sparsifier",
    "load_experiment": "lbc.config",
    "sparsify": "lbc.sparsity.sparsification",
    "to_sparse_semi_structured": "lbc.export.semi_structured",
}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        value: Any = import_module("lbc.files.versions").own_version()
    elif name in _HOMES:
        value = getattr(import_module(_HOMES[name]), name)
    else:
        raise AttributeError(f"module 'lbc' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*__all__, *(name for name in globals() if name.startswith("__"))})
