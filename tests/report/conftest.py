"""A finished run to report on, and the report as a parsed page."""

from __future__ import annotations

import base64
import json
import shutil
from html.parser import HTMLParser
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image

from lbc.config import parse_experiment
from lbc.report.page import write_report
from lbc.training.trainer import Trainer


class Page(HTMLParser):
    """Tags, attributes and visible text of a document."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.html = path.read_text("utf-8")
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.words = ""
        self.images: dict[str, str] = {}
        self.feed(self.html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]
        found = dict(attrs)
        if tag == "img" and found.get("alt"):
            self.images.setdefault(str(found["alt"]), str(found["src"]))

    def handle_data(self, data: str) -> None:
        self.words += data

    def picture(self, alt: str) -> Image.Image:
        head, _, data = self.images[alt].partition(",")
        assert head == "data:image/png;base64"
        return Image.open(BytesIO(base64.b64decode(data, validate=True)))


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of two layers, 2:4 and 1:4."""
    folder = tmp_path_factory.mktemp("runs") / "finished"
    experiment = parse_experiment({
        "name": "quick",
        "model": {"name": "mlp", "width": 32, "depth": 2},
        "layers": {"head": "1:4"},
        "schedule": {"end": 2},
        "training": {"epochs": 3, "batch_size": 500},
    })  # fmt: skip
    Trainer(experiment, folder).train()
    return folder


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> Path:
    """A copy of it to damage."""
    return Path(shutil.copytree(trained, tmp_path / "run"))


def change_state(run: Path, **changes: object) -> None:
    state = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps(state | changes))


def report_of(run: Path, out: Path) -> Page:
    write_report(run, out)
    return Page(out)
