"""Plots with the numbers of the theme."""

from __future__ import annotations

import pytest

from lbc_gui.widgets.plot import GridAxis


@pytest.mark.usefixtures("qapp")
def test_negative_numbers_have_a_minus_sign() -> None:
    texts = GridAxis("left").tickStrings([-0.5, 0.0, 0.5], 1.0, 0.5)
    assert texts == ["−0.5", "0", "0.5"]
    assert GridAxis("left").tickStrings([-1e-5, 1e-5], 1.0, 1e-5) == ["−1e−05", "1e−05"]
