"""The example experiments match the published recipes exactly."""

from __future__ import annotations

from math import cos, pi
from pathlib import Path

import pytest

from lbc.config import (
    Augment,
    Cifar10,
    CifarResNet,
    ConvNet,
    DeiT,
    Experiment,
    IdxFiles,
    ImageFolder,
    Optimizer,
    RemovalSchedule,
    ResNet,
    Training,
    load_experiment,
)
from lbc.files.resources import resource
from lbc.models import build_on_meta
from lbc.sparsity.method_options import read_options
from lbc.sparsity.pattern import Pattern
from lbc.training.optimizer import build_optimizer, learning_rate
from lbc.training.preparation import preview

EXAMPLES = sorted(resource("experiments").glob("*.yaml"))
IMAGENET = (3, 224, 224), 1000


def example(name: str) -> Experiment:
    return load_experiment(resource(f"experiments/{name}.yaml"))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_has_the_name_of_its_file(path: Path) -> None:
    assert load_experiment(path).name == path.stem


def test_resnet50_on_imagenet() -> None:
    assert example("resnet50-imagenet") == Experiment(
        name="resnet50-imagenet",
        data=ImageFolder(
            folder=Path("/data/imagenet"),
            size=224,
            resize=256,
            interpolation="bilinear",
            workers=8,
            augment=Augment(crop="resized", smallest_area=0.08, flip=True, lighting=0.1),
        ),
        model=ResNet(name="resnet50"),
        pattern=Pattern(2, 4),
        method=read_options("lbc"),
        schedule=RemovalSchedule(kind="polynomial", start=0, end=60, exponent=3),
        optimizer=Optimizer(
            name="sgd",
            lr=0.1,
            momentum=0.9,
            nesterov=False,
            weight_decay=1e-4,
            lr_schedule="cosine",
            final_lr=0,
            warmup_epochs=5,
            warmup_lr=0,
        ),
        training=Training(epochs=120, batch_size=256, label_smoothing=0.1, channels_last=True),
        device="cuda",
    )


def test_deit_small_on_imagenet() -> None:
    assert example("deit-small-imagenet") == Experiment(
        name="deit-small-imagenet",
        data=ImageFolder(
            folder=Path("/data/imagenet"),
            size=224,
            resize=256,
            interpolation="bicubic",
            workers=8,
            augment=Augment(
                crop="resized",
                smallest_area=0.08,
                flip=True,
                rand_augment=9,
                rand_augment_std=0.5,
                erasing=0.25,
                mixup=0.8,
                cutmix=1.0,
                repeats=3,
            ),
        ),
        model=DeiT(name="deit-small", patch=16, drop_path=0.1),
        pattern=Pattern(2, 4),
        method=read_options("lbc"),
        schedule=RemovalSchedule(kind="polynomial", start=0, end=200, exponent=4),
        optimizer=Optimizer(
            name="adamw",
            lr=5e-4 * (4 * 256) / 512,
            weight_decay=0.05,
            lr_schedule="cosine",
            final_lr=1e-5,
            warmup_epochs=5,
            warmup_lr=1e-6,
        ),
        training=Training(epochs=300, batch_size=4 * 256, label_smoothing=0.1),
        device="cuda",
    )


def test_resnet32_on_cifar10() -> None:
    data = resource("experiments/cifar10-resnet32.yaml").parents[2] / "data" / "cifar-10"
    found = example("cifar10-resnet32")
    assert isinstance(found.data, Cifar10)
    assert found.data.folder.resolve() == data
    assert found == Experiment(
        name="cifar10-resnet32",
        data=Cifar10(
            folder=found.data.folder,
            workers=2,
            augment=Augment(crop="pad", padding=4, flip=True),
        ),
        model=CifarResNet(name="resnet32", width=32),
        pattern=Pattern(2, 4),
        method=read_options("lbc"),
        schedule=RemovalSchedule(kind="polynomial", start=0, end=150, exponent=3),
        optimizer=Optimizer(
            name="sgd", lr=0.1, momentum=0.9, weight_decay=5e-4, lr_schedule="cosine", final_lr=0
        ),
        training=Training(epochs=300, batch_size=256, label_smoothing=0.1),
    )


def test_methods_are_compared_on_a_part_of_fashion_mnist() -> None:
    data = resource("experiments/fashion-1-16.yaml").parents[2] / "data" / "fashion-mnist"
    found = example("fashion-1-16")
    assert isinstance(found.data, IdxFiles) and found.data.folder.resolve() == data
    assert found == Experiment(
        name="fashion-1-16",
        data=IdxFiles(folder=found.data.folder, take=20_000, test_share=0.5),
        model=ConvNet(width=16),
        pattern=Pattern(1, 16),
        schedule=RemovalSchedule(end=6),
        training=Training(epochs=12),
    )


def test_the_learning_rate_warms_up_and_decays_as_in_the_recipe() -> None:
    resnet, deit = example("resnet50-imagenet"), example("deit-small-imagenet")
    top = 0.1 * (1 + cos(pi * 5 / 120)) / 2
    rates = [learning_rate(resnet.optimizer, epoch, 120) for epoch in (0, 0.01, 5, 60, 120)]
    assert rates == pytest.approx([0, top * 0.01 / 5, top, 0.05, 0])
    rates = [learning_rate(deit.optimizer, epoch, 300) for epoch in (0, 150, 300)]
    assert rates == pytest.approx([1e-6, (1e-3 + 1e-5) / 2, 1e-5])


def test_the_stem_and_classifier_of_the_resnet_stay_dense() -> None:
    seen = preview(example("resnet50-imagenet"), *IMAGENET)
    assert {plan.name for plan in seen.plans if plan.pattern is None} == {"conv1", "fc"}
    assert seen.form == "per_weight"


def test_attention_and_mlp_layers_of_the_deit_are_sparse() -> None:
    seen = preview(example("deit-small-imagenet"), *IMAGENET)
    sparse = {plan.name for plan in seen.plans if plan.pattern is not None}
    inside = ("attn.qkv", "attn.proj", "mlp.fc1", "mlp.fc2")
    assert sparse == {f"blocks.{block}.{name}" for block in range(12) for name in inside}
    assert {plan.name for plan in seen.plans} - sparse == {
        "cls_token",
        "pos_embed",
        "patch_embed.proj",
        "head",
    }
    assert seen.form == "per_combination"


@pytest.mark.parametrize(
    ("name", "undecayed"),
    [("resnet50-imagenet", ("bn", "downsample.1", "bias")), ("deit-small-imagenet", ("norm",))],
)
def test_weight_decay_skips_the_parameters_of_the_recipe(
    name: str, undecayed: tuple[str, ...]
) -> None:
    experiment = example(name)
    model = build_on_meta(experiment.model, *IMAGENET)
    optimizer = build_optimizer(model, experiment.optimizer)
    decays = {
        id(parameter): group["weight_decay"]
        for group in optimizer.param_groups
        for parameter in group["params"]
    }
    table = {"pos_embed", "cls_token"}
    for path, parameter in model.named_parameters():
        free = path in table or path.endswith("bias") or any(part in path for part in undecayed)
        expected = 0 if free else experiment.optimizer.weight_decay
        assert decays[id(parameter)] == expected, path
