"""``watch-ID.json`` and ``frame-ID-KIND``: what a viewer in another process shows, and its copies.

The viewer deletes a frame that it has read, and only then does the trainer write the next one of
its kind: without a viewer no frame is made, and a slow one gets fewer.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import time
from collections.abc import Collection, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, TypeAdapter, ValidationError

from lbc.files.atomic import write_atomically
from lbc.files.small_file import read_small
from lbc.following.frame import Frame, read_frame, write_frame
from lbc.pictures.layer_moment import Watch
from lbc.pictures.moment_copier import (
    CopyRequest,
    Kind,
    MomentCopier,
    Pace,
    Pin,
    PinnedWeights,
)
from lbc.runs.layer_moment import LayerMoment

if TYPE_CHECKING:
    from collections.abc import Callable

    from lbc.sparsity.sparsifier import Sparsifier
    from lbc.training.control import Control

SIZE_LIMIT = 1 << 20

ALIVE_SECONDS = 5.0
"""A viewer that has not touched its request for so long is gone."""

MOST_VIEWERS = 8

FOLLOWED_SHARE = 0.4
"""What viewers in other processes may cost together, of what the trainer's own window may."""

KINDS: tuple[Kind, ...] = ("layer", "samples", "weights")

_NAME = re.compile(r"(watch-([0-9a-f]{8})\.json|frame-[0-9a-f]{8}-[a-z]+)")

Index = Annotated[int, Field(ge=0, lt=1 << 53)]


@dataclass(frozen=True)
class WatchRequest:
    """What one viewer shows: a ``CopyRequest`` for the training process with the token ``to``.

    ``interval``: seconds between two copies of the open layer, at the least.
    """

    to: str
    number: Index = 0
    layer: str | None = None
    block: Index | None = None
    weights: bool = False
    listed: Annotated[tuple[str, ...], Field(max_length=1 << 14)] | None = ()
    pins: Annotated[tuple[Pin, ...], Field(max_length=1 << 10)] = ()
    interval: Annotated[float, Field(ge=0, le=3600)] = 0.0
    picture: Annotated[str, Field(max_length=100)] = ""
    version: Literal[1] = 1

    @property
    def copies(self) -> CopyRequest:
        watch = None
        if self.layer is not None:
            watch = Watch(self.layer, self.block, self.weights, self.picture)
        listed = None if self.listed is None else frozenset(self.listed)
        return CopyRequest(self.number, watch, listed, self.pins)


_REQUEST = TypeAdapter(WatchRequest)


def as_watch_request(to: str, copies: CopyRequest, interval: float = 0.0) -> WatchRequest:
    """The request for the trainer with the token ``to`` to make these copies."""
    watch = copies.watch
    return WatchRequest(
        to,
        copies.number,
        None if watch is None else watch.layer,
        None if watch is None else watch.block,
        watch is not None and watch.weights,
        None if copies.listed is None else tuple(sorted(copies.listed)),
        copies.pins,
        interval,
        "" if watch is None else watch.picture,
    )


def watch_files(folder: Path) -> Iterator[Path]:
    """The requests and frames of all viewers. Raises OSError."""
    with os.scandir(folder) as entries:
        yield from (Path(entry.path) for entry in entries if _NAME.fullmatch(entry.name))


class WatchedRun:
    """A viewer's side: asks for copies of a run that another process trains, and takes them."""

    def __init__(self, folder: Path) -> None:
        identity = secrets.token_hex(4)
        self._request = folder / f"watch-{identity}.json"
        self._frames = {kind: folder / f"frame-{identity}-{kind}" for kind in KINDS}
        self._asked: WatchRequest | None = None
        self._touched = Pace()

    def ask(self, request: WatchRequest) -> None:
        """Ask for these copies, and say that they are still wanted: call it every second or more
        often. Raises OSError if the folder cannot be written."""
        if request == self._asked:
            if not self._touched.due:
                return
            with suppress(FileNotFoundError):  # given up by the trainer, after a long sleep
                os.utime(self._request)
                self._touched.rest(ALIVE_SECONDS / 5)
                return
        text = json.dumps(asdict(request)).encode()
        write_atomically(self._request, lambda file: file.write(text), sync=False)
        self._asked = request
        self._touched.rest(ALIVE_SECONDS / 5)

    def take(self, kinds: Collection[Kind] = KINDS) -> list[tuple[Kind, Frame]]:
        """What the trainer has copied since the last time, of some kinds.

        Raises OSError if it cannot be read, and ValueError if it is damaged or of another version.
        """
        taken = []
        for kind in kinds:
            path = self._frames[kind]
            try:
                frame = read_frame(path)
            except FileNotFoundError:
                continue
            except ValueError:
                path.unlink(missing_ok=True)
                raise
            path.unlink(missing_ok=True)
            taken.append((kind, frame))
        return taken

    def close(self) -> None:
        """Want nothing any more."""
        self._asked = None
        for path in (self._request, *self._frames.values()):
            with suppress(OSError):
                path.unlink(missing_ok=True)


