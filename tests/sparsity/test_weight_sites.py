"""Every weight of a model is planned or skipped with a reason, whatever the model is made of."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.parameter import UninitializedParameter
from torch.nn.utils import parametrizations, parametrize, prune

from lbc import sparsify
from lbc.sparsity.layer_plan import LayerPlan, plan_layers
from lbc.sparsity.pattern import Pattern
from lbc.sparsity.weight_sites import find_site, find_sites


class Conv1D(nn.Module):
    """The attributes of transformers' class of this name."""

    def __init__(self, nf: int, nx: int) -> None:
        super().__init__()
        self.nf, self.nx = nf, nx
        self.weight = nn.Parameter(torch.randn(nx, nf))
        self.bias = nn.Parameter(torch.zeros(nf))

    def forward(self, x: Tensor) -> Any:
        flat = torch.addmm(self.bias, x.view(-1, x.shape[-1]), self.weight)
        return flat.view(*x.shape[:-1], self.nf)


class Block(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.ln_1, self.ln_2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.c_attn, self.c_proj = Conv1D(3 * width, width), Conv1D(width, width)
        self.c_fc, self.c_out = Conv1D(4 * width, width), Conv1D(width, 4 * width)

    def forward(self, x: Tensor) -> Any:
        query, key, value = self.c_attn(self.ln_1(x)).chunk(3, dim=-1)
        x = x + self.c_proj(nn.functional.scaled_dot_product_attention(query, key, value))
        return x + self.c_out(nn.functional.gelu(self.c_fc(self.ln_2(x))))


class Gpt(nn.Module):
    """Shaped like GPT-2, its head tied to its embedding where ``tied``."""

    def __init__(self, tied: bool = True, head: bool = True) -> None:
        super().__init__()
        self.wte, self.wpe = nn.Embedding(24, 8), nn.Embedding(6, 8)
        self.h = nn.ModuleList([Block(8), Block(8)])
        self.ln_f = nn.LayerNorm(8)
        self.lm_head = nn.Linear(8, 24, bias=False) if head else None
        if self.lm_head is not None and tied:
            self.lm_head.weight = self.wte.weight

    def forward(self, ids: Tensor) -> Any:
        x = self.wte(ids) + self.wpe(torch.arange(ids.shape[1]))
        for block in self.h:
            x = block(x)
        x = self.ln_f(x)
        return x if self.lm_head is None else self.lm_head(x)


class UNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.down = nn.Conv2d(4, 8, 3, 2, 1)
        self.inside = nn.Conv2d(8, 16, 3, padding=1)
        self.up = nn.ConvTranspose2d(16, 12, 2, 2)
        self.smooth = nn.ConvTranspose2d(12, 12, 1, groups=3)
        self.out = nn.Conv2d(16, 2, 1)

    def forward(self, x: Tensor) -> Any:
        return self.out(torch.cat([self.smooth(self.up(self.inside(self.down(x)))), x], 1))


class Custom(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(3))
        self.mix = nn.Parameter(torch.ones(8, 8))
        self.shared = self.mix
        self.table = nn.ParameterList([torch.ones(2, 4), torch.ones(4)])
        self.norm = nn.LayerNorm((4, 8))
        self.body, self.head = nn.Linear(8, 8), nn.Linear(8, 2)
        self.head.extra = nn.Parameter(torch.zeros(2, 2))


def attention() -> nn.Module:
    return nn.ModuleList(
        [
            nn.MultiheadAttention(8, 2, add_bias_kv=True),
            nn.MultiheadAttention(8, 2, kdim=12, vdim=6),
        ]
    )


def computed() -> nn.Module:
    model = nn.Sequential(*(nn.Linear(8, 8) for _ in range(5)), nn.GRU(8, 8), nn.Linear(8, 8))
    parametrizations.weight_norm(model[0])
    parametrizations.spectral_norm(model[1])
    prune.l1_unstructured(model[2], "weight", 0.5)  # type: ignore[no-untyped-call]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that this weight norm is old
        nn.utils.weight_norm(model[3])
    parametrizations.weight_norm(model[5], "weight_hh_l0")
    return model


def sparse() -> nn.Module:
    model = nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 8), nn.Linear(8, 8))
    sparsify(model, "2:4")
    return model.append(nn.Linear(8, 8))


ZOO: dict[str, Callable[[], nn.Module]] = {
    "encoder": lambda: nn.TransformerEncoder(
        nn.TransformerEncoderLayer(8, 2, 16), 2, enable_nested_tensor=False
    ),
    "transformer": lambda: nn.Transformer(8, 2, 1, 1, 16, batch_first=True),
    "attention": attention,
    "conv3d": lambda: nn.Sequential(nn.Conv3d(2, 8, 3), nn.Conv3d(8, 8, 3), nn.Linear(8, 2)),
    "unet": UNet,
    "recurrent": lambda: nn.ModuleList(
        [nn.LSTM(8, 8, 2, proj_size=4), nn.GRUCell(8, 8), nn.Embedding(9, 8), nn.Linear(8, 8)]
    ),
    "bilinear": lambda: nn.ModuleList([nn.Bilinear(8, 8, 8), nn.Linear(8, 8)]),
    "tied": Gpt,
    "untied": lambda: Gpt(tied=False),
    "custom": Custom,
    "parallel": lambda: nn.DataParallel(nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 8))),
    "lazy": lambda: nn.Sequential(
        nn.LazyConv2d(8, 3), nn.LazyLinear(8), nn.Linear(8, 8), nn.Linear(8, 2)
    ),
    "twice": lambda: nn.Sequential(*[nn.Linear(8, 8)] * 2, nn.Linear(8, 2)),
    "computed": computed,
    "sparse": sparse,
}


