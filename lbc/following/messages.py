"""What the server and the viewer of a run send each other, in frames with a limited size.

The server begins with the line ``GREETING``, which follows whatever the shell of the user prints.
A frame is ``_HEAD`` (bytes sent, bytes when unpacked, whether zlib packed them), then the length of
a JSON document, the document, and binary data.
"""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter, ValidationError

from lbc.files.printable import printable
from lbc.files.versions import own_version
from lbc.following.watch import WatchRequest
from lbc.pictures.colour_keys import Scale, Swatches
from lbc.pictures.level_of_detail import Reduction
from lbc.pictures.live_picture import Level
from lbc.pictures.live_picture import Part as ShownPart
from lbc.pictures.mask_snapshot import MaskRequest
from lbc.pictures.moment_copier import Pin
from lbc.pictures.score_snapshot import ViewRequest
from lbc.runs.layer_moment import LayerState
from lbc.sparsity.pattern import Pattern

PROTOCOL = 1
PROGRAM = own_version()
"""The version of this program."""

GREETING = b"@lbc-follow "
LARGEST_GREETING = 1 << 10
NOISE_LIMIT = 1 << 16
"""Bytes that a shell may print before the greeting."""

LARGEST_FRAME = 1 << 24
LARGEST_DOCUMENT = 1 << 20
LEAST_PACKED = 200
"""Bytes below which packing does not pay."""

_HEAD = struct.Struct("<IIB")
_LENGTH = struct.Struct("<I")

Grown = Literal[
    "steps.records", "epochs.records", "method.records", "interventions.jsonl", "scores.history"
]
"""Files that grow, in the order in which they are sent."""
Small = Literal["experiment.yaml", "trainer.json", "library.json", "run.json"]
"""Files that are replaced. ``run.json`` comes last: it must not be ahead of the others."""

Size = Annotated[int, Field(ge=0, lt=1 << 53)]


class ProtocolError(Exception):
    """What arrived is not what the other side may send; the message is a sentence."""


@dataclass(frozen=True)
class Greeting:
    """The versions of the server: of this protocol, and of the program."""

    protocol: Annotated[int, Field(ge=0, lt=1 << 31)]
    version: str


@dataclass(frozen=True)
class Held:
    """How much of a file the viewer has: its size, and the sums of ``BlockSums``."""

    size: Size
    sums: tuple[Annotated[int, Field(ge=0, lt=1 << 32)], ...]


@dataclass(frozen=True)
class Begin:
    """The first message of the viewer: what it has of each file that grows."""

    held: dict[Grown, Held]
    kind: Literal["begin"] = "begin"


@dataclass(frozen=True)
class View:
    """One page, and what of its picture is visible. Pictures of it have its ``number``."""

    number: Size
    part: ShownPart
    scores: ViewRequest | None = None
    masks: MaskRequest | None = None

    @property
    def request(self) -> ViewRequest | None:
        return self.masks or self.scores


@dataclass(frozen=True)
class Show:
    """What the viewer shows: the copies that the trainer is to make for it, and the page."""

    watch: WatchRequest | None
    view: View | None
    kind: Literal["show"] = "show"


@dataclass(frozen=True)
class Order:
    """A line for ``commands.jsonl``. It has an id, so that one sent twice is carried out once."""

    line: Annotated[str, Field(max_length=1 << 16)]
    kind: Literal["order"] = "order"


@dataclass(frozen=True)
class Received:
    """So many bytes of files have arrived since the last such message."""

    count: Size
    kind: Literal["received"] = "received"


@dataclass(frozen=True)
class Alive:
    """Nothing else was to be sent."""

    kind: Literal["alive"] = "alive"


@dataclass(frozen=True)
class Part:
    """Bytes of a file that grows, from ``offset`` on; what followed there is void."""

    name: Grown
    offset: Size
    kind: Literal["part"] = "part"
    data: bytes = field(default=b"", repr=False)


@dataclass(frozen=True)
class Whole:
    """A small file, or that it is gone."""

    name: Small
    exists: bool
    kind: Literal["whole"] = "whole"
    data: bytes = field(default=b"", repr=False)


@dataclass(frozen=True)
class Status:
    """``trained``: a process holds the run. ``missing``: bytes still to be sent.

    ``ready``: what is needed to open the run has been sent.
    """

    trained: bool
    missing: Size
    ready: bool
    kind: Literal["status"] = "status"


@dataclass(frozen=True)
class Notice:
    """Something was not done; ``message`` is a sentence."""

    message: str
    kind: Literal["notice"] = "notice"


@dataclass(frozen=True)
class Over:
    """The run cannot be followed, or no longer; ``message`` is a sentence."""

    message: str
    deleted: bool = False
    kind: Literal["over"] = "over"


@dataclass(frozen=True)
class Block:
    """A ``BlockState``."""

    index: Size
    pattern: Pattern
    weights: tuple[float, ...] | None
    kept: tuple[bool, ...]
    scores: tuple[float, ...]


