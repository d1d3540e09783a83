"""How much longer does a training step take with LBC, or SR-STE, than dense? Prints JSON.

    OMP_WAIT_POLICY=passive python tests/performance/step_overhead.py --pattern 2:4 --pattern 8:16
    python tests/performance/step_overhead.py --model deit-tiny --method sr-ste

Dense and sparse steps alternate A B B A in one process, so that a machine that slows down or is
shared slows both; each pair of neighbours gives one ratio, and the median of those is the answer.
Where others work on the same processors, waiting for them makes up most of a step's time: there
the ratio of processor time tells more. (Passive threads do not count their own waiting as work.)
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import asdict, dataclass
from statistics import median
from time import perf_counter, process_time

import torch
from torch import Tensor, nn

from lbc import Pattern, config, sparsify
from lbc.allocator import keep_freed_memory
from lbc.models import build
from lbc.training.optimizer import build_optimizer

PATTERNS = ("2:4", "4:8", "2:16", "8:16")
MODELS = ("resnet18", "deit-tiny")
CLASSES = 1000
WARM_UP_STEPS = 2
LARGEST_DECIDED_COUNT = 2000
"""Combinations above which deciding every block takes longer than the measurement."""


@dataclass(frozen=True)
class Taken:
    """Seconds one step took: on the clock, and of all processors together."""

    wall: float
    processor: float


@dataclass(frozen=True)
class Stepper:
    """A network and its optimiser, trained on one batch over and over."""

    model: nn.Module
    optimizer: torch.optim.Optimizer
    images: Tensor
    labels: Tensor

    def step(self) -> Taken:
        """Take one step and tell how long it took."""
        started, worked = perf_counter(), process_time()
        self.optimizer.zero_grad()
        loss = nn.functional.cross_entropy(self.model(self.images), self.labels)
        loss.item()
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        return Taken(perf_counter() - started, process_time() - worked)

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
    """Medians: seconds per step, and sparse over dense by pairs of neighbouring steps."""

    dense_seconds: float
    sparse_seconds: float
    ratio: float
    smallest_ratio: float
    largest_ratio: float
    processor_ratio: float


def compare(dense: Stepper, sparse: Stepper, rounds: int) -> Comparison:
    """Measure ``rounds`` times dense, sparse, sparse, dense, after a warm-up."""
    for _ in range(WARM_UP_STEPS):
        dense.step()
        sparse.step()
    pairs: list[tuple[Taken, Taken]] = []
    for _ in range(rounds):
        first = dense.step()
        pairs.append((first, sparse.step()))
        second = sparse.step()
        pairs.append((dense.step(), second))
    ratios = [other.wall / plain.wall for plain, other in pairs]
    return Comparison(
        dense_seconds=median(plain.wall for plain, _ in pairs),
        sparse_seconds=median(other.wall for _, other in pairs),
        ratio=median(ratios),
        smallest_ratio=min(ratios),
        largest_ratio=max(ratios),
        processor_ratio=median(other.processor / plain.processor for plain, other in pairs),
    )


def extra_bytes(dense: Stepper, sparse: Stepper) -> dict[str, int]:
    """What the sparse network holds more, while there are gradients and between the steps."""
    with_gradients = sparse.bytes() - dense.bytes()
    for each in (dense, sparse):
        each.optimizer.zero_grad()
    return {"between_steps": sparse.bytes() - dense.bytes(), "with_gradients": with_gradients}


def measure(pattern: Pattern, options: argparse.Namespace) -> dict[str, object]:
    """One pattern while its combinations are searched, and after they are decided."""
    torch.manual_seed(0)
    network = config.Experiment.model_validate({"model": {"name": options.model}}).model
    model = build(network, (3, options.size, options.size), CLASSES)
    images = torch.randn(options.batch, 3, options.size, options.size)
    labels = torch.randint(CLASSES, (options.batch,))
    settings = config.Optimizer(lr=0.01, momentum=0.9, weight_decay=1e-4)
    copy = deepcopy(model)
    sparsifier = sparsify(copy, pattern, options.method, scores="per_weight")
    dense = Stepper(model, build_optimizer(model, settings), images, labels)
    sparse = Stepper(copy, build_optimizer(copy, settings), images, labels)
    result: dict[str, object] = {
        "pattern": str(pattern),
        "combinations": pattern.count,
        "sparse_weights": sum(layer.mask.numel() for layer in sparsifier.layers.values()),
    }
    result |= asdict(compare(dense, sparse, options.rounds))
    result["extra_bytes"] = extra_bytes(dense, sparse)
    if options.method == "lbc" and pattern.count <= LARGEST_DECIDED_COUNT:
        sparsifier.remove(1, sparse.optimizer)
        result["decided"] = asdict(compare(dense, sparse, options.rounds))
        result["decided_extra_bytes"] = extra_bytes(dense, sparse)
    return result


def main() -> None:
    """Measure every pattern asked for and print one JSON object."""
    parser = argparse.ArgumentParser(description="Time of a training step, sparse against dense.")
    parser.add_argument("--model", choices=MODELS, default="resnet18")
    parser.add_argument("--method", choices=["lbc", "sr-ste", "asp"], default="lbc")
    parser.add_argument("--pattern", action="append", metavar="N:M", help="may be repeated")
    parser.add_argument("--batch", type=int, default=64, help="images in a step")
    parser.add_argument("--size", type=int, default=64, help="height and width of an image")
    parser.add_argument("--rounds", type=int, default=6, help="times dense, sparse, sparse, dense")
    parser.add_argument(
        "--as-it-comes", action="store_true", help="leave the C library's memory be"
    )
    options = parser.parse_args()
    try:
        patterns = [Pattern.parse(text) for text in options.pattern or PATTERNS]
    except ValueError as error:
        parser.error(str(error))
    if min(options.batch, options.rounds) < 1 or options.size < 32:
        parser.error("--batch and --rounds start at 1, --size at 32.")
    report = {
        "model": options.model,
        "method": options.method,
        "freed_memory_kept": not options.as_it_comes and keep_freed_memory(),
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
