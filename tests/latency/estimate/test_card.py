"""The cards that can be estimated, found by the names that users and drivers give them."""

from __future__ import annotations

import pytest

from lbc.latency.estimate import EstimateError, cards, find_card, find_type

NAMES = ("A100", "H100", "B200", "RTX 4090", "RTX 5080", "GB10")


@pytest.mark.parametrize(
    ("name", "card"),
    [
        ("a100", "A100"),
        ("NVIDIA A100-SXM4-80GB", "A100"),
        ("NVIDIA A100 80GB PCIe", "A100"),
        ("NVIDIA H100 80GB HBM3", "H100"),
        ("NVIDIA B200", "B200"),
        ("rtx-4090", "RTX 4090"),
        ("RTX4090", "RTX 4090"),
        ("4090", "RTX 4090"),
        ("NVIDIA GeForce RTX 5080", "RTX 5080"),
        ("NVIDIA GB10", "GB10"),
    ],
)
def test_a_card_is_found_by_the_names_that_users_and_drivers_give_it(name: str, card: str) -> None:
    assert find_card(name).name == card


@pytest.mark.parametrize(
    "name",
    [
        "",
        "V100",
        "A10",
        "NVIDIA RTX A1000",
        "NVIDIA GB200",
        "NVIDIA GH200 480GB",
        "NVIDIA GeForce RTX 4090 Laptop GPU",
        "NVIDIA GeForce RTX 4090 D",
        "NVIDIA A100-SXM4-80GB MIG 1g.10gb",
    ],
)
def test_another_card_is_refused_with_the_names_of_those_known(name: str) -> None:
    with pytest.raises(EstimateError) as refused:
        find_card(name)
    assert all(known in str(refused.value) for known in NAMES)


def test_every_card_names_its_types_and_its_source() -> None:
    assert tuple(card.name for card in cards()) == NAMES
    for card in cards():
        assert {"bfloat16", "int8"} <= set(card.types) and "2603.05232" in card.citation
        assert all(card.model(dtype).card == card.name for dtype in card.types)


def test_types_have_short_names() -> None:
    assert [find_type(name) for name in ("bf16", "FP16", "fp8", "torch.int8", "float8_e4m3fn")] == [
        "bfloat16",
        "float16",
        "float8",
        "int8",
        "float8",
    ]


@pytest.mark.parametrize(
    ("card", "dtype", "named"),
    [("a100", "fp8", "int8"), ("h100", "fp16", "float8"), ("a100", "float32", "bfloat16")],
)
def test_a_type_without_data_is_refused_with_those_that_have_some(
    card: str, dtype: str, named: str
) -> None:
    with pytest.raises(EstimateError, match=named):
        find_card(card).model(dtype)


def test_the_shipped_fits_predict_what_they_have_not_seen() -> None:
    """The README states these figures; ``latency_fit.py`` measures them."""
    a100 = find_card("a100").models
    assert all(model.errors.median <= 0.06 and model.errors.p90 <= 0.17 for model in a100)
    for card in cards():
        rows = sum(model.rows for model in card.models)
        covered = sum(model.rows * model.errors.coverage for model in card.models) / rows
        assert rows > 150 and 0.75 <= covered <= 0.85
