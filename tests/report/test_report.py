"""A run becomes one HTML file that needs nothing else and tells the truth, however it ended."""

from __future__ import annotations

import base64
import itertools
import json
import re
import shutil
import threading
from collections.abc import Callable
from html.parser import HTMLParser
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from safetensors.torch import load_file
from torch import nn

from lbc.cli.main import main
from lbc.config import Experiment, parse_experiment
from lbc.files.lock import lock
from lbc.report import charts, layer_section, pixels
from lbc.report.contents import ReportCancelled, read_run
from lbc.report.html_file import write_report
from lbc.runs.events import Event, StepDone
from lbc.runs.history_reader import Replay
from lbc.sparsity.combinations import members_mask
from lbc.sparsity.pattern import Pattern
from lbc.training.control import Control
from lbc.training.trainer import Trainer

MakeExperiment = Callable[..., Experiment]

NASTY = "<script>alert('&\"1')</script>"


class Page(HTMLParser):
    """Tags, attributes and visible text of a document."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.html = path.read_text("utf-8")
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.words = ""
        self.images: dict[str, str] = {}
        self.feed(self.html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]
        found = dict(attrs)
        if tag == "img" and found.get("alt"):
            self.images.setdefault(str(found["alt"]), str(found["src"]))

    def handle_data(self, data: str) -> None:
        self.words += data

    def picture(self, alt: str) -> Image.Image:
        head, _, data = self.images[alt].partition(",")
        assert head == "data:image/png;base64"
        return Image.open(BytesIO(base64.b64decode(data, validate=True)))


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of two layers, 2:4 and 1:4."""
    folder = tmp_path_factory.mktemp("runs") / "finished"
    experiment = parse_experiment({
        "name": "quick",
        "model": {"name": "mlp", "width": 32, "depth": 2},
        "layers": {"head": "1:4"},
        "schedule": {"end": 2},
        "training": {"epochs": 3, "batch_size": 500},
    })  # fmt: skip
    Trainer(experiment, folder).train()
    return folder


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> Path:
    """A copy of it to damage."""
    return Path(shutil.copytree(trained, tmp_path / "run"))


def change_state(run: Path, **changes: object) -> None:
    state = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps(state | changes))


def badly_named_network(classes: int = 10) -> nn.Module:
    """A perceptron with one layer called ``NASTY``, for ``model: {import: …}``."""
    network = nn.Sequential(nn.Flatten())
    network.add_module(NASTY, nn.Linear(784, 16))
    network.add_module("head", nn.Linear(16, classes))
    return network


def report_of(run: Path, out: Path) -> Page:
    write_report(run, out)
    return Page(out)


def test_the_file_needs_nothing_else(trained: Path, tmp_path: Path) -> None:
    page = report_of(trained, tmp_path / "report.html")
    assert not {"script", "link", "iframe", "object", "base"} & set(page.tags)
    sources = [value for name, value in page.attributes if name in ("src", "srcset", "data")]
    assert len(sources) >= 4
    assert all(source.startswith("data:image/png;base64,") for source in sources)
    targets = [value for name, value in page.attributes if name in ("href", "xlink:href")]
    identities = {value for name, value in page.attributes if name == "id"}
    assert targets
    assert {target.removeprefix("#") for target in targets} <= identities
    assert not re.search(r"https?:|url\(|@import", page.html)
    assert "prefers-color-scheme: dark" in page.html
    assert not re.search(r"\bnan\b|\binf\b", page.html, re.IGNORECASE)


def test_it_tells_what_the_run_says(trained: Path, tmp_path: Path) -> None:
    page = report_of(trained, tmp_path / "report.html")
    state = json.loads((trained / "run.json").read_text())
    assert "Finished after 3 of 3 epochs." in page.words
    assert f"{state['accuracy']:.2%}" in page.words
    assert f"{state['density']:.1%}" in page.words
    assert f"torch {state['versions']['torch']}" in page.words
    assert (trained / "experiment.yaml").read_text() in page.words
    for word in ("hidden.0", "head", "32×784", "10×32", "1:4", "cross-entropy loss"):
        assert word in page.words


