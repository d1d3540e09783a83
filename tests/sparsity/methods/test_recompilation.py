"""A compiled network is not compiled anew when a method's options change by the clock."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from lbc.sparsity.method_names import method_names
from lbc.sparsity.method_options import options_class
from lbc.sparsity.methods.maxq import MaxqLayer
from lbc.sparsity.schedule import Schedule
from lbc.sparsity.sparsification import sparsify

METHODS = [
    name
    for name in method_names()
    if (at := options_class(name)()).prunes and not at.one_shot and name != "lbc"
]
"""lbc changes by removals alone."""

GRAPHS = {"sdgf": 2}
"""One for each of its patterns."""


@pytest.mark.filterwarnings("ignore")  # torch.compile warns about torch's own code
@pytest.mark.parametrize("name", METHODS)
def test_the_clock_does_not_compile_anew(name: str) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(4, 8, 3), nn.Flatten(), nn.Linear(32, 4))
    sparsifier = sparsify(model, "2:4", name, overrides={"0": "2:4", "2": "2:4"})
    kind = torch.optim.Adam if name == "step" else torch.optim.SGD
    optimizer, images = kind(model.parameters(), lr=0.01), torch.randn(8, 4, 4, 4)
    conductor = sparsifier.conduct(
        optimizer, 18, 3, Schedule(end=5),
        batches=lambda count: iter([images[:count]]), evaluate=lambda: 0.5,
    )  # fmt: skip
    # Here, since the compiler takes three seconds to load and other tests do without.
    from torch._dynamo.testing import CompileCounter

    counter = CompileCounter()
    compiled = torch.compile(model, backend=counter, fullgraph=True, dynamic=False)
    for step in (1, 7, 9, 12):
        conductor.before_step(step)
        loss = compiled(images).square().sum()
        penalty = conductor.penalty()
        loss = loss if penalty is None else loss + penalty
        optimizer.zero_grad()
        loss.backward()
        conductor.before_update(step)
        optimizer.step()
        conductor.after_update(step)
    assert 1 <= counter.frame_count <= GRAPHS.get(name, 1)
    torch._dynamo.reset()


def test_a_compiled_maxq_has_as_many_dense_blocks_as_an_eager_one() -> None:
    weight = torch.randn(8, 4, 3, 3)
    sparsifier = sparsify(nn.Sequential(nn.Conv2d(4, 8, 3)), "2:4", "maxq")
    [layer] = sparsifier.layers.values()
    assert isinstance(layer, MaxqLayer)
    for number in (0.0, 0.1, 0.37, 0.7, 1.0):  # shares that are not exact in float32
        layer.set_number(number)
        assert torch.equal(layer._mask(weight, layer.in_graph), layer._mask(weight, layer.scalar))
