"""What ``import lbc`` offers, to people and to type checkers."""

from __future__ import annotations

import tomllib
from importlib.resources import files
from pathlib import Path

import lbc


def test_every_public_name_is_listed_and_loads() -> None:
    assert set(lbc.__all__) <= set(dir(lbc))
    for name in lbc.__all__:
        assert getattr(lbc, name) is not None


def test_the_version_is_that_of_the_package() -> None:
    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]
    assert lbc.__version__ == project["version"]


def test_types_are_offered_to_checkers() -> None:
    for package in ("lbc", "lbc_gui"):
        assert files(package).joinpath("py.typed").is_file()
