"""Only an unfinished run with its own experiment and an intact checkpoint is resumed."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import torch

from lbc.cli.main import main
from lbc.report.contents import read_run
from lbc.runs.folder import Position, RunFolder
from lbc.runs.run_state import RunError
from lbc.runs.unfinished_run import RunFinishedError, newest_unfinished, open_unfinished
from lbc.training.trainer import Trainer
from tests.training.resumption import MakeExperiment, refusal, stop_at, stored


def test_a_finished_run_is_not_resumed(
    quick: MakeExperiment, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Trainer(quick(), tmp_path / "run").train()
    before = {file.name: file.read_bytes() for file in (tmp_path / "run").glob("*.*")}
    assert main(["train", "--resume", str(tmp_path / "run")]) == 0
    assert "is finished (2 epochs): nothing is left to train" in capsys.readouterr().out
    assert {file.name: file.read_bytes() for file in (tmp_path / "run").glob("*.*")} == before
    with pytest.raises(RunFinishedError):
        open_unfinished(tmp_path / "run")
    assert newest_unfinished(tmp_path) is None


@pytest.mark.parametrize(
    ("sections", "text"),
    [
        ({"pattern": "1:4"}, "pattern was '2:4' and is '1:4'"),
        ({"training": {"epochs": 4, "batch_size": 500}}, "training.epochs was 2 and is 4"),
        ({"model": {"name": "mlp", "width": 64}}, "model.width was 32 and is 64"),
        ({"layers": {"hidden.0": "dense"}}, "layers.hidden.0 was not set and is 'dense'"),
    ],
)
def test_a_changed_experiment_is_refused_naming_the_setting(
    quick: MakeExperiment, tmp_path: Path, sections: dict[str, object], text: str
) -> None:
    stop_at(3, quick(), tmp_path)
    before = {file.name: file.read_bytes() for file in tmp_path.glob("*.*")}
    message = refusal(quick(**sections), tmp_path)
    assert text in message and "Restore it, or start a new run." in message
    assert {file.name: file.read_bytes() for file in tmp_path.glob("*.*")} == before


def corrupt(folder: Path, **changes: object) -> None:
    torch.save(stored(folder) | changes, folder / "checkpoint.pt")


def test_a_checkpoint_that_does_not_fit_the_run_is_refused(
    quick: MakeExperiment, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    stop_at(3, quick(), run)
    good, state = (run / "checkpoint.pt").read_bytes(), stored(run)
    model, momenta = state["model"], state["optimizer"]
    groups = [{**group, "momentum": "0.9"} for group in momenta["param_groups"]]
    beta = "hidden.0.parametrizations.weight.0.beta"
    packed = "hidden.0.parametrizations.weight.0.packed"
    identity = "hidden.0.parametrizations.weight.0.identity"
    other = torch.tensor(list(b"1:4 lbc per_weight".ljust(32)), dtype=torch.uint8)
    wrong: list[tuple[dict[str, object], str]] = [
        ({"version": 1}, "has checkpoint version 1, and this program reads version 2"),
        ({"version": 3}, "has checkpoint version 3, and this program reads version 2"),
        ({"step": "many"}, "its 'step' is missing or invalid"),
        ({"last": 7}, "its 'last' is missing or invalid"),
        ({"ranks": 2}, "a run of 2 process(es), not 1"),
        ({"steps_per_epoch": 9}, "had 9 steps"),
        ({"model": {k: v for k, v in model.items() if k != beta}}, f"it has no '{beta}'"),
        ({"model": model | {beta: torch.ones(3, 2)}}, f"'{beta}' is 3×2 of torch.float32"),
        ({"model": model | {beta: model[beta].double()}}, "32×784 of torch.float64"),
        ({"model": model | {packed: torch.ones(5, 1, dtype=torch.uint8)}}, "5×1 of torch.uint8"),
        ({"model": model | {identity: other}}, "Layer 'hidden.0' is '1:4 lbc per_weight' in the"),
        ({"model": model | {"more": torch.ones(1)}}, "this one has no 'more'"),
        ({"optimizer": momenta | {"param_groups": []}}, "The optimiser state"),
        ({"optimizer": momenta | {"state": {0: {"momentum_buffer": torch.ones(2)}}}},
         "momentum_buffer of parameter 0 is 2 of torch.float32"),
        ({"optimizer": momenta | {"state": {0: {"momentum_buffer": None}, 1: {}}}}, "has more of"),
        ({"optimizer": momenta | {"param_groups": groups}}, "its momentum is '0.9'"),
        ({"version": torch.ones(2)}, "has checkpoint version tensor([1., 1.])"),
        ({"threads": 100_000}, "its 'threads' is missing or invalid"),
        ({"in_shape": (1, -1, 28)}, "its 'in_shape.1' is missing or invalid"),
        ({"seen": 0}, "its epochs, steps and images contradict each other"),
        ({"step": 10**9}, "its epochs, steps and images contradict each other"),
        ({"position": {"steps": 99, "epochs": 0, "moments": 1, "decided": False}},
         "steps.records holds 3 rows, but 99 are needed"),
    ]  # fmt: skip
    for changes, text in wrong:
        corrupt(run, **changes)
        assert text in refusal(quick(), run), changes
        (run / "checkpoint.pt").write_bytes(good)
    for end in (0, 10, len(good) // 2, len(good) - 1):
        (run / "checkpoint.pt").write_bytes(good[:end])
        assert "is truncated, or not a PyTorch checkpoint" in refusal(quick(), run)
    torch.save({"state_dict": model}, run / "checkpoint.pt")
    assert "was not written by this program" in refusal(quick(), run)
    (run / "checkpoint.pt").write_bytes(good)
    Trainer(quick(), run, resume=True).train()


class Malicious:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, ("touch evil",)


def test_code_in_a_checkpoint_is_never_executed(
    quick: MakeExperiment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    stop_at(3, quick(), tmp_path / "run")
    corrupt(tmp_path / "run", last=Malicious())
    assert "never loaded because they can run code" in refusal(quick(), tmp_path / "run")
    assert not (tmp_path / "evil").exists()


def test_a_run_that_another_process_is_writing_is_not_resumed(
    quick: MakeExperiment, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stop_at(3, quick(), tmp_path / "run")
    layers = [event.layers for event in stop_at(1, quick(), tmp_path / "other")[:1]]  # type: ignore[union-attr]
    holder = RunFolder(tmp_path / "run", quick(), layers[0], Position(3, 0, 1))
    assert newest_unfinished(tmp_path / "run" / "..") is not None  # the other one
    assert main(["train", "--resume", str(tmp_path / "run")]) == 2
    assert "Another process is training the run" in capsys.readouterr().err
    holder.close()
    assert open_unfinished(tmp_path / "run").status == "stopped"


def test_one_epoch_is_not_called_epochs(
    quick: MakeExperiment, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    once = {"schedule": {"end": 1}, "training": {"epochs": 1, "batch_size": 1000}}
    Trainer(quick(**once), tmp_path / "done").train()
    assert main(["train", "--resume", str(tmp_path / "done")]) == 0
    assert "is finished (1 epoch): nothing" in " ".join(capsys.readouterr().out.split())
    assert read_run(tmp_path / "done").condition == "Finished after 1 of 1 epoch."
    stop_at(1, quick(**once), tmp_path / "stopped")
    assert open_unfinished(tmp_path / "stopped").described.endswith("after 0 of 1 epoch.")


def test_a_folder_without_a_run_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "torn").mkdir()
    (tmp_path / "torn" / "run.json").write_text('{"status": "run')
    for name, text in (
        ("missing", "does not exist"), ("empty", "holds no run"), ("torn", "holds no run"),
    ):  # fmt: skip
        assert main(["train", "--resume", str(tmp_path / name)]) == 2
        assert text in capsys.readouterr().err
    with pytest.raises(RunError):
        open_unfinished(tmp_path / "empty")
    assert main(["train"]) == 2
    assert main(["train", "--resume", str(tmp_path), "--out", "x"]) == 2


def test_the_newest_unfinished_run_is_found(quick: MakeExperiment, tmp_path: Path) -> None:
    assert newest_unfinished(tmp_path / "missing") is None
    stop_at(9, quick(), tmp_path / "old")
    stop_at(3, quick(), tmp_path / "young")
    found = newest_unfinished(tmp_path)
    assert found is not None and (found.path.name, found.epoch) == ("young", 0)
    assert found.described == "The run young was stopped after 0 of 2 epochs."
    state = json.loads((tmp_path / "young" / "run.json").read_text())
    (tmp_path / "young" / "run.json").write_text(json.dumps(state | {"status": "running"}))
    found = newest_unfinished(tmp_path)
    assert found is not None and "was cut off" in found.described
    (tmp_path / "young" / "run.json").write_text(json.dumps(state | {"status": "failed"}))
    assert newest_unfinished(tmp_path) is None
