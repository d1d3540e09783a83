"""Curves of run folders: every row once, as the files grow, and a sentence for what is wrong."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from lbc.library.run_curves import METRICS, Axis, CurveKey, RunCurves
from lbc.pictures.curve import Columns
from lbc.pictures.curve_means import fold, smooth
from lbc.runs.metrics import EPOCH_COLUMNS, STEP_COLUMNS
from lbc.runs.records import RecordWriter


def write(path: Path, rows: Sequence[Sequence[float]], keep: int | None = None) -> None:
    """Append rows to the records of a run, after the first ``keep`` rows that are there."""
    path.parent.mkdir(exist_ok=True)
    columns = STEP_COLUMNS if path.name.startswith("steps") else EPOCH_COLUMNS
    writer = RecordWriter(path, columns)
    if keep is not None:
        writer.truncate(keep)
    for row in rows:
        writer.append(row)
    writer.close()


def steps(first: int, last: int, loss: float = 0.0) -> list[list[float]]:
    """Four steps an epoch, of half a second each."""
    return [[step, step / 4, loss + step, 0.1, step / 2] for step in range(first, last + 1)]


@pytest.fixture
def run(tmp_path: Path) -> Path:
    write(tmp_path / "run/steps.records", steps(1, 8))
    write(
        tmp_path / "run/epochs.records",
        [[1, 2.0, 3.0, 0.5, 6, 1.0, 2.5], [2, 1.0, 2.0, 0.75, 3, 0.75, 5]],
    )
    return tmp_path / "run"


@pytest.mark.parametrize(
    ("metric", "axis", "x", "y"),
    [
        ("loss", "step", range(1, 9), range(1, 9)),
        ("loss", "epoch", np.arange(1, 9) / 4, range(1, 9)),
        ("lr", "time", np.arange(1, 9) / 2, [0.1] * 8),
        ("accuracy", "epoch", [1, 2], [50, 75]),
        ("accuracy", "step", [4, 8], [50, 75]),
        ("test_loss", "time", [2.5, 5], [3, 2]),
        ("live", "epoch", [1, 2, 2], [6, 6, 3]),
        ("density", "step", [4, 8, 8], [100, 100, 75]),
    ],
)
def test_every_metric_over_every_axis(
    run: Path, metric: str, axis: Axis, x: Sequence[float], y: Sequence[float]
) -> None:
    curve = RunCurves().read(CurveKey(run, METRICS[metric], axis))
    assert curve.x.tolist() == list(x)
    assert curve.y == pytest.approx(list(y))


def test_a_run_is_read_as_it_grows_and_anew_once_it_goes_back(run: Path) -> None:
    curves, file = RunCurves(), run / "steps.records"
    key = CurveKey(run, METRICS["loss"], "step")
    assert curves.changed(key)
    first = curves.read(key)
    assert not curves.changed(key)
    assert curves.read(key) is first
    write(file, steps(9, 10))
    with file.open("ab") as cut_off:
        cut_off.write(b"half a row")
    assert curves.changed(key)
    assert curves.read(key).y.tolist() == list(range(1, 11))
    write(file, steps(7, 12, loss=100), keep=6)  # resumed from a checkpoint, to more rows
    assert curves.read(key).y.tolist() == [1, 2, 3, 4, 5, 6, *range(107, 113)]
    write(file, [], keep=0)
    assert len(curves.read(key)) == 0
    write(file, steps(1, 1))
    assert curves.read(key).y.tolist() == [1]


def test_runs_of_the_same_steps_share_them(run: Path) -> None:
    write(run.parent / "other/steps.records", steps(1, 8, loss=5))
    curves = RunCurves()
    one, other = (
        curves.read(CurveKey(folder, METRICS["loss"], "step"))
        for folder in (run, run.parent / "other")
    )
    assert one.x is other.x
    assert one.y[0] != other.y[0]


def test_only_so_much_is_kept_of_what_is_not_on_screen(run: Path) -> None:
    curves = RunCurves(kept_bytes=2 * 8 * 12)  # two curves of eight points
    keys = [CurveKey(run, METRICS["loss"], axis) for axis in ("step", "epoch", "time")]
    keys.append(CurveKey(run, METRICS["lr"], "step"))
    for key in keys:
        curves.read(key)
    curves.forget(keys)
    assert not any(map(curves.changed, keys))
    curves.read(keys[0])
    curves.forget(keys[3:])
    assert [curves.changed(key) for key in keys] == [False, True, False, False]


def test_what_is_wrong_with_a_file_is_said_until_it_is_mended(run: Path) -> None:
    curves, file = RunCurves(), run / "steps.records"
    key = CurveKey(run, METRICS["loss"], "step")
    good = file.read_bytes()
    table = np.array([*steps(1, 2), *steps(1, 2)])
    head = json.dumps({"columns": STEP_COLUMNS}).encode() + b"\n"
    for content, problem in (
        (b"", "it has no column 'step'"),
        (b"step,loss\n1,2\n", "its first line names no columns"),
        (b'{"columns": ["step", "epoch"]}\n', "it has no column 'loss'"),
        (head + table.astype("<f8").tobytes(), "its rows are in disorder"),
        (head + np.full(10, np.nan).tobytes(), "its rows are in disorder"),
    ):
        file.write_bytes(content)
        assert curves.changed(key)
        for _ in range(2):
            with pytest.raises(ValueError, match=problem):
                curves.read(key)
            assert not curves.changed(key)
    file.unlink()
    assert curves.changed(key)
    with pytest.raises(FileNotFoundError):
        curves.read(key)
    file.mkdir()
    with pytest.raises(OSError, match="directory"):
        curves.read(key)
    file.rmdir()
    file.write_bytes(good)
    assert len(curves.read(key)) == 8


@given(
    st.binary(max_size=60)
    | st.builds(
        lambda columns, rows, cut: (
            json.dumps({"columns": columns}).encode()
            + b"\n"
            + rows.tobytes()[: len(rows) * 8 - cut]
        ),
        st.sampled_from([STEP_COLUMNS, EPOCH_COLUMNS, ["loss"], [], "step", None, 7]),
        hnp.arrays(np.float64, st.integers(0, 30), elements=st.floats()),
        st.integers(0, 9),
    )
)
def test_whatever_a_file_holds_is_a_curve_or_a_sentence(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    run = tmp_path_factory.getbasetemp() / "whatever"
    run.mkdir(exist_ok=True)
    for name in ("steps", "epochs"):
        (run / f"{name}.records").write_bytes(content)
    curves = RunCurves()
    for metric in METRICS.values():
        for axis in get_args(Axis):
            try:
                curve = curves.read(CurveKey(run, metric, axis))
            except ValueError as error:
                assert str(error).startswith(str(run))
                assert str(error).endswith(".")
                continue
            columns = Columns(0, 5, 3)
            for shown in (curve, curve.positive(), smooth(curve, 3), fold([curve], "range").high):
                assert len(shown.trace(columns)[0]) <= len(shown) + 2
                assert shown.spans(columns)[0].shape == (3,)
