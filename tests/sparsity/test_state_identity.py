"""A model's state dict names N:M, method and form of scores, and is not loaded into another."""

from __future__ import annotations

import copy
import io
from collections.abc import Callable
from typing import Any

import pytest
import torch
from safetensors.torch import load, save
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from lbc import Sparsifier, sparsify
from tests.sparsity.networks import METHODS, obeys, perceptron, sgd, train, weight_of
from tests.sparsity.searches import assert_same

State = dict[str, Tensor]
KINDS = (*METHODS, {"method": "dense"})
IDENTITY = "0.parametrizations.weight.0.identity"


def search(pattern: str = "2:4", **method: Any) -> Sparsifier:
    return sparsify(perceptron(), pattern, **method)


def decided(pattern: str = "2:4", **method: Any) -> State:
    """The state of a search after its last removal."""
    sparsifier = search(pattern, **method)
    train(sparsifier.model, sgd(sparsifier.model))
    sparsifier.remove(1)
    return sparsifier.model.state_dict()


def through_torch(state: State) -> State:
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    loaded: State = torch.load(file, weights_only=True)
    return loaded


ROUND_TRIPS: tuple[Callable[[State], State], ...] = (
    dict,
    through_torch,
    lambda state: load(save(state)),
    lambda state: {key: value.float() for key, value in state.items()},
)


def test_the_same_n_and_m_by_groups_is_another_pattern() -> None:
    state = search("4:8x2").model.state_dict()
    with pytest.raises(RuntimeError, match=r"is '4:8x2 lbc per_combination' in the state and '4:8"):
        search("4:8").model.load_state_dict(state)


@pytest.mark.parametrize("strict", [True, False])
@pytest.mark.parametrize("assign", [True, False])
@pytest.mark.parametrize("saved", ROUND_TRIPS)
def test_a_decided_state_of_another_pattern_is_refused(
    saved: Callable[[State], State], assign: bool, strict: bool
) -> None:
    sparsifier = search("1:4", scores="per_weight")
    before = copy.deepcopy(sparsifier.model.state_dict())
    with pytest.raises(RuntimeError) as refused:
        sparsifier.model.load_state_dict(
            saved(decided(scores="per_weight")), strict=strict, assign=assign
        )
    said = "Layer '0' is '2:4 lbc per_weight' in the state and '1:4 lbc per_weight' here: load"
    assert str(refused.value).startswith(said)
    assert_same(before, sparsifier.model.state_dict())
    sparsifier.finalize()
    assert obeys(weight_of(sparsifier.model, "0"), 1) and obeys(weight_of(sparsifier.model, "2"), 1)


@pytest.mark.parametrize("here", KINDS, ids=str)
@pytest.mark.parametrize("there", KINDS, ids=str)
@pytest.mark.parametrize("strict", [True, False])
def test_every_method_takes_its_own_states_alone(
    here: dict[str, str], there: dict[str, str], strict: bool
) -> None:
    state = copy.deepcopy(search(**there).model.state_dict())
    other = search(**here)
    if here == there:
        assert not any(other.model.load_state_dict(state, strict=strict))
        return
    with pytest.raises(RuntimeError, match=r"Layer '0' is '2:4 .* in the state and '2:4 .* here"):
        other.model.load_state_dict(state, strict=strict)


@pytest.mark.filterwarnings("ignore:.*torch.jit.script_method:DeprecationWarning")
@pytest.mark.parametrize("wrap", [AveragedModel, torch.compile, nn.DataParallel])
def test_wrapped_models_refuse_too(wrap: Callable[[nn.Module], nn.Module]) -> None:
    state = wrap(search().model).state_dict()
    wrapped = wrap(search("1:4").model)
    with pytest.raises(RuntimeError, match="'2:4 lbc per_combination' in the state"):
        wrapped.load_state_dict(state)


def test_one_layer_of_another_pattern_is_enough_to_be_refused() -> None:
    state = search(overrides={"2": "1:4"}).model.state_dict()
    with pytest.raises(RuntimeError, match="Layer '2' is '1:4"):
        search().model.load_state_dict(state)


