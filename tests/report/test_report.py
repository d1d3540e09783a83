"""A run becomes one HTML file that needs nothing else and tells the truth, however it ended."""

from __future__ import annotations

import json
import re
import shutil
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from torch import nn

from lbc.cli.main import main
from lbc.config import Experiment
from lbc.files.lock import lock
from lbc.report.contents import ReportCancelled
from lbc.report.page import write_report
from lbc.runs.events import Event, Intervened, Intervention, Steering, StepDone
from lbc.runs.interventions import FILE, InterventionLog
from lbc.training.control import Control
from lbc.training.trainer import Trainer
from tests.report.conftest import Page, change_state, report_of

MakeExperiment = Callable[..., Experiment]
NASTY = "<script>alert('&\"1')</script>"


def badly_named_network(classes: int = 10) -> nn.Module:
    """A perceptron with one layer called ``NASTY``, for ``model: {import: …}``."""
    network = nn.Sequential(nn.Flatten())
    network.add_module(NASTY, nn.Linear(784, 16))
    network.add_module("head", nn.Linear(16, classes))
    return network


def test_the_file_needs_nothing_else(trained: Path, tmp_path: Path) -> None:
    page = report_of(trained, tmp_path / "report.html")
    assert not {"script", "link", "iframe", "object", "base"} & set(page.tags)
    sources = [value for name, value in page.attributes if name in ("src", "srcset", "data")]
    assert len(sources) >= 4
    assert all(source.startswith("data:image/png;base64,") for source in sources)
    targets = [value for name, value in page.attributes if name in ("href", "xlink:href")]
    identities = {value for name, value in page.attributes if name == "id"}
    assert targets
    assert {target.removeprefix("#") for target in targets} <= identities
    assert not re.search(r"https?:|url\(|@import", page.html)
    assert "prefers-color-scheme: dark" in page.html
    assert not re.search(r"\bnan\b|\binf\b", page.html, re.IGNORECASE)


def test_it_tells_what_the_run_says(trained: Path, tmp_path: Path) -> None:
    page = report_of(trained, tmp_path / "report.html")
    state = json.loads((trained / "run.json").read_text())
    assert "Finished after 3 of 3 epochs." in page.words
    assert f"{state['accuracy']:.2%}" in page.words
    assert f"{state['density']:.1%}" in page.words
    assert f"torch {state['versions']['torch']}" in page.words
    assert (trained / "experiment.yaml").read_text() in page.words
    for word in ("hidden.0", "head", "32×784", "10×32", "1:4", "cross-entropy loss"):
        assert word in page.words


def test_it_lists_what_was_changed_during_the_run(run: Path, tmp_path: Path) -> None:
    log = InterventionLog(run / FILE)
    log.append(Intervened(Intervention("ban", "<b>head", 1), 4, 0.5, 2))
    log.append(Intervened(Steering((("optimizer.lr", 0.05),), (("optimizer.lr", 0.1),)), 9, 1.5, 4))
    page = report_of(run, tmp_path / "report.html")
    assert "Epoch 0.50: Combination 1 was banned in every block of layer '<b>head'." in page.words
    assert "Epoch 1.50: The learning rate was changed from 0.1 to 0.05." in page.words
    assert "lr: 0.05" in page.words


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"status": "stopped", "epoch": 1}, "Stopped by the user after 1 of 3 epochs"),
        ({"status": "failed", "message": "The loss is NaN."}, "3 epochs: The loss is NaN."),
        ({"status": "running", "epoch": 2}, "Cut off after 2 of 3 epochs"),
        ({"accuracy": None}, "not yet"),
    ],
)
def test_however_a_run_ended_it_has_a_report(
    run: Path, tmp_path: Path, changes: dict[str, object], sentence: str
) -> None:
    change_state(run, **changes)
    for name in ("model.safetensors", "checkpoint.pt"):
        (run / name).unlink()
    page = report_of(run, tmp_path / "report.html")
    assert sentence in page.words
    assert "Mask" in page.images


def test_a_run_that_is_being_written_is_reported_as_it_is(run: Path, tmp_path: Path) -> None:
    change_state(run, status="running", epoch=1)
    with (run / "steps.records").open("rb+") as file:
        assert lock(file)
        for name in ("scores.history", "epochs.records"):  # in the middle of an append
            (run / name).write_bytes((run / name).read_bytes()[:-3])
        assert "Still running" in report_of(run, tmp_path / "report.html").words


def test_a_run_stopped_at_its_first_step_has_a_report(
    quick: MakeExperiment, tmp_path: Path
) -> None:
    control = Control()

    def see(event: Event) -> None:
        if isinstance(event, StepDone):
            control.stop()

    Trainer(quick(), tmp_path / "run", control, see).train()
    page = report_of(tmp_path / "run", tmp_path / "report.html")
    assert "Stopped by the user after 0 of 2 epochs" in page.words
    assert "No epoch had ended." in page.words
    for name in ("steps.records", "epochs.records", "scores.history"):
        (tmp_path / "run" / name).unlink()
    page = report_of(tmp_path / "run", tmp_path / "report.html")
    assert "No step had been taken." in page.words


