"""The file of a finished model: plain weights with zeros, and in its metadata each layer's N:M."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors.torch import save
from torch import Tensor

from lbc.files.atomic import write_atomically
from lbc.sparsity.sparsifier import Sparsifier


def finalized(sparsifier: Sparsifier) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The weights as ``finalize`` would leave them, and what the file's metadata says of layers.

    The sparsifier itself stays unchanged.
    """
    dense, layers = sparsifier.left_dense, sparsifier.layers
    patterns = {name: str(layer.pattern) for name, layer in layers.items() if name not in dense}
    manifest = {"layers": patterns, "skipped": dense}
    return copy.deepcopy(sparsifier).finalize().state_dict(), manifest


def write_model(
    file: Path, weights: Mapping[str, Tensor], manifest: Mapping[str, Any], follow: bool = False
) -> None:
    """Replace a safetensors file, as ``write_atomically``, with a ``manifest`` for ``lbc inspect``.

    Raises OSError.
    """
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in weights.items()}
    data = save(plain, metadata={"lbc": json.dumps(manifest)})
    write_atomically(file, lambda stream: stream.write(data), follow=follow)
