"""Pictures over ssh: what is on screen is as if drawn here, but for eight levels of 254 at most."""

from __future__ import annotations

import io
import secrets
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import numpy as np
import pytest
import torch

from lbc.config import parse_experiment
from lbc.following.commands import send
from lbc.following.frame import Frame, write_frame
from lbc.following.live_pictures import LivePictures
from lbc.following.messages import (
    Notice,
    Picture,
    ProtocolError,
    Show,
    View,
    encode,
    read_from_server,
)
from lbc.following.picture_codec import (
    STEPS,
    PictureDecoder,
    PictureEncoder,
    encode_thumbnails,
)
from lbc.following.trainer_file import this_process, trainer_of, write_trainer
from lbc.following.watch import WatchedRun, WatchRequest, as_watch_request
from lbc.pictures.colour_keys import Scale
from lbc.pictures.layer_copy import copy_moment
from lbc.pictures.layer_moment import Watch, sample
from lbc.pictures.live_picture import LivePicture, Part, draw_live
from lbc.pictures.mask_snapshot import MaskRequest, MaskSnapshot, draw_mask
from lbc.pictures.moment_copier import CopyRequest, Pin, PinnedWeights
from lbc.pictures.score_codes import LOWEST
from lbc.pictures.score_snapshot import Look, Snapshot, ViewRequest, draw, draw_thumbnail
from lbc.runs.layer_moment import LayerMoment
from lbc.runs.metrics import STEP_COLUMNS, read_steps
from lbc.runs.records import RecordWriter
from tests.following.processes import Trained
from tests.following.sources import Servers, begin_run, mirror_of, wait_for
from tests.runs.searches import disturb, searched

T = TypeVar("T")

WHOLE, ZOOMED = Part(width=30, height=20), Part(2.5, 3.2, 9.1, 6.0, 400, 300)

REQUESTS = (
    ViewRequest("0", Look("margin", "best")),
    ViewRequest("0", Look("difference", "worst"), block=5),
    ViewRequest("0", Look("score", "mean", log=True)),
    ViewRequest("0", Look("rank", "margin"), block=2),
    ViewRequest("0", Look("margin", held=(-0.1, 0.1))),
    MaskRequest("0", show="weights", block=3),
    MaskRequest("0", show="sizes"),
    MaskRequest("0", show="beta"),
    MaskRequest("0", show="mask"),
    MaskRequest("0", show="best"),
    MaskRequest("0", show="magnitude"),
)


def moments(request: ViewRequest, stages: tuple[int, ...]) -> list[LayerMoment]:
    """The layer as training changes it, with so many live combinations in the end of each stage."""
    torch.manual_seed(0)
    sparsifier, _ = searched("2:4")
    found = []
    for at, live in enumerate(stages):
        disturb(sparsifier)
        sparsifier.remove(live)
        moment = copy_moment(sparsifier, request.watch, float(at))
        assert moment is not None
        found.append(moment)
    return found


def drawn(moment: LayerMoment, request: ViewRequest) -> Snapshot | MaskSnapshot:
    if isinstance(request, MaskRequest):
        return draw_mask(moment, request)
    return draw(moment, request)


def collect(take: Callable[[], list[T]]) -> list[T]:
    """What arrives of the three kinds of copies of a run that is paused."""
    taken: list[T] = []

    def complete() -> bool:
        taken.extend(take())
        return len(taken) >= 3

    wait_for(complete)
    return taken


def check(
    shown: Snapshot | MaskSnapshot, there: Snapshot | MaskSnapshot, part: Part, most: int = 0
) -> None:
    """What is visible is as if drawn on the server, but for ``most`` levels."""
    ours, theirs = (at.sheet if isinstance(at, MaskSnapshot) else at for at in (shown, there))
    (level, seen), (expected_level, expected) = part.of(ours), part.of(theirs)
    assert level == expected_level
    key = getattr(theirs, level).scale
    assert getattr(ours, level).scale == key
    assert ours.reduction == theirs.reduction
    assert replace(seen, codes=expected.codes) == expected
    if isinstance(key, Scale):
        levels = (expected.codes >= LOWEST) & (expected.codes <= key.highest)
        off = np.abs(seen.codes.astype(int) - expected.codes)
        assert off[levels].max(initial=0) <= most
        assert not off[~levels].any()
    else:
        assert np.array_equal(seen.codes, expected.codes)


