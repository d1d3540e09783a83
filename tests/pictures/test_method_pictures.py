"""A picture that a method has of a layer is copied when it is asked for, and drawn."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from lbc.following.frame import Frame, read_frame, write_frame
from lbc.pictures.colour_keys import Scale
from lbc.pictures.layer_copy import copy_moment
from lbc.pictures.layer_moment import Watch
from lbc.pictures.mask_snapshot import MaskRequest, draw_mask
from lbc.pictures.score_codes import HIGHEST, LOWEST
from lbc.sparsity.layer_picture import LayerPicture
from lbc.sparsity.magnitude_layer import MagnitudeLayer
from lbc.sparsity.sparsification import sparsify
from lbc_gui.masks.captions import cell_words, weight_text


class _Pictured(MagnitudeLayer):
    """A layer that shows the numbers of its input channels."""

    def pictures(self) -> dict[str, LayerPicture]:
        return {"channel": LayerPicture(torch.arange(2, 10).view(1, 8, 1, 1), 2, 9, "Channels.")}

    def forward(self, weight: Tensor) -> Tensor:
        return weight


def test_a_picture_of_the_method_is_drawn_and_crosses_processes(tmp_path: Path) -> None:
    sparsifier = sparsify(nn.Conv2d(8, 2, 3), "2:4", "dense")
    sparsifier.layers[""].__class__ = _Pictured
    plain = copy_moment(sparsifier, Watch(""), 1.0)
    assert plain is not None and plain.picture is None and plain.pictures == ("channel",)
    request = MaskRequest("", show="method", picture="channel")
    moment = copy_moment(sparsifier, request.watch, 1.0)
    assert moment is not None
    write_frame(tmp_path / "frame-a-layer", Frame(1, (moment,)))
    (read,) = read_frame(tmp_path / "frame-a-layer").moments
    snapshot = draw_mask(read, request)
    assert snapshot.pictures == ("channel",) and snapshot.note == "Channels."
    sheet, levels = snapshot.sheet, np.linspace(LOWEST, HIGHEST, 8)
    assert np.abs(sheet.cells.codes[0, :8] - levels).max() <= 0.5
    assert (sheet.cells.codes == np.tile(sheet.cells.codes[0, :8], (2, 9))).all()
    means = np.tile([LOWEST + (HIGHEST - LOWEST) * at / 7 for at in (1.5, 5.5)], (2, 9))
    assert np.abs(sheet.summary.codes - means).max() <= 0.5
    assert isinstance(sheet.cells.scale, Scale) and sheet.cells.scale.texts == ("2", "9")
    assert "channel 8 · " in weight_text(sheet, 1, 2) and cell_words(sheet, 1, 2)[0] == "8"
    past = draw_mask(plain, request)
    assert past.note.endswith("the mask alone is shown.")
