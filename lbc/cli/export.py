"""``lbc export``: a trained model for other programs."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from rich.console import Console

DONE, WRONG_INPUT = 0, 2


def add_parser(commands: Any) -> None:
    """Add ``export`` to the program's commands."""
    export = commands.add_parser("export", help="write a trained model for other programs")
    export.add_argument("run", type=Path, metavar="RUN", help="run folder, or its checkpoint.pt")
    export.add_argument(
        "--format", choices=["safetensors", "onnx"], default="safetensors", help="kind of file"
    )
    export.add_argument("--out", type=Path, metavar="FILE", help="default: model.FORMAT, here")


def command(options: argparse.Namespace, errors: Console) -> int:
    """Write the file; returns the exit status."""
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
