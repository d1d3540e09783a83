"""Order statistics of rows."""

from __future__ import annotations

import torch

from lbc.sparsity.order_statistics import around_cut


def test_the_number_of_threads_does_not_change_a_value() -> None:
    values = torch.randn(37, 2000, generator=torch.Generator().manual_seed(1))
    before = torch.get_num_threads()
    try:
        found = []
        for threads in (1, 3):
            torch.set_num_threads(threads)
            found.append(torch.cat(around_cut(values, 1500), dim=1))
    finally:
        torch.set_num_threads(before)
    assert torch.equal(*found)
    assert torch.equal(found[0], values.sort(dim=1).values[:, 1499:1501])
