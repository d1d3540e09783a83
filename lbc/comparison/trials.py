"""The runs of a comparison: every method with every pattern and seed, and what they start from."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from lbc.config import Experiment, parse_experiment
from lbc.config.strict_yaml import ExperimentError, plain_scalar
from lbc.runs.effective_experiment import effective_experiment
from lbc.runs.new_folder import is_unused
from lbc.runs.run_state import read_state
from lbc.sparsity.method_names import check_method
from lbc.sparsity.pattern import Pattern

DENSE = "dense"
"""The method that does not depend on the pattern: one run per seed serves all patterns."""

MOST_TRIALS = 1000

LONGEST_NAME = 40
"""Characters of a method and its options in the name of a folder."""

_METHOD = re.compile(r"\s*([\w-]+)\s*(?:\(([^()]*)\))?\s*(?:,|$)", re.ASCII)


class ComparisonError(ValueError):
    """The comparison cannot be started or resumed; the message is one sentence."""


@dataclass(frozen=True)
class MethodChoice:
    """A method, and the options in which it differs from the experiment's settings."""

    name: str
    options: tuple[tuple[str, object], ...] = ()

    @property
    def label(self) -> str:
        """As ``parse_methods`` reads it, such as ``maxq(end=6)``."""
        options = ", ".join(f"{key}={value}" for key, value in self.options)
        return f"{self.name}({options})" if options else self.name

    @property
    def slug(self) -> str:
        """The label as a part of the name of a folder."""
        slug = re.sub(r"[^A-Za-z0-9.]+", "-", self.label).strip("-")
        if len(slug) <= LONGEST_NAME:
            return slug
        return f"{slug[: LONGEST_NAME - 9]}-{sha256(self.label.encode()).hexdigest()[:8]}"


@dataclass(frozen=True, eq=False)
class Trial:
    """One run of a comparison, in its own folder.

    ``label`` is its method with options. It starts from the weights of the run in ``start``, if
    that is not None.
    """

    method: str
    pattern: Pattern
    seed: int
    experiment: Experiment
    folder: Path
    label: str
    start: Path | None = None

    @property
    def is_finished(self) -> bool:
        """Whether the run is finished. Raises RunError if its run.json cannot be read."""
        if not (self.folder / "experiment.yaml").exists():
            return False
        return read_state(self.folder).status == "finished"


def parse_methods(text: str) -> tuple[MethodChoice, ...]:
    """Methods separated by commas, each once, some with options: ``dense, maxq(end=6), lbc``.

    Raises ValueError.
    """
    found: list[MethodChoice] = []
    at = 0
    while at < len(text) or not found:
        match = _METHOD.match(text, at)
        if match is None:
            raise ComparisonError(
                f"{text!r} is not a list of methods: write lbc,asp or maxq(end=6),lbc."
            )
        name, options = match.groups()
        found.append(MethodChoice(check_method(name), _options(name, options or "")))
        at = match.end()
    return tuple(dict.fromkeys(found))


def _options(method: str, text: str) -> tuple[tuple[str, object], ...]:
    options: dict[str, object] = {}
    for part in text.split(",") if text.strip() else ():
        key, equals, value = (each.strip() for each in part.partition("="))
        if not (key and equals and value) or key in options:
            raise ComparisonError(
                f"{part.strip()!r} is not an option of {method}: write each once, as in "
                f"{method}(end=6)."
            )
        options[key] = plain_scalar(value)
    return tuple(options.items())


def plan_trials(
    experiment: Experiment,
    methods: Sequence[MethodChoice],
    patterns: Sequence[Pattern],
    seeds: int,
    out: Path,
    start: MethodChoice | None = None,
    then: Sequence[str] = (),
) -> tuple[Trial, ...]:
    """List all runs, ordered by seed so that early results are already comparable.

    Seeds count up from that of the experiment. With a ``start``, the run of that method with the
    same seed comes first, and the others start from its weights; ``then`` are settings of the
    others, such as ``"training.epochs=2"``. Raises ValueError if settings contradict each other.
    """
    if seeds < 1:
        raise ComparisonError(f"{seeds} seeds are not possible: at least 1 seed is needed.")
    if then and start is None:
        raise ComparisonError(
            f"{then[0]} is for runs that start from another's weights: give --start METHOD, too."
        )
    trials: dict[Path, Trial] = {}
    for seed in range(experiment.seed, experiment.seed + seeds):
        for pattern in patterns:
            planned = [_trial(experiment, start, pattern, patterns, seed, out)] if start else []
            first = planned[0] if planned else None
            planned += [
                _trial(experiment, method, pattern, patterns, seed, out, first, then)
                for method in methods
                if method != start
            ]
            for trial in planned:
                trials.setdefault(trial.folder, trial)
        if seed == experiment.seed:
            check_count(len(trials) * seeds)
    return tuple(trials.values())


def _trial(
    experiment: Experiment,
    method: MethodChoice,
    pattern: Pattern,
    patterns: Sequence[Pattern],
    seed: int,
    out: Path,
    first: Trial | None = None,
    then: Sequence[str] = (),
) -> Trial:
    dense = method.name == DENSE
    used = patterns[0] if dense else pattern
    name = method.slug if dense else f"{method.slug}-{str(used).replace(':', '-')}"
    own = experiment.method.model_dump()
    options = own if own["name"] == method.name else {"name": method.name}
    document = experiment.model_dump(mode="json") | {
        "name": f"{name}-seed{seed}",
        "method": options | dict(method.options),
        "pattern": str(used),
        "seed": seed,
    }
    if first is not None:
        # One text for all seeds, so that the settings of repetitions are equal.
        weights = first.folder.absolute().with_name(f"{_stem(first)}-seed{{seed}}")
        document["training"] = {**document["training"], "weights": str(weights)}
    try:
        settings = parse_experiment(document, f"The settings of {method.label}", then)
    except ExperimentError as error:
        if not then:
            raise
        raise ComparisonError(str(error).replace("--set ", "--then ")) from error
    folder = out / settings.name
    start = None if first is None else first.folder
    return Trial(method.name, used, seed, settings, folder, method.label, start)


def _stem(trial: Trial) -> str:
    return trial.folder.name.removesuffix(f"-seed{trial.seed}")


def check_count(count: int) -> None:
    """Raise ComparisonError if there would be too many runs."""
    if count > MOST_TRIALS:
        raise ComparisonError(f"These are {count:,} runs: at most {MOST_TRIALS:,} are possible.")


def check_folder(trial: Trial) -> None:
    """Raise ComparisonError if the folder has something else than the trial's run."""
    folder, file = trial.folder, trial.folder / "experiment.yaml"
    if is_unused(folder):
        return
    if not file.is_file() or effective_experiment(folder) != trial.experiment:
        raise ComparisonError(
            f"{folder} has a run with other settings: choose another folder with --out."
        )
