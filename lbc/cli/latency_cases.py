"""The options of ``lbc latency`` that choose cases: layers of a model or run, names, or sizes."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from lbc.cli.allow_import import add_allow_import
from lbc.cli.console import Console

if TYPE_CHECKING:
    from lbc.latency.cases import Case


def add_case_choices(parser: argparse.ArgumentParser) -> None:
    """Add the options that ``chosen_cases`` reads, but not the number of tokens."""
    cases = parser.add_mutually_exclusive_group()
    cases.add_argument(
        "--model", metavar="EXPERIMENT.yaml", help="layers of its model, or of a named network"
    )
    cases.add_argument(
        "--run", type=Path, metavar="FOLDER", help="layers and trained masks of a run"
    )
    cases.add_argument(
        "--shapes",
        nargs="+",
        metavar="SHAPE",
        help="names (llama-2-7b, bert-base, vit-large, deit-small, resnet-50, squares, default) or "
        "outputs x tokens x inputs, for example 4096x512x4096",
    )
    parser.add_argument(
        "--pattern", metavar="N:M",
        help="random masks for --shapes, for example 6:8 or 4:8x2 (default: 2:4)",
    )  # fmt: skip
    parser.add_argument(
        "--batch", type=int, default=64, help="number of images for a model or ResNet-50"
    )
    parser.add_argument("--image", type=int, metavar="PIXELS", help="image size for a model")
    add_allow_import(parser)


def chosen_cases(options: argparse.Namespace, tokens: int, errors: Console) -> tuple[Case, ...]:
    """Return the chosen cases, and print why layers are skipped.

    ``tokens``: for named transformers. Raises ValueError.
    """
    from lbc.latency.cases import SHAPES, TWO_FOUR, parse_cases
    from lbc.sparsity.pattern import Pattern

    pattern = TWO_FOUR if options.pattern is None else Pattern.parse(options.pattern)
    if options.model in SHAPES:
        return parse_cases([options.model], tokens, options.batch, pattern)
    if not (options.model or options.run):
        return parse_cases(options.shapes or ["default"], tokens, options.batch, pattern)
    if options.pattern is not None:
        raise ValueError("--pattern is for --shapes: an experiment or a run has its own N:M.")
    from lbc.config import load_experiment
    from lbc.latency.model_cases import cases_of_experiment, cases_of_run

    more = options.batch, options.image, options.allow_import
    if options.run:
        cases, skipped = cases_of_run(options.run, *more)
    else:
        cases, skipped = cases_of_experiment(load_experiment(Path(options.model)), *more)
    for name, reason in skipped.items():
        errors.print(f"{name} is skipped: {reason}.")
    return cases
