"""Every experiment survives a round trip through its file."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lbc.config import (
    Augment,
    Cifar10,
    Cifar100,
    CifarResNet,
    ConvNet,
    DeiT,
    Digits,
    Experiment,
    IdxFiles,
    ImageFolder,
    Imported,
    Mlp,
    NpzFile,
    Optimizer,
    RemovalSchedule,
    ResNet,
    Timm,
    Training,
    dump_experiment,
    load_experiment,
    parse_experiment,
)
from lbc.config.strict_yaml import ExperimentError
from lbc.sparsity.pattern import Pattern
from lbc.sparsity.schedule import KINDS

patterns = st.integers(2, 64).flatmap(
    lambda m: st.builds(Pattern, n=st.integers(1, m - 1), m=st.just(m))
)
layer_names = st.text(min_size=1, max_size=12)
kwargs = st.dictionaries(
    st.text(max_size=8),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(-1e9, 1e9) | st.text(max_size=8),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
        max_leaves=4,
    ),
    max_size=3,
)
dense: st.SearchStrategy[Literal["dense"]] = st.just("dense")


augments = st.builds(
    Augment,
    crop=st.sampled_from(["none", "pad", "resized"]),
    smallest_area=st.floats(0, 1, exclude_min=True),
    flip=st.booleans(),
    rand_augment=st.floats(0, 10),
    mixup=st.floats(0, 100),
)


files = st.text(min_size=1, max_size=20).map(lambda name: Path("/data") / name)
data_sets = (
    st.builds(Digits, take=st.integers(0, 9000), test_share=st.floats(0, 1, exclude_max=True))
    | st.builds(NpzFile, file=files, test_share=st.floats(0, 1, exclude_min=True, exclude_max=True))
    | st.builds(Cifar10, folder=files, augment=augments, workers=st.integers(0, 256))
    | st.builds(Cifar100, folder=files, labels=st.sampled_from(["fine", "coarse"]))
    | st.builds(IdxFiles, folder=files, emnist=st.sampled_from(["none", "letters"]))
    | st.builds(ImageFolder, folder=files, size=st.integers(1, 256), augment=augments)
)
width, depth = st.integers(1, 8192), st.integers(1, 100)
shares = st.floats(0, 1, exclude_max=True)
models = (
    st.builds(ConvNet, width=width, depth=depth)
    | st.builds(Mlp, width=width, depth=depth)
    | st.just(ResNet(name="resnet50"))
    | st.just(CifarResNet(name="resnet56", width=32))
    | st.builds(DeiT, patch=width.filter(lambda side: side <= 1024), drop_path=shares)
    | st.builds(lambda kwargs: Imported(**{"import": "a.b:c", "kwargs": kwargs}), kwargs)
    | st.builds(Timm, model=layer_names, kwargs=kwargs)
)


@st.composite
def experiments(draw: st.DrawFn) -> Experiment:
    start, end = sorted(draw(st.lists(st.floats(0, 1e5), min_size=2, max_size=2, unique=True)))
    names: tuple[Literal["sgd", "adam", "adamw"], ...] = ("sgd", "adam", "adamw")
    name = draw(st.sampled_from(names))
    momentum = draw(st.floats(0, 1, exclude_max=True))
    return Experiment(
        name=draw(st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,40}[a-z0-9]", fullmatch=True)),
        data=draw(data_sets),
        model=draw(models),
        pattern=draw(patterns),
        layers=draw(st.dictionaries(layer_names, dense | patterns, max_size=4)),
        skip=tuple(draw(st.lists(layer_names, max_size=3))),
        scores=draw(
            st.sampled_from(["auto", "per_combination", *(["per_weight"] if name == "sgd" else [])])
        ),
        score_memory_limit=draw(
            st.integers(1, 1 << 50) | st.integers(0, 50).map(lambda power: 1 << power)
        ),
        schedule=RemovalSchedule(
            kind=draw(st.sampled_from(KINDS)),
            start=start,
            end=end,
            exponent=draw(st.floats(0, 100, exclude_min=True)),
            steps=draw(st.integers(1, 100_000)),
        ),
        optimizer=Optimizer(
            name=name,
            lr=draw(st.floats(0, 1e300, exclude_min=True)),
            momentum=momentum,
            nesterov=name == "sgd" and momentum > 0 and draw(st.booleans()),
            weight_decay=draw(st.floats(0, 1)),
            lr_schedule=draw(st.sampled_from(["cosine", "constant", "step"])),
            lr_milestones=tuple(sorted(draw(st.sets(st.floats(1, 1e5), min_size=1, max_size=3)))),
            warmup_epochs=draw(st.floats(0, 1e5)),
        ),
        training=Training(
            epochs=100_000,
            batch_size=draw(st.integers(2, 1_000_000)),
            ema_decay=draw(st.floats(0, 1, exclude_max=True)),
            precision=draw(st.sampled_from(["float32", "bfloat16", "float16"])),
            compile=draw(st.booleans()),
            checkpoint_minutes=draw(st.floats(0, 1e6, exclude_min=True)),
        ),
        seed=draw(st.integers(0, (1 << 32) - 1)),
        device=draw(st.sampled_from(["cpu", "cuda", "cuda:1", "mps"])),
    )


@given(experiments())
def test_a_written_experiment_is_read_back_equal(
    tmp_path_factory: pytest.TempPathFactory, experiment: Experiment
) -> None:
    path = tmp_path_factory.getbasetemp() / "round.yaml"
    path.write_text(dump_experiment(experiment), encoding="utf-8", newline="")
    assert load_experiment(path) == experiment


json_like = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=6,
)


@given(st.dictionaries(st.sampled_from([*Experiment.model_fields, "x"]), json_like))
def test_any_values_give_an_experiment_or_problems(
    data: dict[str, object],
) -> None:
    try:
        parse_experiment(data)
    except ExperimentError as error:
        assert len(str(error).splitlines()) == len(error.problems)
        assert all("nput should" not in problem.message for problem in error.problems)
