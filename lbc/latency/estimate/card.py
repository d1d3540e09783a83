"""The cards with an estimate, read from the fit that ships with the package."""

from __future__ import annotations

import re
from functools import cache

from lbc.files.resources import resource
from lbc.latency.estimate.card_model import CardModel
from lbc.latency.estimate.errors import EstimateError
from lbc.latency.measurement import Record

FILE = "measurements/estimates/published.json"
"""The fitted coefficients, written by ``tests/performance/latency_fit.py --write``."""

NOTICE = "Estimated from published data, not measured"
"""What every picture, table and file of estimates says."""

ALIASES = {"bf16": "bfloat16", "fp16": "float16", "half": "float16", "fp8": "float8"}

OTHER_CARDS = {"laptop", "mobile", "max", "d", "ti", "super", "mig"}
"""Words in a driver's name of another card, or of a part of one."""


class Card(Record):
    """A card with published measurements, from which the models of its types are fitted."""

    name: str
    title: str
    citation: str
    models: tuple[CardModel, ...]

    @property
    def types(self) -> tuple[str, ...]:
        """The types with data."""
        return tuple(model.dtype for model in self.models)

    def model(self, dtype: str) -> CardModel:
        """Return the model of a type, "bfloat16" or "bf16". Raises EstimateError without data."""
        wanted = find_type(dtype)
        for model in self.models:
            if model.dtype == wanted:
                return model
        raise EstimateError(
            f"There is no published data of {wanted} on the {self.title}: choose "
            f"{_either(self.types)}."
        )


class _File(Record):
    cards: tuple[Card, ...]


@cache
def cards() -> tuple[Card, ...]:
    """Return the cards that can be estimated."""
    return _File.model_validate_json(resource(FILE).read_bytes()).cards


def find_card(name: str) -> Card:
    """Return the card of a name, as users or drivers write it: "a100", "NVIDIA A100-SXM4-80GB".

    Raises EstimateError for any other card.
    """
    words = set(re.findall(r"[a-z0-9]+", name.lower()))
    if not words & OTHER_CARDS:
        for card in cards():
            parts = card.name.lower().split()
            if words & {parts[-1], "".join(parts)}:
                return card
    known = _either([card.name for card in cards()])
    raise EstimateError(f"There is no published data of {name.strip()[:80]!r}: choose {known}.")


def find_type(name: str) -> str:
    """Return the full name of a type. Raises EstimateError for one that no card has."""
    key = name.strip().lower().removeprefix("torch.")
    key = "float8" if key.startswith("float8") else ALIASES.get(key, key)
    known = list(dict.fromkeys(dtype for card in cards() for dtype in card.types))
    if key not in known:
        raise EstimateError(
            f"There is no published data of type {name.strip()[:80]!r}: choose {_either(known)}."
        )
    return key


def _either(names: list[str] | tuple[str, ...]) -> str:
    return " or ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
