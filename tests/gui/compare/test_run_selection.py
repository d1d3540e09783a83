"""Which runs are compared, and the colours they keep."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from math import ceil
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from lbc.library.run_summary import RunSummary
from lbc_gui.compare.run_colours import COUNT, RunColours
from lbc_gui.compare.run_selection import MOST_COMPARED, RunSelection

A, B, C, D = (Path(name) for name in "ABCD")


def compared(selection: RunSelection) -> set[Path]:
    return {run.folder for run in selection.selection.compared}


def shows(*folders: Path) -> RunSelection:
    selection = RunSelection()
    selection.show_runs([RunSummary(folder, "finished") for folder in folders])
    return selection


def test_several_selected_runs_are_compared_and_without_any_all() -> None:
    selection = shows(A, B, C, D)
    assert compared(selection) == {A, B, C, D}
    selection.select([A, B])
    assert compared(selection) == {A, B}
    selection.select([])
    assert compared(selection) == {A, B, C, D}


def test_a_single_run_is_emphasised_among_those_compared() -> None:
    selection = shows(A, B, C, D)
    selection.select([A, B, C])
    selection.select([B])
    assert selection.selection.selected == {B}
    assert compared(selection) == {A, B, C}
    selection.select([D])
    assert compared(selection) == {A, B, C, D}


def test_a_click_in_a_pane_leaves_the_comparison_as_it_is() -> None:
    selection = shows(A, B, C, D)
    selection.select([A, B, C])
    for picked in ([A, B], [C], []):
        selection.pick(picked)
        assert selection.selection.selected == set(picked)
        assert compared(selection) == {A, B, C}
        selection.select(picked)  # as the table does, which mirrors the selection
        selection.show_runs([RunSummary(folder, "running") for folder in (A, B, C, D)])
        assert compared(selection) == {A, B, C}
    selection.show_runs([RunSummary(folder, "running") for folder in (B, C, D)])
    assert compared(selection) == {B, C}


def test_a_selected_run_is_compared_however_many_are_shown() -> None:
    folders = [Path(str(number)) for number in range(MOST_COMPARED + 5)]
    selection = shows(*folders)
    assert len(compared(selection)) == MOST_COMPARED
    selection.select(folders[-1:])
    assert compared(selection) == set(folders[-1:])


def repetitions(*seeds_of_widths: int) -> list[RunSummary]:
    """So many runs of each experiment, one experiment after another."""
    return [
        RunSummary(Path(f"{width}-{seed}"), "finished", parameters={"width": width, "seed": seed})
        for width, seeds in enumerate(seeds_of_widths)
        for seed in range(seeds)
    ]


def shared(colours: RunColours, runs: Iterable[RunSummary]) -> int:
    """How many runs have the colour that most have."""
    return max(Counter(colours.of(run.folder).name() for run in runs).values(), default=0)


def test_a_run_keeps_its_colour_and_runs_share_colours_evenly() -> None:
    colours = RunColours()
    runs = [RunSummary(Path(str(number)), "finished") for number in range(2 * COUNT)]
    colours.show(runs[: COUNT // 2])
    first = {run: colours.of(run.folder) for run in runs[: COUNT // 2]}
    colours.show(reversed(runs))
    assert {run: colours.of(run.folder) for run in first} == first
    assert shared(colours, runs) == 2
    colours.show(runs[1:])
    assert colours.of(runs[1].folder) == first[runs[1]]


def test_two_runs_out_of_many_have_different_colours() -> None:
    colours = RunColours()
    runs = [RunSummary(Path(str(number)), "finished") for number in range(2 * COUNT)]
    colours.show(runs)
    alike = [run for run in runs if colours.of(run.folder) == colours.of(runs[0].folder)]
    assert len(alike) == 2
    colours.show(alike)
    assert shared(colours, alike) == 1


@given(st.lists(st.lists(st.integers(0, 6), min_size=1, max_size=12), min_size=1, max_size=4))
def test_experiments_with_many_seeds_share_colours_as_little_as_can_be(
    shown: list[list[int]],
) -> None:
    colours = RunColours()
    for seeds in shown:
        runs = repetitions(*seeds)
        colours.show(runs)
        firsts = list({run.parameters["width"]: run for run in reversed(runs)}.values())
        assert shared(colours, runs) <= ceil(len(runs) / COUNT)
        assert shared(colours, firsts) <= ceil(len(firsts) / COUNT)


def test_another_seed_takes_no_colour_from_the_runs_before() -> None:
    colours = RunColours()
    before = repetitions(3, 1)
    colours.show(before)
    first = {run.folder: colours.of(run.folder) for run in before}
    colours.show([*repetitions(3, 2), *repetitions(0, 0, 1)])
    assert {run.folder: colours.of(run.folder) for run in before} == first
    assert shared(colours, repetitions(3, 2, 1)) == 1
