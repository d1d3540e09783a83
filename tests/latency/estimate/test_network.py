"""Networks and layers from estimates: sums, ranks and the numbers of tokens from which 2:4 pays."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lbc.latency.cases import Case, named_cases, square
from lbc.latency.estimate import (
    EstimatedLayers,
    EstimateError,
    ProductEstimate,
    break_even,
    estimate_cases,
    estimate_network,
    find_card,
    rank_layers,
)
from lbc.sparsity.pattern import Pattern


def layer(dense: float, sparse: float, share: float = 0.0, weights: int = 64) -> ProductEstimate:
    case = Case("layer", weights, 1, 64, share=share)
    ratio = dense / sparse
    return ProductEstimate(
        case, dense, sparse, ratio, ratio / 1.1, ratio * 1.1, "compute", "launch"
    )


def test_a_network_is_the_sum_of_its_layers_and_its_dense_rest() -> None:
    layers = EstimatedLayers((layer(60, 30, 0.4), layer(20, 25, 0.4)), ())
    network = estimate_network(layers)
    assert network is not None and network.share == pytest.approx(0.8)
    assert network.dense_us == pytest.approx(100) and network.sparse_us == pytest.approx(75)
    assert network.best_us == pytest.approx(70)
    assert network.speedup == pytest.approx(100 / 75)
    assert network.best_speedup == pytest.approx(100 / 70)
    assert network.low == pytest.approx(100 / (55 * 1.1 + 20))
    assert network.high == pytest.approx(100 / (55 / 1.1 + 20))
    assert "80%" in network.describe() and "1.43×" in network.describe()


def test_cases_without_a_network_have_no_rest() -> None:
    network = estimate_network(EstimatedLayers((layer(60, 30),), ()))
    assert network is not None and (network.share, network.speedup) == (0.0, 2.0)
    assert "multiply-adds" not in network.describe()
    assert estimate_network(EstimatedLayers((), ())) is None


def test_layers_are_ranked_by_what_they_save() -> None:
    layers = EstimatedLayers((layer(10, 12, weights=100), layer(90, 50, weights=300)), ())
    first, last = rank_layers(layers)
    assert (first.saved_us, first.saved_share, first.weight_share) == (40, 0.4, 0.75)
    assert (last.saved_us, last.saved_share, last.weight_share) == (-2, -0.02, 0.25)
    assert rank_layers(EstimatedLayers((), ())) == ()


def test_break_even_is_the_number_of_tokens_from_which_on_two_four_pays() -> None:
    model, case = find_card("h100").model("bf16"), Case("q", 4096, 1, 4096)
    tokens = [1 << exponent for exponent in range(15)]
    found = break_even(model, case, tokens)
    assert found.likely is not None and found.certain is not None
    assert 64 < found.likely <= found.certain < 16384
    cases = [replace(case, n=n) for n in tokens]
    for estimated in estimate_cases(model, cases).layers:
        assert estimated.speedup > 1 or estimated.case.n < found.likely
        assert estimated.low > 1 or estimated.case.n < found.certain
    before = estimate_cases(model, [replace(case, n=found.likely // 2)]).layers[0]
    assert before.speedup <= 1


def test_where_two_four_never_pays_there_is_no_break_even() -> None:
    found = break_even(find_card("h100").model("bf16"), Case("tiny", 128, 1, 128), [64, 128, 256])
    assert (found.likely, found.certain) == (None, None)


def test_break_even_outside_all_data_is_refused() -> None:
    model = find_card("h100").model("bf16")
    with pytest.raises(EstimateError, match="64 to 16,384"):
        break_even(model, square(4096), [1, 2, 4])
    with pytest.raises(EstimateError, match="No GPU support"):
        break_even(model, replace(square(4096), pattern=Pattern(4, 8)), [1024])
    with pytest.raises(EstimateError, match="tokens"):
        break_even(model, square(4096), [])


def test_a_network_with_refused_layers_counts_them_as_dense() -> None:
    shares = [0.5, 0.2, 0.2, 0.1]
    cases = [
        replace(case, share=share)
        for case, share in zip(named_cases("deit-small", 3152), shares, strict=True)
    ]
    cases[0] = replace(cases[0], pattern=Pattern(4, 8))
    estimated = estimate_cases(find_card("a100").model("fp16"), cases)
    network = estimate_network(estimated)
    assert network is not None and network.share == pytest.approx(0.5)
    assert [case.name for case, _ in estimated.refused] == ["deit-small qkv"]
    assert 1 < network.speedup < 1.3
