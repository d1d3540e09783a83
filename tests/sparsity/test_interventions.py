"""A ban or pin in one block asks about that block alone; in all blocks, about all."""

from __future__ import annotations

import re

import pytest
import torch
from torch import nn

from lbc import sparsify


def test_a_block_decided_already_does_not_keep_others_from_a_ban() -> None:
    sparsifier = sparsify(nn.Linear(16, 4), "2:4")
    sparsifier.pin("", 1, 2)
    for block in (0, 1, 3, 15):
        sparsifier.ban("", 1, block)
    counts = sparsifier.live("").sum(dim=1).tolist()
    assert counts == [5, 5, 1, 5, *[6] * 11, 5]


def test_a_pin_in_a_block_does_not_ask_about_others() -> None:
    sparsifier = sparsify(nn.Linear(16, 4), "2:4")
    sparsifier.ban("", 1, 0)
    sparsifier.pin("", 1, 2)
    for block in (1, 3):
        sparsifier.pin("", 1, block)
    with pytest.raises(ValueError, match="has won already in block 2"):
        sparsifier.pin("", 1, 2)


def test_a_layer_of_one_block_is_a_layer() -> None:
    sparsifier = sparsify(nn.Linear(4, 1), "2:4")
    sparsifier.ban("", 0)
    sparsifier.pin("", 5)
    assert sparsifier.live("").tolist() == [[False] * 5 + [True]]


def test_refusals_in_all_blocks_name_the_layer_or_count_blocks() -> None:
    sparsifier = sparsify(nn.Linear(16, 4), "2:4")
    sparsifier.pin("", 3)
    with pytest.raises(ValueError, match=re.escape("has won already in layer ''.")):
        sparsifier.pin("", 3)
    with pytest.raises(ValueError, match=re.escape("was removed in layer '' already.")):
        sparsifier.pin("", 4)
    with pytest.raises(ValueError, match="is the last one live in 16 blocks of layer ''"):
        sparsifier.ban("", 3)


def test_the_mask_of_a_block_shrinks_with_its_live_set() -> None:
    sparsifier = sparsify(nn.Linear(16, 4), "2:4")
    layer = sparsifier.layers[""]
    expected = torch.ones(16, 4, dtype=torch.bool)
    for block, combination in ((5, 0), (15, 4), (0, 2)):
        sparsifier.pin("", combination, block)
        expected[block] = layer.pattern.incidence()[combination]
        assert torch.equal(layer.pattern.to_blocks(sparsifier.mask("")), expected)
    for combination in (0, 1, 2):
        sparsifier.ban("", combination, 9)
    expected[9, 0] = False
    assert torch.equal(layer.pattern.to_blocks(sparsifier.mask("")), expected)
