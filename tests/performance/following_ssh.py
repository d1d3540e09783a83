"""What pictures of a run on a server take of the line: a layer of 589,824 blocks in training.

Trains a perceptron on the bundled digits, and after every ``--steps`` steps, one second's worth,
draws and encodes what ``lbc follow`` would send of its largest layer, of which every score has
moved. Each case is a part of the picture: the whole layer in a window, or on a screen that has a
pixel for every block. The result does not depend on the speed of the machine, but for ``seconds``,
which one picture takes to be drawn and encoded. ``off`` is the largest difference from the picture
as drawn here, in levels of 254. Prints JSON.

    python -m tests.performance.following_ssh --steps 10 --epochs 4
"""

from __future__ import annotations

import argparse
import io
import json
import sys
import time
from statistics import mean
from typing import Any

import numpy as np

from lbc.config import parse_experiment
from lbc.following.messages import Picture, encode, read_from_server
from lbc.following.picture_codec import BYTES_PER_SECOND, PictureDecoder, PictureEncoder
from lbc.pictures.layer_copy import copy_moment
from lbc.pictures.live_picture import Part, draw_live
from lbc.pictures.score_codes import Fold
from lbc.pictures.score_snapshot import Look, ViewRequest
from lbc.runs.layer_moment import LayerMoment
from lbc.sparsity.sparsifier import Sparsifier
from lbc.training.control import Control
from lbc.training.trainer import Trainer

PARTS = {"1280x800": (700, 490), "1920x1080": (1250, 640)}
"""Pixels of the picture in windows of these sizes."""


class Line:
    """The pictures of one part, encoded and decoded as they are over ssh."""

    def __init__(self, request: ViewRequest, part: Part) -> None:
        self._request, self._part = request, part
        self._encoder, self._decoder = PictureEncoder(), PictureDecoder()
        self.bytes: list[int] = []
        self.seconds: list[float] = []
        self.off = self.cells = 0

    def send(self, moment: LayerMoment) -> None:
        began = time.thread_time()
        drawn = draw_live(moment, self._request, self._part)
        sent = encode(self._encoder.encode(1, drawn))
        self.seconds.append(time.thread_time() - began)
        self._encoder.count(len(sent))
        self.bytes.append(len(sent))
        message = read_from_server(io.BytesIO(sent).read)
        assert isinstance(message, Picture)
        there = self._decoder.decode(message, self._request).part.codes
        self.off = max(self.off, int(np.abs(there.astype(int) - drawn.part.codes).max()))
        self.cells = drawn.part.codes.size

    def report(self) -> dict[str, Any]:
        first, *later = self.bytes
        return {
            "cells": self.cells,
            "first_kb": round(first / 1000, 1),
            "picture_kb": round(mean(later) / 1000, 1),
            "largest_kb": round(max(later) / 1000, 1),
            "pictures_per_second": round(min(1.0, BYTES_PER_SECOND / mean(later)), 2),
            "seconds": round(mean(self.seconds), 3),
            "off": self.off,
        }


class Watcher:
    """Sends a picture after every ``steps`` steps; a new set of lines begins in every epoch."""

    def __init__(self, steps: int, look: Look) -> None:
        self._steps, self._look = steps, look
        self._count, self._epoch = 0, -1.0
        self._lines: dict[str, Line] = {}
        self.report: list[dict[str, Any]] = []

    def watch(self, sparsifier: Sparsifier, epoch: float) -> None:
        if epoch == self._epoch:  # while it evaluates
            return
        if int(epoch) != int(self._epoch):
            self.finish()
            self._begin(sparsifier)
        self._epoch = epoch
        self._count += 1
        if self._count % self._steps == 0:
            moment = copy_moment(sparsifier, self._request.watch, epoch)
            assert moment is not None
            for line in self._lines.values():
                line.send(moment)

    def finish(self) -> None:
        """Report what was sent in the epoch that ends."""
        for name, line in self._lines.items():
            if len(line.bytes) > 1:
                case = {"epoch": int(self._epoch), "look": self._look.colour, "part": name}
                self.report.append(case | line.report())
        self._lines = {}

    def _begin(self, sparsifier: Sparsifier) -> None:
        layer = max(sparsifier.layers.values(), key=lambda at: at.blocks)
        self._request = ViewRequest(layer.name, self._look)
        fold = Fold(layer.shape[0], layer.blocks, layer.pattern.count)
        high, wide = fold.size
        pixels = PARTS | {"every block": (fold.blocks_per_row, fold.outputs)}
        for name, size in pixels.items():
            self._lines[name] = Line(self._request, Part(0, 0, wide, high, *size))


def main() -> int:
    options = _options()
    experiment = parse_experiment({
        "model": {"name": "mlp", "width": 1536},
        "training": {"epochs": options.epochs},
        "schedule": {"end": max(1, options.epochs * 2 / 3)},
    })  # fmt: skip
    watcher = Watcher(options.steps, Look(options.look))
    Trainer(experiment, None, Control(), watch=watcher.watch).train()
    watcher.finish()
    print(json.dumps({"limit_kb": BYTES_PER_SECOND / 1000, "cases": watcher.report}, indent=2))
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--steps", type=int, default=10, help="between two pictures")
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--look", default="margin", help="margin, difference, score or rank")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
