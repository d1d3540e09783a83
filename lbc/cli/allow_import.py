"""``--allow-import``, for commands that build the model which a file describes."""

from __future__ import annotations

import argparse


def add_allow_import(parser: argparse.ArgumentParser) -> None:
    """Add the option, off by default."""
    parser.add_argument(
        "--allow-import",
        action="store_true",
        help="run the code of a model that the file names (import, timm, torchvision)",
    )
