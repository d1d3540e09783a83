"""Time of a frame while ResNet-50's largest layer is panned and zoomed on the Scores page.

A frame consists of the new range, the level of detail and a full repaint. The view zooms from the
whole layer to one block and back, at several places, panning at every zoom level. Prints JSON:
``frame_ms`` is wall-clock time, ``cpu_ms`` the CPU time of the window's thread, which is more
reliable on a shared machine.

    QT_QPA_PLATFORM=offscreen python tests/performance/zoom_frames.py --pattern 4:8
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from PySide6.QtCore import QRectF
from PySide6.QtWidgets import QApplication

from lbc.pictures.score_snapshot import Look, Snapshot, ViewRequest, draw
from lbc.runs.layer_moment import LayerMoment
from lbc.sparsity.pattern import Pattern
from lbc_gui.heatmap.heatmap_view import HeatmapView

SHAPE = (512, 512, 3, 3)
ZOOM = 0.8
PLACES = ((0.5, 0.5), (0.1, 0.2), (0.93, 0.71))
OFFSETS = (0.0, 0.13, 0.31)
"""Horizontal and vertical offsets at every zoom level, as fractions of the visible part."""


@dataclass(frozen=True)
class Frame:
    """Milliseconds of a frame, and the number of blocks per row in it."""

    blocks: float
    whole: float
    cpu: float
    detail_cpu: float


def main() -> int:
    options = _options()
    snapshot = random_snapshot(Pattern.parse(options.pattern), Look(summary=options.summary))
    application = QApplication(sys.argv[:1])
    application.setStyle("Fusion")
    view = HeatmapView()
    view.resize(options.width, options.height)
    view.show()
    view.show_snapshot(snapshot)
    for _ in range(5):
        application.processEvents()
    frames = [
        _frame(view, part, snapshot) for _ in range(options.rounds) for part in _parts(snapshot)
    ]
    view.close()
    print(json.dumps(_report(options, snapshot, frames)))
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--pattern", default="2:4")
    parser.add_argument("--summary", default="best", choices=["best", "worst", "mean", "margin"])
    parser.add_argument("--width", type=int, default=1200, help="of the view, in pixels")
    parser.add_argument("--height", type=int, default=700)
    parser.add_argument("--rounds", type=int, default=3)
    return parser.parse_args()


def random_snapshot(pattern: Pattern, look: Look) -> Snapshot:
    """A layer in the middle of its search: a third of the combinations are removed."""
    numbers = np.random.default_rng(0)
    blocks = int(np.prod(SHAPE)) // pattern.m
    live = numbers.random((blocks, pattern.count)) > 1 / 3
    live[:, 0] = True
    moment = LayerMoment(
        name="layer4.0.conv2",
        epoch=30.0,
        pattern=pattern,
        shape=SHAPE,
        additive=True,
        raw=numbers.normal(size=SHAPE).astype(np.float32),
        packed=np.packbits(live, axis=1, bitorder="little"),
        mask=np.ones(SHAPE, dtype=bool),
    )
    return draw(moment, ViewRequest(moment.name, look))


def _parts(snapshot: Snapshot) -> Iterator[QRectF]:
    """The visible part in each frame."""
    height, width = snapshot.fold.size
    rows, columns = snapshot.fold.grid
    steps = int(np.log(max(width / columns, height / rows)) / -np.log(ZOOM)) + 1
    for x, y in PLACES:
        for step in (*range(steps), *reversed(range(steps))):
            wide, high = max(columns, width * ZOOM**step), max(rows, height * ZOOM**step)
            for offset in OFFSETS:
                left = min(max(0.0, x * width + (offset - 0.5) * wide), width - wide)
                top = min(max(0.0, y * height + (offset - 0.5) * high), height - high)
                yield QRectF(left, top, wide, high)


def _frame(view: HeatmapView, part: QRectF, snapshot: Snapshot) -> Frame:
    clock, started = time.perf_counter(), time.thread_time()
    view._box.setRange(part, padding=0)
    view._redraw.stop()
    drawing = time.thread_time()
    view._draw()
    drawn = time.thread_time()
    view.viewport().repaint()
    ended, whole = time.thread_time(), time.perf_counter() - clock
    blocks = part.width() / snapshot.fold.grid[1]
    return Frame(blocks, 1000 * whole, 1000 * (ended - started), 1000 * (drawn - drawing))


def _report(
    options: argparse.Namespace, snapshot: Snapshot, frames: list[Frame]
) -> dict[str, object]:
    return {
        "benchmark": "zoom_frames",
        "pattern": options.pattern,
        "summary": options.summary,
        "blocks": snapshot.fold.blocks,
        "cells": snapshot.scores.size,
        "view": [options.width, options.height],
        "frames": len(frames),
        "frame_ms": _percentiles([frame.whole for frame in frames]),
        "cpu_ms": _percentiles([frame.cpu for frame in frames]),
        "detail_cpu_ms": _percentiles([frame.detail_cpu for frame in frames]),
        "slowest_blocks_a_row": [
            round(frame.blocks, 1) for frame in sorted(frames, key=lambda at: -at.cpu)[:5]
        ],
    }


def _percentiles(milliseconds: list[float]) -> dict[str, float]:
    p50, p99 = np.percentile(milliseconds, (50, 99))
    named = {"p50": p50, "p99": p99, "max": max(milliseconds)}
    return {name: round(float(value), 2) for name, value in named.items()}


if __name__ == "__main__":
    sys.exit(main())
