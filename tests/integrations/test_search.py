"""What the callbacks share, and importing them where a framework is missing."""

from __future__ import annotations

import sys
from importlib import import_module

import pytest
import torch
from torch import nn

from lbc.integrations.search import Every, Search
from lbc.sparsity.pattern import Pattern
from lbc.sparsity.schedule import Schedule
from lbc.sparsity.sparsification import sparsify
from lbc.sparsity.sparsifier import Sparsifier


def three_layers() -> Sparsifier:
    torch.manual_seed(0)
    return sparsify(nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 8), nn.Linear(8, 2)), "2:4")


def test_the_optimizer_is_the_one_that_holds_all_scores() -> None:
    sparsifier = three_layers()
    other = torch.optim.SGD(nn.Linear(2, 2).parameters())
    right = torch.optim.SGD(sparsifier.model.parameters())
    search = Search(sparsifier, Schedule(end=2), "epoch")
    assert search.find_optimizer([other, right]) is right
    some = torch.optim.SGD(sparsifier.layers["0"].score_parameters())
    with pytest.raises(ValueError, match="call sparsify before the optimiser is built"):
        search.find_optimizer([other, some])


@pytest.mark.parametrize("method", ["sr-ste", "asp", "dense"])
def test_methods_without_trained_scores_take_any_optimizer(method: str) -> None:
    model = nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 2))
    optimizer = torch.optim.SGD(model.parameters())
    search = Search(sparsify(model, "2:4", method), Schedule(end=2), "epoch")
    assert search.find_optimizer([optimizer]) is None
    search.advance(2, [optimizer])
    search.finish()  # does not warn


def test_by_epoch_only_complete_epochs_count_and_by_step_every_fraction() -> None:
    schedule = Schedule("linear", end=4)
    whole: tuple[Every, int] = ("epoch", schedule.live(Pattern(2, 4), 1))
    parts: tuple[Every, int] = ("step", schedule.live(Pattern(2, 4), 1.99))
    for every, live in (whole, parts):
        sparsifier = three_layers()
        optimizer = torch.optim.SGD(sparsifier.model.parameters())
        search = Search(sparsifier, schedule, every)
        assert search.advance(1.99, [optimizer])
        assert search.figures()["lbc/live_combinations"] == live
        assert not search.advance(1.99, [optimizer])


def test_another_rhythm_is_refused() -> None:
    with pytest.raises(ValueError, match="choose 'epoch' or 'step'"):
        Search(three_layers(), Schedule(end=2), "batch")  # type: ignore[arg-type]


def test_a_search_that_is_not_over_is_reported() -> None:
    sparsifier = three_layers()
    search = Search(sparsifier, Schedule(end=2), finalize=True)
    with pytest.warns(UserWarning, match="2 sparse layers still hold several combinations"):
        search.finish()
    assert not sparsifier.layers


def test_a_missing_framework_is_named_with_what_installs_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("lightning", "transformers"):
        monkeypatch.delitem(sys.modules, f"lbc.integrations.{name}", raising=False)
        for framework in ("accelerate", "lightning", "lightning.pytorch", "transformers"):
            monkeypatch.setitem(sys.modules, framework, None)  # as if it were not installed
        with pytest.raises(ImportError) as caught:
            import_module(f"lbc.integrations.{name}")
        assert str(caught.value) == (
            f"lbc.integrations.{name} needs {name}: pip install 'lbc-explorer[integrations]'"
        )
