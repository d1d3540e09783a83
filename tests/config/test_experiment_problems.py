"""Every mistake in an experiment is reported at its line and path, with what to do."""

from __future__ import annotations

from pathlib import Path

import pytest

from lbc.config import Experiment, load_experiment, parse_experiment
from lbc.config.model import FAMILIES
from lbc.config.strict_yaml import ExperimentError
from lbc.config.values import variant_names
from tests.config.conftest import problems, report

MODELS = [name for family in FAMILIES for name in variant_names(family)]

WRONG = """\
version: 1
name: a/b
data: {name: npz, fille: x.npz}
model:
  name: mpl
pattern: 3:3
layers:
  conv1: 0:4
  conv2: 5:4
  conv3: sparse
scores: per_wieght
score_memory_limit: 4 gubs
schedule:
  start: 9
  end: 8
optimizer:
  momentun: 0.9
  momentum: 1.5
  nesterov: yes
  lr: 0
training: {epochs: 2.5, batch_size: true}
seed: abc
device: gpu
lr: 0.1
"""


def test_all_mistakes_are_reported_at_once_with_their_lines(file: Path) -> None:
    file.write_text(WRONG)
    assert report(file) == [
        "file.yaml:2: name: 'a/b' is not a valid folder name: use up to 64 letters, digits, '-', "
        "'_' and '.', starting with a letter or digit and not ending in '.'.",
        "file.yaml:3: data.file: Is required: set it.",
        "file.yaml:3: data.fille: Unknown key; did you mean 'file'?",
        f"file.yaml:5: model.name: Unknown value 'mpl': choose {', '.join(MODELS)}.",
        "file.yaml:6: pattern: 3:3 keeps every weight, which is dense: choose N below 3.",
        "file.yaml:8: layers.conv1: 0:4 is impossible: a block must keep at least one weight "
        "(N >= 1).",
        "file.yaml:9: layers.conv2: 5:4 is impossible: a block of 4 cannot keep 5 weights.",
        "file.yaml:10: layers.conv3: 'sparse' is not an N:M pattern: write two whole numbers, "
        "like 2:4, or 4:8x2 for pairs of weights.",
        "file.yaml:11: scores: Unknown value 'per_wieght': choose auto, per_weight or "
        "per_combination.",
        "file.yaml:12: score_memory_limit: '4 gubs' is not an amount of memory: write it like "
        "4 GiB or 500 MB.",
        "file.yaml:15: schedule.end: The schedule ends (epoch 8) before it starts (epoch 9): "
        "choose an end after the start.",
        "file.yaml:17: optimizer.momentun: Unknown key; did you mean 'momentum'?",
        "file.yaml:18: optimizer.momentum: Must be below 1, not 1.5.",
        "file.yaml:19: optimizer.nesterov: Must be true or false, not 'yes'.",
        "file.yaml:20: optimizer.lr: Must be above 0, not 0.",
        "file.yaml:21: training.epochs: Must be a whole number, not 2.5.",
        "file.yaml:21: training.batch_size: Must be a whole number, not true.",
        "file.yaml:22: seed: Must be a whole number, not 'abc'.",
        "file.yaml:23: device: 'gpu' is not a device: write cpu, cuda, cuda:0 or mps.",
        "file.yaml:24: lr: Unknown key; did you mean 'optimizer.lr'?",
    ]


def test_contradictions_are_reported_together_with_other_mistakes(file: Path) -> None:
    file.write_text(
        "scores: per_weight\nschedule:\n  end: 8\noptimizer: {name: adamw}\n"
        "training: {epochs: 6}\nseed: x\n"
    )
    assert report(file) == [
        "file.yaml:1: scores: Per-weight scores are exact only with SGD, but the optimiser is "
        "adamw: set scores to auto or per_combination, or optimizer.name to sgd.",
        "file.yaml:3: schedule.end: Removal ends at epoch 8, but training ends at epoch 6: lower "
        "schedule.end to 6 or raise training.epochs.",
        "file.yaml:6: seed: Must be a whole number, not 'x'.",
    ]


def test_a_schedule_may_end_with_training_but_not_after_it() -> None:
    fits = parse_experiment({"schedule": {"end": 6}, "training": {"epochs": 6}})
    assert fits.schedule.end == fits.training.epochs
    assert list(problems({"schedule": {"end": 6.5}, "training": {"epochs": 6}})) == ["schedule.end"]
    assert list(problems({"training": {"epochs": 6}})) == ["schedule.end"], "the default ends at 8"
    parse_experiment({"training": {"epochs": 6}, "method": "dense"})  # which has no schedule


