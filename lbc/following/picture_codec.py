"""Pictures as messages: differences from the picture before, as fine as the line allows."""

from __future__ import annotations

from math import prod

import numpy as np
import numpy.typing as npt

from lbc.following.messages import Block, Miniature, Picture, ProtocolError, Thumbnails
from lbc.pictures.colour_keys import Key, Scale
from lbc.pictures.level_of_detail import Detail
from lbc.pictures.live_picture import Exact, LivePicture
from lbc.pictures.score_codes import LOWEST, Codes
from lbc.pictures.score_snapshot import BlockState, KeyedCodes, Thumbnail, ViewRequest, fixed
from lbc.sparsity.arrays import Array

STEPS = (1, 3, 5, 9, 17)
"""Differences of levels are multiples of one of these: exact, or off by at most one, two, four or
eight levels of 254. One differs by less than 1.9 in CIELAB in every colour map, two by 1.8 on
average and eight by 7.2; 2.3 is just noticeable (Mahy et al., 1994)."""

BYTES_PER_SECOND = 200_000
"""What pictures may take of the line."""

LARGEST_PICTURE = 1 << 24
"""Cells: more than any screen has pixels."""

LARGEST_BLOCK = 1024
"""The most combinations whose scores are sent with a picture, for the pinned block."""

BLACK = (0, 0, 0)


def coarse(codes: Codes, shown: Codes, key: Key, step: int) -> Codes:
    """``codes``, of which levels may be off by ``step`` // 2, so that their differences from
    ``shown`` have few values. What is no level is exact. Both are (H, W)."""
    if not isinstance(key, Scale) or step == 1:
        return codes
    difference = codes.astype(np.int16) - shown
    near = shown + step * np.round(difference / step).astype(np.int16)
    levels = (codes >= LOWEST) & (codes <= key.highest)
    fitting = levels & (near >= LOWEST) & (near <= key.highest)
    return np.where(fitting, near, codes).astype(np.uint8)


class PictureEncoder:
    """Encodes one picture after the other, as fine as the line allows.

    Those of a paused training are refined until they are exact.
    """

    def __init__(self) -> None:
        self._shown: Codes | None = None
        self._of: object = None
        self._moving, self._step = len(STEPS) - 1, 0

    @property
    def exact(self) -> bool:
        """Whether the last picture had no level that is off."""
        return self._step == 0

    def count(self, size: int) -> None:
        """The last picture took so many bytes."""
        if size > BYTES_PER_SECOND:
            self._moving = min(self._moving + 1, len(STEPS) - 1)
        elif size < BYTES_PER_SECOND / 2:
            self._moving = max(self._moving - 1, 0)

    def encode(self, number: int, picture: LivePicture, again: bool = False) -> Picture:
        """The message of a picture of the view ``number``; ``again`` refines the last one."""
        part, codes = picture.part, picture.part.codes
        place = part.x, part.y, part.width, part.height
        of = picture.request.layer, type(picture.request), picture.level, picture.size, place
        fresh = self._shown is None or of != self._of or self._shown.shape != codes.shape
        before = np.zeros_like(codes) if fresh or self._shown is None else self._shown
        small = codes.size < BYTES_PER_SECOND / 4
        self._step = max(0, self._step - 1) if again else 0 if small else self._moving
        now = coarse(codes, before, picture.key, STEPS[self._step])
        self._shown, self._of = now, of
        data, exact = (now - before).tobytes(), None
        if picture.exact is not None:
            rows, columns, cells = picture.exact.scores.shape
            exact = picture.exact.row, picture.exact.column, rows, columns, cells
            data += picture.exact.scores.astype("<f4").tobytes()
        return Picture(
            number, fresh, picture.epoch, picture.level, picture.key, picture.reduction,
            picture.size, place, codes.shape, picture.decided, _block(picture.block),
            picture.layers, exact, picture.note, data=data,
        )  # fmt: skip


