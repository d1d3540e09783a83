"""What scores take is counted to the byte, and refused above the limit with the way out."""

from __future__ import annotations

import pytest
from torch import nn

from lbc import sparsify
from lbc.sparsity.layer_plan import LayerPlan
from lbc.sparsity.method_options import Form
from lbc.sparsity.pattern import Pattern
from lbc.sparsity.score_memory import check_memory, plan_memory


def planned(name: str, shape: tuple[int, ...], pattern: Pattern | None) -> LayerPlan:
    reason = "" if pattern else "the classifier"
    return LayerPlan(name, "weight", 1, "Conv1d", shape, pattern, reason, False)


SHAPE = (8, 16, 3)
WEIGHTS = 384
PLANS = (
    planned("one", SHAPE, Pattern(2, 4)),
    planned("two", SHAPE, Pattern(4, 8)),
    planned("dense", (5, 16), None),
)
BITS = 96 * 1 + 48 * 9
"""Blocks of six and of seventy combinations, with a bit for each, in whole bytes."""


def needed(form: Form, copies: int) -> int:
    """Bytes of both layers: the copies in four bytes each, live bits, and a byte of mask."""
    cells = 2 * WEIGHTS if form == "per_weight" else 96 * 6 + 48 * 70
    return 4 * cells * copies + BITS + 2 * WEIGHTS


@pytest.mark.parametrize("form", ["per_weight", "per_combination"])
def test_every_copy_of_the_scores_counts_four_of_them_for_adam(form: Form) -> None:
    assert plan_memory(PLANS, form, copies=3) == needed(form, 3)
    assert type(plan_memory(PLANS, form)) is int
    assert plan_memory(PLANS, form) == needed(form, 4)


def test_scores_per_combination_may_take_the_limit_and_no_more() -> None:
    limit = needed("per_combination", 4)
    check_memory(PLANS, "per_combination", limit)
    check_memory(PLANS, "per_combination", needed("per_combination", 3), copies=3)
    with pytest.raises(ValueError, match=r"would take 0\.00 GiB, above the limit .* raise the lim"):
        check_memory(PLANS, "per_combination", limit - 1)


def test_live_bits_may_take_the_limit_and_no_more() -> None:
    check_memory(PLANS, "per_weight", BITS)
    with pytest.raises(ValueError, match=r"live combinations would take .* raise the limit"):
        check_memory(PLANS, "per_weight", BITS - 1)


def test_the_refusal_gives_sizes_in_gib() -> None:
    plan = planned("wide", (1 << 13, 1 << 13), Pattern(2, 4))
    with pytest.raises(ValueError, match=r"take 1\.20 GiB, above the limit of 1\.00") as refused:
        check_memory([plan], "per_combination", 1 << 30, copies=3)
    assert "scores='per_weight' (exact, 0.83 GiB)" in str(refused.value)


def test_more_combinations_than_can_be_enumerated_are_refused_by_layer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("lbc.sparsity.score_memory.LARGEST_COUNT", 70)
    check_memory(PLANS, "per_weight", BITS)
    monkeypatch.setattr("lbc.sparsity.score_memory.LARGEST_COUNT", 69)
    with pytest.raises(ValueError, match=r"4:8 has more .* layer 'two' than the 69 that can be"):
        check_memory(PLANS, "per_weight", BITS)


def test_sparsify_refuses_above_four_gib() -> None:
    model = nn.Linear(1 << 15, 1 << 10, device="meta")
    with pytest.raises(ValueError, match=r"above the limit of 4\.00 GiB: train with SGD"):
        sparsify(model, "4:8")


def test_methods_that_train_no_scores_are_not_charged_for_them() -> None:
    bits = 64 * 64 // 16 * 1609
    sparsify(nn.Linear(64, 64), "8:16", "asp", memory_limit=bits)
    with pytest.raises(ValueError, match="Per-combination scores would take"):
        sparsify(nn.Linear(64, 64), "8:16", memory_limit=bits)
