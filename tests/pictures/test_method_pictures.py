"""A picture that a method has of a layer is copied when it is asked for, and drawn."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from lbc.following.frame import Frame, read_frame, write_frame
from lbc.pictures.layer_copy import copy_moment
from lbc.pictures.layer_moment import Watch
from lbc.pictures.mask_snapshot import MaskRequest, draw_mask
from lbc.pictures.score_codes import HIGHEST, LOWEST
from lbc.sparsity.magnitude_layer import MagnitudeLayer
from lbc.sparsity.sparsification import sparsify


class _Pictured(MagnitudeLayer):
    """A layer that shows its positions numbered within their blocks, from 0 to 1."""

    def pictures(self) -> dict[str, Tensor]:
        row = torch.arange(self.pattern.m) / (self.pattern.m - 1)
        blocks = row.expand(self.blocks, -1)
        return {"place": self.pattern.from_blocks(blocks, self.shape)}

    def forward(self, weight: Tensor) -> Tensor:
        return weight


def test_a_picture_of_the_method_is_drawn_and_crosses_processes(tmp_path: Path) -> None:
    sparsifier = sparsify(nn.Conv2d(8, 2, 3), "2:4", "dense")
    sparsifier.layers[""].__class__ = _Pictured
    plain = copy_moment(sparsifier, Watch(""), 1.0)
    assert plain is not None and plain.picture is None and plain.pictures == ("place",)
    request = MaskRequest("", show="method", picture="place")
    moment = copy_moment(sparsifier, request.watch, 1.0)
    assert moment is not None
    write_frame(tmp_path / "frame-a-layer", Frame(1, (moment,)))
    (read,) = read_frame(tmp_path / "frame-a-layer").moments
    snapshot = draw_mask(read, request)
    assert snapshot.pictures == ("place",) and snapshot.note == ""
    cells = snapshot.sheet.cells.codes
    assert np.unique(cells).size == 4 and cells.min() == LOWEST and cells.max() == HIGHEST
    past = draw_mask(plain, request)
    assert past.note.endswith("the mask alone is shown.")
