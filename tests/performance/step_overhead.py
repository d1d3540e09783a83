"""How much longer does a training step take with LBC than dense? Prints JSON.

    python tests/performance/step_overhead.py --model resnet18 --pattern 2:4 --pattern 8:16

Dense and sparse steps alternate A B B A in one process, so that a machine that slows down or is
shared slows both; each pair of neighbours gives one ratio, and the median of those is the answer.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import asdict, dataclass
from statistics import median
from time import perf_counter

import torch
from torch import Tensor, nn

from lbc import Pattern, config, sparsify
from lbc.models import ResNet18
from lbc.training.optimizer import build_optimizer

PATTERNS = ("2:4", "4:8", "2:16", "8:16")
CLASSES = 1000
WARM_UP_STEPS = 2
LARGEST_DECIDED_COUNT = 2000
"""Combinations above which deciding every block takes longer than the measurement."""


@dataclass(frozen=True)
class Stepper:
    """A network and its optimiser, trained on one batch over and over."""

    model: nn.Module
    optimizer: torch.optim.Optimizer
    images: Tensor
    labels: Tensor

    def seconds(self) -> float:
        """Take one step and tell how long it took."""
        started = perf_counter()
        self.optimizer.zero_grad()
        loss = nn.functional.cross_entropy(self.model(self.images), self.labels)
        loss.item()
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        return perf_counter() - started

    def bytes(self) -> int:
        """Memory of all tensors that outlive a step: weights, gradients, buffers, moments."""
        return sum(tensor.numel() * tensor.element_size() for tensor in self._tensors())

    def _tensors(self) -> Iterator[Tensor]:
        yield from self.model.buffers()
        for parameter in self.model.parameters():
            yield parameter
            if parameter.grad is not None:
                yield parameter.grad
        for state in self.optimizer.state.values():
            yield from (value for value in state.values() if isinstance(value, Tensor))


@dataclass(frozen=True)
class Comparison:
    """Seconds per step, and LBC over dense by pairs of neighbouring steps."""

    dense_seconds: float
    lbc_seconds: float
    ratio: float
    smallest_ratio: float
    largest_ratio: float


def compare(dense: Stepper, lbc: Stepper, rounds: int) -> Comparison:
    """Measure ``rounds`` times dense, LBC, LBC, dense, after a warm-up."""
    for _ in range(WARM_UP_STEPS):
        dense.seconds()
        lbc.seconds()
    pairs: list[tuple[float, float]] = []
    for _ in range(rounds):
        first = dense.seconds()
        pairs.append((first, lbc.seconds()))
        second = lbc.seconds()
        pairs.append((dense.seconds(), second))
    ratios = [with_lbc / without for without, with_lbc in pairs]
    return Comparison(
        dense_seconds=median(seconds for seconds, _ in pairs),
        lbc_seconds=median(seconds for _, seconds in pairs),
        ratio=median(ratios),
        smallest_ratio=min(ratios),
        largest_ratio=max(ratios),
    )


def measure(pattern: Pattern, options: argparse.Namespace) -> dict[str, object]:
    """One pattern while its combinations are searched, and after they are decided."""
    torch.manual_seed(0)
    model = ResNet18(classes=CLASSES)
    images = torch.randn(options.batch, 3, options.size, options.size)
    labels = torch.randint(CLASSES, (options.batch,))
    settings = config.Optimizer(lr=0.01, momentum=0.9, weight_decay=1e-4)
    sparse = deepcopy(model)
    sparsifier = sparsify(sparse, pattern, scores="per_weight")
    dense = Stepper(model, build_optimizer(model, settings), images, labels)
    lbc = Stepper(sparse, build_optimizer(sparse, settings), images, labels)
    result: dict[str, object] = {"pattern": str(pattern), "combinations": pattern.count}
    result |= asdict(compare(dense, lbc, options.rounds))
    result["extra_bytes"] = lbc.bytes() - dense.bytes()
    if pattern.count <= LARGEST_DECIDED_COUNT:
        sparsifier.remove(1, lbc.optimizer)
        decided = compare(dense, lbc, options.rounds)
        result["decided_ratio"] = decided.ratio
        result["decided_extra_bytes"] = lbc.bytes() - dense.bytes()
    return result


def main() -> None:
    """Measure every pattern asked for and print one JSON object."""
    parser = argparse.ArgumentParser(description="Time of a training step, LBC against dense.")
    parser.add_argument("--model", choices=["resnet18"], default="resnet18")
    parser.add_argument("--pattern", action="append", metavar="N:M", help="may be repeated")
    parser.add_argument("--batch", type=int, default=64, help="images in a step")
    parser.add_argument("--size", type=int, default=64, help="height and width of an image")
    parser.add_argument("--rounds", type=int, default=6, help="times dense, LBC, LBC, dense")
    options = parser.parse_args()
    try:
        patterns = [Pattern.parse(text) for text in options.pattern or PATTERNS]
    except ValueError as error:
        parser.error(str(error))
    if min(options.batch, options.rounds) < 1 or options.size < 32:
        parser.error("--batch and --rounds start at 1, --size at 32.")
    report = {
        "model": options.model,
        "batch": options.batch,
        "size": options.size,
        "rounds": options.rounds,
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "patterns": [measure(pattern, options) for pattern in patterns],
    }
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
