"""The time to estimate every layer of a network on a card, as a slider does it.

    python tests/performance/estimate_speed.py

Prints median and largest milliseconds for as many products as DeiT-small has linear layers (48) and
ResNet-50 convolutions (53), with another number of tokens or images every time.
"""

from __future__ import annotations

import statistics
import time
from itertools import cycle, islice

from lbc.latency.cases import Case, named_cases
from lbc.latency.estimate import cards, estimate_cases, estimate_network, rank_layers

NETWORKS = {"deit-small": 48, "resnet-50": 53}
ROUNDS = 100


def main() -> None:
    for name, layers in NETWORKS.items():
        batches = [named_cases(name, 197 * batch, batch) for batch in (1, 2, 4, 8)]
        times = [
            _milliseconds(tuple(islice(cycle(batch), layers)))
            for batch in islice(cycle(batches), ROUNDS)
        ]
        print(
            f"{name}: {layers} layers, median {statistics.median(times):.1f} ms, "
            f"at most {max(times):.1f} ms"
        )


def _milliseconds(cases: tuple[Case, ...]) -> float:
    model = cards()[0].model("bf16")
    start = time.perf_counter()
    estimated = estimate_cases(model, cases)
    estimate_network(estimated)
    rank_layers(estimated)
    return (time.perf_counter() - start) * 1e3


if __name__ == "__main__":
    main()
