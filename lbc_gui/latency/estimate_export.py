"""Estimates as CSV and JSON, which say that they are estimates, and from what."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from typing import Any

from lbc_gui.latency.card_estimates import NOTICE, CardEstimates, LayerEstimate


def as_csv(cards: Sequence[CardEstimates]) -> str:
    """A row for each card and layer; the last column says that it is an estimate."""
    rows = [
        {"card": one.card.name, "type": one.model.dtype} | _values(layer)
        for one in cards
        for layer in one.layers
    ]
    text = io.StringIO()
    writer = csv.DictWriter(text, [*rows[0], "source"] if rows else ["source"], lineterminator="\n")
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
    case, one, rank = layer.case, layer.estimate, layer.rank
    measured = layer.measured.ratio_of(layer.measured.sparse()) if layer.measured else None
    return {
        "layer": case.name,
        "outputs": case.m,
        "tokens": case.n,
        "inputs": case.k,
        "pattern": str(case.pattern),
        "dense_us": one and one.dense_us,
        "sparse_us": one and one.sparse_us,
        "speedup": one and one.speedup,
        "low": one and one.low,
        "high": one and one.high,
        "dense_limit": one and one.dense_limit,
        "sparse_limit": one and one.sparse_limit,
        "saved_us": rank and rank.saved_us,
        "saved_share_of_time": rank and rank.saved_share,
        "share_of_weights": rank and rank.weight_share,
        "measured_speedup": measured and measured.ratio,
        "residual": layer.residual,
        "note": layer.reason or (one.note if one else ""),
    }
