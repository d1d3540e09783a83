"""Experiments: defaults for everything, and an error with its line for every mistake."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import get_args

import pytest
from pydantic import BaseModel

from lbc.config import (
    ConvNet,
    Digits,
    Experiment,
    Mlp,
    NpzFile,
    Optimizer,
    RemovalSchedule,
    ResNet,
    Training,
    dump_experiment,
    load_experiment,
    parse_experiment,
)
from lbc.config import experiment_files as config
from lbc.config.strict_yaml import ExperimentError
from lbc.sparsity.pattern import Pattern
from lbc.sparsity.schedule import Schedule

BUNDLED = Path(__file__).parents[2] / "resources" / "experiments" / "digits.yaml"


def problems(data: Mapping[str, object]) -> dict[str, str]:
    """The message for each dotted path."""
    with pytest.raises(ExperimentError) as caught:
        parse_experiment(data)
    found = {problem.path: problem.message for problem in caught.value.problems}
    assert len(found) == len(caught.value.problems)
    return found


def report(path: Path, *settings: str) -> list[str]:
    """The lines of a file's error, without its folder."""
    with pytest.raises(ExperimentError) as caught:
        load_experiment(path, settings)
    return str(caught.value).replace(f"{path.parent}/", "").splitlines()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "file.yaml"
    path.write_text("version: 1\n")
    return path


def test_a_file_with_only_a_version_is_the_bundled_experiment(file: Path) -> None:
    assert load_experiment(file) == Experiment() == parse_experiment({})
    assert load_experiment(BUNDLED) == Experiment()


def test_the_bundled_file_lists_every_setting_of_its_sections() -> None:
    text = BUNDLED.read_text(encoding="utf-8")
    for section in (Experiment, ConvNet, RemovalSchedule, Optimizer, Training):
        assert [key for key in section.model_fields if f"{key}:" not in text] == []


def test_values_are_parsed_into_their_types() -> None:
    experiment = parse_experiment(
        {
            "pattern": "1:16",
            "layers": {"a.*": "dense", "b": "2:8"},
            "skip": ["head"],
            "model": {"name": "mlp"},
            "score_memory_limit": "1.5 GiB",
            "schedule": {"kind": "step", "start": 1, "end": 5, "steps": 2},
        }
    )
    assert experiment.pattern == Pattern(1, 16)
    assert experiment.layers == {"a.*": "dense", "b": Pattern(2, 8)}
    assert experiment.skip == ("head",)
    assert experiment.model == Mlp(width=256, depth=3)
    assert experiment.score_memory_limit == 3 << 29
    assert experiment.schedule.as_schedule() == Schedule("step", 1, 5, 3, 2)


def test_an_experiment_is_immutable() -> None:
    with pytest.raises(ValueError, match="frozen"):
        Experiment().seed = 1


@pytest.mark.parametrize(
    ("text", "count"),
    [("4 GiB", 4 << 30), ("500MB", 500_000_000), ("1 kb", 1000), ("7 B", 7), ("0.5 KiB", 512)],
)
def test_memory_can_have_a_unit(text: str, count: int) -> None:
    assert parse_experiment({"score_memory_limit": text}).score_memory_limit == count
    assert parse_experiment({"score_memory_limit": count}).score_memory_limit == count


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
        "file.yaml:5: model.name: Unknown value 'mpl': choose convnet, mlp, resnet20, "
        "resnet32, resnet56, resnet18, resnet34, resnet50, deit-tiny, deit-small, import, timm, "
        "torchvision.",
        "file.yaml:6: pattern: 3:3 keeps every weight, which is dense: choose N below 3.",
        "file.yaml:8: layers.conv1: 0:4 is impossible: a block must keep at least one weight "
        "(N >= 1).",
        "file.yaml:9: layers.conv2: 5:4 is impossible: a block of 4 cannot keep 5 weights.",
        "file.yaml:10: layers.conv3: 'sparse' is not an N:M pattern: write two whole numbers, "
        "like 2:4.",
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
        "file.yaml:1: scores: Per-weight scores are exact only with SGD, but the optimizer is "
        "adamw: set scores to auto or per_combination, or optimizer to sgd.",
        "file.yaml:3: schedule.end: Removal ends at epoch 8, but training ends at epoch 6: lower "
        "schedule.end to 6 or raise training.epochs.",
        "file.yaml:6: seed: Must be a whole number, not 'x'.",
    ]


