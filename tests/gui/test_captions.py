"""Sentences about scores, the same on every page."""

from __future__ import annotations

import numpy as np

from lbc_gui.captions import score_text


def test_a_score_is_compared_with_the_live_ones_and_has_a_minus_sign() -> None:
    scores = np.array([0.25, -0.25, -np.inf, 0.75], np.float32)
    assert score_text(scores, 1) == "score −0.25000 (−0.50000 from the block's mean) · 3rd of 3"
    assert score_text(scores, 3) == "score 0.75000 (+0.50000 from the block's mean) · 1st of 3"