def test_the_pictured_mask_is_that_of_the_finished_weights(trained: Path, tmp_path: Path) -> None:
    picture = report_of(trained, tmp_path / "report.html").picture("Mask")
    weight = load_file(trained / "model.safetensors")["hidden.0.weight"]
    kept = np.asarray(picture.convert("RGBA"))[..., 3] > 0
    # A finished weight may happen to be zero where the mask keeps it, never the other way round.
    assert kept.shape == tuple(weight.shape)
    assert kept[(weight != 0).numpy()].all()
    assert kept.mean() == 0.5


def test_a_wide_layer_shows_its_corner_cell_by_cell(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert list(report_of(trained, tmp_path / "report.html").images) == ["Scores", "Mask"]
    monkeypatch.setattr(layer_section, "COLUMN", 784 // 2 - 1)
    page = report_of(trained, tmp_path / "report.html")
    mask = read_run(trained).layers[0].mask
    corner = np.asarray(page.picture("Mask of the first blocks").convert("RGBA"))[..., 3] > 0
    assert mask is not None
    assert (corner == mask[:32, :176]).all()
    assert page.picture("Scores of the first blocks").size == (44 * 3, 32 * 2)


def test_the_bars_count_every_block_once(trained: Path, tmp_path: Path) -> None:
    page = report_of(trained, tmp_path / "report.html")
    last = Replay(trained).layer("hidden.0", -1).winners
    told = re.findall(r"<title>([■□]{4}): ([\d,]+) \(expected ([\d,.]+)\)</title>", page.html)
    first = {name: int(count.replace(",", "")) for name, count, _ in told[:6]}
    assert first == dict(
        zip(
            ("■■□□", "■□■□", "■□□■", "□■■□", "□■□■", "□□■■"),
            np.bincount(last, minlength=6).tolist(),
            strict=True,
        )
    )
    assert float(told[0][2].replace(",", "")) == pytest.approx(len(last) / 6, abs=0.06)


def test_the_story_of_a_layer_follows_its_history(trained: Path) -> None:
    story = read_run(trained).layers[0]
    replay = Replay(trained)
    winners = [replay.layer("hidden.0", k).winners for k in range(len(replay.moments))]
    assert story.epochs.tolist() == [moment.epoch for moment in replay.moments]
    expected = [0.0, *(float((a != b).mean()) for a, b in itertools.pairwise(winners))]
    assert story.changed.tolist() == expected
    # Masks only lose weights under LBC: what has flipped in all is what is gone at the end.
    assert story.mask is not None and story.live == 1
    assert story.flipped.sum() == pytest.approx(1 - float(story.mask.mean()))
    last = story.pattern.from_blocks(members_mask(winners[-1], story.pattern), story.shape)
    assert np.array_equal(story.mask, last)
    assert story.scores is not None and story.scores.live > 1


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"status": "stopped", "epoch": 1}, "Stopped by the user after 1 of 3 epochs"),
        ({"status": "failed", "message": "The loss is NaN."}, "3 epochs: The loss is NaN."),
        ({"status": "running", "epoch": 2}, "Cut off after 2 of 3 epochs"),
        ({"accuracy": None}, "not yet"),
    ],
)
def test_however_a_run_ended_it_has_a_report(
    run: Path, tmp_path: Path, changes: dict[str, object], sentence: str
) -> None:
    change_state(run, **changes)
    for name in ("model.safetensors", "checkpoint.pt"):
        (run / name).unlink()
    page = report_of(run, tmp_path / "report.html")
    assert sentence in page.words
    assert "Mask" in page.images


def test_a_run_that_is_being_written_is_reported_as_it_stands(run: Path, tmp_path: Path) -> None:
    change_state(run, status="running", epoch=1)
    with (run / "steps.records").open("rb+") as file:
        assert lock(file)
        for name in ("scores.history", "epochs.records"):  # in the middle of an append
            (run / name).write_bytes((run / name).read_bytes()[:-3])
        assert "Still running" in report_of(run, tmp_path / "report.html").words


