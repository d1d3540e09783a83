"""Copies what the window shows between the trainer's steps, in the training thread."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from lbc.pictures.layer_copy import copy_block, copy_moment, copy_sample
from lbc.runs.layer_moment import LayerState
from lbc_gui.run.snapshot_broker import Pace, PinnedWeights, SnapshotBroker
from lbc_gui.run.view_state import Pin
from lbc_gui.run.worker import describe

if TYPE_CHECKING:
    from lbc.sparsity.live_sets import LiveSets
    from lbc.sparsity.sparsifier import Sparsifier

SHORTEST_INTERVAL = 0.1
"""Seconds between two copies of the open layer, or of the pinned blocks' weights."""

COPY_SHARE = 0.01
"""Share of the training thread's time that each of these two may take."""

SAMPLE_INTERVAL = 1.0
"""Seconds between two copies of samples of all layers, for their thumbnails."""

SAMPLE_SHARE = 0.002
"""Share of the training thread's time that copying samples may take."""

RETRY_SECONDS = 10.0
"""Seconds without copies after one has failed."""


class MomentCopier:
    """Copies for one run, no more often than the shares above and the renderer's pace allow.

    A layer is copied only after the renderer has taken the copy before, and again only if something
    has changed. What the window newly shows is copied before the next step.
    """

    def __init__(self, broker: SnapshotBroker) -> None:
        self._broker = broker
        self._copied: tuple[int, float, LiveSets] | None = None
        self._states: dict[str, tuple[LiveSets, LayerState]] = {}
        self._sampled: tuple[float, frozenset[str] | None] | None = None
        self._pinned: tuple[float, tuple[Pin, ...]] | None = None
        self._pin_pace, self._retry = Pace(), Pace()

    def watch(self, sparsifier: Sparsifier, epoch: float) -> None:
        """Copy what is due. Raises nothing: a picture that cannot be made must not end training."""
        if not self._retry.due:
            return
        try:
            self._copy_layer(sparsifier, epoch)
            self._copy_samples(sparsifier, epoch)
            self._copy_pins(sparsifier, epoch)
        except Exception as error:
            self._retry.rest(RETRY_SECONDS)
            self._broker.report(describe("The present state could not be copied to show it", error))

    def _copy_layer(self, sparsifier: Sparsifier, epoch: float) -> None:
        broker = self._broker
        demand, control = broker.demand, broker.control
        if demand is None or not demand.live or control is None or broker.copy.full:
            return
        layer = sparsifier.layers.get(demand.request.layer)
        if layer is None:
            return
        number, at, live_sets = self._copied or (None, None, None)
        # A live set that was replaced is news, though no step was taken.
        if number == demand.number and at == epoch and live_sets is layer.live_sets:
            return
        pace, standing = broker.copy_pace, control.paused or control.stopped
        if number == demand.number and not standing and not pace.due:
            return
        began = time.monotonic()
        # Steps rarely end when a copy is due: the next is due the sooner, the later this one is.
        due = max(pace.not_before, began - SHORTEST_INTERVAL)
        moment = copy_moment(sparsifier, demand.request.watch, epoch, self._layers(sparsifier))
        if moment is not None and broker.deliver_copy(demand, moment):
            self._copied = (demand.number, epoch, layer.live_sets)
        ended = time.monotonic()
        pace.rest(max(due + SHORTEST_INTERVAL - ended, (ended - began) / COPY_SHARE))

    def _layers(self, sparsifier: Sparsifier) -> tuple[LayerState, ...]:
        # Counting a mask takes longer than copying it, and it changes only when bits are replaced.
        for name, layer in sparsifier.layers.items():
            if name not in self._states or self._states[name][0] is not layer.live_sets:
                state = LayerState(name, layer.live_count, layer.density)
                self._states[name] = (layer.live_sets, state)
        return tuple(state for _, state in self._states.values())

    def _copy_samples(self, sparsifier: Sparsifier, epoch: float) -> None:
        broker, demand, listed = self._broker, self._broker.demand, self._broker.listed
        if demand is None or not demand.live or broker.samples.full:
            return
        if self._sampled == (epoch, listed) or not broker.sample_pace.due:
            return
        began = time.monotonic()
        samples = tuple(
            copy_sample(layer, epoch)
            for name, layer in sparsifier.layers.items()
            if listed is None or name in listed
        )
        self._sampled = (epoch, listed)
        spent = time.monotonic() - began
        broker.sample_pace.rest(max(SAMPLE_INTERVAL, spent / SAMPLE_SHARE))
        broker.samples.put(samples)

    def _copy_pins(self, sparsifier: Sparsifier, epoch: float) -> None:
        pins, box = self._broker.pins, self._broker.drawn.weights
        if not pins or box.full or self._pinned == (epoch, pins) or not self._pin_pace.due:
            return
        began = time.monotonic()
        copied = {pin: copy_block(sparsifier, pin.layer, pin.block) for pin in pins}
        weights = {pin: block for pin, block in copied.items() if block is not None}
        self._pinned = (epoch, pins)
        spent = time.monotonic() - began
        self._pin_pace.rest(max(SHORTEST_INTERVAL, spent / COPY_SHARE))
        box.put(PinnedWeights(epoch, weights))
