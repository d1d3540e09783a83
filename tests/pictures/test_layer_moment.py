"""A copied layer has the scores of the layer itself."""

from __future__ import annotations

from typing import get_args

import numpy as np
import pytest
import torch
from torch import nn

from lbc.pictures.layer_copy import copy_moment
from lbc.pictures.layer_moment import Watch
from lbc.sparsity.method_options import Form
from lbc.sparsity.sparsification import sparsify


@pytest.mark.parametrize("blocks", [1, 2])
@pytest.mark.parametrize("form", get_args(Form))
def test_removed_scores_are_marked_however_few_blocks_there_are(blocks: int, form: Form) -> None:
    sparsifier = sparsify(nn.Linear(4, blocks), "2:4", scores=form)
    layer = sparsifier.layers[""]
    for live in (6, 2, 1):
        with torch.no_grad():
            layer.score_parameter().add_(torch.randn_like(layer.score_parameter()))
        sparsifier.remove(live)
        moment = copy_moment(sparsifier, Watch(""), 0.0)
        assert moment is not None
        copied = moment.scores()
        assert copied is not None and np.array_equal(copied, layer.scores().numpy())
