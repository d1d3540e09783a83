"""What the window shows of a run: layer, pins, moment and look. Every page mirrors it."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from PySide6.QtCore import QObject, Signal, Slot

from lbc.pictures.moment_copier import Pin
from lbc.pictures.score_snapshot import Look, ViewRequest
from lbc.runs.events import LayerInfo
from lbc.runs.history_reader import MomentInfo
from lbc.runs.kept_checkpoints import ForkPoint

EXACT = 1e-9
"""Relative error of an epoch that was computed in another way."""


@dataclass(frozen=True)
class Pins:
    """The pinned blocks, of any layer, in the order they were pinned.

    ``current`` is the one shown in detail. ``temporary`` is replaced by the next block that is
    pinned; the others are kept.
    """

    all: tuple[Pin, ...] = ()
    current: Pin | None = None
    temporary: Pin | None = None

    def with_pin(self, pin: Pin, beside: bool = False) -> Pins:
        """Make ``pin`` the current one; ``beside`` keeps the temporary one."""
        temporary = None if beside else self.temporary
        if pin in self.all:
            return Pins(self.all, pin, temporary)
        if temporary is None:
            return Pins((*self.all, pin), pin, pin)
        return Pins(tuple(pin if one == temporary else one for one in self.all), pin, pin)

    def without_current(self) -> Pins:
        """Remove the current pin; the one before it becomes current."""
        if self.current is None:
            return self
        at = self.all.index(self.current)
        left = self._only(pin for pin in self.all if pin != self.current)
        return replace(left, current=left.all[max(at - 1, 0)] if left.all else None)

    def within(self, layers: Iterable[LayerInfo]) -> Pins:
        """Remove the blocks that ``layers`` do not have; none is current."""
        blocks = {info.name: info.blocks for info in layers}
        return self._only(pin for pin in self.all if pin.block < blocks.get(pin.layer, 0))

    def _only(self, pins: Iterable[Pin]) -> Pins:
        left = tuple(pins)
        return Pins(left, None, self.temporary if self.temporary in left else None)


DELETED = "The folder of this run was deleted or moved"
LOST = f"{DELETED}: this part of it was not read before, and can no longer be read."


@dataclass(frozen=True)
class View:
    """What is shown at one time. ``run`` numbers the runs that were opened.

    ``moment`` is an index into ``moments``; None follows the run, which only one that is ``live``
    allows. ``epochs`` is the length of the run.
    """

    run: int = 0
    layers: tuple[LayerInfo, ...] = ()
    layer: str | None = None
    pins: Pins = Pins()
    live: bool = True
    moments: Sequence[MomentInfo] = ()
    epochs: float = 0.0
    moment: int | None = None
    fork_points: tuple[ForkPoint, ...] = ()
    """The checkpoints of the run at which a fork can begin, oldest first."""
    look: Look = field(default_factory=Look)
    deleted: bool = False
    """Whether the folder of the run is not there any more."""

    @property
    def block(self) -> int | None:
        """The current pin, which is in the open layer."""
        return None if self.pins.current is None else self.pins.current.block

    @property
    def pinned_blocks(self) -> dict[int, int]:
        """The pinned blocks of the open layer, each with its pin's number, from 1."""
        pins = enumerate(self.pins.all, 1)
        return {pin.block: number for number, pin in pins if pin.layer == self.layer}

    def fork_point(self, epoch: float | None) -> ForkPoint | None:
        """The checkpoint at which a fork begins that is wanted at an epoch, or at the end."""
        return nearest_fork_point(self.fork_points, epoch, self.epochs)

    def lost(self, wanted: ViewRequest | None, drawn: ViewRequest | None, epoch: float) -> bool:
        """Whether the run was deleted before what a page wants of it was drawn.

        What it has was ``drawn`` of the run after ``epoch`` epochs.
        """
        if not self.deleted or wanted is None or drawn is None:
            return self.deleted and wanted is not None
        at, last = self.moment, len(self.moments) - 1
        if replace(wanted, moment=drawn.moment, block=drawn.block) != drawn:
            return True
        return at is not None and at != last and self.moments[at].epoch != epoch

    @property
    def request(self) -> ViewRequest | None:
        """What has to be drawn; None as long as no layer is known."""
        if self.layer is None:
            return None
        return ViewRequest(self.layer, self.look, self.block, self.moment)


def nearest_moment(moments: Sequence[MomentInfo], epoch: float) -> int:
    """The index of the moment that is nearest to an epoch."""
    epochs = [moment.epoch for moment in moments]
    right = min(bisect_left(epochs, epoch), len(epochs) - 1)
    left = max(right - 1, 0)
    return left if epoch - epochs[left] < epochs[right] - epoch else right


