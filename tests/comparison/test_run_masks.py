"""A run's masks and the course of its search are read from its history, of any method."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from lbc.comparison.mask_agreement import compare_masks
from lbc.comparison.run_masks import LayerMask, read_masks
from lbc.comparison.search_course import read_course
from lbc.config import Experiment
from lbc.runs.history_reader import Replay
from lbc.sparsity.arrays import Bools
from lbc.sparsity.combinations import row_counts
from lbc.training.trainer import Trainer
from tests.comparison.recorded_runs import LIVE, record_search

METHODS = pytest.mark.parametrize("method", ["lbc", "asp", "sr-ste"])


def by_blocks(mask: LayerMask) -> Bools:
    flat = np.unpackbits(mask.bits.view(np.uint8), count=mask.size)
    return flat.reshape(-1, mask.pattern.m).astype(bool)


@METHODS
def test_at_the_end_they_are_the_masks_of_the_network(method: str, tmp_path: Path) -> None:
    sparsifier = record_search(tmp_path / "run", method)
    masks = read_masks(tmp_path / "run", method)
    assert (masks.epoch, masks.decided) == (4.0, True)
    assert set(masks.layers) == set(sparsifier.layers)
    for name, mask in masks.layers.items():
        layer = sparsifier.layers[name]
        assert (mask.shape, mask.pattern) == (layer.shape, layer.pattern)
        assert np.array_equal(by_blocks(mask), layer.pattern.to_blocks(layer.mask).numpy())
        assert mask.kept == int(layer.mask.sum())


@METHODS
def test_before_the_search_ends_they_are_of_the_best_so_far(method: str, tmp_path: Path) -> None:
    sparsifier = record_search(tmp_path / "run", method, moments=4)
    masks = read_masks(tmp_path / "run", method)
    assert masks.decided is (method == "sr-ste")
    for name, mask in masks.layers.items():
        kept, layer = by_blocks(mask), sparsifier.layers[name]
        assert (row_counts(kept) == mask.pattern.n).all()
        best = layer.pattern.member_array[layer.winners().numpy()]
        assert np.take_along_axis(kept, best, axis=1).all()


@METHODS
def test_blocks_are_decided_when_they_change_for_the_last_time(method: str, tmp_path: Path) -> None:
    record_search(tmp_path / "run", method)
    replay = Replay(tmp_path / "run")
    course = read_course(tmp_path / "run", method)
    assert course.moments.tolist() == [moment / 2 for moment in range(len(LIVE))]
    assert course.epochs == 4
    for info in replay.layers:
        winners = [replay.winners(info.name, moment) for moment in range(len(LIVE))]
        final = [0] * len(LIVE)
        for block in range(info.blocks):
            changes = [k for k, (a, b) in enumerate(pairwise(winners), 1) if a[block] != b[block]]
            final[changes[-1] if changes else 0] += 1
        flips = [int((a != b).sum()) for a, b in pairwise(winners[::2])]
        layer = course.layers[info.name]
        assert layer.blocks == info.blocks
        assert layer.final.tolist() == final
        assert layer.flips.tolist() == flips
    whole = course.whole()
    assert whole.blocks == whole.final.sum() == sum(info.blocks for info in replay.layers)
    assert whole.flips.tolist() == np.sum(
        [layer.flips for layer in course.layers.values()], axis=0
    ).tolist()  # fmt: skip


def test_a_run_cut_off_within_an_epoch_has_only_its_whole_epochs(tmp_path: Path) -> None:
    record_search(tmp_path / "run", moments=4)
    course = read_course(tmp_path / "run", "lbc")
    assert course.epochs == 1
    assert all(len(layer.flips) == 1 for layer in course.layers.values())
    shares: list[float] = []
    read_course(tmp_path / "run", "lbc", shares.append)
    assert shares == sorted(shares) and shares[-1] == 1


def test_a_run_without_masks_says_why(tmp_path: Path) -> None:
    record_search(tmp_path / "run")
    history = tmp_path / "run" / "scores.history"
    content = history.read_bytes()
    record_search(tmp_path / "begun", moments=1)
    (tmp_path / "empty").mkdir()

    def problem(name: str, method: str = "lbc") -> str:
        said = set()
        for read in (read_masks, read_course):
            with pytest.raises(ValueError) as error:
                read(tmp_path / name, method)
            said.add(str(error.value))
        (sentence,) = said
        assert name in sentence and sentence.endswith(".") and "\n" not in sentence
        return sentence

    assert "trained dense" in problem("run", "dense")
    assert "no masks yet" in problem("begun")
    assert "cannot be read" in problem("empty")
    assert "cannot be read" in problem("deleted")
    for damaged in (b"", b"nonsense\n", content[:20], content[:200] + b"x" * 400):
        history.write_bytes(damaged)
        problem("run")


def test_a_flipped_byte_in_a_mask_is_a_sentence(tmp_path: Path) -> None:
    record_search(tmp_path / "run")
    history = tmp_path / "run" / "scores.history"
    whole = history.read_bytes()
    refused = 0
    for at in range(len(whole) // 3, len(whole), 97):
        history.write_bytes(whole[:at] + bytes([whole[at] ^ 0xFF]) + whole[at + 1 :])
        for read in (read_masks, read_course):
            try:
                read(tmp_path / "run", "lbc")
            except ValueError as error:
                refused += 1
                assert "damaged" in str(error)
    assert refused


def test_without_a_history_the_final_weights_have_the_masks(
    tmp_path: Path, quick: Callable[..., Experiment]
) -> None:
    folder = tmp_path / "run"
    Trainer(quick(), folder).train()
    recorded = read_masks(folder, "lbc")
    history = folder / "scores.history"
    history.write_bytes(history.read_bytes()[:-100])
    with history.open("ab") as file:
        file.write(b"x" * 300)
    damaged = read_masks(folder, "lbc")
    history.unlink()
    missing = read_masks(folder, "lbc")
    weights = load_file(folder / "model.safetensors")
    with safe_open(folder / "model.safetensors", "pt") as file:
        metadata = file.metadata()
    sparse = {f"{name}.weight" for name in recorded.layers}
    turned = {k: w.T.contiguous() if k in sparse else w for k, w in weights.items()}
    save_file(turned, folder / "model.safetensors", metadata)
    transposed = read_masks(folder, "lbc")
    for found in (damaged, missing, transposed):
        assert (found.epoch, found.decided) == (2, True)
        agreement = compare_masks([recorded, found])
        assert agreement.shared[0, 1] == len(recorded.layers)
        assert agreement.whole[0, 1] > 0.999
    (folder / "model.safetensors").write_bytes(b"damaged")
    with pytest.raises(ValueError, match="cannot be read"):
        read_masks(folder, "lbc")
    with pytest.raises(ValueError, match="trained dense"):
        read_masks(folder, "dense")
