"""Where the weights of a model are: every parameter of two or more dimensions, by module."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from torch import Tensor, nn
from torch.nn.parameter import UninitializedParameter
from torch.nn.utils import parametrize

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
EMBEDDINGS = (nn.Embedding, nn.EmbeddingBag)
WEIGHTED = (nn.Linear, *CONVOLUTIONS, *TRANSPOSED, *EMBEDDINGS)
"""Modules whose tensor called ``weight`` can be divided into blocks."""

COMPUTED_FROM = ("_orig", "_g", "_v")
"""How torch's pruning, weight norm and old spectral norm name the parameters behind a tensor."""

ATTENTION_WEIGHTS = ("in_proj_weight", "q_proj_weight", "k_proj_weight", "v_proj_weight")

UNSUPPORTED: Mapping[type[nn.Module], str] = {
    nn.RNNBase: "a recurrent layer passes its weights to one fused kernel",
    nn.RNNCellBase: "the weight of a recurrent cell",
    nn.Bilinear: "a bilinear weight multiplies two inputs, so it has no single input dimension",
    nn.LayerNorm: "a normalisation scales activations and multiplies no matrix",
    nn.RMSNorm: "a normalisation scales activations and multiplies no matrix",
}


@dataclass(frozen=True)
class Site:
    """A tensor of a model, by the name of its module and by its own."""

    module: str
    tensor: str
    input_dim: int | None
    """The dimension that is the input: 0 for transposed convolutions and transformers' Conv1D,
    otherwise 1; None where blocks do not apply."""

    @property
    def name(self) -> str:
        """The module's name for a tensor called ``weight``, otherwise ``module.tensor``."""
        return self.module if self.tensor == "weight" else self.key

    @property
    def key(self) -> str:
        """The tensor's key in the state dict of the plain model."""
        return _join(self.module, self.tensor)

    @property
    def prefix(self) -> str:
        """What the keys of weight, mask and scores begin with while a layer is attached."""
        return _join(self.module, f"parametrizations.{self.tensor}.")

    def canonical(self, tensor: Tensor) -> Tensor:
        """A view in the order (O, I, *kernel) of a tensor like this one; its own inverse."""
        return tensor.transpose(0, 1) if self.input_dim == 0 else tensor


@dataclass(frozen=True)
class WeightSite(Site):
    """One tensor of two or more dimensions that a module holds, and how N:M blocks lie in it.

    A weight that is computed (parametrized, pruned, weight norm) is one site; the parameters
    behind it are not sites of their own.
    """

    owner: nn.Module
    unsupported: str
    """Why no pattern can be put on this tensor, whatever its size."""

    @property
    def kind(self) -> str:
        return type(self.owner).__name__

    @property
    def value(self) -> Tensor:
        """The tensor, or the one behind its parametrization, which must not run for a look."""
        behind = getattr(self._parametrizations, "original", None)
        value = behind if behind is not None else getattr(self.owner, self.tensor)
        assert isinstance(value, Tensor)
        return value

    @property
    def uninitialised(self) -> bool:
        return isinstance(self.value, UninitializedParameter)

    @property
    def parametrized(self) -> bool:
        return self._parametrizations is not None

    @cached_property
    def shape(self) -> tuple[int, ...]:
        """The canonical shape (O, I, *kernel); () while uninitialised."""
        return () if self.uninitialised else tuple(self.canonical(self.value).shape)

    @property
    def is_linear(self) -> bool:
        """Whether this is the weight of a Linear, or of transformers' Conv1D."""
        return self.tensor == "weight" and (
            isinstance(self.owner, nn.Linear) or is_transformers_conv1d(self.owner)
        )

    @property
    def is_convolution(self) -> bool:
        return self.tensor == "weight" and isinstance(self.owner, CONVOLUTIONS + TRANSPOSED)

    @property
    def is_embedding(self) -> bool:
        return self.tensor == "weight" and isinstance(self.owner, EMBEDDINGS)

    @property
    def is_product(self) -> bool:
        """Whether the tensor multiplies its module's input, as layers of a network do."""
        return self.input_dim is not None and not self.is_embedding

    def parameters(self) -> dict[str, nn.Parameter]:
        """The parameters of two or more dimensions behind the tensor, by their name in the model.

        One for a plain weight, those of all parametrizations, or ``weight_orig`` and the like.
        """
        own = self.owner._parameters.get(self.tensor)
        if own is not None:
            return {self.key: own}
        behind = self._parametrizations
        if behind is not None:
            named = behind.named_parameters(self.prefix[:-1])
            return {name: parameter for name, parameter in named if parameter.ndim > 1}
        return {
            _join(self.module, name): parameter
            for name, parameter in self.owner.named_parameters(recurse=False)
            if parameter.ndim > 1 and _computed_from(self.owner, name) == self.tensor
        }

    @property
    def _parametrizations(self) -> nn.Module | None:
        if not parametrize.is_parametrized(self.owner, self.tensor):
            return None
        lists = self.owner.parametrizations
        assert isinstance(lists, nn.ModuleDict)
        return lists[self.tensor]


