"""``lbc train``: train an experiment, or resume an unfinished run."""

from __future__ import annotations

import argparse
import os
from math import isfinite, nan
from pathlib import Path
from typing import Any

from lbc.cli.allow_import import add_allow_import
from lbc.cli.console import Console
from lbc.cli.run_list import find_run
from lbc.config import Experiment, check_import, load_experiment, parse_experiment
from lbc.runs.new_folder import RUNS, is_unused, new_run_path
from lbc.runs.own_runs import may_import
from lbc.runs.run_state import RunError
from lbc.runs.unfinished_run import RunFinishedError, open_unfinished

DONE, FAILED, INVALID_INPUT, STOPPED = 0, 1, 2, 130


def add_parser(commands: Any) -> None:
    """Add ``train`` to the commands."""
    train = commands.add_parser("train", help="train an experiment and write a run folder")
    train.add_argument(
        "experiment", type=Path, nargs="?", metavar="EXPERIMENT.yaml", help="experiment to train"
    )
    train.add_argument(
        "--resume", type=Path, metavar="RUN", help="continue the unfinished run in this folder"
    )
    train.add_argument(
        "--fork", metavar="RUN@EPOCH",
        help="a new run that continues a run from one of its checkpoints; change it with --set",
    )  # fmt: skip
    train.add_argument(
        "--out", type=Path, metavar="DIR", help="new run folder (default: runs/NAME-TIME)"
    )
    train.add_argument(
        "--set", action="extend", nargs="+", default=[], metavar="KEY=VALUE",
        help="override settings, for example model.width=32",
    )  # fmt: skip
    train.add_argument(
        "--from", dest="weights", type=Path, metavar="CHECKPOINT",
        help="start from the trained weights of a file or run folder, of any format that "
        "'lbc inspect' reads",
    )  # fmt: skip
    train.add_argument("--device", help="cpu, cuda, cuda:0 or mps")
    train.add_argument("--no-pictures", action="store_true", help="draw no pictures at the end")
    add_allow_import(train)


def train_and_draw(
    experiment: Experiment, folder: Path, resume: bool = False, pictures: bool = True
) -> int:
    """Train in the terminal, then draw the results and print all paths; return the exit status.

    ``resume`` continues the run in ``folder``. Without ``pictures`` nothing is drawn.
    """
    from lbc.cli.terminal import summarize, train_in_terminal
    from lbc.report.run_pngs import draw_run
    from lbc.training.failures import TrainingError

    console = Console()
    try:
        finished = train_in_terminal(experiment, folder, console, resume)
    except TrainingError as error:
        Console(stderr=True).print(str(error))
        return FAILED
    console.print(summarize(finished))
    if finished.folder is not None:
        console.print(f"Run folder: {finished.folder}")
        for picture in draw_run(finished.folder) if pictures else ():
            console.print(f"Picture: {picture}")
    return DONE if finished.status == "finished" else STOPPED


def command(options: argparse.Namespace, errors: Console) -> int:
    """Train as rank 0, or as another rank started by torchrun; return the exit status."""
    if os.environ.get("RANK", "0") != "0":
        return _train_as_other_rank(errors)
    device = [f"device={options.device}"] if options.device else []
    settings = [*options.set, *device]
    if options.fork is not None:
        return _fork(options, settings, errors)
    if options.resume is not None:
        return _resume(options, settings, errors)
    if options.experiment is None:
        errors.print(
            "Give an experiment file to train, a run to resume with --resume RUN, or a moment of a "
            "run with --fork RUN@EPOCH."
        )
        return INVALID_INPUT
    experiment = load_experiment(options.experiment, settings)
    if options.weights is not None:
        start = {"weights": options.weights.absolute()}
        training = experiment.training.model_copy(update=start)
        experiment = experiment.model_copy(update={"training": training})
    folder = options.out or new_run_path(RUNS, experiment.name)
    if not is_unused(folder):
        errors.print(
            f"{folder} is not an empty folder: choose another with --out, or continue a run in it "
            "with --resume."
        )
        return INVALID_INPUT
    return train_and_draw(experiment, folder, pictures=not options.no_pictures)


def _fork(options: argparse.Namespace, settings: list[str], errors: Console) -> int:
    from lbc.runs.kept_checkpoints import experiment_at, moment_at
    from lbc.training.fork import ForkError, describe_fork, fork_run

    if any(each is not None for each in (options.resume, options.experiment, options.weights)):
        errors.print(
            "A fork has its parent's experiment and weights: omit --resume, --from and the "
            "experiment, and change settings with --set."
        )
        return INVALID_INPUT
    try:
        parent, epoch = _parse_moment(options.fork)
        point = moment_at(parent, epoch)
        document = experiment_at(point).model_dump(mode="json")
        experiment = parse_experiment(document, "the fork", settings)
        _check_import(parent, experiment, options.allow_import)
        folder = options.out or new_run_path(RUNS, experiment.name)
        if not is_unused(folder):
            raise ForkError(f"{folder} is not an empty folder: choose another with --out.")
        sentences = describe_fork(parent, point, experiment)
        fork_run(parent, point.epoch, experiment, folder, allow_import=True)
    except ForkError as error:
        for reason in error.reasons:
            errors.print(reason)
        return INVALID_INPUT
    except ValueError as error:
        errors.print(str(error))
        return INVALID_INPUT
    for sentence in sentences:
        Console().print(sentence)
    return train_and_draw(experiment, folder, resume=True, pictures=not options.no_pictures)


def _parse_moment(text: str) -> tuple[Path, float]:
    """A run, by its path, its name below ``RUNS`` or its title, and an epoch. Raises ValueError."""
    run, _, moment = text.rpartition("@")
    try:
        epoch = float(moment)
    except ValueError:
        epoch = nan
    if not run or not isfinite(epoch):
        raise ValueError(f"{text!r} names no moment of a run: write RUN@EPOCH, like runs/first@7.")
    return find_run(RUNS, run), epoch


def _resume(options: argparse.Namespace, settings: list[str], errors: Console) -> int:
    if options.out is not None:
        errors.print("A resumed run continues in its own folder: omit --out or --resume.")
        return INVALID_INPUT
    if options.weights is not None:
        errors.print("A resumed run continues with its own weights: omit --from or --resume.")
        return INVALID_INPUT
    try:
        run = open_unfinished(options.resume)
    except RunFinishedError as finished:
        Console().print(str(finished))
        return DONE
    except RunError as error:
        errors.print(str(error))
        return INVALID_INPUT
    experiment = run.experiment
    if options.experiment is not None or settings:
        file = options.experiment or run.path / "experiment.yaml"
        experiment = load_experiment(file, settings)
    try:
        _check_import(run.path, experiment, options.experiment is not None or options.allow_import)
    except ValueError as error:
        errors.print(str(error))
        return INVALID_INPUT
    Console().print(run.described)
    return train_and_draw(experiment, run.path, resume=True, pictures=not options.no_pictures)


def _check_import(run: Path, experiment: Experiment, allowed: bool) -> None:
    """Raise ValueError if the network of a run is code that the user has not allowed to run."""
    try:
        check_import(experiment.model, allowed or may_import(run, experiment.model))
    except ValueError as error:
        raise ValueError(f"You did not start this run on this computer. {error}") from error


def _train_as_other_rank(errors: Console) -> int:
    from lbc.cli.terminal import train_as_other_rank
    from lbc.training.failures import TrainingError

    try:
        finished = train_as_other_rank()
    except TrainingError as error:
        errors.print(f"Process {os.environ['RANK']}: {error}")
        return FAILED
    return DONE if finished.status == "finished" else STOPPED