@dataclass(frozen=True)
class Picture:
    """A ``LivePicture`` of the view ``number``.

    ``data`` has one byte for each of the ``shape`` codes, to be added to those before, modulo 256,
    or to 0 if ``fresh``; and then the float32 scores of ``exact``: row, column, (rows, columns, K).
    """

    number: Size
    fresh: bool
    epoch: float
    level: Level
    key: Scale | Swatches
    reduction: Reduction
    size: tuple[Size, Size]
    place: tuple[Size, Size, Size, Size]
    shape: tuple[Size, Size]
    decided: bool
    block: Block | None
    layers: tuple[LayerState, ...]
    exact: tuple[Size, Size, Size, Size, Size] | None
    note: str
    kind: Literal["picture"] = "picture"
    data: bytes = field(default=b"", repr=False)


@dataclass(frozen=True)
class Miniature:
    """A ``Thumbnail``, the codes of which have this ``shape``."""

    name: str
    shape: tuple[Size, Size]
    key: Scale | Swatches


@dataclass(frozen=True)
class Thumbnails:
    """Those that have changed; ``data`` has their codes one after the other."""

    items: tuple[Miniature, ...]
    kind: Literal["thumbnails"] = "thumbnails"
    data: bytes = field(default=b"", repr=False)


@dataclass(frozen=True)
class Weights:
    """The weights of the pinned blocks after ``epoch`` epochs."""

    epoch: float
    pins: tuple[tuple[Pin, tuple[float, ...]], ...]
    kind: Literal["weights"] = "weights"


FromViewer = Begin | Show | Order | Received | Alive
FromServer = Part | Whole | Status | Picture | Thumbnails | Weights | Notice | Over
Message = FromViewer | FromServer

_GREETING = TypeAdapter(Greeting)
_FROM_VIEWER: TypeAdapter[FromViewer] = TypeAdapter(
    Annotated[FromViewer, Field(discriminator="kind")]
)
_FROM_SERVER: TypeAdapter[FromServer] = TypeAdapter(
    Annotated[FromServer, Field(discriminator="kind")]
)

ReadExactly = Callable[[int], bytes]
"""Reads so many bytes. Raises EOFError if there are fewer."""


def encode(message: Message) -> bytes:
    """The frame of a message."""
    document = asdict(message)
    data = document.pop("data", b"")
    text = json.dumps(document).encode()
    content = _LENGTH.pack(len(text)) + text + data
    sent: bytes = content
    if len(content) >= LEAST_PACKED:
        # What is left of noise has no strings that repeat: Huffman's code alone is smaller.
        usual, huffman = zlib.Z_DEFAULT_STRATEGY, zlib.Z_HUFFMAN_ONLY
        strategies = (usual, huffman) if isinstance(message, Picture) else (usual,)
        sent = min(content, *(_packed(content, at) for at in strategies), key=len)
    smaller = len(sent) < len(content)
    return _HEAD.pack(len(sent), len(content), smaller) + sent


def _packed(content: bytes, strategy: int) -> bytes:
    packing = zlib.compressobj(6, zlib.DEFLATED, zlib.MAX_WBITS, zlib.DEF_MEM_LEVEL, strategy)
    return packing.compress(content) + packing.flush()


def read_greeting(read: Callable[[], bytes]) -> bytes:
    """Skip what the shell prints, and compare the versions; return what follows the greeting.

    ``read`` returns some bytes, none at the end. Raises EOFError or ProtocolError.
    """
    seen = b""
    while GREETING not in seen or b"\n" not in seen[seen.index(GREETING) :]:
        if len(seen) > NOISE_LIMIT:
            raise ProtocolError("Its shell prints too much: let it print nothing.")
        piece = read()
        if not piece:
            raise EOFError
        seen += piece
    _, _, rest = seen.partition(GREETING)
    line, _, rest = rest.partition(b"\n")
    try:
        greeting = _GREETING.validate_json(line)
    except ValidationError as error:
        raise ProtocolError("Its greeting cannot be read.") from error
    if greeting.protocol != PROTOCOL:
        raise ProtocolError(
            f"LBC Explorer {printable(greeting.version[:40])} there speaks version "
            f"{greeting.protocol} of this protocol, and {PROGRAM} here version {PROTOCOL}: install "
            "the same version on both."
        )
    return rest


def read_from_viewer(read: ReadExactly) -> FromViewer:
    """Read a message on the server. Raises EOFError or ProtocolError."""
    message: FromViewer = _decode(read, _FROM_VIEWER)
    return message


def read_from_server(read: ReadExactly) -> FromServer:
    """Read a message of the server. Raises EOFError or ProtocolError."""
    message: FromServer = _decode(read, _FROM_SERVER)
    return message


def _decode(read: ReadExactly, adapter: TypeAdapter[Any]) -> Any:
    sent, size, packed = _HEAD.unpack(read(_HEAD.size))
    if max(sent, size) > LARGEST_FRAME or packed > 1 or size < _LENGTH.size:
        raise ProtocolError("It sent a message that is too large, or none of this protocol.")
    content = read(sent)
    try:
        if packed:
            unpacking = zlib.decompressobj()
            content = unpacking.decompress(content, size)
        (length,) = _LENGTH.unpack_from(content)
        if len(content) != size or length > min(LARGEST_DOCUMENT, size - _LENGTH.size):
            raise ValueError("lengths differ")
        start = _LENGTH.size + length
        document = json.loads(content[_LENGTH.size : start])
        return adapter.validate_python({**document, "data": content[start:]})
    except (ValueError, zlib.error, TypeError, RecursionError, struct.error) as error:
        raise ProtocolError("It sent a message that this version cannot read.") from error
