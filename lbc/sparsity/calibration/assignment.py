"""The assignment of n things to n places with the largest total gain."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from lbc.sparsity.arrays import Indices


def assign(
    gains: np.ndarray[tuple[int, int], np.dtype[np.float64]],
    report: Callable[[], object] = lambda: None,
) -> Indices:
    """The place of every thing, (n,), that maximises Σ gains[thing, place]; gains are (n, n).

    By shortest augmenting paths in O(n³) (Jonker, Volgenant, "A Shortest Augmenting Path Algorithm
    for Dense and Sparse Linear Assignment Problems", Computing 1987).
    """
    costs = gains.max(initial=0.0) - gains
    size = len(costs)
    prices = np.zeros(size)  # of places, the duals; those of things follow from them
    owner = np.full(size, -1)
    for thing in range(size):
        report()
        distance = costs[thing] - prices
        distance -= distance.min()
        origin, done = np.full(size, thing), np.zeros(size, bool)
        while True:
            open_distance = np.where(done, np.inf, distance)
            place = int(open_distance.argmin())
            reach = distance[place]
            if owner[place] < 0:
                break
            done[place] = True
            via = int(owner[place])
            reduced = costs[via] - prices
            through = reach + reduced - reduced[place]
            better = ~done & (through < distance)
            distance[better], origin[better] = through[better], via
        prices[done] += distance[done] - reach
        _augment(owner, origin, thing, place)
    places = np.empty(size, np.int64)
    places[owner] = np.arange(size)
    return places


def _augment(owner: Indices, origin: Indices, thing: int, place: int) -> None:
    """Give ``place`` to the thing that reached it, whose former place goes to the next one."""
    while True:
        taker = int(origin[place])
        former = int((owner == taker).argmax()) if taker != thing else -1
        owner[place] = taker
        if taker == thing:
            return
        place = former
