"""What every solver promises, and what each does."""

from __future__ import annotations

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import Tensor

from lbc.sparsity.calibration import admm, dsnot, ria, sparsegpt, wanda
from lbc.sparsity.calibration.input_statistics import InputStatistics
from lbc.sparsity.calibration.solution import Solver, ignore_progress, keep_largest
from lbc.sparsity.pattern import Pattern

SOLVERS: dict[str, Solver] = {
    "wanda": wanda.solve,
    "ria": ria.solve,
    "sparsegpt": sparsegpt.solve,
    "admm": admm.solve,
    "dsnot": dsnot.solve,
}


def correlated(columns: int, tokens: int = 200, seed: int = 0) -> Tensor:
    """Inputs of which each depends on the others: (tokens, columns), float64."""
    generator = torch.Generator().manual_seed(seed)
    draw = {"generator": generator, "dtype": torch.float64}
    sources = max(2, columns // 3)
    mixed = torch.randn(tokens, sources, **draw) @ torch.randn(sources, columns, **draw)  # type: ignore[call-overload]
    return mixed + 0.3 * torch.randn(tokens, columns, **draw) + 0.2  # type: ignore[call-overload, no-any-return]


def statistics_of(inputs: Tensor) -> InputStatistics:
    statistics = InputStatistics(inputs.shape[1], gram=True, dtype=inputs.dtype)
    for batch in torch.split(inputs, 50):
        statistics.add(10, [batch])
    return statistics


def weights(rows: int, columns: int, seed: int = 1) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(rows, columns, generator=generator, dtype=torch.float64)


def error(weight: Tensor, solved: Tensor, inputs: Tensor) -> float:
    lost = inputs @ (weight - solved).T
    return float(lost.square().sum() / (inputs @ weight.T).square().sum())


@given(
    method=st.sampled_from([*SOLVERS]),
    pattern=st.sampled_from(["2:4", "1:4", "3:4", "4:8", "3:6", "1:16", "5:7", "4:8x2"]),
    rows=st.integers(1, 5),
    blocks=st.integers(1, 12),
    dead=st.booleans(),
    half=st.booleans(),
)
@settings(max_examples=60, deadline=None)
def test_exactly_n_of_every_block_are_kept(
    method: str, pattern: str, rows: int, blocks: int, dead: bool, half: bool
) -> None:
    chosen = Pattern.parse(pattern)
    assume(method != "dsnot" or chosen.width == 1)
    columns = blocks * chosen.m
    inputs, weight = correlated(columns), weights(rows, columns)
    if dead:
        inputs[:, ::3] = 0
    if half:
        inputs, weight = inputs.float(), weight.half().float()
    before = weight.clone()
    solution = SOLVERS[method](weight, statistics_of(inputs), chosen, ignore_progress)
    assert torch.equal(weight, before)
    assert bool((solution.mask.reshape(-1, chosen.m).sum(dim=1) == chosen.n).all())
    groups = solution.mask.reshape(-1, chosen.width)
    assert torch.equal(groups.any(dim=1), groups.all(dim=1))
    if solution.weight is not None:
        assert solution.weight.shape == weight.shape and solution.weight.dtype == weight.dtype
        assert bool(solution.weight.isfinite().all())
        assert not solution.weight[~solution.mask].any()


def test_wanda_with_equal_norms_keeps_the_largest_magnitudes() -> None:
    weight = weights(8, 16).round(decimals=1)  # some are equal
    alike = statistics_of(torch.eye(16, dtype=torch.float64))
    order = weight.abs().reshape(-1, 4).argsort(dim=1, descending=True, stable=True)
    largest = torch.zeros(32, 4, dtype=torch.bool).scatter_(1, order[:, :2], True)
    assert torch.equal(wanda.solve(weight, alike, Pattern(2, 4)).mask.reshape(-1, 4), largest)


def test_wanda_weighs_by_the_norms_of_inputs() -> None:
    weight = torch.tensor([[1.0, 2.0, 3.0, 4.0]])
    statistics = statistics_of(torch.diag(torch.tensor([10.0, 1.0, 1.0, 0.1])))
    assert wanda.solve(weight, statistics, Pattern(2, 4)).mask.tolist() == [
        [True, False, True, False]
    ]


def test_ria_adds_shares_of_rows_and_columns() -> None:
    weight = torch.tensor([[1.0, -3.0], [1.0, 1.0]])
    statistics = statistics_of(torch.diag(torch.tensor([4.0, 9.0])))
    expected = [
        [2 * (1 / 2 + 1 / 4), 3 * (3 / 4 + 3 / 4)],
        [2 * (1 / 2 + 1 / 2), 3 * (1 / 4 + 1 / 2)],
    ]
    torch.testing.assert_close(ria.scores(weight, statistics), torch.tensor(expected))


def test_admm_without_iterations_is_wanda() -> None:
    inputs, weight = correlated(32), weights(6, 32)
    statistics, pattern = statistics_of(inputs), Pattern(2, 4)
    solution = admm.solve(weight, statistics, pattern, iterations=0)
    mask = wanda.solve(weight, statistics, pattern).mask
    assert torch.equal(solution.mask, mask) and solution.weight is not None
    torch.testing.assert_close(solution.weight, weight * mask)


@pytest.mark.parametrize("pattern", ["2:4", "1:4", "4:8"])
def test_admm_takes_the_steps_of_the_paper(pattern: str) -> None:
    weight, statistics, kind = weights(6, 24), statistics_of(correlated(24)), Pattern.parse(pattern)
    norms = statistics.gram.diagonal().sqrt() + 1e-8
    gram = statistics.gram / norms / norms[:, None] + 0.1 * torch.eye(24, dtype=torch.float64)
    inverse = torch.linalg.inv(gram + torch.eye(24, dtype=torch.float64))
    present, dual = weight * norms, torch.zeros_like(weight)
    target = present @ gram
    for k in range(20):
        moved = present + dual
        if k < 15:
            share = (1 - kind.density) * (1 - (1 - (k + 1) / 15) ** 3)
            protected = keep_largest(moved.abs(), kind)
            others = moved.abs().masked_fill(protected, torch.inf).flatten()
            mask = torch.ones_like(others, dtype=torch.bool)
            mask[others.argsort()[: int(share * others.numel())]] = False
            mask = mask.view_as(moved)
        dual = moved - moved * mask
        present = (target + moved * mask - dual) @ inverse
    solution = admm.solve(weight, statistics, kind)
    assert torch.equal(solution.mask, mask)
    torch.testing.assert_close(solution.weight, (present + dual) * mask / norms)


def test_admm_solves_for_the_kept_weights_of_a_fixed_mask() -> None:
    """With the mask final from the first iteration, it nears least squares under its mask."""
    inputs, weight = correlated(8), weights(1, 8)
    statistics = statistics_of(inputs)
    solution = admm.solve(weight, statistics, Pattern(2, 4), iterations=3000, damping=0.0)
    kept = solution.mask[0]
    best = torch.linalg.lstsq(inputs[:, kept], inputs @ weight[0]).solution
    assert solution.weight is not None
    torch.testing.assert_close(solution.weight[0, kept], best, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("pattern", ["2:4", "1:4", "3:6"])
def test_sparsegpt_is_the_textbook_surgeon_from_left_to_right(
    pattern: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = Pattern.parse(pattern)
    columns = 48
    inputs, weight = correlated(columns), weights(4, columns)
    statistics = statistics_of(inputs)
    damped = inputs.T @ inputs
    damped += 0.01 * damped.diagonal().mean() * torch.eye(columns, dtype=torch.float64)
    expected, mask = _surgeon(weight, damped, chosen)
    for width in (chosen.m, 128):
        monkeypatch.setattr(sparsegpt, "LAZY_COLUMNS", width)
        solution = sparsegpt.solve(weight, statistics, chosen)
        assert torch.equal(solution.mask, mask)
        assert solution.weight is not None
        torch.testing.assert_close(solution.weight, expected)


def _surgeon(weight: Tensor, hessian: Tensor, pattern: Pattern) -> tuple[Tensor, Tensor]:
    """Optimal brain surgeon, row by row: the inverse of what is right of a column, anew for each.

    Removing w_j of the columns that are not yet fixed costs w_j² / [H⁻¹]_jj and changes the others
    by −w_j / [H⁻¹]_jj · [H⁻¹]_:j. A whole block is judged when its first column is reached, by
    the inverse that each of its columns will have when its turn comes.
    """
    out, mask = weight.clone(), torch.ones_like(weight, dtype=torch.bool)
    size = weight.shape[1]
    inverses = [torch.linalg.inv(hessian[j:, j:]) for j in range(size)]
    for row in range(len(weight)):
        for j in range(size):
            if j % pattern.m == 0:
                block = range(j, j + pattern.m)
                costs = torch.stack([out[row, i] ** 2 / inverses[i][0, 0] for i in block])
                mask[row, j + costs.argsort()[: pattern.m - pattern.n]] = False
            if not mask[row, j]:
                out[row, j:] -= out[row, j] / inverses[j][0, 0] * inverses[j][0]
                out[row, j] = 0
    return out, mask


def test_sparsegpt_takes_inputs_that_depend_on_each_other_exactly() -> None:
    inputs = correlated(4, tokens=3).repeat(1, 8).float()  # far fewer tokens than columns
    statistics, weight = statistics_of(inputs), weights(4, 32).float()
    solution = sparsegpt.solve(weight, statistics, Pattern(2, 4), damping=0.0)
    assert solution.weight is not None and bool(solution.weight.isfinite().all())
    assert error(weight, solution.weight, inputs) < 0.05


@pytest.mark.parametrize("size", [3, 40])
def test_the_inverse_factor_is_the_cholesky_factor_of_the_inverse(
    size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sparsegpt, "LEAF", 8)
    gram = correlated(size).T @ correlated(size)
    factor = sparsegpt.inverse_factor(gram, 0.1)
    damped = gram + 0.1 * gram.diagonal().mean() * torch.eye(size, dtype=torch.float64)
    assert torch.equal(factor, factor.triu())
    torch.testing.assert_close(factor.T @ factor, torch.linalg.inv(damped))


@pytest.mark.parametrize("pattern", ["2:4", "1:4", "4:8"])
def test_solving_for_weights_beats_a_mask_alone(pattern: str) -> None:
    chosen = Pattern.parse(pattern)
    inputs, weight = correlated(64, tokens=500), weights(32, 64)
    inputs *= torch.linspace(0.2, 3, 64)[torch.randperm(64, generator=torch.manual_seed(2))]
    statistics = statistics_of(inputs)
    errors = {}
    for name, solve in SOLVERS.items():
        solution = solve(weight, statistics, chosen, ignore_progress)
        solved = weight * solution.mask if solution.weight is None else solution.weight
        errors[name] = error(weight, solved, inputs)
    magnitude = wanda.solve(weight, statistics_of(torch.eye(64, dtype=torch.float64)), chosen)
    assert errors["sparsegpt"] < 0.75 * errors["wanda"]
    assert errors["admm"] < 0.75 * errors["wanda"]
    assert errors["wanda"] < error(weight, weight * magnitude.mask, inputs)


@pytest.mark.parametrize("start", ["wanda", "magnitude", "sparsegpt"])
def test_dsnot_swaps_as_its_rule_says_row_by_row(start: dsnot.Start) -> None:
    inputs, weight = correlated(24), weights(16, 24)
    statistics, pattern = statistics_of(inputs), Pattern(2, 4)
    scores = dsnot.starting_scores(weight, statistics, start)
    begun = dsnot.solve(weight, statistics, pattern, start=start, cycles=0).mask
    shares = weight * statistics.sums
    for cycles in (1, 3, 50):
        ended = dsnot.solve(weight, statistics, pattern, start=start, cycles=cycles).mask
        for row in range(16):
            keys = (shares / statistics.variances)[row].tolist()
            given = shares[row].tolist(), keys, scores[row].tolist(), begun[row].tolist()
            assert ended[row].tolist() == _swapped(*given, cycles)
    assert not torch.equal(begun, ended)


def _swapped(
    shares: list[float], keys: list[float], scores: list[float], mask: list[bool], cycles: int
) -> list[bool]:
    """The mask of one row of 2:4 after so many cycles of DSnoT, from its description."""
    mask, spent = [*mask], set[int]()
    pruned = sorted((j for j in range(len(mask)) if not mask[j]), key=keys.__getitem__)
    lost = sum(shares[j] for j in pruned)
    positive = lost > 0
    for _ in range(cycles):
        if abs(lost) <= 0.1 or not pruned:
            break
        grown = pruned.pop(-1 if lost > 0 else 0)
        block = range(grown // 4 * 4, grown // 4 * 4 + 4)
        candidates = [j for j in block if mask[j] and j not in spent]
        if not candidates:
            break
        cut = min(candidates, key=scores.__getitem__)
        after = lost + shares[cut] - shares[grown]
        if (after > 0) != positive:
            break
        mask[grown], mask[cut], lost = True, False, after
        spent.add(grown)
    return mask


def test_dsnot_leaves_rows_alone_that_have_lost_little() -> None:
    weight = torch.tensor([[5.0, 3.0, 4.0, 0.5], [5.0, 0.03, 4.0, 0.05]])
    statistics = InputStatistics(4, gram=False)
    statistics.add(4, [torch.tensor([[0.9], [1.1]]).expand(2, 4).repeat(2, 1)])
    mask = dsnot.solve(weight, statistics, Pattern(2, 4), cycles=1).mask
    # ε = 3.5 grows to 4.5 as 3 takes the place of 4, and keeps its sign; 0.08 is below 0.1.
    assert mask.tolist() == [[True, True, False, False], [True, False, True, False]]