class _FileViewer:
    """The trainer's side of one viewer, to which a ``MomentCopier`` copies."""

    def __init__(
        self, path: Path, token: str, control: Control, report: Callable[[Exception], None]
    ) -> None:
        self.path = path
        self._token, self._control, self._report = token, control, report
        identity = path.name[len("watch-") : -len(".json")]
        self.frames = {kind: path.with_name(f"frame-{identity}-{kind}") for kind in KINDS}
        self.copy_pace, self.sample_pace = Pace(), Pace()
        self.copier = MomentCopier(self)
        self.requested = CopyRequest()
        self._interval = 0.0
        self._stamp: object = None
        self._seen = 0.0

    def refresh(self) -> bool:
        """Read the request if it has changed; False if the viewer is gone."""
        now = time.monotonic()
        try:
            found = self.path.stat()
            stamp = found.st_ino, found.st_mtime_ns
            if stamp != self._stamp:
                self._stamp, self._seen = stamp, now
                self._read()
        except (OSError, ValidationError):
            return False
        return now - self._seen < ALIVE_SECONDS

    def _read(self) -> None:
        request = _REQUEST.validate_json(read_small(self.path, SIZE_LIMIT))
        if request.to == self._token:
            self.requested, self._interval = request.copies, request.interval

    @property
    def standing(self) -> bool:
        return self._control.paused or self._control.stopped

    def has_room(self, kind: Kind) -> bool:
        return not self.frames[kind].exists()

    def put_layer(self, number: int, moment: LayerMoment) -> bool:
        write_frame(self.frames["layer"], Frame(number, (moment,)))
        self.copy_pace.rest(self._interval)
        return True

    def put_samples(self, samples: tuple[LayerMoment, ...]) -> None:
        write_frame(self.frames["samples"], Frame(moments=samples))

    def put_weights(self, weights: PinnedWeights) -> None:
        write_frame(self.frames["weights"], Frame(weights=weights))

    def copying_failed(self, error: Exception) -> None:
        self._report(error)


class Viewers:
    """All viewers of the run that this process trains; together they cost what one may cost."""

    def __init__(
        self, folder: Path, token: str, control: Control, report: Callable[[Exception], None]
    ) -> None:
        self._folder, self._token = folder, token
        self._control, self._report = control, report
        self._viewers: dict[Path, _FileViewer] = {}
        self._folder_stamp = 0
        self._clear()  # requests and frames of an earlier training process

    def refresh(self) -> None:
        """Find out who is there, and what each shows. Raises OSError if the folder is gone."""
        written = self._folder.stat().st_mtime_ns
        if written != self._folder_stamp:
            self._folder_stamp = written
            for path in watch_files(self._folder):
                if path.suffix == ".json" and len(self._viewers) < MOST_VIEWERS:
                    self._add(path)
        for viewer in list(self._viewers.values()):
            if not viewer.refresh():
                self._remove(viewer)

    def copy(self, sparsifier: Sparsifier, epoch: float) -> None:
        """Copy for each what is due."""
        for viewer in self._viewers.values():
            viewer.copier.share = FOLLOWED_SHARE / len(self._viewers)
            viewer.copier.watch(sparsifier, epoch)

    def close(self) -> None:
        """Delete the frames, which no viewer will read any more."""
        for viewer in self._viewers.values():
            for path in viewer.frames.values():
                with suppress(OSError):
                    path.unlink(missing_ok=True)

    def _add(self, path: Path) -> None:
        if path not in self._viewers:
            self._viewers[path] = _FileViewer(path, self._token, self._control, self._report)

    def _remove(self, viewer: _FileViewer) -> None:
        del self._viewers[viewer.path]
        for path in (viewer.path, *viewer.frames.values()):
            with suppress(OSError):
                path.unlink(missing_ok=True)

    def _clear(self) -> None:
        with suppress(OSError):
            for path in list(watch_files(self._folder)):
                path.unlink(missing_ok=True)
