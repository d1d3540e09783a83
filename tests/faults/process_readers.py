"""Readers of what processes write for each other: files in a run folder, pipes, and locks."""

from __future__ import annotations

import atexit
import io
import json
import platform
import shutil
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, replace
from functools import cache
from pathlib import Path
from typing import IO

import torch

from lbc.files.lock import lock
from lbc.following.block_sums import BlockSums
from lbc.following.commands import CommandReader, append_line, send
from lbc.following.frame import Frame, read_frame, write_frame
from lbc.following.messages import (
    GREETING,
    Begin,
    FromServer,
    FromViewer,
    Held,
    Order,
    Over,
    Part,
    Picture,
    ProtocolError,
    Received,
    Show,
    Status,
    Thumbnails,
    View,
    Weights,
    Whole,
    encode,
    read_from_server,
    read_from_viewer,
    read_greeting,
)
from lbc.following.mirror_files import MirrorFiles
from lbc.following.picture_codec import PictureEncoder, encode_thumbnails
from lbc.following.run_files import GrowingFile
from lbc.following.screen import Screen
from lbc.following.trainer_file import TrainerInfo, trainer_of, write_trainer
from lbc.following.watch import Viewers, WatchRequest, as_watch_request
from lbc.latency.answers import Hello, read_answer
from lbc.latency.measurement import MeasurementError
from lbc.latency.worker import PREFIX, parse_fields
from lbc.pictures.layer_copy import copy_moment, copy_sample
from lbc.pictures.layer_moment import Watch
from lbc.pictures.live_picture import LivePicture, draw_live
from lbc.pictures.live_picture import Part as ShownPart
from lbc.pictures.mask_snapshot import MaskRequest
from lbc.pictures.moment_copier import CopyRequest, Pin, PinnedWeights
from lbc.pictures.score_snapshot import Look, ViewRequest, draw, draw_thumbnail
from lbc.queue.entries import Entry
from lbc.queue.process import find_process, stop
from lbc.queue.queue_file import QueueFile
from lbc.runs.events import Command, Steering
from lbc.runs.layer_moment import LayerMoment
from lbc.runs.mirror_state import MirrorState, read_mirror, write_mirror
from lbc.sparsity.sparsifier import Sparsifier
from lbc.training.control import Control
from tests.faults.reader import JSON_WORDS, SIZES, Reader
from tests.faults.structures import inside_frame, inside_json, inside_line, inside_messages
from tests.runs.searches import disturb, searched

TOKEN = "0123456789abcdef"
REQUEST = ViewRequest("0", Look(), block=1)
SHOWN = ShownPart(width=30, height=20)


@cache
def _search() -> Sparsifier:
    torch.manual_seed(0)
    sparsifier, _ = searched("2:4")
    disturb(sparsifier)
    sparsifier.remove(4)
    return sparsifier


@cache
def _moment(weights: bool = False) -> LayerMoment:
    moment = copy_moment(_search(), Watch("0", 1, weights), 1.0)
    assert moment is not None
    return moment


@cache
def _held(folder: Path, name: str) -> IO[bytes]:
    """A lock that a trainer would hold."""
    file = (folder / name).open("ab")
    assert lock(file)
    atexit.register(file.close)
    return file


# -- valid inputs -------------------------------------------------------------------------------


def _written(write: Callable[[Path], object], name: str) -> Callable[[Path], list[bytes]]:
    """What ``write`` leaves below a folder of its own under ``name``."""

    def make(folder: Path) -> list[bytes]:
        place = folder / "written"
        place.mkdir()
        write(place)
        data = (place / name).read_bytes()
        shutil.rmtree(place)
        return [data]

    return make


def _write_commands(folder: Path) -> None:
    commands: tuple[Command | Steering, ...] = ("pause", Steering((("optimizer.lr", 0.2),)), "stop")
    for command in commands:
        send(folder, command, TOKEN)


def _watch_request() -> WatchRequest:
    pins = (Pin("0", 1), Pin("1", 0), Pin("gone", 3))
    return as_watch_request(TOKEN, CopyRequest(3, REQUEST.watch, frozenset({"0", "1"}), pins))


def _frames(folder: Path) -> list[bytes]:
    pinned = PinnedWeights(1.0, {Pin("0", 1): _moment().mask.reshape(-1)[:4].astype("f4")})
    samples = tuple(copy_sample(layer, 1.0) for layer in _search().layers.values())
    made = []
    for frame in (Frame(3, (_moment(True),)), Frame(moments=samples), Frame(weights=pinned)):
        write_frame(folder / "frame", frame)
        made.append((folder / "frame").read_bytes())
    return made


