"""Time of a training step of a method relative to a dense one. Prints JSON.

    OMP_WAIT_POLICY=passive python tests/performance/step_overhead.py --pattern 2:4 --pattern 8:16
    python tests/performance/step_overhead.py --model deit-tiny --method sr-ste
    python tests/performance/step_overhead.py --table --optimizer adamw

``--table`` measures all methods that train in one set of rounds, on both models unless one is
given, with their conductors, half way through their schedules, at the first pattern. Those that
refuse the optimiser are left out: step needs Adam, and is measured in its second phase.
What a method does every so many steps, such as choosing transposable masks, is not in the median.

Each round takes, in random order, one step of the dense network, one of the sparse network, one of
a second dense network, and one of the sparse network without its masks, so that changes in the
machine's speed affect all alike. The result is the median ratio of all rounds; the second dense
network gives the ratio without any method. The placement of a network in memory alone can change
its speed by 10 %, so rounds are distributed over several copies of each, and ``ratio_in_place``
compares the sparse network with itself without masks (which excludes only torch's access to a
parametrized weight, 0.3 % of a step of DeiT-tiny). If other processes use the same CPUs, the ratio
of CPU time is more reliable. (Passive threads do not count waiting as work.)
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import asdict, dataclass, field
from functools import partial
from itertools import chain, count
from random import Random
from statistics import median
from time import perf_counter, process_time

import torch
from torch import Tensor, nn

from lbc import Pattern, Schedule, config, sparsify
from lbc.models import build
from lbc.sparsity.conductor import Conductor
from lbc.sparsity.method_names import method_names
from lbc.sparsity.method_options import Recipe, options_class
from lbc.sparsity.sparse_layer import SparseLayer
from lbc.sparsity.sparsifier import Sparsifier
from lbc.training.allocator import keep_freed_memory
from lbc.training.optimizer import build_optimizer

PATTERNS = ("2:4", "4:8", "2:16", "8:16")
MODELS = ("resnet18", "deit-tiny")
EPOCH_STEPS, SCHEDULE = 1000, Schedule(end=100)
HALF_WAY = 50 * EPOCH_STEPS + 1
CLASSES = 1000
WARM_UP_STEPS = 2
MAX_DECIDED_COUNT = 2000
"""Combinations above which deciding every block takes longer than the measurement."""


@dataclass(frozen=True)
class StepTime:
    """Seconds of a step: wall-clock time, CPU time of all threads, and that of ``backward``."""

    wall: float
    processor: float
    backward: float


@dataclass(frozen=True)
class Stepper:
    """A network and its optimiser, trained repeatedly on one batch."""

    model: nn.Module
    optimizer: torch.optim.Optimizer
    images: Tensor
    labels: Tensor
    conductor: Conductor = field(default_factory=Conductor)
    numbers: Iterator[int] = field(default_factory=lambda: count(HALF_WAY))

    def step(self) -> StepTime:
        """Take one step and return its time."""
        wall, cpu = perf_counter(), process_time()
        self.optimizer.zero_grad()
        number = next(self.numbers)
        self.conductor.before_step(number)
        loss = nn.functional.cross_entropy(self.model(self.images), self.labels)
        loss.item()
        penalty = self.conductor.penalty()
        total = loss if penalty is None else loss + penalty
        before = process_time()
        total.backward()  # type: ignore[no-untyped-call]
        backward = process_time() - before
        self.conductor.before_update(number)
        self.optimizer.step()
        self.conductor.after_update(number)
        return StepTime(perf_counter() - wall, process_time() - cpu, backward)

    def bytes(self) -> int:
        """Return the bytes of all tensors kept after a step, such as weights and gradients."""
        return sum(tensor.numel() * tensor.element_size() for tensor in self._tensors())

    def _tensors(self) -> Iterator[Tensor]:
        yield from self.model.buffers()
        for module in self.model.modules():
            if isinstance(module, SparseLayer):
                yield module.mask
                yield module.live_sets.stored
                if module._fixed is not None:
                    yield module._fixed[1]
        for parameter in self.model.parameters():
            yield parameter
            if parameter.grad is not None:
                yield parameter.grad
        for state in self.optimizer.state.values():
            yield from (value for value in state.values() if isinstance(value, Tensor))


@dataclass(frozen=True)
class Comparison:
    """Medians of seconds per step, and of the ratios within a round."""

    dense_seconds: float
    sparse_seconds: float
    ratio: float
    processor_ratio: float
    ratio_of_copies: tuple[float, ...]
    dense_to_dense_ratio: float
    dense_to_dense_of_copies: tuple[float, ...]
    ratio_in_place: float
    in_place_of_copies: tuple[float, ...]


class Switch:
    """Disables the masks of a network, and with them its scores, for single steps."""

    def __init__(self, sparsifier: Sparsifier) -> None:
        self._on = True
        for layer in sparsifier.layers.values():
            layer.forward = partial(self._weight, layer.forward)

    def off(self, step: Callable[[], StepTime]) -> StepTime:
        """Take one step without masks."""
        self._on = False
        taken = step()
        self._on = True
        return taken

    def _weight(self, masked: Callable[[Tensor], Tensor], weight: Tensor) -> Tensor:
        return masked(weight) if self._on else weight


@dataclass(frozen=True)
class Networks:
    """One copy of all networks in the comparison."""

    dense: Stepper
    sparse: Stepper
    second_dense: Stepper
    sparsifier: Sparsifier
    switch: Switch


Round = tuple[StepTime, StepTime, StepTime, StepTime]
"""Step times of the dense, the sparse, the second dense, and the sparse network without masks."""


def measure_rounds(networks: Networks, count: int, order: Random) -> list[Round]:
    """Measure ``count`` rounds after a warm-up."""
    steps = (
        networks.dense.step,
        networks.sparse.step,
        networks.second_dense.step,
        partial(networks.switch.off, networks.sparse.step),
    )
    for step in steps * WARM_UP_STEPS:
        step()
    rounds: list[Round] = []
    for _ in range(count):
        taken = {number: steps[number]() for number in order.sample(range(4), 4)}
        rounds.append((taken[0], taken[1], taken[2], taken[3]))
    return rounds


def compare(copies: list[list[Round]]) -> Comparison:
    """Summarise the rounds of all copies."""
    every = [taken for rounds in copies for taken in rounds]
    sparse = [[other.wall / dense.wall for dense, other, *_ in rounds] for rounds in copies]
    again = [[other.wall / dense.wall for dense, _, other, _ in rounds] for rounds in copies]
    in_place = [[masked.wall / off.wall for _, masked, _, off in rounds] for rounds in copies]
    return Comparison(
        dense_seconds=median(taken[0].wall for taken in every),
        sparse_seconds=median(taken[1].wall for taken in every),
        ratio=median(chain(*sparse)),
        processor_ratio=median(taken[1].processor / taken[0].processor for taken in every),
        ratio_of_copies=tuple(median(ratios) for ratios in sparse),
        dense_to_dense_ratio=median(chain(*again)),
        dense_to_dense_of_copies=tuple(median(ratios) for ratios in again),
        ratio_in_place=median(chain(*in_place)),
        in_place_of_copies=tuple(median(ratios) for ratios in in_place),
    )


def extra_bytes(dense: Stepper, sparse: Stepper) -> dict[str, int]:
    """Return the additional memory of the sparse network, between steps and with gradients."""
    for each in (dense, sparse):
        each.step()
    with_gradients = sparse.bytes() - dense.bytes()
    for each in (dense, sparse):
        each.optimizer.zero_grad()
    return {"between_steps": sparse.bytes() - dense.bytes(), "with_gradients": with_gradients}


def build_model(name: str, size: int) -> nn.Module:
    """Return one of ``MODELS`` for images of a size."""
    network = config.Experiment.model_validate({"model": {"name": name}}).model
    return build(network, (3, size, size), CLASSES)


def build_networks(pattern: Pattern, options: argparse.Namespace) -> Networks:
    """Return three copies of a network, each with an optimiser; one is sparse."""
    model = build_model(options.model, options.size)
    images = torch.randn(options.batch, 3, options.size, options.size)
    labels = torch.randint(CLASSES, (options.batch,))
    settings = config.Optimizer(lr=0.01, momentum=0.9, weight_decay=1e-4)

    def stepper(of: nn.Module) -> Stepper:
        return Stepper(of, build_optimizer(of, settings), images, labels)

    second, sparsified = deepcopy(model), deepcopy(model)
    sparsifier = sparsify(sparsified, pattern, options.method, scores="per_weight")
    sparse = stepper(sparsified)
    return Networks(stepper(model), sparse, stepper(second), sparsifier, Switch(sparsifier))


def measure(pattern: Pattern, options: argparse.Namespace) -> dict[str, object]:
    """Measure one pattern during the search and after all blocks are decided."""
    torch.manual_seed(0)
    order = Random(0)
    decides = options.method == "lbc" and pattern.count <= MAX_DECIDED_COUNT
    searching: list[list[Round]] = []
    decided: list[list[Round]] = []
    memory: dict[str, object] = {}
    for _ in range(options.copies):
        networks = build_networks(pattern, options)
        searching.append(measure_rounds(networks, options.rounds, order))
        memory["extra_bytes"] = extra_bytes(networks.dense, networks.sparse)
        if decides:
            networks.sparsifier.remove(1, networks.sparse.optimizer)
            decided.append(measure_rounds(networks, options.rounds, order))
            memory["decided_extra_bytes"] = extra_bytes(networks.dense, networks.sparse)
    result: dict[str, object] = {
        "pattern": str(pattern),
        "combinations": pattern.count,
        "sparse_weights": sum(at.mask.numel() for at in networks.sparsifier.layers.values()),
        "searching": asdict(compare(searching)),
    }
    if decides:
        result["decided"] = asdict(compare(decided))
    return result | memory


def training_methods(pattern: Pattern, optimizer: str) -> list[str]:
    """The methods that choose masks while weights are trained, and take pattern and optimiser."""
    recipe = Recipe(pattern, SCHEDULE, 100, optimizer, averaged=False, trained=True)
    options = {name: options_class(name)() for name in method_names()}
    return [
        name
        for name, at in options.items()
        if at.prunes and not at.one_shot
        if not at.layer_obstacle(pattern, ()) and not at.obstacle(recipe)
    ]


def method_steppers(
    model: str, pattern: Pattern, options: argparse.Namespace
) -> dict[str, Stepper]:
    """Networks of equal weights: one dense, another dense one, and one of every method."""
    dense = build_model(model, options.size)
    images = torch.randn(options.batch, 3, options.size, options.size)
    labels = torch.randint(CLASSES, (options.batch,))
    rate = 0.01 if options.optimizer == "sgd" else 1e-3
    settings = config.Optimizer(name=options.optimizer, lr=rate, weight_decay=1e-4)
    methods = options.methods.split(",") if options.methods else ()
    steppers = {}
    for name in ("dense", "second dense", *(methods or training_methods(pattern, settings.name))):
        network = deepcopy(dense)
        conductor = Conductor()
        if "dense" in name:
            optimizer = build_optimizer(network, settings)
        else:
            sparsifier = sparsify(network, pattern, name)
            optimizer = build_optimizer(network, settings)
            steps = 100 * EPOCH_STEPS
            conductor = sparsifier.conduct(
                optimizer,
                steps,
                EPOCH_STEPS,
                SCHEDULE,
                batches=lambda count: iter([images[:count]]),
            )
        steppers[name] = Stepper(network, optimizer, images, labels, conductor)
        if name == "step":
            steppers[name].step()  # has variances to fix
            conductor.decide()
    return steppers


def measure_methods(model: str, options: argparse.Namespace) -> dict[str, dict[str, object]]:
    """Ratios of every method's step to the dense one of its round: medians, and of each copy."""
    torch.manual_seed(0)
    order = Random(0)
    pattern = Pattern.parse((options.pattern or PATTERNS)[0])
    copies: list[list[dict[str, StepTime]]] = []
    for _ in range(options.copies):
        steppers = method_steppers(model, pattern, options)
        for stepper in list(steppers.values()) * WARM_UP_STEPS:
            stepper.step()
        names = list(steppers)
        rounds = [order.sample(names, len(names)) for _ in range(options.rounds)]
        copies.append([{name: steppers[name].step() for name in names} for names in rounds])
    every = list(chain(*copies))

    def ratio(name: str, rounds: list[dict[str, StepTime]]) -> float:
        return round(median(taken[name].wall / taken["dense"].wall for taken in rounds), 3)

    def processor_ratio(name: str) -> float:
        return round(median(at[name].processor / at["dense"].processor for at in every), 3)

    def backward_ratio(name: str) -> float:
        return round(median(at[name].backward / at["dense"].backward for at in every), 3)

    return {
        name: {
            "ratio": ratio(name, every),
            "processor_ratio": processor_ratio(name),
            "backward_ratio": backward_ratio(name),
            "ratio_of_copies": [ratio(name, rounds) for rounds in copies],
        }
        for name in every[0]
    }


