"""Estimates of products: published figures within their intervals, plausible everywhere."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lbc.latency.cases import Case, Convolution, named_cases, square
from lbc.latency.estimate import (
    CardModel,
    EstimateError,
    ProductEstimate,
    cards,
    estimate_cases,
    estimate_product,
    find_card,
)
from lbc.sparsity.pattern import Pattern

A100 = find_card("a100").model("bf16")
MODELS = [card.model(dtype) for card in cards() for dtype in card.types]

PUBLISHED = [
    # Card, type, outputs, tokens, inputs, dense over 2:4 (arXiv 2603.05232).
    ("a100", "bf16", 4096, 4096, 4096, 1.71),
    ("a100", "bf16", 8192, 8192, 8192, 1.52),
    ("a100", "bf16", 16384, 16384, 16384, 1.22),
    ("a100", "fp16", 1024, 1024, 1024, 1.24),
    ("a100", "int8", 8192, 8192, 8192, 2.19),
    ("a100", "bf16", 2048, 65536, 8192, 1.64),
    ("a100", "bf16", 3584, 64, 3584, 1.32),
    ("h100", "bf16", 4096, 4096, 4096, 1.53),
    ("h100", "bf16", 8192, 8192, 8192, 1.59),
    ("h100", "bf16", 3072, 64, 2048, 0.50),
    ("h100", "int8", 8192, 8192, 8192, 1.71),
    ("h100", "int8", 16384, 16384, 16384, 1.79),
]


def test_published_figures_are_mostly_within_their_intervals() -> None:
    inside = 0
    for card, dtype, m, n, k, ratio in PUBLISHED:
        found = estimate_product(find_card(card).model(dtype), Case("published", m, n, k))
        assert found.speedup == pytest.approx(ratio, rel=0.35)
        inside += found.low <= ratio <= found.high
    assert inside >= 9


sizes = st.builds(lambda octave, of: (1 << octave) * of, st.integers(5, 13), st.integers(2, 7))


@given(model=st.sampled_from(MODELS), n=st.integers(32, 20000), m=sizes, k=sizes)
@settings(max_examples=40, deadline=None)
def test_estimates_are_finite_and_plausible_for_any_shape(
    model: CardModel, n: int, m: int, k: int
) -> None:
    case = Case("any", m, n, k)
    found = estimate_cases(model, (case, replace(case, m=2 * m, n=2 * n, k=2 * k)))
    for layer in found.layers:
        assert 0 < layer.low <= layer.speedup <= layer.high < 100
        assert model.predictor.dense.roofline.launch_us <= layer.dense_us < 1e9
        assert model.predictor.sparse.roofline.launch_us <= layer.sparse_us < 1e9
        assert layer.speedup == pytest.approx(layer.dense_us / layer.sparse_us)
    if len(found.layers) == 2:
        once, doubled = found.layers
        assert doubled.dense_us > 0.8 * once.dense_us
        assert doubled.sparse_us > 0.8 * once.sparse_us


@pytest.mark.parametrize(
    ("case", "reason"),
    [
        (Case("x", 4096, 0, 4096), "0 tokens"),
        (Case("x", -16, 512, 4096), "-16 outputs"),
        (Case("x", 4096, 512, 0), "0 inputs"),
        (Case("x", 1000, 512, 4096), "multiple of 16"),
        (Case("x", 1024, 512, 152), "multiple of 16"),
        (Case("x", 1024, 512, 150), "whole blocks of 2:4"),
        (Case("x", 4096, 16, 4096), "64 to 65,536"),
        (Case("x", 4096, 600_000, 4096), "factor of 8"),
        (Case("x", 16, 512, 4096), "factor of 2"),
        (replace(square(4096), pattern=Pattern(4, 8)), "No GPU support for 4:8"),
        (replace(square(4096), pattern=Pattern(6, 8), k=4088), "6,132 as SlideSparse"),
        (replace(square(4096), pattern=Pattern(4, 6)), "whole blocks of 4:6"),
        (replace(square(65536), pattern=Pattern(6, 8), k=1 << 17), "196,608 as SlideSparse"),
    ],
)
def test_what_cannot_be_estimated_is_refused_in_a_sentence(case: Case, reason: str) -> None:
    with pytest.raises(EstimateError, match=reason) as refused:
        estimate_product(A100, case)
    assert str(refused.value).endswith(".")


def test_int8_needs_multiples_of_32() -> None:
    case = Case("x", 1040, 512, 4096)
    assert estimate_cases(A100, (case,)).layers
    assert (
        "multiple of 32" in estimate_cases(find_card("a100").model("int8"), (case,)).refused[0][1]
    )


def test_outside_the_data_the_interval_is_wider_and_the_note_says_so() -> None:
    def width(layer: ProductEstimate) -> float:
        return layer.high / layer.low

    inside, outside = estimate_cases(
        A100, (Case("in", 4096, 65536, 4096), Case("out", 4096, 131072, 4096))
    ).layers
    assert not inside.note and "Outside the measured sizes" in outside.note
    assert width(outside) > 1.1 * width(inside)


def test_far_from_the_data_the_interval_is_wider() -> None:
    near, far = estimate_cases(
        A100, (Case("near", 2048, 2048, 2048), Case("far", 128, 32768, 2048))
    ).layers
    assert far.high / far.low > 1.2 * near.high / near.low


def test_patterns_that_obey_2_4_are_estimated_as_2_4() -> None:
    patterns = (Pattern(2, 4), Pattern(1, 4), Pattern(2, 8), Pattern(1, 16))
    layers = estimate_cases(A100, [replace(square(4096), pattern=p) for p in patterns]).layers
    assert len({layer.speedup for layer in layers}) == 1
    assert [
        f"{p} runs as 2:4" in layer.note for p, layer in zip(patterns, layers, strict=True)
    ] == [
        False,
        True,
        True,
        True,
    ]


def test_wider_patterns_are_estimated_by_the_windows_of_slidesparse() -> None:
    case = replace(Case("x", 4096, 4096, 6144), pattern=Pattern(6, 8))
    found = estimate_product(A100, case)
    as_two_four = estimate_product(A100, replace(case, pattern=Pattern(2, 4)))
    widened = estimate_product(A100, replace(case, k=9216, pattern=Pattern(2, 4)))
    assert found.expansion == 1.5 and "SlideSparse" in found.note
    assert found.dense_us == as_two_four.dense_us and found.sparse_us == widened.sparse_us
    assert 1 < found.speedup < 4 / 3
    assert estimate_product(A100, replace(case, pattern=Pattern(3, 4))).speedup == found.speedup


@pytest.mark.parametrize(
    ("pattern", "m", "n", "k", "published"),
    [
        (Pattern(6, 8), 3584, 64, 3584, 0.99),
        (Pattern(6, 8), 3584, 128, 18944, 1.09),
        (Pattern(6, 8), 37888, 64, 3584, 1.06),
        (Pattern(6, 8), 4096, 4096, 4096, 1.12),
        (Pattern(6, 8), 16384, 16384, 16384, 0.81),
        (Pattern(4, 6), 37888, 64, 3576, 1.19),
    ],
)
def test_slidesparse_estimates_agree_with_its_published_ratios(
    pattern: Pattern, m: int, n: int, k: int, published: float
) -> None:
    found = estimate_product(A100, replace(Case("x", m, n, k), pattern=pattern))
    assert found.speedup == pytest.approx(published, rel=0.15)


def test_a_convolution_is_estimated_as_its_product_and_named_so() -> None:
    shape = Convolution(8, 128, 28, 28, (3, 3), (1, 1), (1, 1))
    product = Case("3×3", 128, 8 * 28 * 28, 128 * 9)
    convolution, plain = estimate_cases(A100, (replace(product, convolution=shape), product)).layers
    assert convolution.speedup == plain.speedup
    assert "product of the convolution" in convolution.note and not plain.note


def test_the_limit_is_named() -> None:
    cases = (square(8192), Case("weights", 27648, 64, 5120), Case("tiny", 128, 128, 128))
    limits = [layer.dense_limit for layer in estimate_cases(A100, cases).layers]
    assert limits == ["compute", "weight bandwidth", "launch"]
    wide = estimate_product(A100, Case("thin", 64, 65536, 64))
    assert wide.dense_limit == "activation bandwidth"


def test_an_estimate_does_not_depend_on_the_other_cases() -> None:
    cases = named_cases("resnet-50", batch=8) + named_cases("deit-small", 197 * 8)
    for layer, case in zip(estimate_cases(A100, cases).layers, cases, strict=True):
        alone = estimate_product(A100, case)
        assert alone.speedup == pytest.approx(layer.speedup) and alone.note == layer.note
    assert estimate_cases(A100, ()).layers == ()
