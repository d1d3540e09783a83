"""Distillation: the loss with a teacher, which teachers are refused, exact resumes and forks."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from lbc.config import (
    ConvNet,
    Experiment,
    Imported,
    Mlp,
    Teacher,
    Training,
    dump_experiment,
    load_experiment,
    parse_experiment,
)
from lbc.data import load
from lbc.models import build
from lbc.runs.events import Event, Prepared, StepDone
from lbc.runs.folder import TEACHER
from lbc.runs.own_runs import remember_own
from lbc.runs.records import read_records
from lbc.runs.run_state import read_state
from lbc.sparsity.compliance import check
from lbc.sparsity.pattern import Pattern
from lbc.sparsity.sparsification import sparsify
from lbc.training.failures import TrainingError
from lbc.training.fork import ForkError, fork_run
from lbc.training.ranks import SINGLE_PROCESS
from lbc.training.teacher import Teacher as TeacherNetwork
from lbc.training.teacher_copy import TeacherCopy, find_copy
from lbc.training.trainer import Trainer
from tests.faults.experiment import small_experiment
from tests.training.resumption import assert_same_run, refusal, stop_at

IN_SHAPE, CLASSES = (1, 8, 8), 4


def changed(experiment: Experiment, *settings: str) -> Experiment:
    """The experiment with other settings, like ``training.epochs=1``."""
    return parse_experiment(experiment.model_dump(mode="json"), "experiment", settings)


def taught(experiment: Experiment, source: Path, *settings: str) -> Experiment:
    """The experiment with a teacher, and other settings."""
    teacher = (f"training.teacher.source={source}", "training.teacher.temperature=3")
    return changed(experiment, *teacher, *settings)


def network(seed: int = 1, width: int = 8) -> nn.Module:
    torch.manual_seed(seed)
    return build(Mlp(width=width), IN_SHAPE, CLASSES)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("teachers")


@pytest.fixture(scope="module")
def experiment(folder: Path) -> Experiment:
    return small_experiment(folder)


@pytest.fixture(scope="module")
def teacher(folder: Path, experiment: Experiment) -> Path:
    """The folder of a finished dense run of a wider network, with averaged weights."""
    wide = changed(experiment, "method=dense", "model.width=24", "training.ema_decay=0.9")
    Trainer(wide, folder / "wide").train()
    return folder / "wide"


def copied(experiment: Experiment, folder: Path | None = None) -> TeacherCopy:
    copy = find_copy(experiment, load(experiment.data), folder, False, SINGLE_PROCESS)
    assert copy is not None
    return copy


@pytest.mark.parametrize("weight", [0.0, 0.25, 1.0])
@pytest.mark.parametrize("temperature", [0.5, 1.0, 8.0])
def test_the_loss_is_that_of_hinton(weight: float, temperature: float) -> None:
    model = network()
    settings = Teacher(source=Path("x.pt"), weight=weight, temperature=temperature)
    copy = TeacherCopy(
        model=Mlp(width=8), in_shape=IN_SHAPE, classes=CLASSES, source="", sha256="",
        state=model.state_dict(),
    )  # fmt: skip
    teacher = TeacherNetwork(copy, Training(teacher=settings), torch.device("cpu"))
    images = torch.randn(6, *IN_SHAPE)
    logits, labels = torch.randn(6, CLASSES, requires_grad=True), torch.arange(6) % CLASSES
    task, theirs = F.cross_entropy(logits, labels), model(images)
    p, q = ((at / temperature).double().softmax(1) for at in (theirs, logits))
    divergence = (p * (p / q).log()).sum(1).mean()
    loss = teacher.mix(task, logits, teacher.logits(images))
    expected = (1 - weight) * task.double() + weight * temperature**2 * divergence
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)
    (slope,) = torch.autograd.grad(loss, logits)
    wanted = (1 - weight) * (logits.softmax(1) - F.one_hot(labels, CLASSES)) / 6
    wanted = wanted + weight * temperature * (q - p).float() / 6
    assert torch.allclose(slope, wanted, atol=1e-6)
    assert not any(at.requires_grad for at in teacher._network.parameters())


@pytest.mark.parametrize(
    "settings",
    [(), ("training.accumulate=4", "data.augment.mixup=0.8"), ("method=sr-ste",)],
)
def test_a_run_learns_from_a_run_of_another_network(
    tmp_path: Path, experiment: Experiment, teacher: Path, settings: tuple[str, ...]
) -> None:
    short = ("training.epochs=1", "schedule.end=1", "training.teacher.weight=1", *settings)
    begun, events = taught(experiment, teacher, *short), list[Event]()
    trainer = Trainer(begun, tmp_path / "run", emit=events.append)
    trainer.train()
    (told,) = (event for event in events if isinstance(event, Prepared))
    first = next(event for event in events if isinstance(event, StepDone))
    (batch, *_) = trainer._loader.batches(0, 0)
    ours, theirs = network(seed=begun.seed), network(width=24)
    if begun.method.name == "sr-ste":
        sparsify(ours, begun.pattern, method="sr-ste")
    theirs.load_state_dict(load_file(teacher / "model.safetensors"))
    p, q = ((model(batch.images) / 3).log_softmax(1) for model in (theirs, ours))
    divergence = F.kl_div(q, p, log_target=True, reduction="batchmean")
    assert first.loss == pytest.approx(9 * divergence.item(), rel=1e-4)
    digest = sha256((teacher / "model.safetensors").read_bytes()).hexdigest()
    assert read_state(tmp_path / "run").teacher_sha256 == told.teacher_sha256 == digest
    assert f"Teacher: {teacher}, SHA-256 {digest}." in told.notes
    macs = 64 * 24 + 24 * 24 + 24 * CLASSES
    assert any(f"adds {macs:,} multiply-adds per image" in note for note in told.notes)


@pytest.mark.parametrize("method", ["lbc", "asp"])
def test_a_resume_does_not_need_the_source(
    tmp_path: Path, experiment: Experiment, teacher: Path, method: str
) -> None:
    begun = taught(experiment, tmp_path / "wide", f"method={method}")
    shutil.copytree(teacher, tmp_path / "wide")
    Trainer(begun, tmp_path / "expected").train()
    stop_at(4, begun, tmp_path / "run")
    shutil.rmtree(tmp_path / "wide")
    digest = read_state(tmp_path / "run").teacher_sha256
    Trainer(begun, tmp_path / "run", resume=True).train()
    assert_same_run(tmp_path / "run", tmp_path / "expected")
    assert digest and read_state(tmp_path / "run").teacher_sha256 == digest
    kept = load_experiment(tmp_path / "run" / "experiment.yaml")
    assert kept.training.teacher == begun.training.teacher


def test_a_resume_without_its_own_copy_is_refused(
    tmp_path: Path, experiment: Experiment, teacher: Path
) -> None:
    begun, run = taught(experiment, teacher), tmp_path / "run"
    stop_at(2, begun, run)
    changed = refusal(taught(experiment, teacher, "training.teacher.weight=0.1"), run)
    assert "training.teacher.weight was 0.5 and is 0.1" in changed
    whole = (run / TEACHER).read_bytes()
    for damaged, reason in (
        (whole[: len(whole) // 2], "is truncated"),
        (whole.replace(whole[2000:2010], bytes(10), 1), "is damaged"),
        ((run / "checkpoint.pt").read_bytes(), "is no teacher that a run keeps"),
    ):
        (run / TEACHER).write_bytes(damaged)
        sentence = refusal(begun, run)
        assert reason in sentence and "Restore the run folder" in sentence
    (run / TEACHER).unlink()
    assert "The run has lost its teacher" in refusal(begun, run)
    (run / TEACHER).write_bytes(whole)
    Trainer(begun, run, resume=True).train()


def test_a_fork_takes_over_the_teacher_or_has_another(
    tmp_path: Path, experiment: Experiment, teacher: Path
) -> None:
    source = shutil.copytree(teacher, tmp_path / "wide")
    begun, parent = taught(experiment, source), tmp_path / "parent"
    Trainer(begun, parent).train()
    shutil.rmtree(source)
    same = fork_run(parent, 1, begun, tmp_path / "same")
    Trainer(begun, same, resume=True).train()
    assert_same_run(same, parent)
    assert read_state(same).teacher_sha256 == read_state(parent).teacher_sha256
    lighter = taught(experiment, source, "training.teacher.weight=0.1", "pattern=1:4")
    Trainer(lighter, fork_run(parent, 1, lighter, tmp_path / "lighter"), resume=True).train()
    save_file(network(seed=5).state_dict(), tmp_path / "bare.safetensors")
    other = taught(experiment, tmp_path / "bare.safetensors")
    fork = fork_run(parent, 1, other, tmp_path / "other")
    (tmp_path / "bare.safetensors").unlink()
    Trainer(other, fork, resume=True).train()
    losses = [read_records(at / "steps.records")["loss"] for at in (parent, fork)]
    assert losses[0][:3].tolist() == losses[1][:3].tolist()
    assert not set(losses[0][3:]) & set(losses[1][3:])
    alone = fork_run(parent, 1, experiment, tmp_path / "alone")
    Trainer(experiment, alone, resume=True).train()
    assert not (alone / TEACHER).exists() and not read_state(alone).teacher_sha256
    with pytest.raises(ForkError, match=r"The teacher cannot be used: .*does not exist"):
        fork_run(parent, 1, taught(experiment, tmp_path / "no.pt"), tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_any_checkpoint_of_a_run_is_a_teacher(
    tmp_path: Path, experiment: Experiment, teacher: Path
) -> None:
    Trainer(experiment, tmp_path / "sparse").train()
    files = ("checkpoint.pt", "model.safetensors", "checkpoints/step-3-epoch-1.0.pt")
    for source in (teacher, *(teacher / name for name in files), tmp_path / "sparse"):
        copy = copied(taught(experiment, source))
        assert copy.model == (Mlp(width=8) if source.name == "sparse" else Mlp(width=24))
    hidden = [at for name, at in copy.state.items() if name.startswith("hidden.") and at.ndim == 2]
    assert hidden and all(check(at, Pattern(2, 4)).valid for at in hidden)
    own = load_file(teacher / "model.safetensors")
    state = copied(taught(experiment, teacher)).state
    assert all(torch.equal(state[name], weight) for name, weight in own.items())
    bare = shutil.copyfile(teacher / "experiment.yaml", tmp_path / "experiment.yaml").parent
    shutil.copyfile(teacher / "model.safetensors", bare / "model.safetensors")
    assert copied(taught(experiment, bare)).model == Mlp(width=24)


Damage = Callable[[dict[str, Tensor]], object]


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda state: b"<html>", "is a web page"),
        (lambda state: b"PK\x03\x04", "cannot be|truncated|damaged"),
        (lambda state: {"weights": {}}, "has no state dict with layers"),
        (lambda state: {f"z{name}": at for name, at in state.items()}, "of this network"),
        (lambda state: dict(list(state.items())[:-1]), r"lacks tensors .*: head.bias \(4\)"),
        (lambda state: state | {"head.weight": torch.ones(9, 8)}, "has the shape 9×8, and 4×8 is"),
        (lambda state: state | {"head.weight": torch.full((4, 8), torch.nan)}, "not finite"),
        (lambda state: None, "does not exist"),
    ],
)
def test_a_checkpoint_that_is_no_teacher_is_refused(
    tmp_path: Path, experiment: Experiment, damage: Damage, reason: str
) -> None:
    file, content = tmp_path / "teacher.pt", damage(network().state_dict())
    if isinstance(content, bytes):
        file.write_bytes(content)
    elif content is not None:
        torch.save(content, file)
    with pytest.raises(TrainingError, match=reason) as caught:
        Trainer(taught(experiment, file), tmp_path / "run").train()
    sentence = str(caught.value)
    assert "\n" not in sentence and str(file) in sentence and not (tmp_path / "run").exists()


def test_a_run_on_other_images_or_itself_is_refused(
    tmp_path: Path, experiment: Experiment, teacher: Path
) -> None:
    data = load(experiment.data)
    for name, other, reason in (
        ("shape", replace(data, in_shape=(1, 9, 9)), "1×8×8 and 4 classes, .* 1×9×9 and 4"),
        ("classes", replace(data, classes=7), "1×8×8 and 4 classes, .* 1×8×8 and 7"),
    ):
        with pytest.raises(TrainingError, match=reason):
            find_copy(taught(experiment, teacher), other, tmp_path / name, False, SINGLE_PROCESS)
    for source in (tmp_path / "run", tmp_path / "run" / "checkpoint.pt"):
        with pytest.raises(TrainingError, match="is this run itself"):
            Trainer(taught(experiment, source), tmp_path / "run").train()
    assert not (tmp_path / "run").exists()


def test_code_of_others_is_never_run(
    tmp_path: Path, experiment: Experiment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A teacher that is code is built only if this user started its run, or trains it himself."""
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "network_of_others.py").write_text(
        "from lbc.models.mlp import Mlp\nopen('witness', 'w').close()\n"
        "def make(): return Mlp(64, 4, 8)\n"
    )
    monkeypatch.chdir(tmp_path)
    external = Imported.model_validate({"import": "network_of_others:make"})
    run, document = tmp_path / "run", experiment.model_copy(update={"model": external})
    run.mkdir()
    (run / "experiment.yaml").write_text(dump_experiment(document))
    save_file(network().state_dict(), run / "model.safetensors")
    begun = taught(experiment, run)
    with pytest.raises(TrainingError, match="did not start that run on this computer"):
        copied(begun)
    assert not (tmp_path / "witness").exists()
    remember_own(run, external)
    stop_at(2, begun, tmp_path / "student")
    assert (tmp_path / "witness").exists()
    Trainer(begun, tmp_path / "student", resume=True).train()
    moved = shutil.copytree(tmp_path / "student", tmp_path / "moved")
    (moved / "run.json").write_text((moved / "run.json").read_text().replace("finished", "stopped"))
    assert "did not start that run on this computer" in refusal(begun, moved)


def test_precision_and_memory_format_apply_to_the_teacher(
    tmp_path: Path, experiment: Experiment
) -> None:
    formats = ("training.precision=bfloat16", "training.channels_last=true")
    convnet = experiment.model_copy(update={"model": ConvNet(width=8)})
    dense = changed(convnet, "method=dense")
    Trainer(dense, tmp_path / "dense").train()
    trainer = Trainer(taught(dense, tmp_path / "dense", "method=lbc", *formats), None)
    trainer.train()
    teacher = trainer._stepper.teacher
    assert teacher is not None and not teacher._network.training
    convolutions = [at for at in teacher._network.parameters() if at.ndim == 4 and at.shape[1] > 1]
    assert convolutions
    assert all(at.is_contiguous(memory_format=torch.channels_last) for at in convolutions)
    with torch.autocast("cpu", torch.bfloat16):
        assert teacher.logits(torch.zeros(2, *IN_SHAPE)).dtype == torch.bfloat16
