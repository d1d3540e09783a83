"""Fit the estimates of 2:4 latency to published measurements, and print their held-out errors.

    python tests/performance/latency_fit.py published-2to4.csv [--json] [--write | --far]

The CSV has the columns gpu, input_dtype, shapes_of (the network whose layers they are), tokens,
outputs, inputs, dense_us and sparse_us. Every family of shapes is left out in turn; the errors are
those of the speed-up of the family that was left out, and an interval covers a case of it if the
interval of the other families' errors contains the measured speed-up. Prints a Markdown table, or
JSON; ``--write`` replaces the coefficients that ship with the package. ``--far`` instead judges the
intervals of the shipped coefficients far from the data: it leaves out all shapes within one to four
octaves of a case, and prints how many cases are within their intervals.
"""

from __future__ import annotations

import argparse
import csv
import json
from pathlib import Path

import numpy as np

from lbc.files.resources import resource
from lbc.latency.estimate.card import FILE, Card, find_card
from lbc.latency.estimate.card_model import CardModel, octaves_beyond, size_class
from lbc.latency.estimate.fit import Pairs, fit_model, fit_predictor
from lbc.latency.estimate.predictor import Type

CARDS = {
    "A100": ("A100", "A100 80 GB PCIe", 108, 40.0),
    "H100": ("H100", "H100 PCIe", 114, 50.0),
    "B200": ("B200", "B200", 148, 126.0),
    "RTX4090": ("RTX 4090", "GeForce RTX 4090", 128, 72.0),
    "RTX5080": ("RTX 5080", "GeForce RTX 5080", 84, 64.0),
    "GB10": ("GB10", "GB10 (DGX Spark)", 48, 24.0),
}
"""Name, title, multiprocessors and MB of L2 cache of the cards in the CSV (NVIDIA)."""

TYPES: dict[str, Type] = {"BF16": "bfloat16", "FP16": "float16", "INT8": "int8", "FP8": "float8"}

CITATION = (
    "SlideSparse (arXiv 2603.05232), raw data of github.com/bcacdwk/vllmbench, Apache-2.0: "
    "cuBLASLt and cuSPARSELt 0.8.1, best algorithm of each, one warm buffer, eager launches."
)

LEAST_ROWS = 100
"""Rows of a card and type without which nothing is fitted."""


def read_pairs(path: Path) -> list[Pairs]:
    """Read the measured pairs of every card and type, in the order of ``CARDS`` and ``TYPES``."""
    with path.open(newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if float(row["sparse_us"]) > 0]
    found = []
    for gpu, (name, _, multiprocessors, cache) in CARDS.items():
        for column, dtype in TYPES.items():
            chosen = [row for row in rows if (row["gpu"], row["input_dtype"]) == (gpu, column)]
            if len(chosen) < LEAST_ROWS:
                continue
            sizes = [[float(row[c]) for c in ("tokens", "outputs", "inputs")] for row in chosen]
            times = [[float(row[c]) for c in ("dense_us", "sparse_us")] for row in chosen]
            families = np.array([row["shapes_of"] for row in chosen])
            pairs = Pairs(
                name, dtype, multiprocessors, cache, np.array(sizes), np.array(times), families
            )
            found.append(pairs)
    return found


def far_coverage(found: list[Pairs], cases: int = 5) -> dict[str, tuple[int, float]]:
    """For octaves beyond the first from the nearest centre: cases, fraction in their intervals."""
    draw = np.random.default_rng(0)
    hits: dict[str, list[bool]] = {}
    for pairs in found:
        model = find_card(pairs.card).model(pairs.dtype)
        octaves = np.log2(pairs.shapes)
        for radius in (1.1, 2.1, 3.1, 4.1):
            for at in draw.choice(len(octaves), cases, replace=False):
                kept = np.linalg.norm(octaves - octaves[at], axis=1) > radius
                if kept.sum() < LEAST_ROWS // 2:
                    continue
                case, predictor = pairs.shapes[[at]], fit_predictor(pairs[kept])
                beyond = octaves_beyond(case, predictor)[0]
                width = model.half_widths[size_class(case)[0]] + model.widening * beyond
                error = abs(predictor.log_speedup(case)[0] - pairs.log_speedup[at])
                hits.setdefault(f"{int(beyond)} to {int(beyond) + 1}", []).append(error <= width)
    return {key: (len(hits[key]), float(np.mean(hits[key]))) for key in sorted(hits)}


def summary(models: list[CardModel]) -> list[dict[str, object]]:
    """One row for each card and type, and one for each card's coverage in all its types."""
    table: list[dict[str, object]] = [
        {"card": m.card, "type": m.dtype, "rows": m.rows, **m.errors.model_dump()} for m in models
    ]
    for card in dict.fromkeys(m.card for m in models):
        own = [m for m in models if m.card == card]
        rows = sum(m.rows for m in own)
        covered = sum(m.rows * m.errors.coverage for m in own) / rows
        table.append({"card": card, "type": "all", "rows": rows, "coverage": round(covered, 4)})
    return table


def markdown(table: list[dict[str, object]]) -> str:
    """The table for the README."""
    lines = [
        "| card | type | pairs | median error | 90 % within | in 80 % interval |",
        "|---" * 6 + "|",
    ]
    for row in table:
        errors = [f"{row[key]:.1%}" if key in row else "" for key in ("median", "p90", "coverage")]
        lines.append(
            "| " + " | ".join([str(row[k]) for k in ("card", "type", "rows")] + errors) + " |"
        )
    return "\n".join(lines)


def write(models: list[CardModel]) -> Path:
    """Replace the shipped coefficients."""
    cards = [
        Card(
            name=name,
            title=title,
            citation=CITATION,
            models=tuple(model for model in models if model.card == name),
        )
        for name, title, *_ in CARDS.values()
    ]
    path = resource("measurements") / Path(FILE).relative_to("measurements")
    path.parent.mkdir(exist_ok=True)
    lines = ",\n".join(card.model_dump_json() for card in cards)
    path.write_text(f'{{"cards": [\n{lines}\n]}}\n', encoding="utf-8")
    return path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("csv", type=Path)
    parser.add_argument("--json", action="store_true", help="print JSON instead of Markdown")
    parser.add_argument("--write", action="store_true", help="replace the shipped coefficients")
    parser.add_argument("--far", action="store_true", help="judge intervals far from the data")
    options = parser.parse_args()
    found = read_pairs(options.csv)
    if options.far:
        for octaves, (cases, inside) in far_coverage(found).items():
            print(f"{octaves} octaves beyond the first: {inside:.0%} of {cases} cases inside")
        return
    models = [fit_model(pairs) for pairs in found]
    table = summary(models)
    print(json.dumps(table, indent=1) if options.json else markdown(table))
    if options.write:
        print(f"Written to {write(models)}.")


if __name__ == "__main__":
    main()
