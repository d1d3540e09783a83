"""The ``lbc`` command.

Exit status: 0 done, 1 failed, pattern broken or checkpoints different, 2 wrong input, 130 stopped.
Under torchrun every process runs the same command; the first one writes and speaks.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from lbc.cli import compare, inspect, latency, layers, report
from lbc.cli import data as download
from lbc.config import Experiment, load_experiment
from lbc.config.strict_yaml import ExperimentError
from lbc.files.resources import resource
from lbc.runs.new_folder import new_run_path
from lbc.runs.unfinished_run import RunError, RunFinishedError, open_unfinished

DONE, FAILED, WRONG_INPUT, STOPPED = 0, 1, 2, 130
RUNS = Path("runs")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; problems become sentences on standard error."""
    options = _parser().parse_args(arguments)
    errors = Console(stderr=True, highlight=False, soft_wrap=True, markup=False)
    try:
        if options.command == "train":
            return _train(options, errors)
        if options.command == "latency":
            return latency.command(options, errors)
        if options.command == "data":
            return download.command(options, errors)
        if options.command == "export":
            return _export(options, errors)
        if options.command == "compare":
            return compare.command(options, errors)
        if options.command == "layers":
            return layers.command(options, errors)
        if options.command == "report":
            return report.command(options, errors)
        return inspect.command(options, errors)
    except ExperimentError as error:
        errors.print(str(error))
        return WRONG_INPUT
    except BrokenPipeError:
        return FAILED
    except OSError as error:
        errors.print(f"{error.filename or 'The disk'}: {error.strerror or error}.")
        return FAILED
    except KeyboardInterrupt:
        return STOPPED


def example() -> Path:
    """The bundled quick example."""
    return resource("experiments/digits.yaml")


def train_and_draw(experiment: Experiment, folder: Path, resume: bool = False) -> int:
    """Train in the terminal, then write the pictures and print every path.

    With ``resume`` the run that is in ``folder`` goes on.
    """
    from lbc.cli.terminal import summary, train_in_terminal
    from lbc.report.run_pngs import draw_run
    from lbc.training.failures import TrainingError

    console = Console(highlight=False, soft_wrap=True)
    try:
        finished = train_in_terminal(experiment, folder, console, resume)
    except TrainingError as error:
        Console(stderr=True, highlight=False, soft_wrap=True, markup=False).print(str(error))
        return FAILED
    console.print(summary(finished))
    if finished.folder is not None:
        console.print(f"Run folder: {finished.folder}", markup=False)
        for picture in draw_run(finished.folder):
            console.print(f"Picture: {picture}", markup=False)
    return DONE if finished.status == "finished" else STOPPED


def _train(options: argparse.Namespace, errors: Console) -> int:
    if os.environ.get("RANK", "0") != "0":
        return _follow(errors)
    settings = [setting for group in options.set or [] for setting in group]
    if options.device:
        settings.append(f"device={options.device}")
    if options.resume is not None:
        return _resume(options, settings, errors)
    if options.experiment is None:
        errors.print("Name an experiment file to train, or a run to go on with: --resume RUN.")
        return WRONG_INPUT
    experiment = load_experiment(options.experiment, settings)
    folder = options.out or new_run_path(RUNS, experiment.name)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        errors.print(f"{folder} is not an empty folder: choose another with --out.")
        return WRONG_INPUT
    return train_and_draw(experiment, folder)


def _resume(options: argparse.Namespace, settings: list[str], errors: Console) -> int:
    if options.out is not None:
        errors.print("A run goes on in its own folder: leave out --out, or --resume.")
        return WRONG_INPUT
    try:
        run = open_unfinished(options.resume)
    except RunFinishedError as finished:
        print(finished)
        return DONE
    except RunError as error:
        errors.print(str(error))
        return WRONG_INPUT
    experiment = run.experiment
    if options.experiment is not None or settings:
        file = options.experiment or run.path / "experiment.yaml"
        experiment = load_experiment(file, settings)
    print(run.described)
    return train_and_draw(experiment, run.path, resume=True)


def _follow(errors: Console) -> int:
    """Train along with the first process, which says what."""
    from lbc.cli.terminal import follow
    from lbc.training.failures import TrainingError

    try:
        finished = follow()
    except TrainingError as error:
        errors.print(f"Process {os.environ['RANK']}: {error}")
        return FAILED
    return DONE if finished.status == "finished" else STOPPED


def _export(options: argparse.Namespace, errors: Console) -> int:
    from lbc.export import ExportError, load_trained, write_onnx, write_safetensors

    out: Path = options.out or Path(f"model.{options.format}")
    try:
        trained = load_trained(options.run)
        if options.format == "onnx":
            difference = write_onnx(trained, out)
            said = f"Wrote {out}: its logits differ from torch's by {difference:.2g} at most."
        else:
            said = f"Wrote {out}, and {write_safetensors(trained, out)} which says what is sparse."
    except ExportError as error:
        errors.print(str(error))
        return WRONG_INPUT
    if not trained.decided:
        print("The search was not over: the best combination so far was taken in every block.")
    print(said)
    return DONE


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="lbc", description="N:M sparse training with LBC.")
    commands = parser.add_subparsers(dest="command", required=True)
    train = commands.add_parser("train", help="train an experiment and keep the run in a folder")
    train.add_argument("experiment", type=Path, nargs="?", metavar="EXPERIMENT.yaml")
    train.add_argument(
        "--resume", type=Path, metavar="RUN", help="go on with the run in this folder, exactly"
    )
    train.add_argument(
        "--out", type=Path, metavar="DIR", help="new run folder (default: runs/NAME-TIME)"
    )
    train.add_argument(
        "--set",
        action="append",
        nargs="+",
        metavar="KEY=VALUE",
        help="override, like model.width=32",
    )
    train.add_argument("--device", help="cpu, cuda, cuda:0 or mps")
    export = commands.add_parser("export", help="write a trained model for other programs")
    export.add_argument("run", type=Path, metavar="RUN", help="run folder, or its checkpoint.pt")
    export.add_argument(
        "--format", choices=["safetensors", "onnx"], default="safetensors", help="kind of file"
    )
    export.add_argument("--out", type=Path, metavar="FILE", help="default: model.FORMAT, here")
    inspect.add_parser(commands)
    compare.add_parser(commands)
    layers.add_parser(commands)
    report.add_parser(commands)
    download.add_parser(commands)
    latency.add_parser(commands)
    return parser


if __name__ == "__main__":
    sys.exit(main())