@pytest.mark.parametrize(
    ("optimizer", "words"),
    [
        ({"nesterov": True, "momentum": 0}, "momentum above 0"),
        ({"nesterov": True, "name": "adam"}, "only available for sgd"),
        ({"nesterov": True, "name": "adamw"}, "only available for sgd"),
    ],
)
def test_nesterov_needs_sgd_with_momentum(optimizer: dict[str, object], words: str) -> None:
    assert words in problems({"optimizer": optimizer})["optimizer.nesterov"]
    parse_experiment({"optimizer": optimizer | {"nesterov": False}})
    parse_experiment({"optimizer": {"nesterov": True}})


@pytest.mark.parametrize(
    ("sections", "path", "words"),
    [
        ({"optimizer": {"lr_schedule": "step"}}, "optimizer.lr_milestones", "add some, like"),
        ({"optimizer": {"lr_milestones": [6, 3]}}, "optimizer.lr_milestones", "must increase"),
        ({"optimizer": {"lr_milestones": [3, 20]}}, "optimizer.lr_milestones", "at epoch 20"),
        ({"optimizer": {"warmup_epochs": 20}}, "optimizer.warmup_epochs", "at epoch 20"),
        (
            {"optimizer": {"warmup_epochs": 2, "warmup_lr": 0.5}},
            "optimizer.warmup_lr",
            "0.5 is above the learning rate 0.1",
        ),
        ({"training": {"accumulate": 40}}, "training.accumulate", "A batch of 64 cannot be split"),
        ({"training": {"sync_batchnorm": True}}, "training.sync_batchnorm", "not on cpu"),
    ],
)
def test_settings_that_contradict_each_other_are_reported(
    sections: dict[str, object], path: str, words: str
) -> None:
    assert words in problems(sections)[path]


@pytest.mark.parametrize("pattern", ["0:4", "5:4", "3:3", "-1:4", "1:1", "2/4", "", 24, [2, 4]])
def test_an_invalid_pattern_is_rejected_everywhere(pattern: object) -> None:
    found = problems({"pattern": pattern, "layers": {"head": pattern}})
    assert list(found) == ["pattern", "layers.head"]


WRONG_VALUES: dict[str, list[object]] = {
    "version": [True, 0, "1"],
    "name": [3, "", "..", "a" * 65, "a\n"],
    "data": ["digits"],
    "data.workers": [-1, 1.5],
    "data.augment": ["flip", [1]],
    "model": [["convnet"]],
    "model.width": [0, "32"],
    "model.depth": [1.0],
    "model.import": ["", "os", "os:", ":system", "a b:c", "os.:path", "os:path:join", 3],
    "layers": [["conv1"]],
    "layers.": ["1:4"],
    "skip": ["conv1"],
    "skip.0": [3],
    "method": ["magic"],
    "score_memory_limit": [0, True, "many"],
    "schedule.kind": ["cubic"],
    "schedule.start": [-1],
    "schedule.exponent": [0, 1e9],
    "schedule.steps": [0],
    "optimizer.name": ["SGD"],
    "optimizer.lr": ["0,1", float("nan"), float("inf"), 10**400],
    "optimizer.momentum": [-0.1, True],
    "optimizer.weight_decay": [-1e-9],
    "optimizer.nesterov": [1],
    "training.epochs": [0, 100_001],
    "optimizer.final_lr": [-0.1, 0.2],
    "optimizer.lr_schedule": ["linear"],
    "optimizer.lr_milestones": [[2.0, 1.0], 3],
    "optimizer.lr_factor": [0, 1.5],
    "optimizer.warmup_epochs": [-1, 13],
    "optimizer.warmup_lr": [-1],
    "training.batch_size": [0],
    "training.accumulate": [0, 33],
    "training.label_smoothing": [1.0, -0.1],
    "training.clip_norm": [-1],
    "training.ema_decay": [1],
    "training.precision": ["fp16"],
    "training.sync_batchnorm": [True],
    "training.checkpoint_minutes": [0],
    "seed": [-1, 1 << 32, 1.0],
    "device": ["cuda:", "cuda:0\n", 0],
}


@pytest.mark.parametrize(
    ("path", "wrong"), [(path, value) for path in WRONG_VALUES for value in WRONG_VALUES[path]]
)
def test_a_wrong_value_is_reported_at_its_path(path: str, wrong: object) -> None:
    head, dot, key = path.partition(".")
    value = ([wrong] if key == "0" else {key: wrong}) if dot else wrong
    found = problems({head: value})
    assert list(found) == [path]
    assert "nput should" not in found[path], "pydantic's message"
    assert found[path].endswith((".", "?"))