def find_sites(model: nn.Module) -> tuple[WeightSite, ...]:
    """Every tensor of two or more dimensions that a module of ``model`` holds, in its order.

    A module that is registered twice counts once; a parameter that several modules share is one
    site in each of them.
    """
    return tuple(
        _site(name, module, tensor)
        for name, module in model.named_modules()
        if ".parametrizations." not in f".{name}."
        for tensor in _tensors(module)
    )


def find_site(model: nn.Module, name: str) -> WeightSite:
    """The site of this name. Raises KeyError if ``model`` has none."""
    return {site.name: site for site in find_sites(model)}[name]


def is_transformers_conv1d(module: nn.Module) -> bool:
    """Whether this is transformers' ``Conv1D``, a Linear with its weight stored as (I, O)."""
    named = any(kind.__name__ == "Conv1D" for kind in type(module).__mro__)
    return named and isinstance(getattr(module, "nf", None), int)


def _tensors(module: nn.Module) -> list[str]:
    """The attributes of ``module`` itself that are sites."""
    found: dict[str, None] = {}
    lists: Any = module.parametrizations if parametrize.is_parametrized(module) else {}
    # Reading a parametrized tensor would run its parametrization, and spectral norm counts runs.
    plain = "weight" not in lists and isinstance(getattr(module, "weight", None), Tensor)
    if plain and isinstance(module, WEIGHTED):
        found["weight"] = None  # whether it is a parameter, computed, or not yet initialised
    for name, parameter in module._parameters.items():
        if parameter is not None and not isinstance(parameter, UninitializedParameter):
            site = _computed_from(module, name) or name
            if parameter.ndim > 1:
                found[site] = None
    for name, behind in lists.items():
        if any(parameter.ndim > 1 for parameter in behind.parameters()):
            found[name] = None
    return list(found)


def _computed_from(module: nn.Module, parameter: str) -> str:
    """The attribute that torch's pruning or weight norm computes from ``parameter``, or ""."""
    for suffix in COMPUTED_FROM:
        name = parameter.removesuffix(suffix)
        if name != parameter and name not in module._parameters:
            return name if isinstance(getattr(module, name, None), Tensor) else ""
    return ""


def _site(name: str, module: nn.Module, tensor: str) -> WeightSite:
    input_dim, reason = _input_dim(module, tensor)
    return WeightSite(name, tensor, input_dim, module, reason)


def _input_dim(module: nn.Module, tensor: str) -> tuple[int | None, str]:
    """The input dimension of a tensor, and why no pattern can be put on it."""
    if tensor == "weight" and isinstance(module, TRANSPOSED):
        grouped = "a grouped transposed convolution has its inputs and outputs in one dimension"
        return 0, grouped if module.groups != 1 else ""
    if tensor == "weight" and is_transformers_conv1d(module):
        return 0, ""
    if tensor == "weight" and isinstance(module, EMBEDDINGS):
        return 1, _unmaskable(module)
    if tensor == "weight" and isinstance(module, WEIGHTED):
        return 1, ""
    if tensor in ATTENTION_WEIGHTS and isinstance(module, nn.MultiheadAttention):
        return 1, ""
    return None, _unsupported(module, tensor)


def _unmaskable(embedding: nn.Embedding | nn.EmbeddingBag) -> str:
    if embedding.max_norm is not None:
        return "an embedding that changes its own weight, by max_norm"
    return "an embedding with sparse gradients" if embedding.sparse else ""


def _unsupported(module: nn.Module, tensor: str) -> str:
    if "bias" in tensor:
        return "a bias is added and multiplies no input"
    known = (reason for kind, reason in UNSUPPORTED.items() if isinstance(module, kind))
    return next(known, "it is not the weight of a known kind of layer")


def _join(module: str, tensor: str) -> str:
    return f"{module}.{tensor}" if module else tensor
