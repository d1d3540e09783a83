"""Methods of N:M training, one file each.

A method is a module of this package with the function ``attach``, and if it needs the clock, the
loss, the optimiser or images, with ``conduct`` (see ``Method``); its name is the file's, with ``-``
for ``_``. A new file here is a new method; nothing else has to change. Options, if it has any, are
in a file of the same name in ``lbc.sparsity.method_options``.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Protocol, cast

from lbc.sparsity.method_names import check_method

if TYPE_CHECKING:
    from torch import Tensor

    from lbc.sparsity.conductor import Conductor, Run
    from lbc.sparsity.method_options import Form
    from lbc.sparsity.pattern import Pattern
    from lbc.sparsity.sparse_layer import SparseLayer


class Method(Protocol):
    """How one weight is trained under a pattern.

    Its layer defines which combinations are live (``choose``) and the weight that the network
    computes with (``forward``); how many are live at an epoch is known from the options.
    """

    def attach(self, name: str, weight: Tensor, pattern: Pattern, form: Form, /) -> SparseLayer:
        """The parametrization of ``weight``, (O, I, *kernel).

        ``form`` is one of the options' ``score_forms``, if the method trains scores.
        """

    def conduct(self, run: Run, /) -> Conductor:
        """The method's part in every step of a run. Optional: without it nothing happens there."""


def load_method(name: str) -> Method:
    """Import a method by its name. Raises ValueError with the choices."""
    module = import_module(f"{__name__}.{check_method(name).replace('-', '_')}")
    return cast("Method", module)
