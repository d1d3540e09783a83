"""A run that starts from trained weights: what is taken from a file, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from lbc.config import Experiment, load_experiment, parse_experiment
from lbc.data import load
from lbc.models import build
from lbc.runs.events import Event, Prepared
from lbc.runs.run_state import read_state
from lbc.training.control import Control
from lbc.training.failures import TrainingError
from lbc.training.initial_weights import InitialWeights
from lbc.training.preparation import prepare
from lbc.training.trainer import Trainer
from tests.faults.experiment import small_experiment
from tests.training.resumption import assert_same_run, stop_at


def network(experiment: Experiment, seed: int = 1) -> torch.nn.Module:
    torch.manual_seed(seed)
    return build(experiment.model, (1, 8, 8), 4)


def starting_from(experiment: Experiment, file: Path, method: str = "lbc") -> Experiment:
    training = experiment.training.model_copy(update={"weights": file})
    return with_method(experiment, method).model_copy(update={"training": training})


def with_method(experiment: Experiment, name: str) -> Experiment:
    return parse_experiment(experiment.model_dump(mode="json"), settings=[f"method={name}"])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("weights")


@pytest.fixture(scope="module")
def experiment(folder: Path) -> Experiment:
    return small_experiment(folder)


@pytest.fixture(scope="module")
def dense(folder: Path, experiment: Experiment) -> Path:
    """The folder of a finished dense run."""
    Trainer(with_method(experiment, "dense"), folder / "dense").train()
    return folder / "dense"


@pytest.mark.parametrize("method", ["lbc", "asp"])
def test_a_sparse_run_starts_from_the_weights_of_a_dense_one(
    tmp_path: Path, experiment: Experiment, dense: Path, method: str
) -> None:
    weights = load_file(dense / "model.safetensors")
    data = load(experiment.data)
    for source in (dense, dense / "model.safetensors", dense / "checkpoint.pt"):
        begun = starting_from(experiment, source, method=method)
        _, sparsifier, prepared = prepare(begun, data)
        plain = sparsifier.dense_state_dict()
        assert all(torch.equal(plain[name], at) for name, at in weights.items())
        assert sum(note.startswith("Taken: ") for note in prepared.notes) == 1
        assert "Missing: none." in prepared.notes and "Left over: none." in prepared.notes
    events = list[Event]()
    (tmp_path / "dense0").symlink_to(dense)
    begun = starting_from(experiment, tmp_path / "dense{seed}", method=method)
    Trainer(begun, tmp_path / "run", emit=events.append).train()
    (told,) = (event for event in events if isinstance(event, Prepared))
    digest = sha256((dense / "model.safetensors").read_bytes()).hexdigest()
    assert read_state(tmp_path / "run").weights_sha256 == told.weights_sha256 == digest


def test_a_resume_does_not_need_the_file(
    tmp_path: Path, experiment: Experiment, dense: Path
) -> None:
    file = tmp_path / "dense.safetensors"
    file.write_bytes((dense / "model.safetensors").read_bytes())
    begun = starting_from(experiment, file)
    Trainer(begun, tmp_path / "expected").train()
    stop_at(1, begun, tmp_path / "run")
    file.unlink()
    digest = read_state(tmp_path / "run").weights_sha256
    Trainer(begun, tmp_path / "run", resume=True).train()
    assert_same_run(tmp_path / "run", tmp_path / "expected")
    assert digest and read_state(tmp_path / "run").weights_sha256 == digest
    assert load_experiment(tmp_path / "run" / "experiment.yaml") == begun


def test_a_file_that_has_changed_since_it_was_used_is_said(
    tmp_path: Path, experiment: Experiment
) -> None:
    file = tmp_path / "dense.safetensors"
    for seed in (1, 2):
        save_file(network(experiment, seed).state_dict(), file)
        initial = InitialWeights(file)
        initial.fill(network(experiment, 3))
        changed = [note for note in initial.notes if "has changed since" in note]
        assert len(changed) == seed - 1
        stop_at(1, starting_from(experiment, file), tmp_path / f"run-{seed}")
    initial.fill(network(experiment, 3))
    assert not any("has changed since" in note for note in initial.notes)


Rename = Callable[[str], str]


@pytest.mark.parametrize(
    ("rename", "wrap"),
    [
        (lambda name: f"module.{name}", lambda state: state),
        (lambda name: f"_orig_mod.module.{name}", lambda state: {"state_dict": state}),
        (lambda name: f"model.{name}", lambda state: {"epoch": 3, "state_dict": state}),
        (lambda name: f"net.backbone.{name}", lambda state: {"model": {"state": state}}),
        (str, lambda state: {"model": state, "ema": {k: 0 * state[k] for k in state}}),
    ],
)  # fmt: skip
def test_prefixes_and_nesting_do_not_count(
    tmp_path: Path, experiment: Experiment, rename: Rename, wrap: Callable[..., object]
) -> None:
    source, target = network(experiment, 1), network(experiment, 2)
    file = tmp_path / "dense.pt"
    torch.save(wrap({rename(name): at for name, at in source.state_dict().items()}), file)
    initial = InitialWeights(file)
    initial.fill(target)
    for name, value in source.state_dict().items():
        assert torch.equal(target.state_dict()[name], value), name
    assert "Missing: none." in initial.notes


def test_what_is_missing_and_left_over_is_listed_with_its_shape(
    tmp_path: Path, experiment: Experiment
) -> None:
    model = network(experiment)
    state = model.state_dict()
    *_, last = state
    del state[last]
    state["head.extra"] = torch.zeros(3, 5)
    torch.save(state, tmp_path / "dense.pt")
    initial = InitialWeights(tmp_path / "dense.pt")
    initial.fill(model)
    shape = "×".join(map(str, model.state_dict()[last].shape))
    assert f"Missing: {last} ({shape})." in initial.notes
    assert "Left over: head.extra (3×5)." in initial.notes


def without_floats(state: dict[str, Tensor], name: str) -> dict[str, Tensor]:
    return state | {name: state[name].to(torch.int8)}


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda state, name: {f"z{k}": at for k, at in state.items()}, "of this network"),
        (lambda state, name: state | {name: torch.ones(3, 3)}, "has the shape 3×3, and "),
        (lambda state, name: state | {name: state[name] * np.nan}, "are not finite numbers"),
        (lambda state, name: state | {name: state[name] + np.inf}, "are not finite numbers"),
        (without_floats, "has the type int8"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_sentence(
    tmp_path: Path, experiment: Experiment, damage: Callable[..., object], reason: str
) -> None:
    state = network(experiment).state_dict()
    name = next(name for name, at in state.items() if at.ndim == 2)
    torch.save(damage(state, name), tmp_path / "dense.pt")
    with pytest.raises(TrainingError) as caught:
        InitialWeights(tmp_path / "dense.pt").fill(network(experiment))
    sentence = str(caught.value)
    assert reason in sentence and "\n" not in sentence and str(tmp_path) in sentence


def test_a_file_that_is_none_is_refused_before_there_is_a_run(
    tmp_path: Path, experiment: Experiment
) -> None:
    for name, content in (("missing.pt", None), ("page.pt", b"<html>"), ("cut.pt", b"PK\x03\x04")):
        if content is not None:
            (tmp_path / name).write_bytes(content)
        begun = starting_from(experiment, tmp_path / name)
        with pytest.raises(TrainingError, match=name) as caught:
            Trainer(begun, tmp_path / "run", Control()).train()
        assert "\n" not in str(caught.value)
        assert not (tmp_path / "run").exists()


def test_a_sparse_checkpoint_is_fine(tmp_path: Path, experiment: Experiment) -> None:
    stop_at(4, experiment, tmp_path / "sparse")
    _, _, prepared = prepare(starting_from(experiment, tmp_path / "sparse"), load(experiment.data))
    assert "Missing: none." in prepared.notes and "Left over: none." in prepared.notes
