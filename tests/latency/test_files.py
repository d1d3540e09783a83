"""Measurements are saved and loaded; other files give an error and never run code."""

from __future__ import annotations

import csv
import io
import json
import os
import pickle
from pathlib import Path

import pytest

from lbc.latency.answers import parse_output
from lbc.latency.files import CSV_COLUMNS, as_csv, load_measurements, save_measurements
from lbc.latency.measurement import Measurement, MeasurementError
from tests.latency.conftest import STREAMS, answer, stream


@pytest.fixture
def measured() -> tuple[Measurement, ...]:
    return parse_output(stream("h100-synthetic").splitlines(), source="gpu-07")[0]


def test_a_saved_file_gives_the_same_measurements(
    tmp_path: Path, measured: tuple[Measurement, ...]
) -> None:
    path = tmp_path / "measured.json"
    save_measurements(path, measured)
    assert load_measurements(path) == measured
    assert json.loads(path.read_text())["schema"] == 1


def test_the_output_of_a_worker_can_be_loaded(measured: tuple[Measurement, ...]) -> None:
    (loaded,) = load_measurements(STREAMS / "h100-synthetic.ndjson")
    assert loaded.results == measured[0].results


def test_a_byte_order_mark_is_ignored(tmp_path: Path, measured: tuple[Measurement, ...]) -> None:
    save_measurements(tmp_path / "plain", measured)
    (tmp_path / "marked").write_bytes(b"\xef\xbb\xbf" + (tmp_path / "plain").read_bytes())
    assert load_measurements(tmp_path / "marked") == measured


class Malicious:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return Path.touch, (Path("ran"),)  # type: ignore[return-value]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "contains no measurement"),
        (b"\x80\xff\x00", "is not a text file"),
        (pickle.dumps(Malicious()), "is not a text file"),
        (pickle.dumps(Malicious(), protocol=0), "contains no measurement"),
        (b"[]", "is not a measurement of version 1"),
        (b"null", "is not a measurement of version 1"),
        (b'{"schema": 2, "measurements": []}', "is not a measurement of version 1: schema"),
        (b'{"schema": 1}', "measurements: Field required"),
        (b'{"dependencies": {"left-pad": "1.0"}}', "is not a measurement of version 1"),
        (b"[" * 200_000, "contains no measurement"),
        (b"MZ\n\n@lbc-latency {\n", "contains no measurement"),
    ],
)
def test_other_files_give_an_error_that_names_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "file"
    path.write_bytes(content)
    with pytest.raises(MeasurementError) as error:
        load_measurements(path)
    assert message in str(error.value)
    assert str(path) in str(error.value)
    assert not (tmp_path / "ran").exists()


def test_a_truncated_file_gives_an_error(tmp_path: Path, measured: tuple[Measurement, ...]) -> None:
    path = tmp_path / "measured.json"
    save_measurements(path, measured)
    text = path.read_text()
    for end in range(0, len(text) - 3, 97):
        path.write_text(text[:end])
        with pytest.raises(MeasurementError):
            load_measurements(path)


def test_the_file_of_a_failed_worker_gives_its_reason(tmp_path: Path) -> None:
    path = tmp_path / "latency-bfloat16-cutlass.ndjson"
    reason = "torch 2.12.0 finds no NVIDIA GPU on this machine."
    path.write_text(2 * answer("failed", **{"class": "no GPU", "message": reason}))
    with pytest.raises(MeasurementError) as error:
        load_measurements(path)
    assert str(error.value) == f"{path} contains no measurement. Its worker reported: {reason}"


def test_missing_files_folders_and_pipes_give_an_error(tmp_path: Path) -> None:
    paths = [tmp_path, tmp_path / "missing"]
    if hasattr(os, "mkfifo"):
        paths.append(tmp_path / "pipe")
        os.mkfifo(paths[-1])  # a reader of which waits
    for path in paths:
        with pytest.raises(MeasurementError, match="cannot be read"):
            load_measurements(path)


