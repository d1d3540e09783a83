"""The layers of well-known networks, against the sizes that their authors publish."""

from __future__ import annotations

import pytest

from lbc.latency.cases import named_cases


def test_resnet_50_has_all_convolutions_but_the_stem() -> None:
    cases = named_cases("resnet-50", batch=2)
    assert sum(case.count for case in cases) == 52
    assert sum(case.count * case.m * case.k for case in cases) == 25_557_032 - (
        3 * 64 * 49  # stem
        + 2048 * 1000 + 1000  # classifier
        + 2 * 26_560  # weights and biases of BatchNorm
    )  # fmt: skip
    macs = sum(case.count * case.m * case.n * case.k for case in cases) / 2
    stem_and_classifier = 64 * 147 * 112**2 + 2048 * 1000
    assert sum(case.share for case in cases) == pytest.approx(macs / (macs + stem_and_classifier))


@pytest.mark.parametrize(
    ("name", "weights"),
    [
        ("bert-base", 12 * 12 * 768**2),
        ("deit-small", 12 * 12 * 384**2),
        ("vit-large", 24 * 12 * 1024**2),
        ("llama-2-7b", 32 * (4 * 4096**2 + 3 * 4096 * 11008)),
    ],
)
def test_transformers_have_all_linear_layers_of_all_blocks(name: str, weights: int) -> None:
    assert sum(case.count * case.m * case.k for case in named_cases(name)) == weights


def test_the_default_dozen_is_no_network() -> None:
    cases = named_cases("default")
    assert len(cases) == 12
    assert {(case.share, case.count) for case in cases} == {(0.0, 1)}
