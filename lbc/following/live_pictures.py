"""The server's pictures of a run as it is now: only what the viewer shows, at a limited rate."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from lbc.files.os_errors import explain
from lbc.following.messages import FromServer, Notice, Picture, Show, View, Weights
from lbc.following.picture_codec import BYTES_PER_SECOND, PictureEncoder, encode_thumbnails
from lbc.following.trainer_file import trainer_of
from lbc.following.watch import WatchedRun
from lbc.pictures.live_picture import draw_live
from lbc.pictures.score_snapshot import Look, Thumbnail, draw_thumbnail
from lbc.runs.layer_moment import LayerMoment

PICTURE_SECONDS = 1.0
"""The shortest interval between two pictures of a run that is being trained."""

VIEW_SECONDS = 0.1
"""The shortest interval between two pictures of different parts."""

TRAINER_SECONDS = 0.5
"""How often it is looked up who trains the run."""


class LivePictures:
    """Asks the trainer for copies, draws what is visible of them, and encodes it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._watched: WatchedRun | None = None
        self._show = Show(None, None)
        self._encoder = PictureEncoder()
        self._copy: tuple[int, LayerMoment] | None = None
        self._sent: tuple[View, LayerMoment] | None = None
        self._look = Look()
        self._samples: dict[str, LayerMoment] = {}
        self._thumbnails: dict[str, Thumbnail] = {}
        self._sent_at = self._free_at = self._trainer_at = 0.0
        self._token = ""

    def show(self, show: Show) -> None:
        """Show this from now on."""
        self._show = show
        if show.watch is None:
            self.close()

    def close(self) -> None:
        """Ask for nothing any more."""
        if self._watched is not None:
            self._watched.close()
            self._watched = None

    def next(self) -> list[FromServer]:
        """What is due to be sent. Raises nothing: where the folder cannot be written, or the
        trainer is of another version, there are no pictures, but recorded moments."""
        watch, due = self._show.watch, list[FromServer]()
        samples: tuple[LayerMoment, ...] = ()
        if watch is None:
            return due
        self._look_for_trainer()
        if watch.to != self._token:
            self.close()
            return due
        try:
            self._watched = self._watched or WatchedRun(self._folder)
            self._watched.ask(replace(watch, interval=PICTURE_SECONDS))
            for kind, frame in self._watched.take():
                if kind == "layer" and frame.moments:
                    self._copy = frame.number, frame.moments[0]
                elif kind == "samples":
                    self._samples |= {at.name: at for at in frame.moments}
                    samples = frame.moments
                elif frame.weights is not None:
                    shown = frame.weights.weights.items()
                    pins = tuple((pin, tuple(block.tolist())) for pin, block in shown)
                    due.append(Weights(frame.weights.epoch, pins))
            due += self._draw_thumbnails(samples)
            due += self._draw_picture(self._show.view, watch.number)
        except (OSError, ValueError) as error:
            self.close()
            self._show = Show(None, None)
            what = f"{self._folder} cannot be used to ask for pictures"
            reason = explain(error, what) if isinstance(error, OSError) else str(error)
            due.append(Notice(f"Only recorded moments of the run can be shown. {reason}"))
        return due

    def count(self, message: FromServer, size: int) -> None:
        """A message took so many bytes: what takes more than the line may have delays the next."""
        if isinstance(message, Picture):
            self._encoder.count(size)
        self._free_at = max(self._free_at, time.monotonic()) + size / BYTES_PER_SECOND

    def _look_for_trainer(self) -> None:
        if time.monotonic() - self._trainer_at > TRAINER_SECONDS:
            self._trainer_at = time.monotonic()
            trainer = trainer_of(self._folder)
            self._token = trainer.token if trainer is not None and trainer.commandable else ""

    def _draw_picture(self, view: View | None, number: int) -> list[FromServer]:
        copy, sent, now = self._copy, self._sent, time.monotonic()
        if view is None or view.request is None or copy is None or copy[0] != number:
            return []
        moment = copy[1]
        new_view = sent is None or sent[0] != view
        same = sent is not None and sent[1] is moment and not new_view
        if (same and self._encoder.exact) or moment.name != view.request.layer:
            return []
        if now < max(
            self._free_at, self._sent_at + (VIEW_SECONDS if new_view else PICTURE_SECONDS)
        ):
            return []
        self._sent, self._sent_at = (view, moment), now
        picture = draw_live(moment, view.request, view.part)
        return [self._encoder.encode(view.number, picture, again=same)]

    def _draw_thumbnails(self, samples: tuple[LayerMoment, ...]) -> list[FromServer]:
        """The thumbnails that have changed."""
        request = self._show.view and self._show.view.request
        look = request.look if request else self._look
        if look != self._look:
            self._look, self._thumbnails = look, {}
            samples = tuple(self._samples.values())
        drawn = {at.name: draw_thumbnail(at, look) for at in samples}
        news = [new for new in drawn.values() if not _alike(new, self._thumbnails.get(new.name))]
        self._thumbnails |= drawn
        return [encode_thumbnails(news)] if news else []


def _alike(one: Thumbnail, other: Thumbnail | None) -> bool:
    if other is None or one.picture.scale != other.picture.scale:
        return False
    return np.array_equal(one.picture.codes, other.picture.codes)
