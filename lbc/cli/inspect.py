"""``lbc inspect``: detect or check the N:M patterns of a checkpoint, or compare two.

Exit status: 0 if everything is judged and held; 1 if a block breaks its N:M, two checkpoints differ
or, with ``--pattern`` or ``--against``, something could not be judged or compared; 2 if the input
cannot be used or part of it is damaged.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from rich.table import Table

from lbc.cli.console import Console
from lbc.cli.new_file import require_new
from lbc.files.printable import counted
from lbc.inspection.comparison import CheckpointComparison, LayerComparison, compare_checkpoints
from lbc.inspection.dense_file import write_dense
from lbc.inspection.errors import InspectionError
from lbc.inspection.report import LayerReport, PatternReport, Status, inspect_checkpoint
from lbc.inspection.survey import Survey, summarise, survey_checkpoint, violations_in
from lbc.inspection.violations import save_violations
from lbc.sparsity.pattern import Pattern

DONE, FAILED, INVALID_INPUT = 0, 1, 2


def add_parser(commands: Any) -> None:
    """Add ``inspect`` to the commands."""
    check = commands.add_parser(
        "inspect", help="detect the N:M patterns of a checkpoint, or check one"
    )
    check.add_argument(
        "checkpoint",
        type=Path,
        help="file of torch, safetensors, ONNX or npz, index of shards, or folder with either",
    )
    check.add_argument("--pattern", help="check every layer for it, for example 2:4")
    check.add_argument("--skip", action="append", metavar="LAYER", help="layer or glob to skip")
    check.add_argument(
        "--part", default="", metavar="NAME", help="which state dict of a file that has several"
    )
    check.add_argument(
        "--against", type=Path, metavar="OTHER", help="compare with another checkpoint instead"
    )
    check.add_argument(
        "--violations", type=Path, metavar="NEW.csv", help="write every violation to a file"
    )
    check.add_argument(
        "--write-dense",
        type=Path,
        metavar="NEW.safetensors",
        help="write all tensors, dense",
    )
    check.add_argument("--json", action="store_true", help="print JSON")


def command(options: argparse.Namespace, errors: Console) -> int:
    """Print the result; return the exit status."""
    try:
        if options.against is not None:
            return _compare(options)
        if options.write_dense is not None:
            return _write_dense(options)
        require_new(options.violations, "--violations")
        return _detect(options) if options.pattern is None else _check(options)
    except (InspectionError, ValueError) as error:
        errors.print(str(error))
        return INVALID_INPUT


def _check(options: argparse.Namespace) -> int:
    pattern = Pattern.parse(options.pattern)
    report = inspect_checkpoint(options.checkpoint, pattern, options.skip or (), options.part)
    if options.json:
        print(json.dumps(report.as_dict(), indent=2))
    else:
        _print_report(report)
    _write_violations(options, pattern, [one.name for one in report.layers if one.violations])
    if any(layer.damaged for layer in report.layers):
        return INVALID_INPUT
    return DONE if report.valid else FAILED


def _detect(options: argparse.Namespace) -> int:
    survey = survey_checkpoint(options.checkpoint, options.skip or (), options.part)
    if options.json:
        print(json.dumps(survey.as_dict(), indent=2))
    else:
        _print_survey(survey)
    _write_violations(options, None, [one.name for one in survey.layers if one.violation_count])
    if any(one.damaged for one in survey.unjudged):
        return INVALID_INPUT
    return DONE if survey.valid else FAILED


def _compare(options: argparse.Namespace) -> int:
    if options.pattern or options.skip or options.violations or options.write_dense:
        raise ValueError(
            "--against cannot be combined with --pattern, --skip, --violations or --write-dense: "
            "omit them."
        )
    comparison = compare_checkpoints(options.checkpoint, options.against, options.part)
    if options.json:
        print(json.dumps(comparison.as_dict(), indent=2))
    else:
        _print_comparison(comparison)
    return DONE if comparison.same else FAILED


def _write_dense(options: argparse.Namespace) -> int:
    names = write_dense(options.checkpoint, options.write_dense, options.part)
    Console().print(f"Wrote {options.write_dense}: {counted(len(names), 'tensor')}.")
    return DONE


def _write_violations(
    options: argparse.Namespace, pattern: Pattern | None, layers: list[str]
) -> None:
    if options.violations is not None:
        count = save_violations(
            options.violations, violations_in(options.checkpoint, pattern, layers, options.part)
        )
        if not options.json:
            Console().print(f"Wrote {options.violations}: {counted(count, 'violation')}.")


def _print_report(report: PatternReport) -> None:
    table = Table("layer", "shape", report.pattern, "density", "first violation")
    for layer in report.layers:
        status = layer.status if not layer.reason else f"{layer.status}: {layer.reason}"
        table.add_row(
            layer.name,
            _shape(layer.shape),
            status + _nonfinite(layer.nonfinite),
            "" if layer.density is None else f"{layer.density:.1%}",
            _first_violation(layer),
        )
    console = Console(soft_wrap=False)
    console.print(table)
    text = f"{counted(report.checked, 'layer')} checked for {report.pattern}; "
    violated = report.count("violated")
    text += f"{violated} {'violates' if violated == 1 else 'violate'} it."
    rest: tuple[Status, ...] = ("not divisible", "dense by design", "not judged")
    for status in rest:
        text += f" {count} {status}." if (count := report.count(status)) else ""
    console.print(text)
    _print_parts(console, report.parts)


def _first_violation(layer: LayerReport) -> str:
    if layer.first is None:
        return ""
    where = " ".join(str(index) for index in layer.first.coordinates)
    return (
        f"block {layer.first.block} keeps {layer.first.kept}: {where} ({layer.violations} in total)"
    )


def _print_survey(survey: Survey) -> None:
    table = Table("layer", "shape", "type", "detected", "density", "obeys", "stated in the file")
    for layer in survey.layers:
        table.add_row(
            layer.name,
            _shape(layer.detection.shape),
            layer.dtype,
            layer.detection.headline + _nonfinite(layer.detection.counts.nonfinite),
            f"{layer.detection.density:.1%}",
            " ".join(str(pattern) for pattern in layer.detection.independent),
            layer.stated,
        )
    for one in survey.unjudged:
        told = f"not judged: {one.reason}"
        table.add_row(one.name, _shape(one.shape), one.dtype, told, "", "", "")
    console = Console(soft_wrap=False)
    console.print(table)
    console.print(summarise(survey.layers, len(survey.unjudged)))
    _print_parts(console, survey.parts)


def _nonfinite(count: int) -> str:
    return f", {count:,} NaN or infinite" if count else ""


def _print_parts(console: Console, parts: tuple[str, ...]) -> None:
    if parts:
        listed = ", ".join(parts)
        console.print(f"The file has {len(parts)} state dicts: {listed}. Choose one with --part.")


def _print_comparison(comparison: CheckpointComparison) -> None:
    table = Table("tensor", "shape", "values", "largest |difference|", "flipped", "masks agree")
    for layer in comparison.layers:
        table.add_row(
            layer.name,
            _shape(layer.first or layer.second or ()),
            _difference(layer),
            "" if layer.largest is None else f"{layer.largest:.6g}",
            "" if layer.flipped is None else f"{layer.flipped:,}",
            "" if layer.agreement is None else f"{layer.agreement:.2%}",
        )
    console = Console(soft_wrap=False)
    console.print(table)
    different = sum(layer.difference != "same" for layer in comparison.layers)
    console.print(f"{counted(len(comparison.layers), 'tensor')}, {different} of them different.")


def _difference(layer: LayerComparison) -> str:
    if layer.difference == "other shape" and layer.second is not None:
        return f"other shape: {_shape(layer.second)}"
    return f"{layer.difference}: {layer.reason}" if layer.reason else layer.difference


def _shape(shape: tuple[int, ...]) -> str:
    return "×".join(map(str, shape))
