"""What a user can do with the entries of a queue."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lbc.queue.entries import (
    ACTIONS,
    STATES,
    Action,
    Entry,
    Place,
    Queue,
    QueueError,
    State,
    cleared,
    moved,
    steered,
    with_jobs,
)

WAITING: tuple[State, ...] = ("waiting",) * 6


def queue_of(*states: State) -> Queue:
    return Queue(
        entries=tuple(
            Entry(number, f"name{number}", f"folder{number}", 3, state=state)
            for number, state in enumerate(states, start=1)
        )
    )


def order(queue: Queue) -> list[int]:
    return [entry.id for entry in queue.entries]


@pytest.mark.parametrize(
    ("place", "expected"),
    [
        ("up", [2, 1, 4, 3, 5]),
        ("down", [1, 3, 2, 5, 4]),
        ("top", [2, 4, 1, 3, 5]),
        ("bottom", [1, 3, 5, 2, 4]),
        (1, [2, 4, 1, 3, 5]),
        (5, [1, 3, 2, 4, 5]),
    ],
)
def test_several_entries_move_together(place: Place | int, expected: list[int]) -> None:
    assert order(moved(queue_of(*WAITING[:5]), {2, 4}, place)) == expected


@given(st.sets(st.integers(1, 6), min_size=1), st.sampled_from(["up", "down", "top", "bottom"]))
def test_a_move_keeps_every_entry_and_the_order_of_the_moved(ids: set[int], place: Place) -> None:
    queue = queue_of(*WAITING)
    new = moved(queue, ids, place)
    assert set(new.entries) == set(queue.entries)
    for some in (ids, set(order(queue)) - ids):
        assert [one for one in order(new) if one in some] == sorted(some)


@pytest.mark.parametrize("action", ACTIONS)
def test_an_action_changes_the_entries_for_which_it_is_possible(action: Action) -> None:
    queue = queue_of(*STATES)
    possible, state = ACTIONS[action]
    for old, new in zip(queue.entries, steered(queue, action).entries, strict=True):
        assert new.state == (state if old.state in possible else old.state)
    for entry in queue.entries:
        if entry.state in possible:
            assert steered(queue, action, {entry.id}).find({entry.id})[0].state == state
        else:
            with pytest.raises(QueueError, match=f"Entry {entry.id} is {entry.state}: only one"):
                steered(queue, action, {entry.id})


def test_only_ended_entries_are_cleared() -> None:
    queue = queue_of(*STATES)
    assert order(cleared(queue)) == [1, 2, 3, 5]
    assert order(cleared(queue, {1, 5})) == [2, 3, 4, 6]
    with pytest.raises(QueueError, match="Entry 2 is running: cancel it first"):
        cleared(queue, {2})


def test_an_unknown_entry_and_no_jobs_are_refused() -> None:
    with pytest.raises(QueueError, match="no entry 9"):
        moved(queue_of("waiting"), {9}, "up")
    with pytest.raises(QueueError, match="0 runs at a time"):
        with_jobs(Queue(), 0)