class PictureDecoder:
    """Decodes the pictures of one connection, in the order in which they were sent."""

    def __init__(self) -> None:
        self._shown: Codes | None = None

    def decode(self, message: Picture, request: ViewRequest) -> LivePicture:
        """The picture. Raises ProtocolError if the message contradicts itself."""
        codes = self._codes(message)
        x, y, width, height = message.place
        high, wide = message.shape
        rows, columns = message.size
        if not high or not wide or width % wide or height % high or x >= columns or y >= rows:
            raise ProtocolError("It sent a picture that has no place.")
        check_key(message.key)
        return LivePicture(
            request, message.epoch, message.level, message.key, message.reduction, message.size,
            Detail(codes, x, y, width, height), message.decided, _block_state(message.block),
            message.layers, self._exact(message), message.note,
        )  # fmt: skip

    def _codes(self, message: Picture) -> Codes:
        count = prod(message.shape)
        known = self._shown is not None and self._shown.shape == message.shape
        if count > LARGEST_PICTURE or len(message.data) < count or not (message.fresh or known):
            raise ProtocolError("It sent a picture that does not follow the one before.")
        codes: Codes = np.frombuffer(message.data, np.uint8, count).reshape(message.shape).copy()
        if not message.fresh:
            assert self._shown is not None
            codes += self._shown
        self._shown = fixed(codes)
        return codes

    def _exact(self, message: Picture) -> Exact | None:
        rest = message.data[prod(message.shape) :]
        if message.exact is None:
            return None
        row, column, *shape = message.exact
        if 4 * prod(shape) != len(rest):
            raise ProtocolError("It sent scores that are cut off.")
        return Exact(row, column, np.frombuffer(rest, "<f4").reshape(shape))


def encode_thumbnails(thumbnails: list[Thumbnail]) -> Thumbnails:
    """The message of some thumbnails."""
    items = tuple(Miniature(at.name, at.picture.codes.shape, at.picture.scale) for at in thumbnails)
    return Thumbnails(items, data=b"".join(at.picture.codes.tobytes() for at in thumbnails))


def decode_thumbnails(message: Thumbnails) -> dict[str, Thumbnail]:
    """The thumbnails by layer. Raises ProtocolError if the message contradicts itself."""
    decoded, at = {}, 0
    for item in message.items:
        check_key(item.key)
        data = message.data[at : at + prod(item.shape)]
        if len(data) < prod(item.shape) or not data:
            raise ProtocolError("It sent a picture that is cut off.")
        codes = fixed(np.frombuffer(data, np.uint8).reshape(item.shape))
        decoded[item.name] = Thumbnail(item.name, KeyedCodes(codes, item.key))
        at += len(data)
    return decoded


def check_key(key: Key) -> None:
    """Raises ProtocolError unless the key has a colour for every code."""
    try:
        key.table(BLACK)
    except Exception as error:  # of the package of colour maps, or of numpy
        raise ProtocolError("It sent colours that are none.") from error


def _block(state: BlockState | None) -> Block | None:
    if state is None or len(state.scores) > LARGEST_BLOCK:
        return None
    weights = None if state.weights is None else _floats(state.weights)
    kept = tuple(state.kept.tolist())
    return Block(state.index, state.pattern, weights, kept, _floats(state.scores))


def _block_state(block: Block | None) -> BlockState | None:
    if block is None:
        return None
    pattern, width = block.pattern, block.pattern.m
    fitting = len(block.kept) == width and len(block.scores) == pattern.count
    if not fitting or len(block.weights or block.kept) != width:
        raise ProtocolError("It sent a block that is cut off.")
    weights = None if block.weights is None else np.array(block.weights, np.float32)
    kept, scores = np.array(block.kept, bool), np.array(block.scores, np.float32)
    return BlockState(block.index, pattern, weights, kept, scores)


def _floats(values: npt.NDArray[np.float32]) -> tuple[float, ...]:
    numbers: Array = values.astype(np.float32)
    return tuple(numbers.tolist())