def test_a_part_of_a_model_refuses_too() -> None:
    part = search().model.get_submodule("2")
    with pytest.raises(RuntimeError, match="Layer '2' is '2:4"):
        search("1:4").model.get_submodule("2").load_state_dict(part.state_dict())


@pytest.mark.parametrize("method", METHODS, ids=str)
def test_states_of_version_0_1_0_load_unless_their_masks_do_not_fit(method: dict[str, str]) -> None:
    state = {k: v for k, v in decided(**method).items() if not k.endswith(".identity")}
    again = search(**method)
    assert not any(again.model.load_state_dict(state))
    if method.get("method") != "sr-ste":
        assert not again.searching
    with pytest.raises(RuntimeError, match=r"layer '0' under 1:4: .*64 weights, and this one 128"):
        search("1:4", **method).model.load_state_dict(state, strict=False)


def test_the_identity_is_a_tensor_outside_parameters_buffers_and_plain_states() -> None:
    model = perceptron()
    plain = list(model.state_dict())
    sparsifier = sparsify(model, "2:4")
    identity = model.state_dict()[IDENTITY]
    text = bytes(identity.tolist()).decode().rstrip()
    assert (identity.dtype, text) == (torch.uint8, "2:4 lbc per_combination")
    named = {name for name, _ in [*model.named_parameters(), *model.named_buffers()]}
    assert IDENTITY not in named
    assert list(sparsifier.dense_state_dict()) == plain
    sparsifier.finalize()
    assert list(model.state_dict()) == plain


@pytest.mark.parametrize("change", [nn.Module.half, nn.Module.double, lambda at: at.to("meta")])
def test_the_identity_survives_conversions(change: Callable[[nn.Module], nn.Module]) -> None:
    model = search().model
    before = model.state_dict()[IDENTITY]
    assert torch.equal(change(model).state_dict()[IDENTITY], before)


def test_the_identity_survives_averages_with_buffers() -> None:
    model = search().model
    average = AveragedModel(
        model,
        multi_avg_fn=get_ema_multi_avg_fn(0.9),  # type: ignore[no-untyped-call]
        use_buffers=True,
    )
    for _ in range(3):
        average.update_parameters(model)
    assert torch.equal(average.state_dict()[f"module.{IDENTITY}"], model.state_dict()[IDENTITY])


def test_distributed_checkpoints_gather_and_refuse_it() -> None:
    # Takes a second to import.
    from torch.distributed.checkpoint.state_dict import get_model_state_dict, set_model_state_dict

    model = search().model
    state: Any = get_model_state_dict(model)
    assert_same(state, model.state_dict())
    set_model_state_dict(search().model, state)
    with pytest.raises(RuntimeError, match="Layer '0' is '2:4"):
        set_model_state_dict(search("1:4").model, state)


def test_a_garbled_identity_is_refused_with_what_it_says() -> None:
    model = search().model
    state = model.state_dict() | {IDENTITY: torch.tensor([255, 52], dtype=torch.uint8)}
    with pytest.raises(RuntimeError, match="Layer '0' is '\ufffd4' in the state"):
        model.load_state_dict(state)


def test_copies_and_transposed_layers_refuse_too() -> None:
    def network() -> nn.Sequential:
        return nn.Sequential(nn.Linear(4, 8), nn.ConvTranspose1d(8, 8, 2), nn.Linear(8, 4))

    state = sparsify(network(), "2:4", skip="0", overrides={"1": "2:4"}).model.state_dict()
    copied = copy.deepcopy(sparsify(network(), "1:4", skip="0", overrides={"1": "1:4"}).model)
    before = copy.deepcopy(copied.state_dict())
    with pytest.raises(RuntimeError, match="Layer '1' is '2:4"):
        copied.load_state_dict(state)
    assert_same(before, copied.state_dict())


def test_an_identity_has_the_length_of_those_in_earlier_checkpoints() -> None:
    assert search().model.state_dict()[IDENTITY].shape == (32,)
