"""κ of masks: the formula by hand, independent masks at 0, equal ones at 1, layers in common."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lbc.comparison.mask_agreement import compare_masks, fold_seeds
from lbc.comparison.run_masks import LayerMask, RunMasks
from lbc.sparsity.arrays import Bools
from lbc.sparsity.combinations import members_mask
from lbc.sparsity.mask_statistics import agreement
from lbc.sparsity.pattern import Pattern

SHAPES = ((4, 8), (3, 24), (16, 8, 3, 3))


def layer(kept: Bools, shape: tuple[int, ...] = (1, 1), pattern: str = "2:4") -> LayerMask:
    return LayerMask.of_blocks(kept, shape, Pattern.parse(pattern))


def drawn(generator: np.random.Generator, pattern: str, shape: tuple[int, ...]) -> LayerMask:
    """Every block of a layer with a combination drawn at random."""
    of = Pattern.parse(pattern)
    winners = generator.integers(of.count, size=int(np.prod(shape)) // of.m)
    return LayerMask.of_blocks(members_mask(winners, of), shape, of)


def flags(mask: LayerMask) -> Bools:
    """The mask as one bool per weight."""
    return np.unpackbits(mask.bits.view(np.uint8), count=mask.size).astype(bool)


def run(**layers: LayerMask) -> RunMasks:
    return RunMasks(1.0, True, layers)


def cohen(first: Bools, second: Bools) -> float:
    """Cohen's κ from the table of the four cases, as textbooks have it."""
    table = np.array([[np.mean((first == a) & (second == b)) for b in (0, 1)] for a in (0, 1)])
    expected = table.sum(axis=1) @ table.sum(axis=0)
    return float((np.trace(table) - expected) / (1 - expected))


MASKS = st.integers(1, 200).flatmap(
    lambda size: st.lists(
        st.lists(st.booleans(), min_size=size, max_size=size), min_size=2, max_size=5
    )
)


@given(MASKS)
def test_every_pair_has_the_kappa_of_the_table_of_four_cases(masks: list[list[bool]]) -> None:
    arrays = [np.array(mask) for mask in masks]
    shape = (1, len(masks[0]))
    found = compare_masks([run(a=layer(array, shape)) for array in arrays])
    for i, first in enumerate(arrays):
        for j, second in enumerate(arrays):
            kappa = found.whole[i, j]
            if len({*first.tolist(), *second.tolist()}) == 1:  # both constant, and alike
                assert np.isnan(kappa)
            else:
                assert kappa == pytest.approx(cohen(first, second), abs=1e-9)


@pytest.mark.parametrize("pattern", ["1:2", "2:4", "1:4", "5:8"])
def test_between_masks_of_one_pattern_chance_follows_from_the_density(pattern: str) -> None:
    generator, of = np.random.default_rng(0), Pattern.parse(pattern)
    shape = (64, of.m * 16)
    masks = [drawn(generator, pattern, shape) for _ in range(4)]
    found = compare_masks([run(a=mask) for mask in masks])
    alike = float((flags(masks[0]) == flags(masks[1])).mean())
    d = of.density
    assert found.whole[0, 1] == pytest.approx(1 - (1 - alike) / (2 * d * (1 - d)))
    first, second = (of.from_blocks(flags(mask).reshape(-1, of.m), shape) for mask in masks[:2])
    assert agreement(first, second, of).kappa == pytest.approx(found.whole[0, 1])
    assert np.array_equal(np.diag(found.whole), np.ones(4))
    assert np.array_equal(found.whole, found.whole.T)


@pytest.mark.parametrize("patterns", [("2:4", "2:4"), ("1:4", "2:4"), ("2:4", "1:16")])
def test_independent_masks_agree_as_chance_would(patterns: tuple[str, str]) -> None:
    generator = np.random.default_rng(1)
    shape = (256, 1024)
    found = compare_masks([run(a=drawn(generator, pattern, shape)) for pattern in patterns])
    assert abs(found.whole[0, 1]) < 0.01


def test_that_both_prune_the_same_layers_more_is_no_agreement() -> None:
    generator, shape = np.random.default_rng(2), (128, 1024)
    runs = [
        run(a=drawn(generator, "1:16", shape), b=drawn(generator, "15:16", shape)) for _ in "ab"
    ]
    assert abs(compare_masks(runs).whole[0, 1]) < 0.01


def test_opposite_masks_reach_the_least_kappa() -> None:
    first = np.array([True, True, False, False])
    found = compare_masks([run(a=layer(at, (1, 4))) for at in (first, ~first)])
    assert found.whole[0, 1] == -1


def test_kappa_is_undefined_between_constant_masks_and_zero_with_one() -> None:
    every, some = np.ones(8, bool), np.arange(8) % 2 == 0
    found = compare_masks([run(a=layer(at, (1, 8))) for at in (every, every, some)])
    assert np.isnan(found.whole[:2, :2]).all()
    assert found.whole[0, 2] == 0


def test_only_layers_of_one_name_and_shape_are_compared() -> None:
    generator = np.random.default_rng(3)
    masks = {shape: drawn(generator, "2:4", shape) for shape in SHAPES}
    a, b, c = (masks[shape] for shape in SHAPES)
    found = compare_masks([run(x=a, y=b), run(x=a, y=c), run(x=a, z=b), run(z=b)])
    assert found.shared.tolist() == [[2, 1, 1, 0], [1, 2, 1, 0], [1, 1, 2, 1], [0, 0, 1, 1]]
    assert found.whole[0, 1] == found.whole[2, 3] == 1
    assert np.isnan(found.whole[0, 3])
    assert np.isnan(found.layers["y"][0, 1]) and found.layers["y"][1, 1] == 1
    assert found.layers["x"][:3, :3].tolist() == np.ones((3, 3)).tolist()


def test_progress_reaches_its_end_and_can_end_the_comparison() -> None:
    generator = np.random.default_rng(4)
    runs = [run(**{f"l{k}": drawn(generator, "2:4", (8, 8)) for k in range(3)}) for _ in range(3)]
    shares: list[float] = []
    compare_masks(runs, shares.append)
    assert shares == sorted(shares) and shares[-1] == 1

    def stop(_share: float) -> None:
        raise InterruptedError

    with pytest.raises(InterruptedError):
        compare_masks(runs, stop)


def test_folded_seeds_pair_what_began_alike_and_a_kind_with_itself_between_seeds() -> None:
    kinds, seeds = ["lbc", "asp", "lbc", "asp", "dense"], [0, 0, 1, 1, 1]
    matrix = np.arange(25.0).reshape(5, 5)
    matrix = matrix + matrix.T
    matrix[4, 3] = matrix[3, 4] = np.nan
    folded = fold_seeds(matrix, kinds, seeds)
    assert folded[0, 0] == matrix[0, 2] and folded[1, 1] == matrix[1, 3]
    assert folded[0, 1] == folded[1, 0] == (matrix[0, 1] + matrix[2, 3]) / 2
    assert folded[0, 2] == matrix[2, 4]
    assert np.isnan(folded[1, 2]) and np.isnan(folded[2, 2])