def nearest_fork_point(
    points: Sequence[ForkPoint], epoch: float | None, end: float | None = None
) -> ForkPoint | None:
    """The last one up to an epoch, or of all with None, before the ``end`` of the run.

    At the end nothing is left to train. If there is none, the first.
    """
    latest = (end or math.inf) * (1 - EXACT)
    if epoch is not None:
        latest = min(latest, epoch * (1 + EXACT))
    before = [point for point in points if point.epoch <= latest]
    return before[-1] if before else next(iter(points), None)


class ViewState(QObject):
    """The one place that holds what is shown.

    Widgets that let the user change it call a method here; widgets that show it connect to
    ``changed``, and change nothing in response.
    """

    changed = Signal(object, object)
    """The View before and the View now."""
    revealed = Signal(int)
    """A block of the open layer that should be brought into sight."""

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._view = View()

    @property
    def view(self) -> View:
        return self._view

    def begin_run(self, live: bool) -> None:
        """Show another run, ``live`` if it is trained here; its layers and moments will follow.

        Layer and pins stay as far as the run turns out to have them, and so does the look.
        """
        run = self._view.run + 1
        none = dict[str, Any](moments=(), epochs=0.0, moment=None, fork_points=(), deleted=False)
        self._set(run=run, live=live, **none)

    def set_live(self, live: bool) -> None:
        """Whether the run is shown as it is now; without, its last moment takes that place."""
        if live == self._view.live:
            return
        at, last = self._view.moment, len(self._view.moments) - 1
        if live:
            self._set(live=True, moment=None if at == last else at)
        else:
            self._set(live=False, moment=last if at is None and last >= 0 else at)

    def set_layers(self, layers: tuple[LayerInfo, ...]) -> None:
        if layers == self._view.layers:
            return
        names = [info.name for info in layers]
        first = names[0] if names else None
        layer = self._view.layer if self._view.layer in names else first
        self._set(layers=layers, layer=layer, pins=self._view.pins.within(layers))

    def set_moments(self, moments: Sequence[MomentInfo], epochs: float) -> None:
        """The moments that can be shown by now, of a run of so many epochs."""
        at = self._view.moment
        if at is not None and (at >= len(moments) or self._at_end):
            at = None
        if at is None and not self._view.live and moments:
            at = len(moments) - 1
        self._set(moments=moments, epochs=epochs, moment=at)

    @Slot(object)
    def set_fork_points(self, points: tuple[ForkPoint, ...]) -> None:
        self._set(fork_points=points)

    def set_deleted(self) -> None:
        """The folder of the run is not there any more, nor are its checkpoints."""
        self._set(deleted=True, fork_points=())

    @Slot(int)
    def go_to(self, moment: int) -> None:
        if 0 <= moment < len(self._view.moments):
            self._set(moment=moment)

    @Slot()
    def go_live(self) -> None:
        """Follow the run; show the last moment of one that is over."""
        moments = self._view.moments
        self._set(moment=None if self._view.live or not moments else len(moments) - 1)

    @Slot(str)
    def open_layer(self, name: str) -> None:
        """Show a layer; pins are kept, but none is current."""
        if name != self._view.layer:
            self._set(layer=name, pins=replace(self._view.pins, current=None))

    @Slot(int, bool)
    def pin(self, block: int, beside: bool = False) -> None:
        """Pin a block of the open layer; ``beside`` keeps the temporary pin."""
        if self._view.layer is not None:
            self._set(pins=self._view.pins.with_pin(Pin(self._view.layer, block), beside))

    @Slot(object)
    def go_to_pin(self, pin: Pin) -> None:
        """Make a pin the current one, open its layer and bring it into sight."""
        self._set(layer=pin.layer, pins=self._view.pins.with_pin(pin))
        self.revealed.emit(pin.block)

    def restore_pins(self, pins: Pins) -> None:
        """Pin what was pinned before, as far as the run has these blocks."""
        left = pins.within(self._view.layers)
        current = pins.current if pins.current in left.all else None
        if current is not None and current.layer != self._view.layer:
            current = None
        self._set(pins=replace(left, current=current))

    @Slot()
    def keep_pin(self) -> None:
        """Keep the current pin when another block is pinned."""
        pins = self._view.pins
        if pins.current == pins.temporary:
            self._set(pins=replace(pins, temporary=None))

    @Slot()
    def remove_pin(self) -> None:
        """Remove the current pin and go to the one before it."""
        pins = self._view.pins.without_current()
        if pins.current is None:
            self._set(pins=pins)
        else:
            self._set(layer=pins.current.layer, pins=pins)
            self.revealed.emit(pins.current.block)

    def set_look(self, look: Look) -> None:
        self._set(look=look)

    @property
    def _at_end(self) -> bool:
        """Whether the last moment stands for a run that is not shown live."""
        return not self._view.live and self._view.moment == len(self._view.moments) - 1

    def _set(self, **changes: Any) -> None:
        before, self._view = self._view, replace(self._view, **changes)
        if self._view != before:
            self.changed.emit(before, self._view)
