"""Answers are parsed from any output, and impossible figures are rejected."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from lbc.latency.answers import Ended, Hello, OtherLine, Started, parse_output, read_answer
from lbc.latency.measurement import Measurement, MeasurementError, Result
from lbc.latency.worker import PREFIX
from tests.latency.conftest import answer, hello, stream

LINES = stream("h100-synthetic").splitlines()
ANSWERS = [json.loads(line.partition(PREFIX)[2]) for line in LINES if PREFIX in line]
H100 = Hello.model_validate(ANSWERS[0])
RESULT = next(one for one in ANSWERS if one["kind"] == "result")


def parse(content: dict[str, Any], hello: Hello | None = H100) -> Any:
    return read_answer(answer(**content).strip(), hello)


def parse_changed(first_time: dict[str, Any], dtype: str = "bfloat16") -> Result:
    """Parse the recorded result with a changed first time, as from an H100."""
    times = [RESULT["times"][1] | first_time, *RESULT["times"][2:]]
    read = parse(RESULT | {"times": times}, H100.model_copy(update={"dtype": dtype}))
    assert isinstance(read, Result)
    return read


def test_a_recorded_stream_with_other_output_gives_its_measurement() -> None:
    (measurement,) = parse_output(stream("h100-synthetic").splitlines())[0]
    assert measurement.title == "NVIDIA H100 80GB HBM3 (synthetic) · bfloat16 · cuSPARSELt"
    assert [result.index for result in measurement.results] == [0, 1, 2]
    assert {(result.status, result.kind) for result in measurement.results} == {("measured", "")}
    first = measurement.results[0]
    sparse, dense = first.sparse(), first.dense()
    assert sparse is not None
    assert dense is not None
    assert (dense.way, sparse.way) == ("cuBLASLt", "cuSPARSELt best")
    ratio = first.ratio_of(sparse)
    assert ratio is not None
    assert ratio.ratio == pytest.approx(dense.median_us / sparse.median_us)


def test_text_before_an_answer_is_skipped_and_other_lines_are_kept() -> None:
    assert read_answer(f'Welcome!{PREFIX}{{"kind": "start", "index": 3}}') == Started(index=3)
    assert read_answer("Welcome!\n") == OtherLine(line="Welcome!")


@pytest.mark.parametrize(
    "text",
    ["", "{", '{"kind": "start"', "null", "7", "[]", '"kind"', '{"index": 1}', "[" * 100_000],
)
def test_a_damaged_answer_is_an_error_that_quotes_it(text: str) -> None:
    with pytest.raises(MeasurementError, match="answer is damaged"):
        read_answer(PREFIX + text)


@pytest.mark.parametrize("version", [0, 2, "1", None])
def test_the_error_for_another_version_suggests_a_remedy(version: object) -> None:
    with pytest.raises(MeasurementError, match="use the same version of this program"):
        parse(ANSWERS[0] | {"schema": version})


@pytest.mark.parametrize("index", [-1, "x", None, 1e400, [1]])
def test_an_invalid_index_is_an_error(index: object) -> None:
    with pytest.raises(MeasurementError):
        read_answer(PREFIX + json.dumps({"kind": "start", "index": index}))


@settings(max_examples=200)
@given(
    kind=st.sampled_from(["hello", "start", "result", "timeout", "failed", "done", "other"]),
    content=st.dictionaries(
        st.sampled_from(["schema", "index", "what", "class", "message", "device", "times", "name",
                         "m", "n", "k", "status", "dtype", "backend"]),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
            lambda inner: st.lists(inner, max_size=3)
            | st.dictionaries(st.text(max_size=5), inner, max_size=3),
            max_leaves=6,
        ),
    )
)  # fmt: skip
def test_arbitrary_answers_raise_only_measurement_errors(
    kind: str, content: dict[str, Any]
) -> None:
    line = PREFIX + json.dumps({"schema": 1, **content, "kind": kind})
    try:
        assert read_answer(line, H100) is not None
    except MeasurementError as error:
        assert str(error)


@given(st.text())
@example(PREFIX + "9" * 5000)
@example(PREFIX + '{"kind": {}}')
@example(PREFIX + '{"kind": "timeout", "index": NaN, "what": []}')
def test_arbitrary_text_raises_only_measurement_errors(text: str) -> None:
    for line in (text, PREFIX + text, PREFIX + '{"kind": "result", ' + text):
        try:
            read_answer(line)
        except MeasurementError as error:
            assert str(error)


@given(st.integers(0, len(stream("h100-synthetic"))))
def test_a_stream_cut_anywhere_gives_its_complete_results(end: int) -> None:
    lines = stream("h100-synthetic")[:end].splitlines()
    complete = sum('"kind": "result"' in line and line in LINES for line in lines)
    assert sum(len(measurement.results) for measurement in parse_output(lines)[0]) == complete


@pytest.mark.parametrize("figure", ["median_us", "p10_us", "p90_us"])
@pytest.mark.parametrize("value", [0, -1.0, math.inf, -math.inf, math.nan, 1e300, "fast", None])
def test_an_invalid_figure_fails_its_case_with_the_reason(figure: str, value: object) -> None:
    result = parse_changed({figure: value})
    assert (result.status, result.kind, result.times) == ("failed", "impossible", ())
    assert "are impossible and not shown" in result.why
    assert figure in result.why
    assert (result.name, result.m, result.n, result.k) == ("square 4096", 4096, 4096, 4096)


@pytest.mark.parametrize(
    ("dtype", "dense", "peak"),
    [("bfloat16", True, 989), ("bfloat16", False, 1978), ("int8", True, 1978),
     ("int8", False, 3956)],
)  # fmt: skip
def test_figures_above_the_peak_fail_and_figures_below_pass(
    dtype: str, dense: bool, peak: int
) -> None:
    fastest = 2 * 4096**3 / (peak * 1e12) * 1e6
    for factor, status in ((0.94, "failed"), (0.96, "measured")):
        us = fastest * factor
        time = {"dense": dense, "way": "x", "median_us": us, "p10_us": us, "p90_us": us}
        assert parse_changed(time, dtype).status == status
    impossible = parse_changed(time | {"median_us": 1, "p10_us": 1}, dtype)
    assert f"the H100's peak is {peak:,}" in impossible.why


def test_a_median_outside_its_percentiles_fails() -> None:
    assert "outside its percentiles" in parse_changed({"p10_us": 300.0}).why


def test_a_convolution_may_need_fewer_multiplications_than_its_product() -> None:
    us = 2 * 4096**3 / 1200e12 * 1e6
    time = {"way": "cuDNN convolution", "median_us": us, "p10_us": us, "p90_us": us}
    assert parse_changed(time | {"unfolded": True}).status == "measured"
    assert parse_changed(time | {"unfolded": False}).status == "failed"


def test_the_end_of_a_worker_has_a_message() -> None:
    assert read_answer(PREFIX + '{"kind": "done"}') == Ended(how="done")
    ended = read_answer(PREFIX + '{"kind": "timeout", "what": "case", "index": 2, "seconds": 1}')
    assert ended == Ended(how="timeout", message="The case took too long.", index=2)
    ended = read_answer(PREFIX + '{"kind": "failed", "class": "GPU", "message": "No GPU."}')
    assert ended == Ended(how="failed", kind="GPU", message="No GPU.")


def test_two_workers_in_one_file_give_two_measurements() -> None:
    text = hello() + answer("done") + 2 * stream("h100-synthetic")  # the first has no results
    found = parse_output(text.splitlines())[0]
    assert [measurement.backend for measurement in found] == ["cusparselt", "cusparselt"]
    assert all(isinstance(measurement, Measurement) for measurement in found)