@pytest.mark.parametrize("line", [1, 1 << 20])
@pytest.mark.parametrize("part", [WHOLE, ZOOMED])
@pytest.mark.parametrize("request_", REQUESTS)
def test_a_picture_over_a_recorded_moment_is_what_the_server_draws(
    request_: ViewRequest, part: Part, line: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lbc.following.picture_codec.BYTES_PER_SECOND", line)
    recorded, *later = moments(request_, (6, 6, 6, 4, 3, 2, 1, 1))
    recorded = replace(recorded, weights=None, block_weights=None)
    encoder, decoder = PictureEncoder(), PictureDecoder()
    for moment in later:
        sent = encode(encoder.encode(1, draw_live(moment, request_, part)))
        encoder.count(len(sent))
        message = read_from_server(io.BytesIO(sent).read)
        assert isinstance(message, Picture)
        picture = decoder.decode(message, request_)
        there, shown = drawn(moment, request_), picture.over(drawn(recorded, request_))
        check(shown, there, part, most=8 if line == 1 else 0)
        assert shown.epoch == moment.epoch
        if request_.block is not None:
            assert shown.block is not None
            assert there.block is not None
            assert np.array_equal(shown.block.scores, there.block.scores)
        if isinstance(shown, Snapshot) and isinstance(there, Snapshot):
            assert shown.decided == there.decided
            blocks = [*range(4, 12)] if part is ZOOMED else []
            assert np.array_equal(shown.scores[blocks], there.scores[blocks])


def test_a_picture_of_a_paused_training_becomes_exact(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("lbc.following.picture_codec.BYTES_PER_SECOND", 1)
    request = REQUESTS[0]
    before, now = moments(request, (6, 6))
    encoder, decoder = PictureEncoder(), PictureDecoder()
    decoder.decode(encoder.encode(1, draw_live(before, request, WHOLE)), request)
    assert not encoder.exact
    for _ in STEPS[1:]:
        message = encoder.encode(1, draw_live(now, request, WHOLE), again=True)
        picture = decoder.decode(message, request)
    assert encoder.exact
    check(picture.over(draw(before, request)), draw(now, request), WHOLE)


def test_a_picture_of_something_else_changes_nothing() -> None:
    before, now = moments(REQUESTS[0], (6, 4))
    picture = draw_live(now, REQUESTS[0], WHOLE)
    other = draw(before, REQUESTS[1])
    assert picture.over(other) is other


@pytest.mark.parametrize(
    "wrong",
    [
        {"fresh": False},
        {"shape": (1 << 13, 1 << 13)},
        {"shape": (0, 0)},
        {"place": (0, 0, 7, 5)},
        {"place": (1 << 40, 0, 8, 16)},
        {"data": b"short"},
        {"exact": (0, 0, 1 << 20, 1 << 20, 6)},
        {"key": Scale("margin", -1, 1, colour_map="no such map")},
    ],
)
def test_a_picture_that_contradicts_itself_is_refused(wrong: dict[str, object]) -> None:
    (moment,) = moments(REQUESTS[0], (6,))
    picture = PictureEncoder().encode(1, draw_live(moment, REQUESTS[0], WHOLE))
    PictureDecoder().decode(picture, REQUESTS[0])
    with pytest.raises(ProtocolError, match=r"^It sent .*\.$"):
        PictureDecoder().decode(replace(picture, **wrong), REQUESTS[0])  # type: ignore[arg-type]


def test_a_run_elsewhere_is_commanded_and_seen_as_it_is(tmp_path: Path) -> None:
    experiment = parse_experiment({
        "model": {"name": "mlp", "width": 32, "depth": 3}, "training": {"epochs": 1000},
        "data": {"name": "digits"},
    })  # fmt: skip
    trained = Trained(experiment, tmp_path / "run")
    servers = Servers(trained.folder, tmp_path / "socket")
    mirror = mirror_of(trained.folder, tmp_path / "copy", servers.command)
    with closing(servers), closing(mirror):
        mirror.start()
        wait_for(lambda: trainer_of(mirror.folder) == trained.info is not None)
        info = trainer_of(mirror.folder)
        assert info is not None
        send(mirror.folder, "pause", info.token)
        wait_for(lambda: trainer_of(mirror.folder) == replace(info, state="paused"))
        steps = trained.steps
        wait_for(lambda: len(read_steps(mirror.folder)) == steps)

        request, pin = ViewRequest(trained.layer, Look(), block=7), Pin(trained.layer, 7)
        copies = CopyRequest(1, Watch(trained.layer, 7), None, (pin,))
        watch = as_watch_request(info.token, copies)
        mirror.screen.show(watch, request, WHOLE)
        taken = collect(mirror.screen.take)
        ((number, picture),) = (at for at in taken if isinstance(at, tuple))
        assert number == 1
        assert isinstance(picture, LivePicture)
        (weights,) = (at for at in taken if isinstance(at, PinnedWeights))
        (thumbnails,) = (at for at in taken if isinstance(at, dict))

        here = WatchedRun(trained.folder)
        with closing(here):
            here.ask(watch)
            found = dict(collect(here.take))
        (moment,) = found["layer"].moments
        check(picture.over(draw(moment, request)), draw(moment, request), WHOLE)
        assert found["weights"].weights is not None
        expected = found["weights"].weights.weights[pin]
        assert np.array_equal(weights.weights[pin], expected)
        assert set(thumbnails) == {at.name for at in found["samples"].moments}

        send(mirror.folder, "run", info.token)
        wait_for(lambda: trained.steps > steps)
        send(mirror.folder, "stop", info.token)
        wait_for(lambda: trainer_of(mirror.folder) is None)
    trained.process.join()
    assert not list(trained.folder.glob("watch-*")), "the server cleans up"


@pytest.fixture
def watch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> WatchRequest:
    """What a viewer asks of a run that this process trains, in files whose names are known."""
    begin_run(tmp_path)
    info = this_process("lbc train")
    write_trainer(tmp_path, info)
    monkeypatch.setattr(secrets, "token_hex", lambda count: "0" * 2 * count)
    return as_watch_request(info.token, CopyRequest(1, Watch("0")))


def test_a_folder_that_cannot_be_written_is_explained(tmp_path: Path, watch: WatchRequest) -> None:
    # A folder is in the way of the request: root could write despite permissions.
    (tmp_path / "watch-00000000.json").mkdir()
    pictures = LivePictures(tmp_path)
    with closing(RecordWriter(tmp_path / "steps.records", STEP_COLUMNS)):  # as a trainer does
        pictures.show(Show(watch, View(1, WHOLE, REQUESTS[0])))
        assert pictures.next() == [
            Notice(
                f"Only recorded moments of the run can be shown. {tmp_path} cannot be used to ask "
                "for pictures (Is a directory): choose a file, not a folder."
            )
        ]
        assert pictures.next() == []


def test_thumbnails_have_another_look_while_training_is_paused(
    tmp_path: Path, watch: WatchRequest
) -> None:
    (moment,) = moments(REQUESTS[0], (4,))
    write_frame(tmp_path / "frame-00000000-samples", Frame(moments=(sample(moment),)))
    pictures = LivePictures(tmp_path)
    with closing(RecordWriter(tmp_path / "steps.records", STEP_COLUMNS)):  # as a trainer does
        sent = []
        for request in (REQUESTS[0], REQUESTS[0], REQUESTS[2]):
            pictures.show(Show(watch, View(1, WHOLE, request)))
            sent.append(pictures.next())
        pictures.close()
    first, none, other = sent
    assert none == [] and first != other
    for messages, request in ((first, REQUESTS[0]), (other, REQUESTS[2])):
        assert messages == [encode_thumbnails([draw_thumbnail(sample(moment), request.look)])]
