"""What the trainer, the renderer and the window exchange about one run."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Generic, TypeVar

from lbc.pictures.live_picture import LivePicture, Part
from lbc.pictures.mask_snapshot import MaskRequest, MaskSnapshot
from lbc.pictures.moment_copier import CopyRequest, Kind, Pace, Pin, PinnedWeights
from lbc.pictures.score_snapshot import Snapshot, Thumbnail, ViewRequest
from lbc.runs.block_history import Life
from lbc.runs.epoch_flips import EpochFlips
from lbc.runs.history_reader import MomentInfo
from lbc.runs.kept_checkpoints import ForkPoint
from lbc.runs.layer_moment import LayerMoment
from lbc_gui.worker import Failed, describe

if TYPE_CHECKING:
    from lbc.training.control import Control

T = TypeVar("T")

Request = ViewRequest | MaskRequest
"""What a page shows of a layer."""


@dataclass(frozen=True, eq=False)
class Demand:
    """What the window shows. Copies of a layer made for another ``number`` are out of date."""

    request: Request
    number: int = 0

    @property
    def live(self) -> bool:
        """Whether it shows the run as it is now."""
        return self.request.moment is None


class Mailbox(Generic[T]):
    """Holds the newest value until it is taken; ``changed`` is notified of both. Thread safe."""

    def __init__(self, changed: threading.Condition) -> None:
        self._changed = changed
        self._value: T | None = None

    @property
    def full(self) -> bool:
        return self._value is not None

    def put(self, value: T) -> None:
        """Replace the value, if there is one."""
        with self._changed:
            self._value = value
            self._changed.notify_all()

    def take(self) -> T | None:
        """Remove and return the value; None if there is none."""
        with self._changed:
            value, self._value = self._value, None
            if value is not None:
                self._changed.notify_all()
            return value


class Drawn:
    """The mailboxes from the renderer, and for ``weights`` from the trainer, to the window."""

    def __init__(self, changed: threading.Condition) -> None:
        self.moments: Mailbox[tuple[MomentInfo, ...]] = Mailbox(changed)
        self.fork_points: Mailbox[tuple[ForkPoint, ...]] = Mailbox(changed)
        self.snapshot: Mailbox[Snapshot | MaskSnapshot] = Mailbox(changed)
        self.life: Mailbox[Life] = Mailbox(changed)
        self.weights: Mailbox[PinnedWeights] = Mailbox(changed)
        self.thumbnails: Mailbox[dict[str, Thumbnail]] = Mailbox(changed)
        self.flips: Mailbox[EpochFlips] = Mailbox(changed)
        self.deleted: Mailbox[Path] = Mailbox(changed)
        """The folder of the run, once it is not there any more."""


class SnapshotBroker:
    """Latest-wins exchange between trainer, renderer and window.

    The window demands, the trainer copies, the renderer draws the copies. There is one broker for
    each run: nothing from the run before can reach the window. ``control`` is None for a run that
    is not being trained. ``changed`` is notified when the renderer may have work to do.
    """

    def __init__(self, changed: threading.Condition, control: Control | None = None) -> None:
        self.changed, self.control = changed, control
        self.demand: Demand | None = None
        self.listed: frozenset[str] | None = None
        """The layers whose thumbnails are on screen; None for all."""
        self.pins: tuple[Pin, ...] = ()
        self.history: Mailbox[Path] = Mailbox(changed)
        """A run folder, to read its moments at once, and then whenever there are more."""
        self.part = Part()
        """What of the open layer's picture is visible."""
        self.copy: Mailbox[tuple[int, LayerMoment | LivePicture | None]] = Mailbox(changed)
        """The open layer as it is now. From a server comes a picture of what is visible, for the
        last recorded moment below it, and None where that moment alone is known."""
        self.samples: Mailbox[dict[str, LayerMoment | Thumbnail]] = Mailbox(changed)
        """Of layers as they are now, for their thumbnails, which from a server come drawn."""
        self.copy_pace, self.sample_pace = Pace(), Pace()
        self.frugal = False
        """Whether drawing takes processors from a process that trains the run."""
        self.drawn = Drawn(changed)
        self.failures: deque[Failed] = deque()
        self._reported: set[str] = set()

    def successor(self, control: Control | None) -> SnapshotBroker:
        """The broker for another run, of which the window shows the same."""
        broker = SnapshotBroker(self.changed, control)
        broker.demand = self.demand if self.demand is not None and self.demand.live else None
        broker.listed, broker.pins, broker.part = self.listed, self.pins, self.part
        return broker

    def ask(self, request: Request) -> None:
        """Show this from now on."""
        with self.changed:
            before, number = self.demand, 0
            if before is not None:
                if request == before.request:
                    return
                # What was the present before a visit to the past is out of date afterwards.
                back = not before.live and request.moment is None
                number = before.number + (back or request.watch != before.request.watch)
                if number != before.number:
                    self.copy.take()
            self.demand = Demand(request, number)
            self.drawn.snapshot.take()
            self._reported.clear()
            self.changed.notify_all()

    @property
    def requested(self) -> CopyRequest:
        demand = self.demand
        if demand is None or not demand.live:
            return CopyRequest(pins=self.pins)
        return CopyRequest(demand.number, demand.request.watch, self.listed, self.pins)

    @property
    def standing(self) -> bool:
        return self.control is not None and (self.control.paused or self.control.stopped)

    def has_room(self, kind: Kind) -> bool:
        full = {
            "layer": self.copy.full,
            "samples": self.samples.full,
            "weights": self.drawn.weights.full,
        }
        return not full[kind]

    def put_layer(self, number: int, moment: LayerMoment | LivePicture | None) -> bool:
        with self.changed:
            current = self.demand is not None and self.demand.number == number
            if current:
                self.copy.put((number, moment))
            return current

    def put_samples(self, samples: Iterable[LayerMoment | Thumbnail]) -> None:
        """Take samples, besides those that the renderer has not taken yet."""
        self.samples.put((self.samples.take() or {}) | {one.name: one for one in samples})

    def put_thumbnails(self, thumbnails: dict[str, Thumbnail]) -> None:
        """Hand thumbnails to the window, besides those that it has not taken yet."""
        box = self.drawn.thumbnails
        box.put((box.take() or {}) | thumbnails)

    def put_weights(self, weights: PinnedWeights) -> None:
        self.drawn.weights.put(weights)

    def copying_failed(self, error: Exception) -> None:
        self.report(describe("The present state could not be copied to show it", error))

    def publish(self, demand: Demand, snapshot: Snapshot | MaskSnapshot) -> None:
        """Hand a picture to the window, unless it shows something else by now."""
        with self.changed:
            if self.demand is demand:
                self.drawn.snapshot.put(snapshot)

    def report(self, failed: Failed) -> None:
        """Tell the user, once for each thing that the window shows."""
        with self.changed:
            if failed.message not in self._reported:
                self._reported.add(failed.message)
                self.failures.append(failed)
