"""The layer table matches the actual forward pass."""

from __future__ import annotations

import sys
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import settings as run_settings
from hypothesis import strategies as st
from torch import Tensor, nn

from lbc import config, sparsify
from lbc.models import build, build_on_meta
from lbc.models.layer_cost import LayerCost, layer_table, model_cost
from lbc.sparsity.layer_plan import plan_layers
from lbc.sparsity.pattern import Pattern

IMAGENET = (3, 224, 224)


def counted(layer: nn.Conv2d, image: Tensor) -> int:
    """Multiply-adds of a convolution, counted for each output value."""
    padded = F.pad(image, (layer.padding[1],) * 2 + (layer.padding[0],) * 2)  # type: ignore[arg-type]
    per_group = layer.in_channels // layer.groups
    total = 0
    for _ in range(layer.out_channels):
        for top in range(0, padded.shape[2] - layer.kernel_size[0] + 1, layer.stride[0]):
            for left in range(0, padded.shape[3] - layer.kernel_size[1] + 1, layer.stride[1]):
                window = padded[0, :per_group, top : top + layer.kernel_size[0],
                                left : left + layer.kernel_size[1]]  # fmt: skip
                total += window.numel()
    return total


@given(
    groups=st.integers(1, 3),
    channels=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    kernel=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    stride=st.integers(1, 3),
    padding=st.integers(0, 2),
    size=st.tuples(st.integers(3, 7), st.integers(3, 7)),
)
@run_settings(max_examples=60)
def test_the_cost_of_a_convolution_equals_a_count_one_by_one(
    groups: int,
    channels: tuple[int, int],
    kernel: tuple[int, int],
    stride: int,
    padding: int,
    size: tuple[int, int],
) -> None:
    given_channels, out_channels = channels[0] * groups, channels[1] * groups
    layer = nn.Conv2d(given_channels, out_channels, kernel, stride, padding, groups=groups)
    cost = model_cost(layer, (given_channels, *size))
    image = torch.zeros(1, given_channels, *size)
    assert cost.layers[""] == LayerCost(
        positions=layer(image)[0, 0].numel(), macs=counted(layer, image), calls=1
    )
    assert cost.macs == cost.layers[""].macs


@pytest.mark.parametrize(
    ("name", "layers", "whole"),
    [
        ("resnet18", 1_814_073_344, 1_814_073_344),
        # torchvision states 4.09 GFLOPS, by which it means multiply-adds.
        ("resnet50", 4_089_184_256, 4_089_184_256),
        # The DeiT paper's 4.6 (and 1.3 for tiny) include attention's two products.
        ("deit-tiny", 1_074_851_328, 1_253_683_200),
        ("deit-small", 4_241_218_560, 4_598_882_304),
    ],
)
def test_the_multiply_adds_match_the_published_figures(name: str, layers: int, whole: int) -> None:
    model = build_on_meta(config.parse_experiment({"model": {"name": name}}).model, IMAGENET, 1000)
    cost = model_cost(model, IMAGENET)
    assert sum(layer.macs for layer in cost.layers.values()) == layers
    assert cost.macs == whole


def test_the_products_of_attention_belong_to_no_layer() -> None:
    model = build_on_meta(config.DeiT(), IMAGENET, 1000)
    table = layer_table(model, plan_layers(model, Pattern(2, 4)), model_cost(model, IMAGENET))
    assert round(table.unassigned_share * table.macs) == 12 * 2 * 197 * 197 * 192


def test_positions_are_pixels_and_tokens() -> None:
    model = build_on_meta(config.DeiT(), IMAGENET, 1000)
    costs = model_cost(model, IMAGENET).layers
    assert costs["patch_embed.proj"].positions == 14 * 14
    assert costs["blocks.7.mlp.fc1"] == LayerCost(197, 197 * 192 * 768, 1)
    assert costs["head"].positions == 1
    resnet = model_cost(build_on_meta(config.ResNet(), IMAGENET, 1000), IMAGENET).layers
    assert resnet["conv1"].positions == 112 * 112
    assert resnet["layer4.1.conv2"].positions == 7 * 7


def test_a_model_with_weights_has_the_same_cost_and_is_not_changed() -> None:
    model = build(config.ConvNet(), (1, 28, 28), 10)
    model.get_submodule("stages.1").eval()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    modes = [module.training for module in model.modules()]
    state = torch.get_rng_state()
    costs = model_cost(model, (1, 28, 28)).layers
    assert costs == model_cost(build_on_meta(config.ConvNet(), (1, 28, 28), 10), (1, 28, 28)).layers
    assert [module.training for module in model.modules()] == modes
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert torch.equal(torch.get_rng_state(), state)
    assert not any(module._forward_hooks for module in model.modules())


def test_a_sparse_model_has_the_same_cost() -> None:
    model = build(config.Mlp(width=32), (1, 8, 8), 10)
    before = model_cost(model, (1, 8, 8)).layers
    sparsify(model, "2:4", scores="per_weight")
    assert model_cost(model, (1, 8, 8)).layers == before