def main() -> None:
    """Measure every requested pattern and print a JSON object."""
    parser = argparse.ArgumentParser(
        description="Time of a sparse training step relative to a dense one."
    )
    parser.add_argument("--model", choices=MODELS, help="resnet18; with --table both")
    parser.add_argument("--method", choices=["lbc", "sr-ste", "asp"], default="lbc")
    parser.add_argument("--table", action="store_true", help="measure all methods together")
    parser.add_argument("--methods", metavar="A,B", help="those of the table; all that train")
    parser.add_argument("--optimizer", choices=["sgd", "adamw"], default="sgd", help="of the table")
    parser.add_argument("--pattern", action="append", metavar="N:M", help="may be repeated")
    parser.add_argument("--batch", type=int, default=64, help="images per step")
    parser.add_argument("--size", type=int, default=64, help="height and width of an image")
    parser.add_argument("--rounds", type=int, default=6, help="rounds of each copy")
    parser.add_argument("--copies", type=int, default=4, help="copies of every network")
    parser.add_argument(
        "--as-it-comes", action="store_true", help="do not change the settings of malloc"
    )
    options = parser.parse_args()
    try:
        patterns = [Pattern.parse(text) for text in options.pattern or PATTERNS]
    except ValueError as error:
        parser.error(str(error))
    if min(options.batch, options.rounds, options.copies) < 1 or options.size < 32:
        parser.error("--batch, --rounds and --copies must be at least 1, --size at least 32.")
    models = [options.model] if options.model else MODELS if options.table else MODELS[:1]
    options.model = models[0]
    report = {
        "freed_memory_kept": not options.as_it_comes and keep_freed_memory(),
        "batch": options.batch,
        "size": options.size,
        "rounds": options.rounds,
        "copies": options.copies,
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
    }
    if options.table:
        report["optimizer"] = options.optimizer
        report["table"] = {model: measure_methods(model, options) for model in models}
    else:
        report |= {"model": options.model, "method": options.method}
        report["patterns"] = [measure(pattern, options) for pattern in patterns]
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
