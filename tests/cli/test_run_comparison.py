"""``lbc runs compare`` prints what differs, results with their test, and κ of the masks."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lbc.cli.main import main
from lbc.comparison.mask_agreement import compare_masks
from lbc.comparison.run_masks import read_masks
from tests.comparison.recorded_runs import record_search
from tests.library.run_folders import write_run


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "runs"
    for at, (rate, seed) in enumerate(((0.1, 0), (0.1, 1), (0.2, 0), (0.2, 1))):
        changes = {"seed": seed, "optimizer": {"lr": rate}}
        run = write_run(folder / f"r{at}", changes, accuracy=0.9 + at / 100, seed=seed)
        record_search(tmp_path / str(at), seed=at)
        (tmp_path / str(at) / "scores.history").rename(run / "scores.history")
    write_run(folder / "dense", {"method": "dense"}, accuracy=0.95, seed=0)
    return folder


def compare(capsys: pytest.CaptureFixture[str], *arguments: str, status: int = 0) -> str:
    assert main(["runs", "compare", *arguments]) == status
    out, errors = capsys.readouterr()
    assert (errors if status == 0 else out) == ""
    return errors if status else out


def test_tables_of_settings_results_and_masks(
    runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = compare(capsys, "r0", "r1", "r2", "r3", "dense", "--baseline", "r1")
    lines = [line.split() for line in text.splitlines()]
    assert ["optimizer.lr", "0.1", "0.1", "0.2", "0.2", "0.1"] in lines
    tested = ["+2.00", "0.500", "1.000"]  # with Holm's correction for two tests
    assert ["method", "lbc,", "lr", "0.2", "92.50", "0.71", "2", *tested] in lines
    assert ["method", "lbc,", "lr", "0.1", "(baseline)", "90.50", "0.71", "2"] in lines
    kappa = compare_masks([read_masks(runs / f"r{at}", "lbc") for at in range(4)])
    assert ["r0", "1.000", *(f"{one:.3f}" for one in kappa.whole[0, 1:])] in lines
    assert "dense was trained dense: it has no masks." in text
    assert "smallest possible p is 0.5" in text
    assert text.count("κ, ") == 1
    with_layers = compare(capsys, "r0", "r1", "--layers", "--markdown")
    assert with_layers.count("| κ, ") == 1 + len(kappa.layers)
    assert "| optimizer.lr" not in with_layers and "| seed | 0 | 1 |" in with_layers


def test_json_has_everything(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    document = json.loads(compare(capsys, "r0", "r2", "dense", "--json"))
    assert document["runs"] == ["runs/r0", "runs/r2", "runs/dense"]
    assert document["settings"]["optimizer.lr"] == [0.1, 0.2, 0.1]
    masks = document["masks"]
    assert len(masks["whole"]) == 2 and masks["whole"][0][0] == 1
    assert set(masks["layers"]) == {"0", "1", "2"} and len(masks["problems"]) == 1
    for key in ("p", "holm", "steps_per_second", "memory_mb"):
        assert [result[key] for result in document["results"]] == [None] * 3
    assert document["results"][0]["members"] == ["runs/dense"]


def test_unknown_and_unreadable_runs_are_one_sentence(
    runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "There is no run 'r9'" in compare(capsys, "r0", "r9", status=2)
    (runs / "r1" / "run.json").write_text("{")
    errors = compare(capsys, "r0", "r1", status=2)
    assert "run.json" in errors and "Traceback" not in errors