def _server_messages(folder: Path) -> list[bytes]:
    encoder = PictureEncoder()
    picture = draw_live(_moment(), REQUEST, SHOWN)
    masks = draw_live(_moment(), MaskRequest("0", block=1), SHOWN)
    thumbnails = [draw_thumbnail(copy_sample(at, 1.0), Look()) for at in _search().layers.values()]
    sent: list[FromServer] = [
        Part("steps.records", 0, data=b"x" * 300), Part("steps.records", 300, data=b"y"),
        Whole("run.json", True, data=b"{}"), Whole("library.json", False),
        Status(True, 3, True), encoder.encode(1, picture), encoder.encode(1, picture, again=True),
        PictureEncoder().encode(1, masks), encode_thumbnails(thumbnails),
        Weights(1.0, ((Pin("0", 1), (0.5, 1.0, 0.0, 0.0)),)), Over("It was deleted.", True),
    ]  # fmt: skip
    return [b"".join(map(encode, sent))]


def _viewer_messages(folder: Path) -> list[bytes]:
    with (folder / "run/steps.records").open("rb") as file:
        sums = BlockSums.of(file)
    sent: list[FromViewer] = [
        Begin({"steps.records": Held(sums.size, tuple(sums.sums))}),
        Show(_watch_request(), View(1, SHOWN, scores=REQUEST)),
        Show(_watch_request(), View(2, SHOWN, masks=MaskRequest("0", show="sizes"))),
        Order('{"to": "x"}'), Received(300),
    ]  # fmt: skip
    return [b"".join(map(encode, sent))]


def _answers(folder: Path) -> list[bytes]:
    result = {
        "index": 0, "name": "a", "m": 64, "n": 64, "k": 64, "status": "ok",
        "times": [{"way": "dense", "mode": "eager", "dense": True, "median_us": 9.0, "p10_us": 8.0,
                   "p90_us": 10.0, "samples": 9, "error": 0.0, "right": True}],
    }  # fmt: skip
    hello = {
        "schema": 1, "backend": "cpu", "dtype": "fp32",
        "device": {"name": "CPU", "kind": "cpu", "torch": "2.13", "threads": 1},
    }  # fmt: skip
    lines = [
        {"kind": "hello", **hello}, {"kind": "start", "index": 0}, {"kind": "result", **result},
        {"kind": "timeout", "what": "job", "index": 1}, {"kind": "done"},
        {"kind": "failed", "class": "error", "message": "no", "way": "x"},
    ]  # fmt: skip
    return [b"Welcome\n" + b"".join(f"{PREFIX}{json.dumps(at)}\n".encode() for at in lines)]


# -- readers ------------------------------------------------------------------------------------


def _read_trainer(file: Path) -> None:
    _held(file.parent, "steps.records")
    trainer = trainer_of(file.parent)
    assert trainer is not None and trainer.label.isprintable()


def _read_commands(file: Path) -> None:
    CommandReader(file.parent, TOKEN).read()


def _fail(error: Exception) -> None:
    raise RuntimeError("A copy that was asked for could not be made.") from error


def _read_watch(file: Path) -> None:
    """What a trainer does with the request of a viewer."""
    data = file.read_bytes()
    viewers = Viewers(file.parent, TOKEN, Control(paused=True), _fail)  # deletes old ones
    file.write_bytes(data)
    viewers.refresh()
    viewers.copy(_search(), 1.0)
    viewers.close()


def _read_frame(file: Path) -> None:
    """What a viewer does with a copy."""
    for moment in read_frame(file).moments:
        for request in (
            ViewRequest(moment.name, Look(), block=1), MaskRequest(moment.name, block=1),
            MaskRequest(moment.name, show="weights"), MaskRequest(moment.name, show="sizes"),
        ):  # fmt: skip
            draw_live(moment, request, SHOWN)
        draw_thumbnail(moment, Look())


def _read_mirror(file: Path) -> None:
    read_mirror(file.parent)


def _read_server(file: Path) -> None:
    """What a viewer does with the messages of a server."""
    stream, screen, folder = io.BytesIO(file.read_bytes()), Screen(), file.with_name("copy")
    screen.show(_watch_request(), REQUEST, SHOWN)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    files, shown = MirrorFiles(folder), draw(_moment(), REQUEST)
    with suppress(EOFError):
        while True:
            match read_from_server(_exactly(stream)):
                case Part() as part:
                    files.write_part(part)
                case Whole() as whole:
                    files.write_whole(whole)
                case Picture() | Thumbnails() | Weights() as picture:
                    screen.accept(picture)
                case Status() as status:
                    write_mirror(folder, replace(MirrorState(), missing=status.missing))
                case _:
                    pass
    files.held()
    for arrived in screen.take():
        if isinstance(arrived, tuple) and isinstance(arrived[1], LivePicture):
            arrived[1].over(shown)


