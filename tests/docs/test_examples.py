"""The examples of the documentation run as they are printed."""

from __future__ import annotations

import re
import runpy
import shlex
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from lbc.cli.main import _parser as lbc_parser
from lbc.cli.main import main
from lbc.config import Experiment, load_experiment
from lbc.training.trainer import Trainer
from lbc_gui.app import _parser as window_parser
from tests.docs.pages import PAGES, ROOT, blocks, command_lines

ELSEWHERE = {"docs/library.md"}
"""The page whose Python is tested in test_library_script."""

EXTENDING = "docs/extending/"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


@pytest.mark.parametrize("page", PAGES)
def test_the_commands_of_a_page_exist(page: str) -> None:
    for line in command_lines(page):
        words = shlex.split(line.replace("…", "x"), comments=True)
        if words[0] == "torchrun":
            words = words[words.index("-m") + 1 :]
        parser = window_parser() if words[0] == "lbc-gui" else lbc_parser(words[1:])
        parser.parse_args(words[1:])


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md"])
def test_what_a_page_outside_the_documentation_links_to_exists(page: str) -> None:
    links = re.findall(r"\]\((?!https?:)([^)#]+)\)", PAGES[page])
    assert all((ROOT / link).is_file() for link in links)


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page, "yaml")])
def test_the_experiments_of_a_page_are_valid(page: str, folder: Path) -> None:
    for block in blocks(page, "yaml"):
        (folder / "experiment.yaml").write_text(block.text, encoding="utf-8")
        load_experiment(folder / "experiment.yaml")


def runnable(page: str) -> bool:
    return page not in ELSEWHERE and EXTENDING not in page and bool(blocks(page, "python"))


@pytest.mark.parametrize("page", [page for page in PAGES if runnable(page)])
def test_the_python_of_a_page_runs(page: str, folder: Path) -> None:
    names: dict[str, object] = {}
    for block in blocks(page, "python"):
        if not block.file:
            exec(compile(block.text, page, "exec"), names)


@pytest.fixture
def run(folder: Path, quick: Callable[..., Experiment]) -> Path:
    Trainer(quick(pattern="1:4"), folder / "run").train()
    return folder / "run"


def test_a_stranger_reads_a_run_without_this_program(
    run: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    programs = {block.file: block.text for block in blocks("docs/reference/files.md", "python")}
    for name, text in programs.items():
        assert "lbc." not in re.sub(r'\["lbc"\]', "", text) and "import lbc" not in text
        (folder / name).write_text(text, encoding="utf-8")
        monkeypatch.setattr(sys, "argv", [name, str(run)])
        runpy.run_path(str(folder / name))
    assert len([line for line in programs["read_run.py"].splitlines()[1:] if line.strip()]) <= 40
    said = capsys.readouterr().out
    assert "quick: finished, accuracy" in said
    assert "1:4, at most 1 kept, density 0.250" in said
    assert re.search(r"^0 \S+: 4 live, scores \(\d+, 4\), mean 1\.0000$", said, re.MULTILINE)


def test_data_of_ones_own_are_read(folder: Path) -> None:
    page = "docs/extending/data.md"
    own = next(block for block in blocks(page, "python") if not block.file)
    exec(compile(own.text, page, "exec"), {})
    (settings,) = blocks(page, "yaml")
    (folder / "bright.yaml").write_text(settings.text, encoding="utf-8")
    short = ["--set", "training.epochs=1", "schedule.end=1", "--no-pictures"]
    assert main(["train", "bright.yaml", "--out", "run", *short]) == 0


def test_a_model_of_ones_own_is_imported(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for block in blocks("docs/extending/model.md", "python", "yaml"):
        if "/" not in block.file:
            (folder / block.file).write_text(block.text, encoding="utf-8")
    assert main(["layers", "bottleneck.yaml", "--allow-import", "--json"]) == 0
    assert '"2:4"' in capsys.readouterr().out
    sys.modules.pop("mymodels", None)


@pytest.mark.filterwarnings("ignore:.*pin_memory.*:UserWarning")
@pytest.mark.filterwarnings("ignore:.*does not have many workers")
@pytest.mark.filterwarnings("ignore:.*`isinstance.treespec, LeafSpec.` is deprecated")
@pytest.mark.parametrize("framework", ["transformers", "lightning", "accelerate"])
def test_the_script_for_a_framework_runs(framework: str, folder: Path) -> None:
    pytest.importorskip(framework)
    name = f"with_{framework}.py"
    programs = {block.file: block.text for block in blocks("docs/integrations.md", "python")}
    (folder / name).write_text(programs[name], encoding="utf-8")
    runpy.run_path(name)
