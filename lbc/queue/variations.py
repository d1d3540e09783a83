"""Variations of an experiment: lists and ranges of values, all combinations, several seeds."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from itertools import product

from lbc.config import Experiment, parse_experiment
from lbc.config.strict_yaml import ExperimentError, parse_yaml
from lbc.queue.entries import QueueError

MOST_RUNS = 1000

_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
_RANGE = re.compile(rf"({_NUMBER})\.\.({_NUMBER})(?:/(\d{{1,9}})(log)?)?", re.ASCII)

Variations = Mapping[str, Sequence[object]]


def parse_values(text: str) -> tuple[object, ...]:
    """Read values as in an experiment, separated by commas, each once.

    ``4..8`` are the whole numbers from 4 to 8, ``0.1..0.3/5`` five values at equal distances and
    ``1e-4..1e-1/4log`` four values at equal ratios. Raises QueueError.
    """
    try:
        parsed, _ = parse_yaml(f"[{text}\n]", "the values")
    except ExperimentError:
        parsed = None
    if not isinstance(parsed, list) or not parsed:
        raise QueueError(f"{text!r} is not a list of values: write 4, 6, 8 or 4..8 or 0.1..0.3/5.")
    values = [value for one in parsed for value in _expanded(one)]
    return tuple({json.dumps(value): value for value in values}.values())


def vary(
    experiment: Experiment, variations: Variations, seeds: int = 1
) -> list[tuple[Experiment, str]]:
    """Every combination of the values with ``seeds`` seeds, which count up from the experiment's.

    Seed by seed, so that early results can be compared. Returns each experiment with the settings
    in which it differs from the others. Raises QueueError or ExperimentError.
    """
    if seeds < 1:
        raise QueueError(f"{seeds} seeds are not possible: choose 1 or more.")
    if seeds > 1:
        if "seed" in variations:
            raise QueueError("The seed is varied twice: leave out its values, or the seeds.")
        first = experiment.seed
        variations = {"seed": range(first, first + min(seeds, MOST_RUNS + 1)), **variations}
    count = math.prod(map(len, variations.values()))
    if count > MOST_RUNS:
        raise QueueError(f"More than {MOST_RUNS:,} runs at once: give fewer values.")
    grid = product(*([(key, value) for value in values] for key, values in variations.items()))
    return [(_changed(experiment, settings), _label(settings)) for settings in grid]


def _changed(experiment: Experiment, settings: Sequence[tuple[str, object]]) -> Experiment:
    data: dict[str, object] = experiment.model_dump(mode="json")
    for key, value in settings:
        _set(data, key, value)
    return parse_experiment(data, _label(settings))


def _set(data: dict[str, object], key: str, value: object) -> None:
    """Change the setting with a dotted key; names of layers have dots of their own."""
    section, _, rest = key.partition(".")
    inside = data.get(section)
    if not rest or not isinstance(inside, dict):
        data[key] = value
    elif rest == "name" and section in ("data", "model", "method") and inside["name"] != value:
        data[section] = {"name": value}  # another network, or other data, has other settings
    else:
        _set(inside, rest, value)


def _label(settings: Sequence[tuple[str, object]]) -> str:
    ordered = sorted(settings, key=lambda setting: setting[0] == "seed")
    return ", ".join(
        f"{key}={value if isinstance(value, str) else json.dumps(value)}" for key, value in ordered
    )


def _expanded(value: object) -> Sequence[object]:
    match = _RANGE.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        return [value]
    start, end, count, log = match.groups()
    low, high = float(start), float(end)
    if count is None:
        if not (low.is_integer() and high.is_integer()) or not low < high <= low + MOST_RUNS:
            raise QueueError(
                f"{value!r} has no step: give two whole numbers, the smaller one first, or the "
                f"number of values, as in {value}/5."
            )
        return range(int(low), int(high) + 1)
    number = int(count)
    if not 2 <= number <= MOST_RUNS or (log and min(low, high) <= 0) or math.isinf(low - high):
        needed = "two ends above 0 and " if log else ""
        raise QueueError(f"{value!r} is not a range: it needs {needed}2 to {MOST_RUNS:,} values.")
    shares = [at / (number - 1) for at in range(number)]
    if log:
        found = [low * (high / low) ** share for share in shares]
    else:
        found = [low + (high - low) * share for share in shares]
    # The last digits are those of the arithmetic and not the user's.
    found = [float(f"{one:.12g}") for one in found]
    whole = all(one.is_integer() for one in found) and "." not in start + end
    return [int(one) for one in found] if whole else found