def behind(model: nn.Module, plan: LayerPlan) -> list[str]:
    """The model's own parameters that a plan speaks of, by name."""
    path = f"{plan.module}.{plan.tensor}".removeprefix(".")
    hidden = f"{plan.module}.parametrizations.{plan.tensor}.".removeprefix(".")
    module = model.get_submodule(plan.module)
    kept = (
        [path]
        if plan.tensor in module._parameters
        else [f"{path}_{end}" for end in ("orig", "g", "v")]
    )
    names = dict(model.named_parameters(remove_duplicate=False))
    return [name for name in names if name in kept or name.startswith(hidden)]


@pytest.mark.parametrize("name", ZOO)
def test_every_parameter_of_two_dimensions_is_planned_once(name: str) -> None:
    model = ZOO[name]()
    plans = plan_layers(model, "2:4")
    owned = {
        f"{path}.{tensor}".removeprefix("."): parameter
        for path, module in model.named_modules()
        for tensor, parameter in module._parameters.items()
        if parameter is not None and not isinstance(parameter, UninitializedParameter)
    }
    covered = Counter(name for plan in plans for name in behind(model, plan) if name in owned)
    assert covered.keys() >= {name for name, at in owned.items() if at.ndim > 1}
    assert set(covered.values()) == {1}
    assert len({plan.name for plan in plans}) == len(plans)
    for plan in plans:
        assert bool(plan.reason) is (plan.pattern is None)
        assert plan.name == f"{plan.module}.{plan.tensor}".removeprefix(".").removesuffix(".weight")


@pytest.mark.parametrize("name", ["encoder", "attention", "conv3d", "unet", "tied"])
def test_blocks_lie_along_the_dimension_that_the_input_has(name: str) -> None:
    model = ZOO[name]()
    for plan in plan_layers(model, "2:4"):
        tensor = getattr(model.get_submodule(plan.module), plan.tensor)
        if plan.pattern:
            rows = tensor.movedim(plan.input_dim, 1)
            assert (tuple(rows.shape), tensor.numel()) == (plan.shape, plan.weights)
            assert plan.pattern.to_blocks(rows).shape == (plan.blocks, 4)


def planned(model: nn.Module, pattern: str = "2:4") -> dict[str, str]:
    return {at.name: at.reason or str(at.pattern) for at in plan_layers(model, pattern)}


def test_attention_s_projections_are_layers() -> None:
    assert planned(attention()) == {
        "0.in_proj_weight": "2:4",
        "0.bias_k": "a bias is added and multiplies no input",
        "0.bias_v": "a bias is added and multiplies no input",
        "0.out_proj": "2:4",
        "1.q_proj_weight": "2:4",
        "1.k_proj_weight": "2:4",
        "1.v_proj_weight": "input width 6 is not a multiple of 4",
        "1.out_proj": "2:4",
    }


def test_inputs_of_a_transposed_convolution_come_first() -> None:
    plans = {plan.name: plan for plan in plan_layers(UNet(), "2:4")}
    assert (plans["up"].shape, plans["up"].input_dim) == ((12, 16, 2, 2), 0)
    assert plans["up"].pattern == Pattern(2, 4)
    assert "grouped transposed convolution" in plans["smooth"].reason


def test_transformers_conv1d_is_a_linear_with_its_inputs_first() -> None:
    plans = {plan.name: plan for plan in plan_layers(Gpt(), "2:4")}
    c_fc = plans["h.1.c_fc"]
    assert (c_fc.shape, c_fc.kind, c_fc.input_dim) == ((32, 8), "Conv1D", 0)
    assert c_fc.pattern == Pattern(2, 4)

    class Other(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.zeros(8, 8))

    Other.__name__ = "Conv1D"
    assert planned(nn.Sequential(Other(), nn.Linear(8, 8)))["0"] == (
        "it is not the weight of a known kind of layer"
    )


def test_weights_that_no_pattern_fits_say_why() -> None:
    reasons = planned(nn.ModuleList([ZOO["recurrent"](), ZOO["bilinear"](), Custom()]))
    assert reasons["0.0.weight_hr_l1"] == "a recurrent layer passes its weights to one fused kernel"
    assert reasons["0.1.weight_ih"] == "the weight of a recurrent cell"
    assert reasons["0.2"] == "an embedding"
    assert reasons["1.0"].startswith("a bilinear weight")
    assert reasons["2.norm"] == "a normalisation scales activations and multiplies no matrix"
    assert reasons["2.table.0"] == "it is not the weight of a known kind of layer"
    assert reasons["2.head.extra"] == "it is not the weight of a known kind of layer"


