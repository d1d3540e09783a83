"""``lbc latency estimate``: the latency of 2:4 on cards that are not at hand.

Exit status: 0 estimated, 2 invalid input, or a card, type or sizes without an estimate.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.table import Table

from lbc.cli.console import Console
from lbc.cli.latency_cases import add_case_choices, chosen_cases
from lbc.cli.new_file import require_new
from lbc.files.atomic import write_atomically
from lbc.files.os_errors import explain

if TYPE_CHECKING:
    from lbc.latency.cases import Case
    from lbc.latency.estimate import Card, CardModel, EstimatedLayers, NetworkEstimate
    from lbc.latency.measurement import Measurement

MAX_SIDE = 1 << 20

MOST_NAMES = 4

DONE, NOT_WRITTEN, INVALID_INPUT = 0, 1, 2

TOKENS = tuple(1 << power for power in range(17))
"""Numbers of tokens among which the least is looked for from which 2:4 pays."""


def add_parser(which: Any) -> None:
    """Add ``estimate`` to the subcommands of ``latency``."""
    parser = which.add_parser(
        "estimate", help="estimate the latency of a GPU from published measurements"
    )
    add_case_choices(parser)
    parser.add_argument(
        "--tokens",
        type=_numbers,
        metavar="N,…",
        help="numbers of tokens for linear layers, for example 64,256,4096 (default: 4096 for "
        "named transformers, --batch images for a model)",
    )
    parser.add_argument(
        "--gpu", type=_names, default=["a100"], metavar="CARD,…",
        help="A100, H100, B200, RTX 4090, RTX 5080 or GB10; several are compared (default: a100)",
    )  # fmt: skip
    parser.add_argument(
        "--dtype", type=_names, default=["bf16"], metavar="TYPE,…",
        help="bf16, fp16, int8 or fp8 (default: bf16)",
    )  # fmt: skip
    parser.add_argument(
        "--measured", nargs="+", type=Path, default=[], metavar="FILE",
        help="add measurements of the same card to the published ones",
    )  # fmt: skip
    parser.add_argument(
        "--json", nargs="?", const=Path("-"), type=Path, metavar="FILE",
        help="write JSON to a new file, or to standard output instead of tables",
    )  # fmt: skip


def command(options: argparse.Namespace, errors: Console) -> int:
    """Print or write the estimates; return the exit status. Raises ValueError for bad input."""
    estimates = _estimates(options, errors)
    if options.json:
        text = json.dumps({"estimates": [one.as_values() for one in estimates]}, indent=1) + "\n"
        if str(options.json) == "-":
            print(text, end="")
            return DONE
        require_new(options.json, "--json")
        try:
            write_atomically(options.json, lambda file: file.write(text.encode()), follow=True)
        except OSError as error:
            errors.print(explain(error, f"{options.json} could not be written"))
            return NOT_WRITTEN
        return DONE
    console = Console(soft_wrap=False)
    for one in estimates:
        one.print(console)
    return DONE


@dataclass(frozen=True)
class _Estimate:
    """The estimated layers of a network on one card, in one type, at one number of tokens."""

    card: Card
    model: CardModel
    tokens: int | None
    layers: EstimatedLayers
    network: NetworkEstimate | None

    def as_values(self) -> dict[str, Any]:
        """Return the estimate as JSON values."""
        from lbc.latency.estimate import NOTICE, layer_values, rank_layers

        return {
            "card": self.card.title,
            "type": self.model.dtype,
            "tokens": self.tokens,
            "note": f"{NOTICE}.",
            "citation": self.card.citation,
            "held_out": self.model.errors.model_dump(),
            "network": self.network and vars(self.network),
            "layers": [layer_values(row) for row in rank_layers(self.layers)],
            "refused": {case.name: reason for case, reason in self.layers.refused},
        }

    def print(self, console: Console) -> None:
        """Print a table of the layers, those that save most time first."""
        from lbc.latency.estimate import NOTICE, rank_layers

        count = f", {self.tokens:,} tokens" if self.tokens else ""
        console.print(f"{self.card.title}, {self.model.dtype}{count}", style="bold")
        console.print(f"{NOTICE}. {self.model.describe()} {self.model.caveat}".rstrip())
        table = Table(
            "layer", "m × n × k", "dense µs", "2:4 µs", "speed-up (80 %)", "limit dense, 2:4",
            "saves", "weights", "pays from",
        )  # fmt: skip
        for row in rank_layers(self.layers):
            layer, case = row.layer, row.layer.case
            times = f" ×{case.count}" if case.count > 1 else ""
            table.add_row(
                f"{case.name}{times}",
                f"{case.m} × {case.n} × {case.k}",
                f"{layer.dense_us:,.1f}",
                f"{layer.sparse_us:,.1f}",
                f"{layer.speedup:.2f} ({layer.low:.2f}–{layer.high:.2f})",
                ", ".join(dict.fromkeys((layer.dense_limit, layer.sparse_limit))),
                f"{row.saved_share:.1%}",
                f"{row.weight_share:.1%}",
                self._pays_from(case),
            )
        console.print(table)
        for note in dict.fromkeys(row.note for row in self.layers.layers if row.note):
            console.print(note)
        if self.network is not None and (self.network.share or self._repeats):
            console.print(self.network.describe())
        console.print(self.card.citation, style="dim")

    @property
    def _repeats(self) -> bool:
        """Whether the layers are those of a network, rather than single sizes."""
        return any(layer.case.count > 1 for layer in self.layers.layers)

    def _pays_from(self, case: Case) -> str:
        from lbc.latency.estimate import break_even

        least = break_even(self.model, case, TOKENS).likely
        return "never" if least is None else f"{least:,}"


def _estimates(options: argparse.Namespace, errors: Console) -> list[_Estimate]:
    from lbc.latency.cases import DEFAULT_TOKENS, at_tokens
    from lbc.latency.estimate import estimate_cases, estimate_network, find_card, with_measurements

    cards = {card.name: card for card in map(find_card, options.gpu)}.values()
    models = [(card, card.model(dtype)) for card in cards for dtype in dict.fromkeys(options.dtype)]
    measured = _measured(options.measured)
    cases = chosen_cases(options, DEFAULT_TOKENS, errors)
    by_tokens = {count: at_tokens(cases, count) for count in options.tokens or ()} or {None: cases}
    estimates = []
    for card, model in models:
        fitted = with_measurements(model, measured) if measured else model
        for tokens, sized in by_tokens.items():
            layers = estimate_cases(fitted, sized)
            estimates.append(_Estimate(card, fitted, tokens, layers, estimate_network(layers)))
    reasons = _reasons(estimates)
    found = [one for one in estimates if one.layers.layers]
    if not found:
        raise ValueError("\n".join(reasons) or "There is no sparse layer to estimate.")
    for reason in reasons:
        errors.print(reason)
    return found


def _reasons(estimates: list[_Estimate]) -> list[str]:
    """Return a sentence for each reason why there is no estimate, with the layers that it is of."""
    layers: dict[str, dict[str, None]] = {}
    for one in estimates:
        for case, reason in one.layers.refused:
            layers.setdefault(reason, {})[case.name] = None
    return [
        f"{', '.join(list(names)[:MOST_NAMES])}"
        f"{f' and {len(names) - MOST_NAMES} more' if len(names) > MOST_NAMES else ''}: {reason}"
        for reason, names in layers.items()
    ]


def _measured(paths: list[Path]) -> tuple[Measurement, ...]:
    from lbc.latency.files import load_measurements

    return tuple(measurement for path in paths for measurement in load_measurements(path))


def _names(text: str) -> list[str]:
    """Split "a100, rtx 4090" at its commas."""
    names = [name.strip() for name in text.split(",") if name.strip()]
    if not names:
        raise argparse.ArgumentTypeError("give one name or more, with commas between them")
    return names


def _numbers(text: str) -> list[int]:
    """Parse "16,256,4096" into distinct whole numbers from 1, in order."""
    try:
        numbers = [int(part) for part in text.split(",")]
    except ValueError:
        numbers = []
    if not numbers or not all(1 <= number <= MAX_SIDE for number in numbers):
        raise argparse.ArgumentTypeError(
            f"{text[:80]!r} are not numbers of tokens: write whole numbers from 1 to {MAX_SIDE:,}, "
            "with commas between them"
        )
    return list(dict.fromkeys(numbers))
