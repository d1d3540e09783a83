"""Which layers read a model's input or make its outputs, and so stay dense by default."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from torch import nn

from lbc.sparsity.weight_sites import WeightSite

HEAD_NAME = re.compile(
    r"(?!pre_)(.+_)?(heads?|classifiers?|logits)(_.+)?|fc|lm_head|(qa_)?outputs?|outs?|score"
    r"|embed_out|predict(ions?)?"
)
"""What the layer, or the block, that makes a model's outputs is usually called."""

FIRST, CLASSIFIER, OUTPUT = "the first convolution", "the classifier", "the output layer"
BY_ORDER = "by order of registration"


@dataclass(frozen=True)
class Roles:
    """What a run of the model showed: names of weights, or None where it showed nothing."""

    first: frozenset[str] | None = None
    """The convolutions that read the input; if there are none, the first convolution that ran."""
    outputs: frozenset[str] | None = None
    """The weights of the last products before the outputs; empty where sums of many make them."""


def dense_by_default(model: nn.Module, sites: Sequence[WeightSite], roles: Roles) -> dict[str, str]:
    """Why some weights stay dense unless overridden, by name: what ``roles`` says comes first.

    Without a run the first convolution registered is taken for the one that reads the input, and
    the output layer is, in this order: what the model's ``get_output_embeddings`` returns; a
    linear layer that shares its weight with an embedding; the last layer in a part of the model
    that is named like a head; a linear layer registered last, unless it is one of several alike.
    A run does not see output layers that the model uses in training only.
    """
    reasons = {site.name: "an embedding" for site in sites if site.is_embedding}
    if sum(site.is_product for site in sites) < 2:
        return reasons  # a lone layer is neither first nor last
    reasons |= {site.name: "depthwise convolution" for site in sites if _is_depthwise(site)}
    if roles.first is not None:
        reasons |= dict.fromkeys(roles.first, FIRST)
    else:
        convolutions = [site.name for site in sites if site.is_convolution]
        reasons |= dict.fromkeys(convolutions[:1], f"{FIRST}, {BY_ORDER}")
    if roles.outputs is None:
        return reasons | _presumed_outputs(model, sites)
    return reasons | {site.name: _role(site) for site in sites if site.name in roles.outputs}


def _is_depthwise(site: WeightSite) -> bool:
    groups = getattr(site.owner, "groups", 1)
    return site.is_convolution and groups == getattr(site.owner, "in_channels", 0) > 1


def _presumed_outputs(model: nn.Module, sites: Sequence[WeightSite]) -> dict[str, str]:
    products = [site for site in sites if site.is_product]
    rules = {
        "by get_output_embeddings": _output_embeddings(model, sites),
        "by a weight shared with an embedding": _tied_to_embeddings(sites),
        "by its name": _named_like_heads(model, products),
        BY_ORDER: _last_registered(products),
    }
    rule, found = next(((rule, found) for rule, found in rules.items() if found), ("", []))
    return {site.name: f"{_role(site)}, {rule}" for site in found}


def _role(site: WeightSite) -> str:
    return CLASSIFIER if site.is_linear else OUTPUT


def _output_embeddings(model: nn.Module, sites: Sequence[WeightSite]) -> list[WeightSite]:
    """What transformers' own method returns, of the outermost module that has it."""
    asked = (getattr(at, "get_output_embeddings", None) for at in model.modules())
    ask = next((at for at in asked if at is not None), None)
    try:
        layer = ask() if callable(ask) else None
    except (AttributeError, NotImplementedError):
        return []  # of a model that has none
    return [site for site in sites if layer is not None and site.owner is layer]


def _tied_to_embeddings(sites: Sequence[WeightSite]) -> list[WeightSite]:
    embeddings = {id(site.value) for site in sites if site.is_embedding}
    return [site for site in sites if site.is_linear and id(site.value) in embeddings]


def _named_like_heads(model: nn.Module, products: Sequence[WeightSite]) -> list[WeightSite]:
    """The last layer of every part of the model that is named like a head."""
    module, prefix = _unwrapped(model)
    found = []
    for name, child in module.named_children():
        if HEAD_NAME.fullmatch(name):
            found += _ends(child, f"{prefix}{name}", products)
    return found


def _unwrapped(model: nn.Module) -> tuple[nn.Module, str]:
    """The model inside wrappers that hold nothing else, like DataParallel, and its prefix."""
    prefix = ""
    while not any(True for _ in model.parameters(recurse=False)):
        inner = [
            (name, at) for name, at in model.named_children() if any(True for _ in at.parameters())
        ]
        if len(inner) != 1 or HEAD_NAME.fullmatch(inner[0][0]):
            break
        prefix, model = f"{prefix}{inner[0][0]}.", inner[0][1]
    return model, prefix


def _ends(module: nn.Module, name: str, products: Sequence[WeightSite]) -> list[WeightSite]:
    """The last layer in ``module``, or of each of the modules that it lists."""
    if isinstance(module, nn.ModuleList | nn.ModuleDict):
        children = module.named_children()
        return [end for key, at in children for end in _ends(at, f"{name}.{key}", products)]
    inside = [at for at in products if f"{at.module}.".startswith(f"{name}.")]
    return inside[-1:]


def _last_registered(products: Sequence[WeightSite]) -> list[WeightSite]:
    """The last layer, if it is linear and not in the last of several blocks that are alike."""
    last = products[-1]
    path = re.sub(r"\.\d+\.", ".#.", f".{last.module}")
    alike = [at for at in products if re.sub(r"\.\d+\.", ".#.", f".{at.module}") == path]
    return [last] if last.is_linear and len(alike) < 2 else []
