"""Every configurable model can be built and trained, and has the documented layers."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from lbc import config
from lbc.config.model import FAMILIES
from lbc.config.values import variant_names
from lbc.models import (
    CifarResNet,
    ConvNet,
    DeiT,
    Mlp,
    ResNet18,
    ResNet34,
    ResNet50,
    build,
    build_on_meta,
)
from lbc.models.cifar_resnet import CifarBlock
from lbc.models.deit import Attention, DropPath

OWN = [
    config.parse_experiment({"model": {"name": name}}).model
    for family in FAMILIES
    if family not in config.EXTERNAL
    for name in variant_names(family)
]
OF_ANY_SIZE = [
    config.ConvNet(), config.Mlp(), config.ResNet(), config.ResNet(name="resnet50"),
    config.CifarResNet(),
]  # fmt: skip


def trains(model: nn.Module, in_shape: tuple[int, int, int], classes: int) -> bool:
    """Two samples give logits of the right shape and a gradient in every parameter."""
    logits = model(torch.randn(2, *in_shape))
    logits.square().sum().backward()
    return logits.shape == (2, classes) and all(p.grad is not None for p in model.parameters())


def parameters(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


@pytest.mark.parametrize("model", OF_ANY_SIZE, ids=lambda model: model.name)
@pytest.mark.parametrize("in_shape", [(1, 28, 28), (3, 64, 64), (3, 20, 33)])
def test_a_configured_model_trains_on_images_of_any_shape(
    model: config.Model, in_shape: tuple[int, int, int]
) -> None:
    assert trains(build(model, in_shape, classes=7), in_shape, 7)


@pytest.mark.parametrize("patch, in_shape", [(4, (1, 28, 28)), (8, (3, 16, 24))])
def test_deit_trains_on_images_that_its_patches_tile(
    patch: int, in_shape: tuple[int, int, int]
) -> None:
    model = build(config.DeiT(patch=patch, drop_path=0), in_shape, classes=7)
    assert trains(model, in_shape, 7)


@pytest.mark.parametrize("model", OWN, ids=lambda model: model.name)
def test_a_model_can_be_built_on_the_meta_device(model: config.Model) -> None:
    built = build_on_meta(model, (3, 32, 32), classes=10)
    assert all(tensor.is_meta for tensor in built.state_dict().values())
    assert built(torch.zeros(2, 3, 32, 32, device="meta")).shape == (2, 10)


@pytest.mark.parametrize(
    ("name", "classes", "side", "published"),
    [
        # He et al. 2016, table 6: 0.27M, 0.46M, 0.85M; exact for parameter-free shortcuts.
        ("resnet20", 10, 32, 269_722),
        ("resnet32", 10, 32, 464_154),
        ("resnet56", 10, 32, 853_018),
        # As torchvision and timm state them.
        ("resnet18", 1000, 224, 11_689_512),
        ("resnet34", 1000, 224, 21_797_672),
        ("resnet50", 1000, 224, 25_557_032),
        ("deit-tiny", 1000, 224, 5_717_416),
        ("deit-small", 1000, 224, 22_050_664),
    ],
)
def test_a_model_has_the_published_number_of_parameters(
    name: str, classes: int, side: int, published: int
) -> None:
    model = config.parse_experiment({"model": {"name": name}}).model
    assert parameters(build_on_meta(model, (3, side, side), classes)) == published


def test_build_passes_width_and_depth_on() -> None:
    convnet = build(config.ConvNet(width=48, depth=2), (1, 28, 28), 10)
    mlp = build(config.Mlp(width=64, depth=4), (1, 28, 28), 10)
    assert [w.shape[0] for w in convnet.state_dict().values() if w.ndim == 4] == [48, 96]
    assert [w.shape[0] for w in mlp.state_dict().values() if w.ndim == 2] == [64, 64, 64, 10]


@pytest.mark.parametrize("width", [16, 32, 80])
@pytest.mark.parametrize("depth", [1, 3, 6])
@pytest.mark.parametrize("image_size", [1, 28, 224])
def test_convnet_layers_after_the_first_fit_patterns_up_to_16(
    width: int, depth: int, image_size: int
) -> None:
    with torch.device("meta"):
        model = ConvNet(1, image_size, 10, width, depth)
    convolutions = [module for module in model.modules() if isinstance(module, nn.Conv2d)]
    assert len(convolutions) == depth
    assert convolutions[0].out_channels == width
    assert [conv.in_channels % 16 for conv in convolutions[1:]] == [0] * (depth - 1)
    assert model.head.in_features % 16 == 0


@pytest.mark.parametrize("side", [1, 2, 3, 5, 28])
def test_a_deep_convnet_trains_on_small_images(side: int) -> None:
    assert trains(ConvNet(1, side, 3, width=4, depth=8), (1, side, side), 3)


@pytest.mark.parametrize("width, depth", [(0, 3), (32, 0)])
def test_models_without_layers_or_channels_are_rejected(width: int, depth: int) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        ConvNet(1, 28, 10, width, depth)
    with pytest.raises(ValueError, match="at least 1"):
        Mlp(784, 10, width, depth)


def test_resnet18_names_its_parameters_as_torchvision_does() -> None:
    with torch.device("meta"):
        shapes = {name: tuple(p.shape) for name, p in ResNet18().state_dict().items()}
    expected = {
        "conv1.weight": (64, 3, 7, 7),
        "bn1.running_mean": (64,),
        "layer1.0.conv1.weight": (64, 64, 3, 3),
        "layer1.1.bn2.bias": (64,),
        "layer2.0.downsample.0.weight": (128, 64, 1, 1),
        "layer2.0.downsample.1.num_batches_tracked": (),
        "layer3.0.conv1.weight": (256, 128, 3, 3),
        "layer4.1.conv2.weight": (512, 512, 3, 3),
        "fc.weight": (1000, 512),
        "fc.bias": (1000,),
    }
    assert shapes | expected == shapes
    # 20 convolutions and the classifier, and 5 entries for each of the 20 BatchNorms.
    assert len(shapes) == 20 + 2 + 5 * 20
    assert not any(name.startswith("layer1.0.downsample") for name in shapes)


@pytest.mark.parametrize("size, expected", [(224, 7), (64, 2), (28, 1)])
def test_resnet18_reduces_the_image_side_by_a_factor_of_32(size: int, expected: int) -> None:
    model = ResNet18(classes=5)
    sizes: list[int] = []
    model.layer4.register_forward_hook(lambda _, __, output: sizes.append(output.shape[-1]))
    with torch.no_grad():
        model.eval()(torch.zeros(1, 3, size, size))
    assert sizes == [expected]


def test_the_shortcut_of_a_block_is_the_identity() -> None:
    block = ResNet18(classes=2).layer1[0].eval()
    for name, parameter in block.named_parameters():
        if name.startswith("bn2"):
            nn.init.zeros_(parameter)
    images = torch.rand(1, 64, 4, 4)
    assert torch.equal(block(images), images)


def test_an_mlp_of_depth_one_is_a_linear_classifier() -> None:
    model = Mlp(784, 10, width=64, depth=1)
    assert trains(model, (1, 28, 28), 10)
    assert [tuple(p.shape) for p in model.parameters()] == [(10, 784), (10,)]


def test_the_larger_resnets_name_their_parameters_as_torchvision_does() -> None:
    with torch.device("meta"):
        basic, bottleneck = ResNet34().state_dict(), ResNet50().state_dict()
    assert tuple(basic["layer3.5.conv2.weight"].shape) == (256, 256, 3, 3)
    expected = {
        "layer1.0.conv1.weight": (64, 64, 1, 1),
        "layer1.0.conv3.weight": (256, 64, 1, 1),
        "layer1.0.downsample.0.weight": (256, 64, 1, 1),
        "layer2.0.conv2.weight": (128, 128, 3, 3),
        "layer3.5.bn3.running_var": (1024,),
        "layer4.0.downsample.1.bias": (2048,),
        "fc.weight": (1000, 2048),
    }
    assert {name: tuple(bottleneck[name].shape) for name in expected} == expected
    # 53 convolutions and the classifier, and 5 entries for each of the 53 BatchNorms.
    assert len(bottleneck) == 53 + 2 + 5 * 53
    assert len(basic) == 36 + 2 + 5 * 36


def test_a_bottleneck_strides_in_its_3x3_convolution() -> None:
    with torch.device("meta"):
        block = ResNet50().layer2[0]
    strides = [conv.stride for conv in (block.conv1, block.conv2, block.conv3)]
    assert strides == [(1, 1), (2, 2), (1, 1)]


def test_deit_names_its_parameters_as_timm_does() -> None:
    with torch.device("meta"):
        shapes = {name: tuple(p.shape) for name, p in DeiT(192).state_dict().items()}
    expected = {
        "cls_token": (1, 1, 192),
        "pos_embed": (1, 197, 192),
        "patch_embed.proj.weight": (192, 3, 16, 16),
        "blocks.0.norm1.weight": (192,),
        "blocks.5.attn.qkv.weight": (576, 192),
        "blocks.5.attn.qkv.bias": (576,),
        "blocks.11.attn.proj.weight": (192, 192),
        "blocks.11.norm2.bias": (192,),
        "blocks.11.mlp.fc1.weight": (768, 192),
        "blocks.11.mlp.fc2.weight": (192, 768),
        "norm.weight": (192,),
        "head.weight": (1000, 192),
    }
    assert shapes | expected == shapes
    assert len(shapes) == 2 + 2 + 12 * 12 + 2 + 2


def test_deit_is_initialised_as_published() -> None:
    model = build(config.DeiT(patch=4), (3, 32, 32), 10).state_dict()
    for name in ("blocks.3.mlp.fc1.weight", "blocks.3.attn.qkv.weight", "pos_embed"):
        assert model[name].std().item() == pytest.approx(0.02, rel=0.05)
    assert not model["blocks.3.mlp.fc1.bias"].any()


def test_a_cifar_resnet_is_initialised_as_published() -> None:
    conv = CifarResNet(20).state_dict()["layer3.1.conv1.weight"]
    assert conv.std().item() == pytest.approx((2 / (64 * 9)) ** 0.5, rel=0.03)


def test_patches_that_do_not_tile_the_images_are_reported_with_those_that_do() -> None:
    with pytest.raises(ValueError, match=r"28×28 pixels: set model.patch to 2, 4, 7 or 14"):
        build(config.DeiT(), (1, 28, 28), 10)
    with pytest.raises(ValueError, match=r"set model.patch to 13"):
        build(config.DeiT(), (1, 13, 26), 10)


def test_drop_path_drops_whole_branches_in_training_only_and_keeps_the_mean() -> None:
    model = build(config.DeiT(patch=4, drop_path=0.4), (1, 8, 8), 10)
    rates = [at.rate for at in model.modules() if isinstance(at, DropPath)]
    assert rates == pytest.approx([0.4 * index / 11 for index in range(12)])
    drop = model.get_submodule("blocks.11.drop_path")
    torch.manual_seed(0)
    branch = torch.ones(4000, 2, 3)
    dropped = drop(branch)
    assert torch.equal(dropped, dropped[:, :1, :1].expand_as(dropped))
    assert dropped.unique().tolist() == pytest.approx([0, 1 / 0.6])
    assert dropped.mean().item() == pytest.approx(1, abs=0.05)
    assert drop.eval()(branch) is branch


def test_attention_is_softmax_of_scaled_products() -> None:
    attention = build(config.DeiT(patch=4), (1, 8, 8), 10).get_submodule("blocks.0.attn")
    assert isinstance(attention, Attention)
    tokens = torch.randn(2, 5, 192)
    query, key, value = attention.qkv(tokens).chunk(3, dim=-1)
    heads = []
    for head in range(3):
        own = slice(64 * head, 64 * (head + 1))
        scaled = query[..., own] @ key[..., own].transpose(1, 2) / 8
        heads.append(scaled.softmax(-1) @ value[..., own])
    expected = attention.proj(torch.cat(heads, dim=-1))
    torch.testing.assert_close(attention(tokens), expected)


def test_the_shortcut_of_a_cifar_resnet_subsamples_if_the_shape_changes() -> None:
    block = CifarResNet(20).layer2[0].eval()
    assert isinstance(block, CifarBlock)
    nn.init.zeros_(block.bn2.weight)
    images = torch.rand(2, 16, 8, 8)
    out = block(images)
    assert torch.equal(out[:, :16], images[:, :, ::2, ::2])
    assert out.shape == (2, 32, 4, 4) and not out[:, 16:].any()


@pytest.mark.parametrize("width", [16, 32])
def test_a_cifar_resnet_doubles_its_width_twice(width: int) -> None:
    model = build_on_meta(config.CifarResNet(name="resnet32", width=width), (3, 32, 32), 10)
    convolutions = [at for at in model.modules() if isinstance(at, nn.Conv2d)]
    assert len(convolutions) == 31
    assert {conv.out_channels for conv in convolutions} == {width, 2 * width, 4 * width}


@pytest.mark.parametrize("layers", [2, 19, 21, 0])
def test_a_cifar_resnet_with_another_number_of_layers_is_rejected(layers: int) -> None:
    with pytest.raises(ValueError, match="6n \\+ 2 layers"):
        CifarResNet(layers)


def test_resnet18_has_reproducible_initial_weights() -> None:
    torch.manual_seed(0)
    weights = ResNet18(10, 1).state_dict()
    assert weights["conv1.weight"][0, 0, 0, 0].item() == pytest.approx(
        -0.0010695457458496094, rel=1e-5
    )
    assert weights["fc.weight"][9, 511].item() == pytest.approx(0.04257988557219505, rel=1e-5)
