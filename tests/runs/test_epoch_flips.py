"""Flips are counted over one whole epoch, whatever moments lie within it."""

from __future__ import annotations

import pytest

from lbc.runs.epoch_flips import latest_epoch
from lbc.runs.history_reader import MomentInfo


@pytest.mark.parametrize(
    ("epochs", "at", "found"),
    [
        ([], None, None),
        ([0.0, 0.5, 0.9], None, None),
        ([0.0, 0.5, 1.0], None, (0, 2)),
        ([0.0, 0.5, 1.0], 1, None),
        ([0.0, 1.0, 1.25, 1.75, 2.0, 2.5], None, (1, 4)),
        ([0.0, 1.0, 1.25, 1.75, 2.0, 2.5], 3, (0, 1)),
        ([0.0, 1.0, 1.0, 2.0], None, (2, 3)),  # an intervention right after the first epoch
    ],
)
def test_the_last_whole_epoch_is_found(
    epochs: list[float], at: int | None, found: tuple[int, int] | None
) -> None:
    moments = [MomentInfo(epoch, False, True, (6,)) for epoch in epochs]
    assert latest_epoch(moments, at) == found
