"""Estimated latency of 2:4 on cards that are not at hand, fitted to published measurements."""

from lbc.latency.estimate.card import NOTICE, Card, cards, find_card, find_type
from lbc.latency.estimate.card_model import CardModel
from lbc.latency.estimate.errors import EstimateError
from lbc.latency.estimate.measured import with_measurements
from lbc.latency.estimate.network import (
    BreakEven,
    NetworkEstimate,
    RankedLayer,
    break_even,
    case_values,
    estimate_network,
    layer_values,
    rank_layers,
)
from lbc.latency.estimate.product import (
    EstimatedLayers,
    Limit,
    ProductEstimate,
    estimate_cases,
    estimate_product,
)

__all__ = [
    "NOTICE",
    "BreakEven",
    "Card",
    "CardModel",
    "EstimateError",
    "EstimatedLayers",
    "Limit",
    "NetworkEstimate",
    "ProductEstimate",
    "RankedLayer",
    "break_even",
    "cards",
    "case_values",
    "estimate_cases",
    "estimate_network",
    "estimate_product",
    "find_card",
    "find_type",
    "layer_values",
    "rank_layers",
    "with_measurements",
]
