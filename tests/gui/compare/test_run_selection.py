"""Which runs are compared, and the colours they keep."""

from __future__ import annotations

from pathlib import Path

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


def test_a_run_keeps_its_colour_and_runs_share_colours_evenly() -> None:
    colours = RunColours()
    folders = [Path(str(number)) for number in range(2 * COUNT)]
    colours.show(folders[: COUNT // 2])
    first = {folder: colours.of(folder).name() for folder in folders[: COUNT // 2]}
    colours.show(reversed(folders))
    assert all(colours.of(folder).name() == colour for folder, colour in first.items())
    names = [colours.of(folder).name() for folder in folders]
    assert {names.count(name) for name in names} == {2}
    colours.show(folders[1:])
    assert colours.of(folders[1]).name() == first[folders[1]]