def test_looking_for_weights_runs_no_parametrization() -> None:
    model = computed().train()
    before = {name: at.clone() for name, at in model.state_dict().items()}
    shapes = {site.name: site.shape for site in find_sites(model)}
    assert shapes["0"] == shapes["1"] == shapes["2"] == shapes["3"] == (8, 8)
    assert shapes["5.weight_hh_l0"] == (24, 8)
    assert all(torch.equal(at, before[name]) for name, at in model.state_dict().items())


def test_gpt2_of_transformers() -> None:
    transformers = pytest.importorskip("transformers")
    config = transformers.GPT2Config(
        n_layer=2, n_embd=16, n_head=2, vocab_size=40, n_positions=12, n_inner=32
    )
    ids = torch.arange(5)[None]
    inside = {
        f"h.{layer}.{name}"
        for layer in range(2)
        for name in ("attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj")
    }
    for kind, example, head in (
        (transformers.GPT2Model, None, {}),
        (transformers.GPT2Model, {"input_ids": ids}, {}),
        (
            transformers.GPT2LMHeadModel,
            None,
            {"lm_head": "the classifier, by get_output_embeddings"},
        ),
        (transformers.GPT2LMHeadModel, {"input_ids": ids}, {"lm_head": "the classifier"}),
        (
            transformers.GPT2ForSequenceClassification,
            None,
            {"score": "the classifier, by its name"},
        ),
    ):
        model = kind(config)
        prefix = "" if kind is transformers.GPT2Model else "transformer."
        plans = plan_layers(model, "2:4", example_inputs=example)
        assert {at.name: at.reason for at in plans if not at.pattern} == {
            f"{prefix}wte": "an embedding",
            f"{prefix}wpe": "an embedding",
            **head,
        }
        assert {at.name: at.input_dim for at in plans if at.pattern} == {
            f"{prefix}{name}": 0 for name in inside
        }


class Scale(nn.Module):
    """A parametrization with a parameter of one dimension."""

    def __init__(self) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.ones(8))

    def forward(self, weight: Tensor) -> Tensor:
        return weight * self.factor


class Computed(nn.Linear):
    """A weight computed from a matrix and a vector, as old weight norm does."""

    def __init__(self) -> None:
        super().__init__(8, 8)
        weight = self.weight.detach()
        del self.weight
        self.weight_v, self.weight_g = nn.Parameter(weight), nn.Parameter(torch.ones(8))
        self.weight: Tensor = weight


class Mixing(nn.Module):
    """Two matrices, neither computed from the other, and a count called as in Conv1D."""

    def __init__(self) -> None:
        super().__init__()
        self.nf = 8
        self.weight = nn.Parameter(torch.ones(8, 8))
        self.weight_g = nn.Parameter(torch.ones(8, 8))


def test_the_parameters_behind_a_weight() -> None:
    scaled = nn.Linear(8, 8)
    parametrize.register_parametrization(scaled, "weight", Scale())
    layers = {
        "plain": nn.Linear(8, 8),
        "pruned": nn.Linear(8, 8),
        "computed": Computed(),
        "normed": parametrizations.weight_norm(nn.Linear(8, 8)),
        "bias": parametrizations.weight_norm(nn.Linear(8, 8), "bias"),
        "scaled": scaled,
        "mixing": Mixing(),
    }
    prune.random_unstructured(layers["pruned"], "weight", 0.5)  # type: ignore[no-untyped-call]
    model = nn.ModuleDict(layers)
    sites = {site.name: site for site in find_sites(model)}
    below = "parametrizations.weight.original"
    assert {name: list(site.parameters()) for name, site in sites.items()} == {
        "plain": ["plain.weight"],
        "pruned": ["pruned.weight_orig"],
        "computed": ["computed.weight_v"],
        "normed": [f"normed.{below}0", f"normed.{below}1"],
        "bias": ["bias.weight"],
        "scaled": [f"scaled.{below}"],
        "mixing": ["mixing.weight"],
        "mixing.weight_g": ["mixing.weight_g"],
    }
    for site in sites.values():
        for name, parameter in site.parameters().items():
            assert parameter is model.get_parameter(name)
    assert sites["mixing"].input_dim is None
    assert [site.name for site in find_sites(layers["normed"])] == [""]


def test_a_conv1d_is_linear_and_a_norm_is_no_product() -> None:
    site = find_site(nn.Sequential(Conv1D(8, 8)), "0")
    assert site.is_linear and site.input_dim == 0
    norms = nn.Sequential(nn.LayerNorm((2, 8)), nn.RMSNorm((2, 8)))
    for name in ("0", "1"):
        reason = "a normalisation scales activations and multiplies no matrix"
        assert find_site(norms, name).unsupported == reason
