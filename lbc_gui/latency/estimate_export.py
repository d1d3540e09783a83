"""Estimates as CSV and JSON, which say that they are estimates, and from what."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from typing import Any

from lbc.latency.estimate import NOTICE, case_values, layer_values
from lbc_gui.latency.card_estimates import CardEstimates, LayerEstimate


def as_csv(cards: Sequence[CardEstimates]) -> str:
    """A row for each card and layer; the last column says that it is an estimate."""
    rows = [
        {"card": one.card.name, "type": one.model.dtype} | _values(layer)
        for one in cards
        for layer in one.layers
    ]
    text = io.StringIO()
    columns = dict.fromkeys(name for row in rows for name in row)
    writer = csv.DictWriter(text, [*columns, "source"], lineterminator="\n")
    writer.writeheader()
    source = {one.card.name: f"{NOTICE.lower()}: {one.card.citation}" for one in cards}
    writer.writerows(row | {"source": source[row["card"]]} for row in rows)
    return text.getvalue()


def as_json(cards: Sequence[CardEstimates]) -> str:
    """The same by card, with the whole network."""
    content = {
        "estimates": [
            {
                "card": one.card.name,
                "type": one.model.dtype,
                "note": f"{NOTICE}.",
                "citation": one.card.citation,
                "network": None if one.network is None else vars(one.network),
                "layers": [_values(layer) for layer in one.layers],
            }
            for one in cards
        ]
    }
    return json.dumps(content, indent=1, default=str, ensure_ascii=False) + "\n"


def _values(layer: LayerEstimate) -> dict[str, Any]:
    """What the command line writes, and the measurement; without an estimate the reason."""
    if layer.rank is None:
        return case_values(layer.case) | {"note": layer.reason}
    measured = layer.measured.ratio_of(layer.measured.sparse()) if layer.measured else None
    return layer_values(layer.rank) | {
        "measured_speedup": measured and measured.ratio,
        "residual": layer.residual,
    }