@pytest.mark.parametrize("path", [*Experiment.model_fields, "model.name", "optimizer.lr"])
def test_a_key_without_a_value_is_reported(path: str) -> None:
    head, _, key = path.partition(".")
    assert problems({head: {key: None} if key else None}) == {
        path: "Has no value: set one, or remove the key."
    }


def test_an_unknown_key_lists_the_valid_keys_if_none_is_close() -> None:
    assert problems({"training": {"zzz": 1}}) == {
        "training.zzz": "Unknown key; valid keys are epochs, batch_size, accumulate, "
        "label_smoothing, clip_norm, ema_decay, precision, channels_last, compile, "
        "sync_batchnorm, weights, teacher, checkpoint_minutes, keep."
    }
    assert problems({"training": {"keep": {"evry": 1}, "teacher": {"zzz": 1, "weight": 2}}}) == {
        "training.keep.evry": "Unknown key; did you mean 'every'?",
        "training.teacher.zzz": "Unknown key; valid keys are source, weight, temperature.",
        "training.teacher.weight": "Must be at most 1, not 2.",
    }
    assert problems({"model": {"name": "resnet18", "width": 3}}) == {
        "model.width": "Unknown key; valid keys are name."
    }
    assert problems({"Optimiser": {}}) == {"Optimiser": "Unknown key; did you mean 'optimizer'?"}


def test_a_newer_version_is_the_only_problem_reported() -> None:
    assert problems({"version": 2, "sheduel": {}}) == {
        "version": "Version 2 is newer than the supported 1: update this program."
    }


def test_mistakes_in_settings_are_reported_for_the_setting(file: Path) -> None:
    file.write_text("model: {width: 0}\ntraining: {epochs: x}\n")
    settings = ("model.width=wide", "model.widht=3", "modle.width=3", "seed", "schedule.end=")
    assert sorted(report(file, *settings)) == [
        "--set model.widht: Unknown key; did you mean 'width'?",
        "--set model.width: Must be a whole number, not 'wide'.",
        "--set modle: Unknown key; did you mean 'model'?",
        "--set schedule.end: Has no value: set one, or remove the key.",
        "--set seed: Write it as key=value, like model.width=32.",
        "file.yaml:2: training.epochs: Must be a whole number, not 'x'.",
    ]


def test_every_problem_has_the_path_of_its_form_field(file: Path) -> None:
    file.write_text("optimizer: {lr: 0}\nlayers: {a.b: 9}\n")
    with pytest.raises(ExperimentError) as caught:
        load_experiment(file, ["seed=x"])
    assert {bad.path for bad in caught.value.problems} == {"optimizer.lr", "layers.a.b", "seed"}
    assert {bad.path: bad.line for bad in caught.value.problems} == {
        "optimizer.lr": 1,
        "layers.a.b": 2,
        "seed": None,
    }


@pytest.mark.parametrize("wrong", ["", 3, ["a.npz"]])
def test_a_data_file_must_be_a_path(wrong: object) -> None:
    assert list(problems({"data": {"name": "npz", "file": wrong}})) == ["data.file"]


@pytest.mark.parametrize(
    ("data", "path", "words"),
    [
        ({"name": "cifar10"}, "data.folder", "Is required"),
        ({"name": "cifar10", "folder": ""}, "data.folder", "enter a file or folder"),
        ({"augment": {"flp": True}}, "data.augment.flp", "did you mean 'flip'"),
        ({"augment": {"mixup": -1}}, "data.augment.mixup", "at least 0"),
        ({"augment": {"crop": "centre"}}, "data.augment.crop", "choose none, pad or resized"),
        ({"name": "idx", "folder": "x", "emnist": "all"}, "data.emnist", "Unknown value"),
        (
            {"name": "folder", "folder": "x", "resize": 100},
            "data.resize",
            "raise data.resize or",
        ),
        ({"name": "mnist"}, "data.name", "idx, cifar10, cifar100, folder"),
    ],
)
def test_a_wrong_data_setting_is_reported(data: dict[str, object], path: str, words: str) -> None:
    (found,) = problems({"data": data}).items()
    assert found[0] == path and words in found[1]


def test_mistakes_in_an_external_model_are_reported_with_the_keys_of_the_file() -> None:
    assert problems({"model": {"name": "import"}}) == {"model.import": "Is required: set it."}
    assert problems({"model": {"name": "timm", "model": "a", "kwarg": {}}}) == {
        "model.kwarg": "Unknown key; did you mean 'kwargs'?"
    }
    assert problems({"model": {"import": "a:b", "imports": "c"}}) == {
        "model.imports": "Unknown key; did you mean 'import'?"
    }
    assert problems({"model": {"import": "a:b", "kwargs": {"c": [float("nan")]}}}) == {
        "model.kwargs.c": "Must be a finite number."
    }
