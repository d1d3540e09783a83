"""The pictures and charts of a report show exactly what the run recorded."""

from __future__ import annotations

import base64
import re
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from safetensors.torch import load_file

from lbc.pictures.colour_tables import DISTINCT
from lbc.report import charts, layer_section, pixels
from lbc.report.contents import read_run
from lbc.runs.epoch_flips import flipped_share, latest_epoch
from lbc.runs.history_reader import Replay
from lbc.sparsity.combinations import members_mask
from lbc.sparsity.pattern import Pattern
from tests.report.conftest import report_of


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
    page = report_of(trained, tmp_path / "report.html")
    assert list(page.images) == ["Scores", "Mask", "Winners"]
    monkeypatch.setattr(layer_section, "COLUMN", 784 // 2 - 1)
    page = report_of(trained, tmp_path / "report.html")
    mask = read_run(trained).layers[0].mask
    corner = np.asarray(page.picture("Mask of the first blocks").convert("RGBA"))[..., 3] > 0
    assert mask is not None
    assert (corner == mask[:32, :176]).all()
    assert page.picture("Scores of the first blocks").size == (44 * 3, 32 * 2)


def test_every_decided_block_has_the_colour_of_its_winner(trained: Path, tmp_path: Path) -> None:
    picture = report_of(trained, tmp_path / "report.html").picture("Winners")
    layer = read_run(trained).layers[0]
    assert layer.winners is not None
    expected = np.array(DISTINCT, np.uint8)[layer.winners].reshape(layer.shape[0], -1, 3)
    assert np.array_equal(np.asarray(picture.convert("RGBA"))[..., :3], expected)


def test_the_bars_count_every_block_once(trained: Path, tmp_path: Path) -> None:
    page = report_of(trained, tmp_path / "report.html")
    last = Replay(trained).layer("hidden.0", -1).winners
    assert last is not None
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
    moments = [replay.layer("hidden.0", k) for k in range(len(replay.moments))]
    winners = [moment.winners for moment in moments if moment.winners is not None]
    assert story.epochs.tolist() == list(range(1, int(replay.moments[-1].epoch) + 1))
    spans = [latest_epoch(replay.moments, k) for k in range(len(replay.moments))]
    found = [flipped_share(replay, "hidden.0", *span) for span in dict.fromkeys(spans) if span]
    assert story.changed.tolist() == found  # as the window counts
    # Masks only lose weights under LBC: what has flipped in all is what is gone at the end.
    assert story.mask is not None and story.live == 1
    assert story.flipped.sum() == pytest.approx(1 - float(story.mask.mean()))
    last = story.pattern.from_blocks(members_mask(winners[-1], story.pattern), story.shape)
    assert np.array_equal(story.mask, last)
    assert story.scores is not None and story.scores.live > 1


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


@pytest.mark.parametrize("values", [[65.7], [0.0], [100.0], [97.0, 97.0], [3.0, 99.9]])
def test_an_axis_of_percentages_stays_within_them(values: list[float]) -> None:
    line = charts.Line(
        "test", np.arange(1.0, len(values) + 1, dtype=np.float64), np.array(values), "a", dots=True
    )
    axis = charts.Axis("test accuracy (%)", bounds=(0, 100))
    scale = charts._scale(axis, [line.y], 200.0, 20.0)
    assert 0 <= scale.low <= min(values) and max(values) <= scale.high <= 100
    assert scale.low < scale.high < scale.low + 100.1
