"""State dicts: checks before one is loaded, and that of the plain model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from lbc.sparsity.live_sets import LiveSets
from lbc.sparsity.sparse_layer import SparseLayer, whole
from lbc.sparsity.state_identity import check_identity
from lbc.sparsity.weight_sites import Site


def check_state(state: Mapping[str, Any], layers: Mapping[str, SparseLayer]) -> None:
    """Raise ValueError, naming the first difference, if ``state`` is not of these layers."""
    if not all(isinstance(tensors, Mapping) for tensors in state.values()):
        raise ValueError(
            "This is no state of a Sparsifier, which holds tensors by layer: a model's state dict "
            "is loaded by the model."
        )
    for name in dict.fromkeys([*state, *layers]):
        if name not in state or name not in layers:
            where = "the state" if name not in state else "this model"
            raise ValueError(f"Layer {name!r} is not sparse in {where}.")
        _check_tensors(state[name], layers[name])


def _check_tensors(state: Mapping[str, Tensor], layer: SparseLayer) -> None:
    check_identity(state.get("identity"), layer.identity, layer.name)
    present = layer.state_dict()
    for key in dict.fromkeys([*state, *present]):
        if key not in state or key not in present:
            raise ValueError(f"Layer {layer.name!r}: {key} is missing from the state or the layer.")
        if key == "packed":
            fits = LiveSets.fits(state[key], layer.blocks, layer.pattern.count)
        else:
            fits = state[key].shape == present[key].shape
        if not fits:
            shape = tuple(state[key].shape)
            raise ValueError(f"Layer {layer.name!r}: {key} of shape {shape} does not fit.")


def plain_state_dict(model: nn.Module, layers: Mapping[Site, SparseLayer]) -> dict[str, Tensor]:
    """The state dict of the model as if its layers were detached, masked weights zero.

    Keys have the order they have in the plain model.
    """
    plain: dict[str, Tensor] = {}
    for key, value in model.state_dict().items():
        site = next((site for site in layers if key.startswith(site.prefix)), None)
        if site is None:
            plain[key] = whole(value) if isinstance(value, Tensor) else value
        elif key == f"{site.prefix}original":
            finished = layers[site].finished(site.canonical(whole(value)))
            plain[site.key] = site.canonical(finished)
    orders = {site.module: layer.parameter_order for site, layer in layers.items()}
    ordered = [
        f"{path}.{name}".lstrip(".")
        for path, module in model.named_modules()
        for name in (*orders.get(path, module._parameters), *module._buffers)
    ]
    return {key: plain[key] for key in dict.fromkeys([*ordered, *plain]) if key in plain}
