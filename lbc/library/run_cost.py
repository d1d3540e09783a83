"""What a trained network costs: multiply-adds, and its latency where that was measured."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from lbc.config import Experiment, load_experiment
from lbc.config.strict_yaml import ExperimentError

LATENCY = "latency.json"
"""In a run's folder, what ``lbc latency run --run FOLDER --json FOLDER/latency.json`` wrote."""


@dataclass(frozen=True)
class RunCost:
    """Millions of multiply-adds for one image, with zeros left out, and microseconds.

    None where it is not known: the model is another program's, or nothing was measured.
    """

    macs: float | None = None
    latency: float | None = None


COSTS: Mapping[str, Callable[[RunCost], float | None]] = {
    "MACs (million)": lambda cost: cost.macs,
    "latency (µs)": lambda cost: cost.latency,
}
"""Columns by their titles. Reading them loads torch."""


class CostReader:
    """Reads the costs of runs; what runs of the same model and pattern share is computed once."""

    def __init__(self) -> None:
        self._macs: dict[str, float | None] = {}

    def read(self, folder: Path) -> RunCost:
        """The costs of the run in a folder, as far as its files can be read."""
        from lbc.latency.files import load_measurements
        from lbc.latency.measurement import MeasurementError
        from lbc.latency.network import layers_us

        macs = latency = None
        with suppress(ExperimentError):
            macs = self._macs_of(load_experiment(folder / "experiment.yaml"))
        if (folder / LATENCY).is_file():  # not a pipe, which would be waited for
            with suppress(MeasurementError):
                latency = layers_us(load_measurements(folder / LATENCY)[0])
        return RunCost(macs, latency)

    def _macs_of(self, experiment: Experiment) -> float | None:
        kept = {"model", "data", "pattern", "method", "skip", "layers"}
        key = experiment.model_dump_json(include=kept)
        if key not in self._macs:
            try:
                self._macs[key] = kept_macs(experiment) / 1e6
            except ValueError:  # its data are not here, or its model is not ours to run
                self._macs[key] = None
        return self._macs[key]


def kept_macs(experiment: Experiment) -> float:
    """Multiply-adds for one image, of sparse layers only those with weights that are kept.

    Raises ValueError if the data are not there, or the model is another program's.
    """
    from lbc.data import DataError, describe
    from lbc.models import build_on_meta
    from lbc.models.layer_cost import model_cost
    from lbc.sparsity.layer_plan import plan_layers

    try:
        in_shape, classes = describe(experiment.data)
    except DataError as error:
        raise ValueError(str(error)) from error
    model = build_on_meta(experiment.model, in_shape, classes)
    cost = model_cost(model, in_shape)
    if not experiment.method.prunes:
        return cost.macs
    plans = plan_layers(model, experiment.pattern, experiment.skip, experiment.layers, cost.roles)
    left_out = [
        cost.layers[plan.name].macs * (1 - plan.pattern.density) for plan in plans if plan.pattern
    ]
    return cost.macs - sum(left_out)