HOSTILE = "a\x1b]0;title\x07 \u202egnp.exe\r\nb"
SHOWN = "a\\x1b]0;title\\x07 \\u202egnp.exe\\r\\nb"


def test_text_that_acts_on_a_terminal_is_shown_escaped(
    tmp_path: Path, measured: tuple[Measurement, ...]
) -> None:
    path = tmp_path / "hostile.json"
    save_measurements(path, measured)
    content = json.loads(path.read_text())
    one = content["measurements"][0]
    one["source"] = one["device"]["name"] = one["results"][0]["name"] = HOSTILE
    one["results"][0]["clocks"] = {HOSTILE: HOSTILE}
    path.write_text(json.dumps(content))
    (loaded,) = load_measurements(path)
    first = loaded.results[0]
    assert {loaded.source, loaded.device.name, first.name} == {SHOWN}
    assert first.clocks == {SHOWN: SHOWN}
    save_measurements(path, (loaded,))
    assert load_measurements(path) == (loaded,)


def test_lone_surrogates_and_controls_in_an_error_are_escaped(tmp_path: Path) -> None:
    path = tmp_path / "strange\x1b[31m.json"
    path.write_text('{"schema": 1, "measurements": [{"device": {"\\ud800": 1}, "\\udc00": []}]}')
    for text in (
        path.read_text(),
        answer("failed", message=HOSTILE),
        answer("failed", message="\ud800"),
    ):
        path.write_text(text)
        with pytest.raises(MeasurementError) as error:
            load_measurements(path)
        str(error.value).encode()
        assert str(error.value).isprintable()


def test_a_figure_above_the_peak_is_rejected_in_a_file_too(
    tmp_path: Path, measured: tuple[Measurement, ...]
) -> None:
    path = tmp_path / "measured.json"
    save_measurements(path, measured)
    content = json.loads(path.read_text())
    times = content["measurements"][0]["results"][0]["times"]
    times[0] |= {"median_us": 1.0, "p10_us": 1.0, "p90_us": 1.0}
    path.write_text(json.dumps(content))
    first, second, *_ = load_measurements(path)[0].results
    assert (first.status, first.kind) == ("failed", "impossible")
    assert second.status == "measured"


def test_a_table_has_a_row_per_way_and_no_formula(measured: tuple[Measurement, ...]) -> None:
    (measurement,) = measured
    result = measurement.results[0]
    ways = [time.model_copy(update={"way": f"{sign}cmd|' /C calc'!A0"})
            for sign, time in zip("=+-@\t\r\n", result.times, strict=False)]  # fmt: skip
    hostile = measurement.model_copy(
        update={
            "source": "@SUM(A1)",
            "device": measurement.device.model_copy(update={"name": "=1+1", "torch": "+1"}),
            "results": (result.model_copy(update={"name": "-2", "times": tuple(ways)}),),
        }
    )
    rows = list(csv.reader(io.StringIO(as_csv((hostile, measurement)))))
    assert tuple(rows[0]) == CSV_COLUMNS
    assert len(rows) == 1 + len(ways) + sum(len(result.times) for result in measurement.results)
    for row in rows:
        assert len(row) == len(CSV_COLUMNS)
        assert not any(cell[:1] in tuple("=+-@\t\r\n") for cell in row)
    assert [row[10] for row in rows[5 : 1 + len(ways)]] == ["cmd|' /C calc'!A0"] * (len(ways) - 4)


def test_a_table_has_unrounded_figures(measured: tuple[Measurement, ...]) -> None:
    rows = list(csv.DictReader(io.StringIO(as_csv(measured))))
    time = measured[0].results[0].times[1]
    row = next(row for row in rows if row["way"] == time.way)
    assert (float(row["median_us"]), row["m"], row["right"]) == (time.median_us, "4096", "True")
    assert float(row["tflops"]) == pytest.approx(2 * 4096**3 / time.median_us / 1e6)
    assert row["pattern"] == "2:4"