def _read_viewer(file: Path) -> None:
    """What a server does with the messages of a viewer."""
    stream, run = io.BytesIO(file.read_bytes()), file.with_name("run")
    with suppress(EOFError):
        while True:
            match read_from_viewer(_exactly(stream)):
                case Begin(held=held):
                    for name, known in held.items():
                        GrowingFile(run, name, known).next_part()
                case Show(view=View(request=ViewRequest() as request, part=part)):
                    if request.layer == "0":
                        PictureEncoder().encode(1, draw_live(_moment(True), request, part))
                case Show(watch=WatchRequest() as watch):
                    assert watch.copies
                case Order(line=line):
                    append_line(file.parent, line)
                    (file.parent / "commands.jsonl").unlink()
                case _:
                    pass


def _exactly(stream: io.BytesIO) -> Callable[[int], bytes]:
    def read(size: int) -> bytes:
        data = stream.read(size)
        if len(data) < size:
            raise EOFError
        return data

    return read


def _read_greeting(file: Path) -> None:
    stream = io.BytesIO(file.read_bytes())
    read_greeting(lambda: stream.read(1 << 10))


def _read_answers(file: Path) -> None:
    hello = None
    for line in file.read_bytes().decode(errors="replace").split("\n"):
        with suppress(MeasurementError):
            answer = read_answer(line, hello)
            hello = answer if isinstance(answer, Hello) else hello


def _read_smi(file: Path) -> None:
    parse_fields(("driver_version", "power.limit"), file.read_bytes().decode(errors="replace"))


def _read_lock(file: Path) -> None:
    """Stop the process that an entry's lock names, if its number is higher than any there is."""
    _held(file.parent, file.name)
    queue, entry = QueueFile(file.parents[1]), Entry(1, "a", "a", 1)
    if find_process(queue, entry)[0] > 1 << 22:
        stop(queue, entry)


PROCESS_READERS: dict[str, Reader] = {
    "trainer": Reader(
        "run/trainer.json",
        _written(lambda at: write_trainer(at, TrainerInfo("lbc", "a", 7, TOKEN)), "trainer.json"),
        _read_trainer, (), 0.5, JSON_WORDS, inside_json,
    ),
    "commands": Reader(
        "run/commands.jsonl", _written(_write_commands, "commands.jsonl"), _read_commands, (), 0.5,
        (TOKEN.encode(), *JSON_WORDS), inside_line,
    ),
    "watch": Reader(
        "run/watch-01234567.json", lambda at: [json.dumps(asdict(_watch_request())).encode()],
        _read_watch, (), 0.3, (TOKEN.encode(), *JSON_WORDS), inside_json,
    ),
    "frame": Reader(
        "frame", _frames, _read_frame, (ValueError,), 0.3, (*SIZES, *JSON_WORDS), inside_frame
    ),
    "mirror": Reader(
        "run/mirror.json", _written(lambda at: write_mirror(at, MirrorState("ssh://a/b", "a")),
                                    "mirror.json"),
        _read_mirror, (), 0.5, JSON_WORDS, inside_json,
    ),
    "server-messages": Reader(
        "messages", _server_messages, _read_server, (ProtocolError,), 0.3, (*SIZES, *JSON_WORDS),
        inside_messages,
    ),
    "viewer-messages": Reader(
        "messages", _viewer_messages, _read_viewer, (ProtocolError, ValueError), 0.3,
        (*SIZES, *JSON_WORDS), inside_messages,
    ),
    "greeting": Reader(
        "greeting",
        lambda at: [b"Welcome\n" + GREETING + b'{"protocol": 1, "version": "1.0"}\nrest'],
        _read_greeting, (ProtocolError, EOFError), 0.5, (GREETING, *JSON_WORDS), inside_line,
    ),
    "latency-stream": Reader(
        "answers", _answers, _read_answers, (), 0.3, JSON_WORDS, inside_line
    ),
    "nvidia-smi": Reader("smi", lambda at: [b"550.54.14, 700.00\n"], _read_smi, (), 0.3),
    "queue-lock": Reader(
        "runs/.queue/1.lock", lambda at: [b"99999999 " + platform.node().encode()],
        _read_lock, (), 0.3,
        (b"9" * 19, b"9" * 30, b"9" * 5000, b"-9999999", b" "),
    ),
}  # fmt: skip
