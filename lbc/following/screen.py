"""What the viewer of a run on a server shows, and the pictures of it that have arrived."""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import replace

import numpy as np

from lbc.following.messages import Picture, Show, Thumbnails, View, Weights
from lbc.following.picture_codec import PictureDecoder, decode_thumbnails
from lbc.following.watch import WatchRequest
from lbc.pictures.live_picture import LivePicture, Part
from lbc.pictures.mask_snapshot import MaskRequest
from lbc.pictures.moment_copier import PinnedWeights
from lbc.pictures.score_snapshot import Thumbnail, ViewRequest

MOST_PICTURES = 32
"""The most that wait to be taken; older ones are dropped."""

Arrived = tuple[int, LivePicture] | dict[str, Thumbnail] | PinnedWeights
"""A picture, with the number of the copies that the trainer made for it, or something smaller."""


class Screen:
    """Shared by the thread that receives, the one that sends, and the viewer. Thread safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._shown = Show(None, None)
        self._request: ViewRequest | None = None
        self._number = 0
        self._arrived: deque[Arrived] = deque(maxlen=MOST_PICTURES)
        self._decoder = PictureDecoder()

    @property
    def shown(self) -> Show:
        """What the server is to send pictures of."""
        return self._shown

    def show(self, watch: WatchRequest | None, request: ViewRequest | None, part: Part) -> None:
        """Show a page of the run as it is now, and let the trainer make these copies for it."""
        with self._lock:
            before = self._shown
            known = before.view is None or before.view.part == part
            if known and (watch, request) == (before.watch, self._request):
                return
            self._number += 1
            self._request = request
            view = None
            if isinstance(request, MaskRequest) and request.against is not None:
                # What it is compared with is here: recorded moments show the difference.
                request = request if request.beside else None
            if isinstance(request, MaskRequest):
                view = View(self._number, part, masks=replace(request, against=None, beside=False))
            elif request is not None:
                view = View(self._number, part, scores=request)
            self._shown = Show(watch, view)

    def begin(self) -> None:
        """Another connection begins."""
        with self._lock:
            self._decoder = PictureDecoder()

    def accept(self, message: Picture | Thumbnails | Weights) -> None:
        """Take in what has arrived. Raises ProtocolError."""
        match message:
            case Picture():
                with self._lock:
                    request, watch = self._request, self._shown.watch
                if request is None or watch is None:
                    return
                picture = self._decoder.decode(message, request)
                if message.number == self._number:
                    self._arrived.append((watch.number, picture))
            case Thumbnails():
                self._arrived.append(decode_thumbnails(message))
            case Weights():
                blocks = {pin: np.array(block, np.float32) for pin, block in message.pins}
                self._arrived.append(PinnedWeights(message.epoch, blocks))

    def take(self) -> list[Arrived]:
        """What has arrived since the last time."""
        taken = []
        while self._arrived:
            taken.append(self._arrived.popleft())
        return taken