def test_a_schedule_may_end_with_training_but_not_after_it() -> None:
    fits = parse_experiment({"schedule": {"end": 6}, "training": {"epochs": 6}})
    assert fits.schedule.end == fits.training.epochs
    assert list(problems({"schedule": {"end": 6.5}, "training": {"epochs": 6}})) == ["schedule.end"]
    assert list(problems({"training": {"epochs": 6}})) == ["schedule.end"], "the default ends at 8"


@pytest.mark.parametrize("scores", ["auto", "per_combination"])
def test_other_forms_of_scores_work_with_every_optimizer(scores: str) -> None:
    for name in ("sgd", "adam", "adamw"):
        parse_experiment({"scores": scores, "optimizer": {"name": name}})
    parse_experiment({"scores": "per_weight"})


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


def test_settings_that_a_schedule_does_not_use_are_not_checked() -> None:
    optimizer = {"lr_schedule": "constant", "lr_milestones": [3], "final_lr": 9, "warmup_lr": 9}
    parse_experiment({"optimizer": optimizer})
    parse_experiment({"training": {"sync_batchnorm": True}, "device": "cuda"})


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


@pytest.mark.parametrize("device", ["cpu", "cuda", "cuda:0", "cuda:13", "mps"])
def test_a_device_has_the_name_that_torch_gives_it(device: str) -> None:
    assert parse_experiment({"device": device}).device == device


def test_an_unknown_key_lists_the_valid_keys_if_none_is_close() -> None:
    assert problems({"training": {"zzz": 1}}) == {
        "training.zzz": "Unknown key; valid keys are epochs, batch_size, accumulate, "
        "label_smoothing, clip_norm, ema_decay, precision, channels_last, compile, "
        "sync_batchnorm, checkpoint_minutes."
    }
    assert problems({"model": {"name": "resnet18", "width": 3}}) == {
        "model.width": "Unknown key; valid keys are name."
    }
    assert problems({"Optimiser": {}}) == {"Optimiser": "Unknown key; did you mean 'optimizer'?"}


def test_a_newer_version_is_the_only_problem_reported() -> None:
    assert problems({"version": 2, "sheduel": {}}) == {
        "version": "Version 2 is newer than the supported 1: update this program."
    }


