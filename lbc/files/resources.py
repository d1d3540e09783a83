"""Paths of the files that ship with the package, such as the digits and example experiments."""

from __future__ import annotations

from pathlib import Path


def resource(relative: str) -> Path:
    """Return the path of a shipped file or folder, for example ``"data/mnist_5k.npz"``.

    An installed wheel has them inside the package, a checkout in ``resources/`` next to it.

    Raises FileNotFoundError if neither has it.
    """
    package = Path(__file__).resolve().parents[1]
    for root in (package / "resources", package.parent / "resources"):
        if (root / relative).exists():
            return root / relative
    raise FileNotFoundError(
        f"The shipped file {relative} is missing from {package}: reinstall the package."
    )