def test_a_run_stopped_at_its_first_step_has_a_report(
    quick: MakeExperiment, tmp_path: Path
) -> None:
    control = Control()

    def see(event: Event) -> None:
        if isinstance(event, StepDone):
            control.stop()

    Trainer(quick(), tmp_path / "run", control, see).train()
    page = report_of(tmp_path / "run", tmp_path / "report.html")
    assert "Stopped by the user after 0 of 2 epochs" in page.words
    assert "No epoch had ended." in page.words
    for name in ("steps.records", "epochs.records", "scores.history"):
        (tmp_path / "run" / name).unlink()
    page = report_of(tmp_path / "run", tmp_path / "report.html")
    assert "No step had been taken." in page.words


def test_a_pattern_whose_scores_are_not_kept_shows_its_mask_and_positions(
    quick: MakeExperiment, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    Trainer(quick(pattern="4:16", skip=["hidden.0"]), run).train()
    page = report_of(run, tmp_path / "report.html")
    assert list(page.images) == ["Mask"]
    assert "Positions that the winners hold." in page.words
    assert "The mask after epoch 2" in page.words


def test_a_run_without_sparse_layers_has_curves_only(quick: MakeExperiment, tmp_path: Path) -> None:
    run = tmp_path / "run"
    Trainer(quick(method="dense"), run).train()
    assert "100.0%" in report_of(run, tmp_path / "report.html").words
    (run / "scores.history").unlink()
    page = report_of(run, tmp_path / "report.html")
    assert "No layer is sparse" in page.words
    assert page.tags.count("svg") == 2


def test_names_are_shown_and_never_obeyed(quick: MakeExperiment, tmp_path: Path) -> None:
    run = tmp_path / "run"
    model = {"import": "tests.report.test_report:badly_named_network"}
    Trainer(quick(model=model), run).train()
    with (run / "experiment.yaml").open("a") as file:
        file.write(f"# {NASTY}\n")
    nasty = {"name": NASTY, "message": NASTY, "device": NASTY, "versions": {NASTY: ""}}
    change_state(run, status="failed", **nasty)
    page = report_of(run, tmp_path / "report.html")
    assert "script" not in page.tags
    # The title twice, the message, the device, the layer twice, a version, the experiment.
    assert page.words.count(NASTY) == 8
    assert "default-src 'none'" in page.html


def test_a_diverged_run_has_gaps_in_its_curves(run: Path, tmp_path: Path) -> None:
    data = (run / "steps.records").read_bytes()
    start = data.index(b"\n") + 1
    rows = np.frombuffer(data[start:], dtype="<f8").reshape(-1, 5).copy()
    rows[5:, 2] = np.nan
    (run / "steps.records").write_bytes(data[:start] + rows.tobytes())
    page = report_of(run, tmp_path / "report.html")
    assert not re.search(r"\bnan\b", page.html, re.IGNORECASE)
    rows[:, 2] = np.nan
    (run / "steps.records").write_bytes(data[:start] + rows.tobytes())
    assert "cross-entropy loss" in report_of(run, tmp_path / "report.html").words


def test_the_command_writes_into_the_run_and_again_over_it(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for _ in range(2):
        assert main(["report", str(run)]) == 0
        assert capsys.readouterr().out == f"Report: {run / 'report.html'}\n"
    assert "Finished after 3 of 3 epochs." in Page(run / "report.html").words


def damage(run: Path, name: str, data: bytes | None) -> None:
    if data is None:
        (run / name).unlink()
    else:
        (run / name).write_bytes(data)


@pytest.mark.parametrize(
    ("name", "data", "sentence"),
    [
        ("run.json", None, "holds no run: it needs the run.json and experiment.yaml of one."),
        ("experiment.yaml", None, "holds no run"),
        ("run.json", b"[1]", "holds no run"),
        ("run.json", b'{"status": "asleep"}', "its entry 'status' cannot be used"),
        ("run.json", b'{"status": "finished", "seconds": []}', "its entry 'seconds'"),
        ("steps.records", b"\x00\x01\n", "names no columns"),
        ("epochs.records", b'{"columns": ["epoch"]}\n', "has no column 'train_loss'"),
        ("scores.history", b"junk\n", "is not a score history"),
    ],
)
def test_damaged_folders_are_told_in_a_sentence(
    run: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    name: str,
    data: bytes | None,
    sentence: str,
) -> None:
    damage(run, name, data)
    assert main(["report", str(run), "--out", str(tmp_path / "report.html")]) == 2
    said = capsys.readouterr().err
    assert sentence in said and str(run) in said and "Traceback" not in said
    assert not (tmp_path / "report.html").exists()


def test_wrong_paths_are_told_and_nothing_is_overwritten(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine.html").write_text("mine")
    assert main(["report", str(tmp_path / "nowhere")]) == 2
    assert main(["report", str(run), "--out", str(tmp_path / "mine.html")]) == 2
    assert main(["report", str(run), "--out", str(tmp_path / "no" / "r.html")]) == 2
    first, second, third = capsys.readouterr().err.splitlines()
    assert "is not a folder" in first
    assert "already exists" in second
    assert "does not exist: create it first" in third
    assert (tmp_path / "mine.html").read_text() == "mine"


def test_an_experiment_of_another_version_is_shown_as_it_is(run: Path, tmp_path: Path) -> None:
    (run / "experiment.yaml").write_bytes(b"version: 99\nwhat: \xff\n")
    page = report_of(run, tmp_path / "report.html")
    assert "Finished after 3 epochs." in page.words
    assert "version: 99" in page.words


def test_a_cancelled_report_writes_nothing(trained: Path, tmp_path: Path) -> None:
    cancel = threading.Event()
    cancel.set()
    with pytest.raises(ReportCancelled):
        write_report(trained, tmp_path / "report.html", cancel)
    assert not list(tmp_path.iterdir())


@settings(max_examples=30)
@given(st.integers(1, 9), st.integers(1, 5), st.integers(0, 1 << 20))
def test_a_reduced_mask_shows_the_mean_of_its_cells(rows: int, groups: int, seed: int) -> None:
    pattern = Pattern(2, 4)
    mask = np.random.default_rng(seed).random((rows, 4 * groups)) < 0.5
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pixels, "TALLEST", 4)
        patch.setattr(pixels, "WIDEST", 6)
        picture = pixels.mask_picture(pixels.mask_cells(mask, pattern))
    data = base64.b64decode(picture.uri.partition(",")[2])
    alpha = np.asarray(Image.open(BytesIO(data)).convert("RGBA"))[..., 3]
    down, across = picture.cells
    assert alpha.shape == (-(-rows // down), -(-4 * groups // across))
    for (y, x), shown in np.ndenumerate(alpha):
        part = mask[y * down : (y + 1) * down, x * across : (x + 1) * across]
        assert shown == int(part.sum()) * 255 // part.size


def test_a_score_picture_has_the_colours_of_the_window() -> None:
    scores = np.array([[0.3, 0.1, -np.inf, -np.inf, -np.inf, 0.2]] * 2, dtype=np.float16)
    level = pixels.score_level(scores)
    picture = pixels.score_picture(scores, 1, level)
    assert (picture.width, picture.height) == (6, 2)
    assert level == pytest.approx(0.1, rel=0.01)
    data = base64.b64decode(picture.uri.partition(",")[2])
    colours = np.asarray(Image.open(BytesIO(data)).convert("RGB"))
    assert colours[0, 2].tolist() == [58, 61, 67]  # removed
    assert colours[0, 0, 0] > colours[0, 0, 2] and colours[0, 1, 2] > colours[0, 1, 0]
    assert (colours[:, :3] == colours[:, 3:]).all()


@given(st.integers(1, 5000), st.integers(0, 1 << 20))
@settings(max_examples=20)
def test_a_thinned_line_keeps_its_extremes(points: int, seed: int) -> None:
    y = np.random.default_rng(seed).normal(size=points)
    line = charts.Line("loss", np.arange(points, dtype=np.float64), y, "blue")
    thin = charts._thinned(line)
    assert len(thin.y) <= charts.MOST_POINTS
    assert thin.y.min() == y.min() and thin.y.max() == y.max()
    assert (np.diff(thin.x) >= 0).all()


@given(st.floats(-1e6, 1e6), st.floats(1e-6, 1e6), st.booleans())
def test_axes_have_a_few_round_ticks_within_them(low: float, span: float, log: bool) -> None:
    if log:
        low = abs(low) + 1e-6
    scale = charts._Scale(low, low + span, 0, 100, log)
    ticks = scale.ticks()
    assert len(ticks) <= 13
    assert all(-0.1 <= scale(tick) <= 100.1 for tick in ticks)
    if not log:
        assert len(ticks) >= 2
