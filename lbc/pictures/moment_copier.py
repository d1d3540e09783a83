"""Copies what a viewer shows between the trainer's steps, in the training thread."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal, Protocol

from pydantic import Field

from lbc.pictures.layer_copy import copy_block, copy_moment, copy_sample
from lbc.pictures.layer_moment import Watch
from lbc.runs.layer_moment import LayerMoment, LayerState
from lbc.sparsity.arrays import Floats

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

Kind = Literal["layer", "samples", "weights"]
"""What is copied: the open layer, samples of layers, or the weights of pinned blocks."""


@dataclass(frozen=True)
class Pin:
    """One block of one layer."""

    layer: str
    block: Annotated[int, Field(ge=0)]

    @property
    def text(self) -> str:
        return f"{self.layer or 'model'} · block {self.block}"


@dataclass(frozen=True)
class PinnedWeights:
    """The weights of the pinned blocks after ``epoch`` epochs, (M,) each: no history keeps them."""

    epoch: float
    weights: Mapping[Pin, Floats]


@dataclass(frozen=True)
class CopyRequest:
    """What a viewer shows of the run as it is now.

    Copies of the open layer, ``watch``, made for another ``number`` are out of date. ``listed`` are
    the layers whose thumbnails are on screen; None for all.
    """

    number: int = 0
    watch: Watch | None = None
    listed: frozenset[str] | None = frozenset()
    pins: tuple[Pin, ...] = ()


class Pace:
    """Limits how often something is done."""

    def __init__(self) -> None:
        self.not_before = 0.0
        """Of the monotonic clock, in seconds."""

    @property
    def due(self) -> bool:
        return time.monotonic() >= self.not_before

    def rest(self, seconds: float) -> None:
        """Do it no sooner than ``seconds`` from now."""
        self.not_before = max(self.not_before, time.monotonic() + seconds)


class Viewer(Protocol):
    """Gets copies. ``copy_pace`` and ``sample_pace`` rest as long as it takes to draw them."""

    copy_pace: Pace
    sample_pace: Pace

    @property
    def requested(self) -> CopyRequest: ...

    @property
    def standing(self) -> bool:
        """Whether no step is being trained, so that copies cost nothing."""
        ...

    def has_room(self, kind: Kind) -> bool:
        """Whether the copy before has been taken."""
        ...

    def put_layer(self, number: int, moment: LayerMoment) -> bool:
        """Take a copy made for a request; False if it is out of date."""
        ...

    def put_samples(self, samples: tuple[LayerMoment, ...]) -> None: ...

    def put_weights(self, weights: PinnedWeights) -> None: ...

    def copying_failed(self, error: Exception) -> None: ...


class MomentCopier:
    """Copies for one viewer of a run, no more often than the shares above and its pace allow.

    A layer is copied only after the viewer has taken the copy before, and again only if something
    has changed. What it newly shows is copied before the next step. ``share`` scales the shares.
    """

    def __init__(self, viewer: Viewer) -> None:
        self._viewer = viewer
        self.share = 1.0
        self._copied: tuple[int, float, LiveSets] | None = None
        self._states: dict[str, tuple[LiveSets, LayerState]] = {}
        self._sampled: tuple[float, frozenset[str] | None, tuple[LiveSets, ...]] | None = None
        self._pinned: tuple[float, tuple[Pin, ...]] | None = None
        self._pin_pace, self._retry = Pace(), Pace()

    def watch(self, sparsifier: Sparsifier, epoch: float) -> None:
        """Copy what is due. Raises nothing: a picture that cannot be made must not end training."""
        if not self._retry.due:
            return
        try:
            requested = self._viewer.requested
            if requested.watch is not None:
                self._copy_layer(sparsifier, epoch, requested.number, requested.watch)
            self._copy_samples(sparsifier, epoch, requested.listed)
            self._copy_pins(sparsifier, epoch, requested.pins)
        except Exception as error:
            self._retry.rest(RETRY_SECONDS)
            self._viewer.copying_failed(error)

    def _copy_layer(self, sparsifier: Sparsifier, epoch: float, number: int, watch: Watch) -> None:
        viewer, layer = self._viewer, sparsifier.layers.get(watch.layer)
        if layer is None or not viewer.has_room("layer"):
            return
        last, at, live_sets = self._copied or (None, None, None)
        # A live set that was replaced is news, though no step was taken.
        if last == number and at == epoch and live_sets is layer.live_sets:
            return
        pace = viewer.copy_pace
        if last == number and not viewer.standing and not pace.due:
            return
        began = time.monotonic()
        # Steps rarely end when a copy is due: the next is due the sooner, the later this one is.
        due = max(pace.not_before, began - SHORTEST_INTERVAL)
        moment = copy_moment(sparsifier, watch, epoch, self._layers(sparsifier))
        if moment is not None and viewer.put_layer(number, moment):
            self._copied = (number, epoch, layer.live_sets)
        ended = time.monotonic()
        share = COPY_SHARE * self.share
        pace.rest(max(due + SHORTEST_INTERVAL - ended, (ended - began) / share))

    def _layers(self, sparsifier: Sparsifier) -> tuple[LayerState, ...]:
        # Counting a mask takes longer than copying it, and it changes only when bits are replaced.
        for name, layer in sparsifier.layers.items():
            if name not in self._states or self._states[name][0] is not layer.live_sets:
                state = LayerState(name, layer.live_count, layer.density)
                self._states[name] = (layer.live_sets, state)
        return tuple(state for _, state in self._states.values())

    def _copy_samples(
        self, sparsifier: Sparsifier, epoch: float, listed: frozenset[str] | None
    ) -> None:
        viewer = self._viewer
        if listed == frozenset() or not viewer.sample_pace.due or not viewer.has_room("samples"):
            return
        layers = sparsifier.layers.values()
        if self._sampled == (epoch, listed, tuple(layer.live_sets for layer in layers)):
            return
        began = time.monotonic()
        samples = tuple(
            copy_sample(layer, epoch)
            for name, layer in sparsifier.layers.items()
            if listed is None or name in listed
        )
        self._sampled = (epoch, listed, tuple(layer.live_sets for layer in layers))
        viewer.put_samples(samples)
        spent = time.monotonic() - began
        viewer.sample_pace.rest(max(SAMPLE_INTERVAL, spent / (SAMPLE_SHARE * self.share)))

    def _copy_pins(self, sparsifier: Sparsifier, epoch: float, pins: tuple[Pin, ...]) -> None:
        if not pins or self._pinned == (epoch, pins) or not self._pin_pace.due:
            return
        if not self._viewer.has_room("weights"):
            return
        began = time.monotonic()
        copied = {pin: copy_block(sparsifier, pin.layer, pin.block) for pin in pins}
        weights = {pin: block for pin, block in copied.items() if block is not None}
        self._pinned = (epoch, pins)
        self._viewer.put_weights(PinnedWeights(epoch, weights))
        spent = time.monotonic() - began
        self._pin_pace.rest(max(SHORTEST_INTERVAL, spent / (COPY_SHARE * self.share)))
