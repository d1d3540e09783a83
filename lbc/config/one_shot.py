"""Experiments without training: a trained model pruned at once, and what trains the result on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from lbc.config.experiment import Experiment
from lbc.config.experiment_files import parse_experiment
from lbc.sparsity.method_options import one_shot_methods, options_class

METHOD = "sparsegpt"
"""The method that is proposed."""


def one_shot_experiment(
    experiment: Experiment,
    checkpoint: Path,
    method: str = METHOD,
    pattern: str = "",
    images: int = 0,
    settings: Sequence[str] = (),
) -> Experiment:
    """The experiment with the weights of a checkpoint, to be pruned by another method.

    An empty ``pattern`` is the experiment's own, as are the N:M of single layers. ``images`` are
    those for calibration, 0 for the method's default; ``settings`` are as in ``load_experiment``.
    Raises ValueError if the method is none that prunes at once, and ExperimentError.
    """
    options = options_class(method)
    if not options.one_shot:
        raise ValueError(
            f"The method {method} does not prune a model at once: choose "
            f"{', '.join(one_shot_methods())}, or train with it."
        )
    document = experiment.model_dump(mode="json")
    chosen: dict[str, object] = {"name": method}
    if images and "images" in options.model_fields:
        chosen["images"] = images
    training = document["training"] | {"weights": str(checkpoint.absolute()), "ema_decay": 0}
    document |= {"method": chosen, "training": training, "scores": "auto"}
    if pattern:
        document["pattern"] = pattern
    return parse_experiment(document, "experiment", settings)


def fine_tuning(experiment: Experiment, pruned: Path, pattern: str) -> Experiment:
    """The experiment, training a pruned model on under the mask that it has now."""
    document = experiment.model_dump(mode="json")
    document |= {"method": {"name": "fixed"}, "pattern": pattern, "scores": "auto"}
    document["training"]["weights"] = str(pruned.absolute())
    return parse_experiment(document)
