"""S-STE: a continuous projection whose gradient passes unchanged."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from lbc import Pattern, Sparsifier, sparsify
from lbc.sparsity.methods.s_ste import SSteLayer
from tests.sparsity.methods.networks import (
    OPTIMIZERS,
    assert_obeys_to_the_end,
    assert_resumes_in_mid_schedule,
)

S_STE = {"name": "s-ste"}


def projected(weight: Tensor, pattern: Pattern) -> tuple[Tensor, float]:
    """S(W) and β, block by block."""
    shrunk, above, below = [], 0.0, 0.0
    for block in pattern.to_blocks(weight).tolist():
        bound = sorted(map(abs, block), reverse=True)[pattern.n]
        row = [max(abs(w) - bound, 0) * (1 if w > 0 else -1) for w in block]
        above += sum(w * s for w, s in zip(block, row, strict=True))
        below += sum(s * s for s in row)
        shrunk.append(row)
    values = torch.tensor(shrunk, dtype=weight.dtype)
    return pattern.from_blocks(values, tuple(weight.shape)), above / below


@pytest.mark.parametrize("pattern", ["1:4", "2:4", "6:8", "2:16"])
def test_the_weight_is_the_scaled_projection_and_the_scale_stays(pattern: str) -> None:
    torch.manual_seed(0)
    layer = nn.Conv2d(16, 6, (3, 2)).double()
    shrunk, scale = projected(layer.weight.detach(), Pattern.parse(pattern))
    sparsifier = sparsify(layer, pattern, S_STE)
    torch.testing.assert_close(layer.weight.detach(), scale * shrunk)
    with torch.no_grad():
        sparsifier.dense_weight("").copy_(torch.randn(6, 16, 3, 2))
    shrunk, _ = projected(sparsifier.dense_weight("").detach(), Pattern.parse(pattern))
    torch.testing.assert_close(layer.weight.detach(), scale * shrunk)
    assert torch.equal(sparsifier.mask(""), layer.weight != 0)


def test_the_gradient_is_that_of_the_weight_computed_with_exactly() -> None:
    torch.manual_seed(0)
    layer, images = nn.Linear(8, 6), torch.randn(5, 8)
    sparsifier = sparsify(layer, "2:4", S_STE)
    given = layer.weight.detach().requires_grad_()
    loss = nn.functional.linear(images, given, layer.bias).square().sum()
    (through,) = torch.autograd.grad(loss, given)
    layer(images).square().sum().backward()
    assert torch.equal(sparsifier.dense_weight("").grad, through)  # type: ignore[arg-type]


def test_a_weight_that_leaves_the_mask_was_almost_zero() -> None:
    layer = nn.Linear(4, 1, bias=False)
    sparsifier = sparsify(layer, "2:4", S_STE)
    seen = []
    for value in (1.01, 1.0, 0.99):
        with torch.no_grad():
            sparsifier.dense_weight("").copy_(torch.tensor([[3.0, value, -1.0, 0.5]]))
        seen.append((layer.weight / sparsifier.layers[""].scale).tolist()[0])  # type: ignore[operator]
    expected = [[2.0, 0.01, 0, 0], [2.0, 0, 0, 0], [2.01, 0, -0.01, 0]]
    torch.testing.assert_close(torch.tensor(seen), torch.tensor(expected))


def test_weights_loaded_before_the_first_step_set_the_scale() -> None:
    layer = nn.Linear(16, 8)
    sparsifier = sparsify(layer, "2:4", S_STE)
    other = torch.rand(8, 16)
    layer.load_state_dict({"weight": other, "bias": torch.zeros(8)})
    conductor = sparsifier.conduct(torch.optim.SGD(layer.parameters()), 10, 5)
    conductor.before_step(1)
    attached = sparsifier.layers[""]
    assert isinstance(attached, SSteLayer)
    scale = attached.scale.item()
    assert scale == pytest.approx(projected(other, Pattern(2, 4))[1], rel=1e-5)
    with torch.no_grad():
        sparsifier.dense_weight("").normal_()
    conductor.before_step(2)
    assert attached.scale.item() == scale
    again = sparsify(nn.Linear(16, 8), "2:4", S_STE)
    again.model.load_state_dict(layer.state_dict())
    assert again.layers[""].scale == scale


def test_weights_that_are_all_zero_stay_zero() -> None:
    layer = nn.Linear(8, 8)
    nn.init.zeros_(layer.weight)
    sparsify(layer, "2:4", S_STE)
    assert not layer.weight.any()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch's own, while it loads
def test_it_compiles_and_computes_per_sample_gradients() -> None:
    torch.manual_seed(0)
    layer, images = nn.Linear(8, 8), torch.randn(3, 8)
    sparsifier = sparsify(layer, "2:4", S_STE)
    expected = layer(images)
    compiled = torch.compile(layer, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(images), expected)
    torch._dynamo.reset()
    parameters = dict(layer.named_parameters())

    def loss(given: Mapping[str, Tensor], image: Tensor) -> Tensor:
        output: Tensor = torch.func.functional_call(layer, dict(given), (image,))
        return output.square().sum()

    gradients = torch.vmap(torch.func.grad(loss), (None, 0))(parameters, images)
    expected.square().sum().backward()
    name = "parametrizations.weight.original"
    torch.testing.assert_close(gradients[name].sum(0), sparsifier.dense_weight("").grad)


def test_an_average_is_finalized_as_it_computes() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(16, 8), nn.Linear(8, 4))
    sparsify(model, "2:4", S_STE)
    average = torch.optim.swa_utils.AveragedModel(model, use_buffers=True)
    for _ in range(2):
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(torch.randn_like(parameter))
        average.update_parameters(model)
    images = torch.randn(3, 16)
    expected = average(images)
    Sparsifier.of(average.module).finalize()
    assert torch.equal(average(images), expected)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("pattern", ["2:4", "1:4"])
def test_it_obeys_the_pattern_to_the_end(optimizer: str, pattern: str) -> None:
    assert_obeys_to_the_end(S_STE, optimizer, pattern)


def test_a_resumed_run_ends_in_the_same_bits(tmp_path: Path) -> None:
    assert_resumes_in_mid_schedule(S_STE, "adamw", tmp_path)
