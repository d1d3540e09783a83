"""Where the files that come with the package are: the digits, the example experiments."""

from __future__ import annotations

from pathlib import Path


def resource(relative: str) -> Path:
    """The path of a shipped file or folder, for example ``resource("data/mnist_5k.npz")``.

    An installed wheel carries them inside the package, a checkout in ``resources/`` beside it.

    Raises FileNotFoundError with a sentence where neither has it.
    """
    package = Path(__file__).resolve().parents[1]
    for root in (package / "resources", package.parent / "resources"):
        if (root / relative).exists():
            return root / relative
    raise FileNotFoundError(
        f"The shipped file {relative} is missing from {package}: install the package again."
    )