class Twice(nn.Module):
    """A layer that is called twice, one of which only the weight is used, and an unused one."""

    def __init__(self, reads_values: bool) -> None:
        super().__init__()
        self.reads_values = reads_values
        self.body = nn.Linear(16, 16)
        self.used = nn.Linear(16, 8, bias=False)
        self.idle = nn.Linear(16, 8)

    def forward(self, images: Tensor) -> Any:
        units = self.body(self.body(images.flatten(2)))
        if self.reads_values and units.sum().item() > 1e9:  # fails on the meta device
            units = -units
        return F.linear(units, self.used.weight)


@pytest.mark.parametrize("reads_values", [False, True], ids=["meta", "cpu"])
def test_calls_are_summed_and_uses_of_a_weight_count_as_calls(reads_values: bool) -> None:
    assert model_cost(Twice(reads_values), (3, 4, 4)).layers == {
        "body": LayerCost(2 * 3, 2 * 3 * 256, 2),
        "used": LayerCost(3, 3 * 128, 1),
        "idle": LayerCost(0, 0, 0),
    }


def test_torch_attention_includes_its_projections() -> None:
    class Attending(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True)

        def forward(self, images: Tensor) -> Any:
            return self.layer(images.flatten(2))

    cost = model_cost(Attending(), (5, 4, 4))
    assert cost.layers["layer.self_attn.out_proj"] == LayerCost(5, 5 * 16 * 16, 1)
    assert cost.layers["layer.self_attn.in_proj_weight"] == LayerCost(5, 5 * 16 * 48, 1)
    attention = 2 * 5 * 5 * 16
    assert cost.macs == sum(at.macs for at in cost.layers.values()) + attention


def test_parts_of_a_weight_add_up_to_one_call() -> None:
    class Crossing(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.attention = nn.MultiheadAttention(16, 2, batch_first=True)

        def forward(self, images: Tensor) -> Any:
            tokens = images.flatten(2)
            return self.attention(tokens, tokens + 1, tokens + 2)[0]

    cost = model_cost(Crossing(), (5, 4, 4))
    assert cost.layers["attention.in_proj_weight"] == LayerCost(5, 5 * 16 * 48, 1)


def test_the_attention_backends_of_other_threads_are_not_changed() -> None:
    class Asking(nn.Linear):
        def forward(self, images: Tensor) -> Any:
            allowed.append(torch.backends.cuda.flash_sdp_enabled())  # type: ignore[no-untyped-call]
            return super().forward(images)

    allowed: list[bool] = []
    model_cost(Asking(4, 4), (3, 4, 4))
    assert allowed == [True]


def test_images_that_a_model_does_not_accept_are_reported() -> None:
    with pytest.raises(
        ValueError, match=r"^The model does not accept images of 3×9×9: RuntimeError: "
    ):
        model_cost(nn.Linear(8, 8), (3, 9, 9))


def test_a_row_has_the_plan_and_the_cost_of_its_layer() -> None:
    model = build(config.ConvNet(width=8), (1, 8, 8), 10)
    cost = model_cost(model, (1, 8, 8))
    overrides = {"stages.2.conv": Pattern(1, 8)}
    plans = plan_layers(model, "2:4", overrides=overrides, example_inputs=cost.roles)
    table = layer_table(model, plans, cost)
    first, second, third, head = table.rows
    assert (first.plan.reason, first.combinations) == ("the first convolution", 0)
    assert (second.plan.blocks, second.combinations, second.plan.overridden) == (288, 6, False)
    assert (third.plan.blocks, third.combinations, third.plan.overridden) == (576, 8, True)
    assert (head.parameters, head.cost.macs) == (10 * 32 + 10, 320)
    assert sum(row.share for row in table.rows) == pytest.approx(1)
    assert table.unassigned_share == 0
    assert table.parameters == sum(p.numel() for p in model.parameters())


LARGE = {
    "mlp": {"name": "mlp", "width": 65536, "depth": 100},
    "convnet": {"name": "convnet", "width": 8192},
    "resnet": {"name": "resnet20", "width": 4096},
}


@pytest.mark.skipif(sys.platform == "win32", reason="needs the largest memory so far")
@pytest.mark.parametrize("model", LARGE.values(), ids=LARGE)
def test_a_model_is_costed_without_memory_for_its_weights(model: dict[str, object]) -> None:
    import resource

    shape = (3, 16, 16)
    built = build_on_meta(config.parse_experiment({"model": model}).model, shape, 10)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    costs = model_cost(built, shape).layers
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 500_000  # KiB
    assert sum(cost.macs for cost in costs.values()) > 1e11


@pytest.mark.parametrize("name, width", [("mlp", 2048), ("convnet", 512)])
def test_a_large_model_costs_the_same_with_and_without_weights(name: str, width: int) -> None:
    shape = (3, 8, 8)
    settings = config.parse_experiment({"model": {"name": name, "width": width}}).model
    without = model_cost(build_on_meta(settings, shape, 10), shape)
    assert without == model_cost(build(settings, shape, 10), shape)