def test_an_older_file_is_migrated_step_by_step(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(config, "VERSION", 3)
    monkeypatch.setattr(
        config,
        "MIGRATIONS",
        {
            1: lambda old: {"seed" if key == "sead" else key: old[key] for key in old},
            2: lambda old: old | {"device": f"cuda:{old['device']}"},
        },
    )
    migrated = config._current({"version": 1, "sead": 5, "device": 2}, "file", lambda _: None)
    assert migrated == {"version": 3, "seed": 5, "device": "cuda:2"}


def test_settings_override_the_file(file: Path) -> None:
    file.write_text("model: {name: mlp, width: 64}\noptimizer: {lr: 0.5, momentum: 0.1}\n")
    settings = ["model.width=32", "optimizer.lr=1e-3", "pattern=1:4", "layers.stages.1.conv=2:8"]
    assert load_experiment(file, settings) == Experiment(
        model=Mlp(width=32),
        optimizer=Optimizer(lr=1e-3, momentum=0.1),
        pattern=Pattern(1, 4),
        layers={"stages.1.conv": Pattern(2, 8)},
    )


def test_settings_apply_to_sections_that_the_file_omits(file: Path) -> None:
    assert load_experiment(file, ["model.width=8"]).model == ConvNet(width=8)
    assert load_experiment(file, ["model.name=resnet18"]).model == ResNet()


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
    assert set(caught.value.problem_paths) == {"optimizer.lr", "layers.a.b", "seed"}
    assert {bad.path: bad.line for bad in caught.value.problems} == {
        "optimizer.lr": 1,
        "layers.a.b": 2,
        "seed": None,
    }


def test_a_data_file_is_relative_to_the_folder_of_the_yaml(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "file.yaml").write_text("data: {name: npz, file: images/a.npz}\n")
    monkeypatch.chdir(tmp_path)
    folder = tmp_path.resolve() / "sub"
    experiment = load_experiment("sub/file.yaml")
    assert experiment.data == NpzFile(file=folder / "images" / "a.npz")
    overridden = load_experiment("sub/file.yaml", [f"data.file={tmp_path / 'b.npz'}"])
    assert overridden.data == NpzFile(file=tmp_path / "b.npz")


@pytest.mark.parametrize("wrong", ["", 3, ["a.npz"]])
def test_a_data_file_must_be_a_path(wrong: object) -> None:
    assert list(problems({"data": {"name": "npz", "file": wrong}})) == ["data.file"]


def test_a_truncated_file_loads_or_is_rejected(file: Path) -> None:
    whole = dump_experiment(parse_experiment({"layers": {"größe.*": "1:4"}, "skip": ["a"]}))
    content = whole.encode("utf-8")
    rejected = 0
    for end in range(len(content)):
        file.write_bytes(content[:end])
        try:
            load_experiment(file)
        except ExperimentError as error:
            rejected += 1
            assert str(error).startswith(f"{file}")
    assert rejected > 100


def test_a_file_cannot_run_code(file: Path) -> None:
    witness = file.with_name("witness")
    file.write_text(f'name: !!python/object/apply:os.system ["touch {witness}"]\n')
    assert report(file)[0].startswith("file.yaml:1: The tag ")
    assert not witness.exists()


def test_the_written_text_is_as_a_person_would_write_it() -> None:
    text = dump_experiment(Experiment())
    keys = [line.split(":")[0] for line in text.splitlines() if not line.startswith(" ")]
    assert keys == list(Experiment.model_fields)
    for line in (
        "pattern: 2:4",
        "score_memory_limit: 4 GiB",
        "  name: digits",
        "seed: 0",
    ):
        assert line in text.splitlines()


@pytest.mark.parametrize(
    ("data", "path", "words"),
    [
        ({"name": "cifar10"}, "data.folder", "Is required"),
        ({"name": "cifar10", "folder": ""}, "data.folder", "enter a file or folder"),
        ({"augment": {"flp": True}}, "data.augment.flp", "did you mean 'flip'"),
        ({"augment": {"mixup": -1}}, "data.augment.mixup", "at least 0"),
        ({"augment": {"crop": "centre"}}, "data.augment.crop", "choose none, pad or resized"),
        ({"name": "idx", "folder": "x", "emnist": "all"}, "data.emnist", "Unknown value"),
        ({"name": "folder", "folder": "x", "resize": 100}, "data.resize", "raise resize or lower"),
        ({"name": "mnist"}, "data.name", "idx, cifar10, cifar100, folder"),
    ],
)
def test_a_wrong_data_setting_is_reported(data: dict[str, object], path: str, words: str) -> None:
    (found,) = problems({"data": data}).items()
    assert found[0] == path and words in found[1]


def test_a_data_folder_is_relative_to_the_file(tmp_path: Path) -> None:
    file = tmp_path / "file.yaml"
    for name in ("idx", "cifar10", "cifar100", "folder"):
        file.write_text(f"data: {{name: {name}, folder: images}}\n")
        data = load_experiment(file).data
        assert not isinstance(data, Digits | NpzFile)
        assert data.folder == tmp_path / "images"


def sections() -> list[type[BaseModel]]:
    nested = [field.annotation for field in Experiment.model_fields.values()]
    classes = [kind for hint in nested for kind in (hint, *get_args(hint))]
    found = [k for k in classes if isinstance(k, type) and issubclass(k, BaseModel)]
    return [Experiment, *found]


def test_every_field_has_a_description_for_the_form() -> None:
    assert set(sections()) >= {Digits, NpzFile, ConvNet, Mlp, ResNet, Optimizer, Training}
    for section in sections():
        for name, field in section.model_fields.items():
            text = field.description or ""
            assert text.endswith(".") and len(text) <= 80, (section.__name__, name)


def test_reading_an_experiment_does_not_import_torch() -> None:
    program = (
        "import sys, lbc.config, lbc.config.strict_yaml as y\n"
        "lbc.config.load_experiment(sys.argv[1])\n"
        "print([m for m in ('torch', 'numpy', 'PySide6') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(BUNDLED)], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_a_user_s_own_model_needs_only_its_import_path() -> None:
    read = parse_experiment({"model": {"import": "package.module:function"}}).model
    assert (
        read
        == parse_experiment(
            {"model": {"name": "import", "import": "package.module:function", "kwargs": {}}}
        ).model
    )
    assert "import: package.module:function" in dump_experiment(Experiment(model=read))


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
