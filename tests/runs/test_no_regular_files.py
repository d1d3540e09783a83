"""A pipe in the place of any file of a run is named in a sentence, and nothing waits for it."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, TimeoutError
from functools import partial
from pathlib import Path

import pytest
from torch import nn

from lbc.cli.main import main
from lbc.config import Experiment
from lbc.files.append_file import AppendFile
from lbc.inspection.errors import InspectionError
from lbc.inspection.stored_tensor import Extent
from lbc.inspection.survey import survey_checkpoint
from lbc.latency.model_cases import cases_of_run
from lbc.library.run_cost import CostReader
from lbc.library.run_summary import summarize_run
from lbc.runs.annotations import change_annotations, read_annotations
from lbc.runs.history_reader import Replay
from lbc.runs.interventions import read_interventions
from lbc.runs.kept_checkpoints import kept_moments
from lbc.runs.opened_run import open_run
from lbc.runs.unfinished_run import being_trained
from lbc.runs.weights import read_weights
from lbc.training.checkpoint import read_on_all_ranks
from lbc.training.fork import fork_run
from lbc.training.initial_weights import InitialWeights
from lbc.training.ranks import Ranks
from lbc.training.teacher_copy import own_copy
from lbc.training.trainer import Trainer

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="no pipes with a name")

SECONDS = 20
NOT_REGULAR = "it is not a regular file"


@pytest.fixture(scope="module")
def finished(quick: Callable[..., Experiment], tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("finished") / "run"
    training = {"epochs": 2, "batch_size": 1000}
    Trainer(quick(training=training), run).train()
    return run


@pytest.fixture
def run(finished: Path, tmp_path: Path) -> Path:
    return shutil.copytree(finished, tmp_path / "run")


def replace_by_pipe(path: Path) -> Path:
    path.unlink(missing_ok=True)
    os.mkfifo(path)
    return path


Within = Callable[[Path, Callable[[], object]], object]


@pytest.fixture
def within() -> Iterator[Within]:
    """Calls in a thread, and fails where that waits for a pipe; it is then woken up."""
    with ThreadPoolExecutor(1) as threads:

        def call(pipe: Path, work: Callable[[], object]) -> object:
            answer = threads.submit(work)
            try:
                return answer.result(SECONDS)
            except TimeoutError:
                while not answer.done():
                    os.close(os.open(pipe, os.O_RDWR | os.O_NONBLOCK))
                pytest.fail(f"{pipe.name} was waited for.")

        yield call


def resume_before(run: Path) -> object:
    (run / "checkpoint.pt").write_bytes(b"damaged")
    return read_on_all_ranks(run, Ranks())


def forked(run: Path) -> object:
    return fork_run(run, 1.0, open_run(run).experiment, run.with_name("fork"))


READERS: dict[str, tuple[str, Callable[[Path], object]]] = {
    "state": ("run.json", open_run),
    "experiment": ("experiment.yaml", open_run),
    "history": ("scores.history", Replay),
    "open history": ("scores.history", open_run),
    "steps": ("steps.records", open_run),
    "epochs": ("epochs.records", open_run),
    "interventions": ("interventions.jsonl", read_interventions),
    "annotations": ("library.json", read_annotations),
    "annotate": (".library.json.lock", lambda run: change_annotations(run, lambda old: old)),
    "append": ("steps.records", lambda run: AppendFile(run / "steps.records")),
    "resume": ("checkpoint.pt", lambda run: read_on_all_ranks(run, Ranks())),
    "resume before": ("checkpoint.previous.pt", resume_before),
    "fork": ("checkpoints/step-*-epoch-1.0.pt", forked),
    "teacher": ("teacher.pt", own_copy),
    "latency": ("model.safetensors", lambda run: cases_of_run(run, 1)),
    "values": ("model.safetensors", lambda run: Extent(run / "model.safetensors", 0, 0).map()),
    "start": ("model.safetensors", lambda run: InitialWeights(run).fill(nn.Linear(1, 1))),
}
"""What reads a file of a run, and which."""


@pytest.mark.parametrize(("name", "read"), READERS.values(), ids=READERS)
def test_a_pipe_in_place_of_a_file_is_named_in_a_sentence(
    run: Path, within: Within, name: str, read: Callable[[Path], object]
) -> None:
    pipe = replace_by_pipe(next(run.glob(name), run / name))
    with pytest.raises(Exception, match=NOT_REGULAR) as caught:
        within(pipe, lambda: read(run))
    assert "\n" not in str(caught.value)


COMMANDS = {
    "report run.json": ("run.json", ["report", "run"]),
    "report steps": ("steps.records", ["report", "run"]),
    "report epochs": ("epochs.records", ["report", "run"]),
    "report history": ("scores.history", ["report", "run"]),
    "report pipe": ("report.html", ["report", "run"]),
    "export": ("checkpoint.pt", ["export", "run", "--out", "new"]),
    "inspect": ("model.safetensors", ["inspect", "run"]),
    "inspect against": ("model.safetensors", ["inspect", "run/checkpoint.pt", "--against", "run"]),
    "latency": ("model.safetensors", ["latency", "estimate", "--run", "run"]),
    "show": ("latency.json", ["latency", "show", "run/latency.json"]),
    "layers": ("experiment.yaml", ["layers", "run/experiment.yaml"]),
}


@pytest.mark.parametrize(("name", "command"), COMMANDS.values(), ids=COMMANDS)
def test_commands_say_so_and_fail(
    run: Path,
    within: Within,
    name: str,
    command: list[str],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(run.parent)
    pipe = replace_by_pipe(run / name)
    assert within(pipe, lambda: main(command)) in (1, 2)
    told = capsys.readouterr().err
    assert NOT_REGULAR in told and name in told and "Traceback" not in told
    assert pipe.is_fifo()


def test_nothing_that_looks_at_a_run_waits(finished: Path, run: Path, within: Within) -> None:
    """Whichever file is a pipe: lists of runs, and the weights and moments that views ask for."""
    names = [path.relative_to(run) for path in run.rglob("*") if path.is_file()]
    assert len(names) >= 8
    looks: tuple[Callable[[Path], object], ...] = (
        summarize_run,
        kept_moments,
        lambda run: read_weights(run, "hidden.0", 2.0),
        being_trained,
        CostReader().read,
    )
    added = ("library.json", "interventions.jsonl", "latency.json", "trainer.json")
    for name in [*names, *map(Path, added)]:
        pipe = replace_by_pipe(run / name)
        for look in looks:
            within(pipe, partial(look, run))
        pipe.unlink()
        if (finished / name).exists():
            shutil.copyfile(finished / name, run / name)


def test_an_index_and_its_shards_are_not_waited_for(tmp_path: Path, within: Within) -> None:
    index = tmp_path / "model.safetensors.index.json"
    index.write_text('{"weight_map": {"fc.weight": "a.safetensors"}}')
    pipe = replace_by_pipe(tmp_path / "a.safetensors")
    with pytest.raises(InspectionError, match=NOT_REGULAR):
        within(pipe, partial(survey_checkpoint, index))
    pipe = replace_by_pipe(index)
    with pytest.raises(InspectionError, match=NOT_REGULAR):
        within(pipe, partial(survey_checkpoint, tmp_path))
