"""``lbc export``: write a trained model for other programs."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from lbc.cli.allow_import import add_allow_import
from lbc.cli.console import Console

DONE, INVALID_INPUT = 0, 2


def add_parser(commands: Any) -> None:
    """Add ``export`` to the commands."""
    export = commands.add_parser("export", help="write a trained model for other programs")
    export.add_argument("run", type=Path, metavar="RUN", help="run folder, or its checkpoint.pt")
    export.add_argument(
        "--format", choices=["safetensors", "onnx"], default="safetensors", help="file format"
    )
    export.add_argument("--out", type=Path, metavar="FILE", help="new file (default: model.FORMAT)")
    add_allow_import(export)


def command(options: argparse.Namespace, errors: Console) -> int:
    """Write the file; return the exit status."""
    from lbc.export import ExportError, load_trained_model, write_onnx, write_safetensors

    out: Path = options.out or Path(f"model.{options.format}")
    try:
        trained = load_trained_model(options.run, options.allow_import)
        if options.format == "onnx":
            difference = write_onnx(trained, out)
            message = f"Wrote {out}: its logits differ from torch's by at most {difference:.2g}."
        else:
            message = f"Wrote {out} and its manifest {write_safetensors(trained, out)}."
    except ExportError as error:
        errors.print(str(error))
        return INVALID_INPUT
    console = Console()
    if not trained.decided:
        console.print("The search was unfinished: each block has its best combination so far.")
    console.print(message)
    return DONE
