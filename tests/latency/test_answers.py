"""What a worker says is read in any company, and nothing that cannot be true is shown."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from lbc.latency.answers import Ended, Hello, Noise, Started, measurements_in, read_answer
from lbc.latency.measurement import Measurement, MeasurementError, Result
from lbc.latency.worker import PREFIX
from tests.latency.conftest import answer, hello, stream

LINES = stream("h100-synthetic").splitlines()
TOLD = [json.loads(line.partition(PREFIX)[2]) for line in LINES if PREFIX in line]
H100 = Hello.model_validate(TOLD[0])
RESULT = next(told for told in TOLD if told["kind"] == "result")


def said(content: dict[str, Any], hello: Hello | None = H100) -> Any:
    return read_answer(answer(**content).strip(), hello)


def changed(first_time: dict[str, Any], dtype: str = "bfloat16") -> Result:
    """The recorded result, one of whose times is changed, as read from an H100."""
    times = [RESULT["times"][1] | first_time, *RESULT["times"][2:]]
    read = said(RESULT | {"times": times}, H100.model_copy(update={"dtype": dtype}))
    assert isinstance(read, Result)
    return read


def test_a_recorded_stream_gives_its_measurement_whatever_else_was_printed() -> None:
    (measurement,) = measurements_in(stream("h100-synthetic").splitlines())
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


def test_noise_before_an_answer_on_its_line_is_skipped_and_noise_alone_kept() -> None:
    assert read_answer(f'Welcome!{PREFIX}{{"kind": "start", "index": 3}}') == Started(index=3)
    assert read_answer("Welcome!\n") == Noise(line="Welcome!")


@pytest.mark.parametrize(
    "text",
    ["", "{", '{"kind": "start"', "null", "7", "[]", '"kind"', '{"index": 1}', "[" * 100_000],
)
def test_a_damaged_answer_is_an_error_that_names_it(text: str) -> None:
    with pytest.raises(MeasurementError, match="answer is damaged"):
        read_answer(PREFIX + text)


@pytest.mark.parametrize("version", [0, 2, "1", None])
def test_another_version_says_what_to_do(version: object) -> None:
    with pytest.raises(MeasurementError, match="use the same version of this program"):
        said(TOLD[0] | {"schema": version})


@pytest.mark.parametrize("index", [-1, "x", None, 1e400, [1]])
def test_an_odd_index_is_an_error(index: object) -> None:
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
def test_whatever_an_answer_says_only_a_measurement_error_comes_of_it(
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
def test_arbitrary_text_raises_nothing_else(text: str) -> None:
    for line in (text, PREFIX + text, PREFIX + '{"kind": "result", ' + text):
        try:
            read_answer(line)
        except MeasurementError as error:
            assert str(error)


@given(st.integers(0, len(stream("h100-synthetic"))))
def test_a_stream_cut_anywhere_gives_what_was_whole(end: int) -> None:
    lines = stream("h100-synthetic")[:end].splitlines()
    whole = sum('"kind": "result"' in line and line in LINES for line in lines)
    assert sum(len(measurement.results) for measurement in measurements_in(lines)) == whole


@pytest.mark.parametrize("figure", ["median_us", "p10_us", "p90_us"])
@pytest.mark.parametrize("value", [0, -1.0, math.inf, -math.inf, math.nan, 1e300, "fast", None])
def test_a_figure_that_no_clock_gives_fails_its_case_with_the_reason(
    figure: str, value: object
) -> None:
    result = changed({figure: value})
    assert (result.status, result.kind, result.times) == ("failed", "impossible", ())
    assert "cannot be true and are not shown" in result.why
    assert figure in result.why
    assert (result.name, result.m, result.n, result.k) == ("square 4096", 4096, 4096, 4096)


@pytest.mark.parametrize(
    ("dtype", "dense", "peak"),
    [("bfloat16", True, 989), ("bfloat16", False, 1978), ("int8", True, 1978),
     ("int8", False, 3956)],
)  # fmt: skip
def test_more_than_the_data_sheets_peak_fails_and_just_below_does_not(
    dtype: str, dense: bool, peak: int
) -> None:
    fastest = 2 * 4096**3 / (peak * 1e12) * 1e6
    for factor, status in ((0.94, "failed"), (0.96, "measured")):
        us = fastest * factor
        time = {"dense": dense, "way": "x", "median_us": us, "p10_us": us, "p90_us": us}
        assert changed(time, dtype).status == status
    impossible = changed(time | {"median_us": 1, "p10_us": 1}, dtype)
    assert f"the H100's peak is {peak:,}" in impossible.why


def test_a_median_outside_its_percentiles_fails() -> None:
    assert "outside its own percentiles" in changed({"p10_us": 300.0}).why


def test_a_convolutions_own_algorithm_may_need_fewer_multiplications() -> None:
    us = 2 * 4096**3 / 1200e12 * 1e6
    told = {"way": "cuDNN convolution", "median_us": us, "p10_us": us, "p90_us": us}
    assert changed(told | {"unfolded": True}).status == "measured"
    assert changed(told | {"unfolded": False}).status == "failed"


def test_a_last_word_is_kept_in_a_sentence() -> None:
    assert read_answer(PREFIX + '{"kind": "done"}') == Ended(how="done")
    told = read_answer(PREFIX + '{"kind": "timeout", "what": "case", "index": 2, "seconds": 1}')
    assert told == Ended(how="timeout", message="The case took too long.", index=2)
    told = read_answer(PREFIX + '{"kind": "failed", "class": "GPU", "message": "No GPU."}')
    assert told == Ended(how="failed", kind="GPU", message="No GPU.")


def test_two_workers_in_one_file_give_two_measurements() -> None:
    text = hello() + answer("done") + 2 * stream("h100-synthetic")  # one refused to measure
    found = measurements_in(text.splitlines())
    assert [measurement.backend for measurement in found] == ["cusparselt", "cusparselt"]
    assert all(isinstance(measurement, Measurement) for measurement in found)
