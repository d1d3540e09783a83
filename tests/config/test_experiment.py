"""An experiment has a default for every setting, read from a file and from settings over it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest
from pydantic import BaseModel

from lbc.config import (
    Cifar10,
    Cifar100,
    ConvNet,
    Digits,
    Experiment,
    IdxFiles,
    ImageFolder,
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
from tests.config.conftest import report

BUNDLED = Path(__file__).parents[2] / "resources" / "experiments" / "digits.yaml"


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


@pytest.mark.parametrize("scores", ["auto", "per_combination"])
def test_other_forms_of_scores_work_with_every_optimizer(scores: str) -> None:
    for name in ("sgd", "adam", "adamw"):
        parse_experiment({"scores": scores, "optimizer": {"name": name}})
    parse_experiment({"scores": "per_weight"})


def test_settings_that_a_schedule_does_not_use_are_not_checked() -> None:
    optimizer = {"lr_schedule": "constant", "lr_milestones": [3], "final_lr": 9, "warmup_lr": 9}
    parse_experiment({"optimizer": optimizer})
    parse_experiment({"training": {"sync_batchnorm": True}, "device": "cuda"})


@pytest.mark.parametrize("device", ["cpu", "cuda", "cuda:0", "cuda:13", "mps"])
def test_a_device_has_the_name_that_torch_gives_it(device: str) -> None:
    assert parse_experiment({"device": device}).device == device


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


def test_a_data_file_is_relative_to_the_folder_of_the_yaml(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "file.yaml").write_text("data: {name: npz, file: images/a.npz}\n")
    monkeypatch.chdir(tmp_path)
    folder = tmp_path.resolve() / "sub"
    experiment = load_experiment("sub/file.yaml")
    assert experiment.data == NpzFile(file=folder / "images" / "a.npz")
    teacher = load_experiment("sub/file.yaml", ["training.teacher.source=run"]).training.teacher
    assert teacher.source == folder / "run"
    overridden = load_experiment("sub/file.yaml", [f"data.file={tmp_path / 'b.npz'}"])
    assert overridden.data == NpzFile(file=tmp_path / "b.npz")


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


def test_a_data_folder_is_relative_to_the_file(tmp_path: Path) -> None:
    file = tmp_path / "file.yaml"
    for name in ("idx", "cifar10", "cifar100", "folder"):
        file.write_text(f"data: {{name: {name}, folder: images}}\n")
        data = load_experiment(file).data
        assert isinstance(data, IdxFiles | Cifar10 | Cifar100 | ImageFolder)
        assert data.folder == tmp_path / "images"
    inner = tmp_path / "inner" / "file.yaml"
    inner.parent.mkdir()
    inner.write_text("data: {name: idx, folder: ../../images/../a}\n")
    data = load_experiment(inner).data  # the last ".." may follow a link
    assert str(getattr(data, "folder", "")) == str(tmp_path.parent / "images" / ".." / "a")


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
            if name == "name" and not text:  # selects the variant, which has a docstring
                text = section.__doc__ or ""
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


def test_paths_of_other_runs_may_depend_on_the_seed() -> None:
    assert parse_experiment({}).initial_weights is None
    settings = {"weights": "runs/dense{seed}", "teacher": {"source": "~/{seed}/{seed}"}}
    experiment = parse_experiment({"seed": 7, "training": settings})
    assert experiment.initial_weights == Path("runs/dense7")
    source = experiment.training.teacher.source
    assert experiment.locate(source) == Path.home() / "7" / "7"
