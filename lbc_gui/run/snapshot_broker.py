"""What the trainer, the renderer and the window exchange about one run."""

from __future__ import annotations

import threading
import time
from collections import deque
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from lbc.pictures.layer_moment import LayerMoment
from lbc.pictures.mask_snapshot import MaskRequest, MaskSnapshot
from lbc.pictures.score_snapshot import Snapshot, Thumbnail, ViewRequest
from lbc.runs.block_history import Life
from lbc.runs.history_reader import MomentInfo
from lbc_gui.run.mailbox import Mailbox
from lbc_gui.run.pinned_weights import Pin, PinnedWeights
from lbc_gui.run.worker import Failed

if TYPE_CHECKING:
    from lbc.training.control import Control

T = TypeVar("T")

Request = ViewRequest | MaskRequest
"""What a page shows of a layer."""


@dataclass(frozen=True)
class Demand:
    """What the window shows. Copies of a layer made for another ``number`` are out of date.

    Thumbnails are drawn of the layers in ``listed`` only, of all layers if None.
    """

    request: Request | None = None
    number: int = 0
    listed: frozenset[str] | None = None
    pins: tuple[Pin, ...] = ()

    @property
    def live(self) -> bool:
        """Whether the window shows the run as it is now."""
        return self.request is not None and self.request.moment is None


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


class Drawn:
    """The mailboxes from the renderer, and for ``weights`` from the trainer, to the window."""

    def __init__(self) -> None:
        self.moments: Mailbox[tuple[MomentInfo, ...]] = Mailbox()
        self.snapshot: Mailbox[Snapshot | MaskSnapshot] = Mailbox()
        self.life: Mailbox[Life] = Mailbox()
        self.weights: Mailbox[PinnedWeights] = Mailbox()
        self.thumbnails: Mailbox[dict[str, Thumbnail]] = Mailbox()


class SnapshotBroker:
    """Latest-wins exchange between trainer, renderer and window.

    The window demands, the trainer copies, the renderer draws the copies. There is one broker for
    each run: nothing from the run before can reach the window. ``control`` is None for a run that
    is not being trained. ``changed`` is notified when the renderer may have work to do.
    """

    def __init__(self, changed: threading.Condition, control: Control | None = None) -> None:
        self.changed = changed
        self.control = control
        self.demand = Demand()
        self.copy: Mailbox[tuple[int, LayerMoment]] = Mailbox()
        self.copy_pace = Pace()
        self.samples: Mailbox[tuple[LayerMoment, ...]] = Mailbox()
        self.sample_pace = Pace()
        self.history: Mailbox[Path] = Mailbox()
        self.drawn = Drawn()
        self.failures: deque[Failed] = deque()
        self._reported: set[str] = set()

    def successor(self, control: Control | None) -> SnapshotBroker:
        """The broker for another run, for which the window demands the same."""
        broker = SnapshotBroker(self.changed, control)
        request = self.demand.request if self.demand.live else None
        broker.demand = replace(self.demand, request=request)
        return broker

    # -- from the window ------------------------------------------------------------------------

    def ask(self, request: Request) -> None:
        """Show this from now on."""
        with self.changed:
            before, number = self.demand.request, self.demand.number
            if request == before:
                return
            # What was the present before a visit to the past is out of date afterwards.
            back = before is not None and before.moment is not None and request.moment is None
            if before is None or request.watch != before.watch or back:
                self.copy.take()
                number += 1
            self.demand = replace(self.demand, request=request, number=number)
            self.drawn.snapshot.take()
            self._reported.clear()
            self.changed.notify_all()

    def list_layers(self, layers: frozenset[str]) -> None:
        """Draw the thumbnails of these layers only: the others are not on screen."""
        with self.changed:
            self.demand = replace(self.demand, listed=layers)

    def watch_pins(self, pins: tuple[Pin, ...]) -> None:
        """Copy the weights of these blocks from now on."""
        with self.changed:
            self.demand = replace(self.demand, pins=pins)

    def read_history(self, folder: Path) -> None:
        """Read the moments in a run folder, now and whenever there are more."""
        self._deliver(self.history, folder)

    def take_snapshot(self) -> Snapshot | MaskSnapshot | None:
        """The newest picture, once; the renderer may then draw the next."""
        snapshot = self.drawn.snapshot.take()
        if self.copy.full:
            with self.changed:
                self.changed.notify_all()
        return snapshot

    # -- from the trainer and the renderer ------------------------------------------------------

    def deliver_copy(self, number: int, moment: LayerMoment) -> bool:
        """Hand a copy to the renderer; False if it is out of date."""
        with self.changed:
            if number == self.demand.number:
                self._deliver(self.copy, (number, moment))
            return number == self.demand.number

    def deliver_samples(self, samples: tuple[LayerMoment, ...]) -> None:
        """Hand samples of layers to the renderer, to draw thumbnails of."""
        self._deliver(self.samples, samples)

    def publish(self, demand: Demand, snapshot: Snapshot | MaskSnapshot) -> None:
        """Hand a picture to the window, unless it shows something else by now."""
        with self.changed:
            now = self.demand
            if (demand.request, demand.number) == (now.request, now.number):
                self.drawn.snapshot.put(snapshot)

    def report(self, failed: Failed) -> None:
        """Tell the user, once for each thing that the window shows."""
        with self.changed:
            if failed.message not in self._reported:
                self._reported.add(failed.message)
                self.failures.append(failed)

    def _deliver(self, box: Mailbox[T], value: T) -> None:
        with self.changed:
            box.put(value)
            self.changed.notify_all()