def test_a_pattern_whose_scores_are_not_kept_shows_its_mask_and_positions(
    quick: MakeExperiment, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    Trainer(quick(pattern="4:16", skip=["hidden.0"]), run).train()
    page = report_of(run, tmp_path / "report.html")
    assert list(page.images) == ["Mask", "Winners"]
    assert "Positions that the winners hold." in page.words
    assert "The mask after epoch 2" in page.words


def test_a_run_without_sparse_layers_has_curves_only(quick: MakeExperiment, tmp_path: Path) -> None:
    run = tmp_path / "run"
    Trainer(quick(method="dense"), run).train()
    assert "100.0%" in report_of(run, tmp_path / "report.html").words
    (run / "scores.history").unlink()
    page = report_of(run, tmp_path / "report.html")
    assert "No layer is sparse" in page.words
    assert page.tags.count("svg") == 2


def test_names_are_shown_and_never_obeyed(quick: MakeExperiment, tmp_path: Path) -> None:
    run = tmp_path / "run"
    model = {"import": "tests.report.test_report:badly_named_network"}
    Trainer(quick(model=model), run).train()
    (run / "experiment.yaml").write_text(f"version: 99\n# {NASTY}\n")
    nasty = {"name": NASTY, "message": NASTY, "device": NASTY, "versions": {NASTY: ""}}
    change_state(run, status="failed", **nasty)
    page = report_of(run, tmp_path / "report.html")
    assert "script" not in page.tags
    # The title twice, the message, the device, the layer twice, a version, the experiment.
    assert page.words.count(NASTY) == 8
    assert "default-src 'none'" in page.html


def test_the_command_writes_into_the_run_and_again_over_it(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for _ in range(2):
        assert main(["report", str(run)]) == 0
        assert capsys.readouterr().out == f"Report: {run / 'report.html'}\n"
    assert "Finished after 3 of 3 epochs." in Page(run / "report.html").words


def damage(run: Path, name: str, data: bytes | None) -> None:
    if data is None:
        (run / name).unlink()
    else:
        (run / name).write_bytes(data)


@pytest.mark.parametrize(
    ("name", "data", "sentence"),
    [
        ("run.json", None, "holds no run: it needs the run.json and experiment.yaml of one."),
        ("experiment.yaml", None, "holds no run"),
        ("run.json", b"[1]", "run.json is not what a run writes: it is damaged"),
        ("run.json", b'{"status": "asleep"}', "its entry 'status' cannot be used"),
        ("run.json", b'{"status": "finished", "seconds": []}', "its entry 'seconds'"),
        ("steps.records", b"\x00\x01\n", "names no columns"),
        ("epochs.records", b'{"columns": ["epoch"]}\n', "has no column 'train_loss'"),
        ("scores.history", b"junk\n", "is not a score history"),
    ],
)
def test_damaged_folders_are_reported_in_a_sentence(
    run: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    name: str,
    data: bytes | None,
    sentence: str,
) -> None:
    damage(run, name, data)
    assert main(["report", str(run), "--out", str(tmp_path / "report.html")]) == 2
    said = capsys.readouterr().err
    assert sentence in said and str(run) in said and "Traceback" not in said
    assert not (tmp_path / "report.html").exists()


def test_wrong_paths_are_reported_and_nothing_is_overwritten(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine.html").write_text("mine")
    assert main(["report", str(tmp_path / "nowhere")]) == 2
    assert main(["report", str(run), "--out", str(tmp_path / "mine.html")]) == 2
    assert main(["report", str(run), "--out", str(tmp_path / "no" / "r.html")]) == 2
    first, second, third = capsys.readouterr().err.splitlines()
    assert "nowhere does not exist" in first
    assert "already exists" in second
    assert "does not exist: create it first" in third
    assert (tmp_path / "mine.html").read_text() == "mine"


def test_an_experiment_of_another_version_is_shown_as_it_is(run: Path, tmp_path: Path) -> None:
    (run / "experiment.yaml").write_bytes(b"version: 99\nwhat: \xff\n")
    page = report_of(run, tmp_path / "report.html")
    assert "Finished after 3 epochs." in page.words
    assert "version: 99" in page.words


def test_what_the_experiment_links_to_is_not_copied(run: Path, tmp_path: Path) -> None:
    yaml, secret, huge = run / "experiment.yaml", tmp_path / "secret", tmp_path / "huge"
    valid = yaml.read_text()
    secret.write_text("root:x:0:0:secret\nversion: 1\n")
    with huge.open("wb") as file:
        file.truncate(1 << 32)
    for target in (secret, huge):
        for link in (yaml.symlink_to, yaml.hardlink_to):
            yaml.unlink()
            link(target)
            page = report_of(run, tmp_path / "report.html")
            assert "secret" not in page.html and "This is no experiment." in page.words
            assert len(page.html) < 1_000_000
    secret.write_text(f"{valid}# secret\n")
    yaml.unlink()
    yaml.symlink_to(secret)
    page = report_of(run, tmp_path / "report.html")
    assert valid in page.words and "secret" not in page.html


def test_a_cancelled_report_writes_nothing(trained: Path, tmp_path: Path) -> None:
    cancel = threading.Event()
    cancel.set()
    with pytest.raises(ReportCancelled):
        write_report(trained, tmp_path / "report.html", cancel)
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(sys.platform == "win32", reason="needs links")
def test_a_report_follows_a_link_unless_it_came_with_the_run(trained: Path, tmp_path: Path) -> None:
    run = shutil.copytree(trained, tmp_path / "run")
    victim, link = tmp_path / "victim", tmp_path / "link.html"
    victim.write_text("mine")
    (run / "report.html").unlink(missing_ok=True)
    (run / "report.html").symlink_to(victim)
    assert main(["report", str(run)]) == 0
    assert victim.read_text() == "mine" and not (run / "report.html").is_symlink()
    link.symlink_to(victim)
    write_report(run, link)
    assert link.is_symlink() and "<html" in victim.read_text()
