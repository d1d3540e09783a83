"""The callback in the Trainer of Lightning, on a small perceptron."""

from __future__ import annotations

from collections.abc import Iterator
from math import floor
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, IterableDataset

from lbc.integrations.search import Every
from lbc.sparsity.compliance import check
from lbc.sparsity.pattern import Pattern
from lbc.sparsity.schedule import Schedule
from lbc.sparsity.sparsification import sparsify
from lbc.sparsity.sparsifier import Sparsifier

pytest.importorskip("lightning")

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import (
    EMAWeightAveraging,
    ModelCheckpoint,
    StochasticWeightAveraging,
    WeightAveraging,
)

from lbc.integrations.lightning import SparsityCallback

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*does not have many workers"),
    pytest.mark.filterwarnings("ignore:The dirpath has changed"),
    pytest.mark.filterwarnings("ignore:.*`isinstance.treespec, LeafSpec.` is deprecated"),
]

INPUTS = torch.randn(48, 16, generator=torch.Generator().manual_seed(1))
LABELS = (INPUTS.sum(1) > 0).long()
SCHEDULE = Schedule("linear", end=2)


class Batches:
    """Six batches of eight, which a checkpoint within an epoch can continue."""

    def __init__(self) -> None:
        self.first = self.next = 0

    def __len__(self) -> int:
        return 6

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        first, self.first = self.first, 0
        for number in range(first, 6):
            self.next = number + 1
            rows = slice(8 * number, 8 * number + 8)
            yield INPUTS[rows], LABELS[rows]

    def state_dict(self) -> dict[str, int]:
        return {"next": self.next}

    def load_state_dict(self, state: dict[str, int]) -> None:
        self.first = state["next"] % 6


class Stream(IterableDataset[tuple[Tensor, Tensor]]):
    """The same batches, without a length."""

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        return iter(Batches())


class Perceptron(LightningModule):
    net: Any

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.net = nn.Sequential(
            nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 2)
        )

    def training_step(self, batch: tuple[Tensor, Tensor]) -> Tensor:
        return nn.functional.cross_entropy(self.net(batch[0]), batch[1])

    def validation_step(self, batch: tuple[Tensor, Tensor]) -> None:
        self.log("loss", nn.functional.cross_entropy(self.net(batch[0]), batch[1]))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-3)


class Record(Callback):
    """Combinations left after every batch, and when each validation starts."""

    def __init__(self, sparsifier: Sparsifier) -> None:
        self.layer = sparsifier.layers["net.2"]
        self.live: list[int] = []
        self.validated: list[int] = []
        self.figures: list[dict[str, float]] = []

    def on_train_batch_end(self, trainer: Any, *args: Any) -> None:
        self.live.append(self.layer.live_count)
        self.figures.append({key: float(at) for key, at in trainer.callback_metrics.items()})

    def on_validation_start(self, *args: Any) -> None:
        self.validated.append(self.layer.live_count)


def trainer(folder: Path, callbacks: list[Any], **arguments: Any) -> Any:
    defaults = {
        "max_epochs": 3,
        "accelerator": "cpu",
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "num_sanity_val_steps": 0,
    }
    settings = defaults | arguments
    return Trainer(default_root_dir=folder, callbacks=callbacks, **settings)


def train(
    folder: Path,
    every: Every = "step",
    finalize: bool = False,
    data: Any = None,
    **arguments: Any,
) -> tuple[Perceptron, Sparsifier, Record]:
    module = Perceptron()
    sparsifier = sparsify(module, "2:4", scores="per_weight")
    record = Record(sparsifier)
    search = SparsityCallback(sparsifier, SCHEDULE, every, finalize)
    loop = trainer(folder, [search, record], **arguments)
    loop.fit(module, data or Batches(), Batches())
    return module, sparsifier, record


@pytest.mark.parametrize("every", ["epoch", "step"])
@pytest.mark.parametrize("accumulated", [1, 4])
@pytest.mark.parametrize("batches", [6, 5])
def test_combinations_go_as_the_schedule_says(
    tmp_path: Path, every: Every, accumulated: int, batches: int
) -> None:
    module, _, record = train(
        tmp_path, every, accumulate_grad_batches=accumulated, limit_train_batches=batches
    )
    expected, live = [], 6
    for epoch in range(3):
        for number in range(1, batches + 1):
            if number % accumulated == 0 or number == batches:
                epochs = epoch + number / batches
                live = SCHEDULE.live(Pattern(2, 4), epochs if every == "step" else floor(epochs))
            expected.append(live)
    assert record.live == expected
    assert check(module.net[2].weight, Pattern(2, 4)).valid


def test_data_of_unknown_length_goes_epoch_by_epoch(tmp_path: Path) -> None:
    module = Perceptron()
    sparsifier = sparsify(module, "2:4")
    record = Record(sparsifier)
    search = SparsityCallback(sparsifier, SCHEDULE, "step")
    unsized = DataLoader(Stream(), batch_size=None)
    trainer(tmp_path, [search, record]).fit(module, unsized, Batches())
    assert record.live == [6] * 5 + [SCHEDULE.live(Pattern(2, 4), 1)] * 6 + [1] * 7


def test_validation_within_an_epoch_sees_what_the_schedule_leaves(tmp_path: Path) -> None:
    _, _, record = train(tmp_path, val_check_interval=2)
    assert record.validated == record.live[1::2]
    assert len(set(record.validated)) > 2


def test_scores_are_trained(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="Training is over"):
        _, sparsifier, _ = train(tmp_path, "epoch", max_epochs=1, limit_train_batches=5)
    for layer in sparsifier.layers.values():
        assert not torch.allclose(layer.scores(), layer.scores()[0, 0])


@pytest.mark.parametrize("step", [6, 8, 15])
@pytest.mark.parametrize("every", ["epoch", "step"])
def test_a_resumed_search_ends_in_the_same_bits(tmp_path: Path, every: Every, step: int) -> None:
    states = []
    for folder, checkpoint in (("whole", None), ("resumed", tmp_path / f"whole/step={step}.ckpt")):
        module = Perceptron()
        search = SparsityCallback(sparsify(module, "2:4", scores="per_weight"), SCHEDULE, every)
        saving = ModelCheckpoint(
            tmp_path / folder, "{step}", every_n_train_steps=step, save_top_k=-1
        )
        loop = trainer(tmp_path, [saving, search], enable_checkpointing=True)
        loop.fit(module, Batches(), Batches(), ckpt_path=checkpoint)
        states.append(module.state_dict())
    for key, value in states[0].items():
        assert torch.equal(value, states[1][key]), key


def test_an_optimizer_without_the_scores_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = Perceptron()
    early = torch.optim.SGD(module.parameters(), lr=0.1)
    monkeypatch.setattr(module, "configure_optimizers", lambda: early)
    search = SparsityCallback(sparsify(module, "2:4"), SCHEDULE)
    with pytest.raises(ValueError, match="call sparsify before the optimiser is built"):
        trainer(tmp_path, [search]).fit(module, Batches(), Batches())


def test_finalizing_leaves_plain_modules_and_the_same_network(tmp_path: Path) -> None:
    module, sparsifier, _ = train(tmp_path, finalize=True)
    assert not sparsifier.layers
    assert set(module.state_dict()) == set(Perceptron().state_dict())
    assert check(module.net[2].weight, Pattern(2, 4)).valid


def test_training_that_ends_within_the_search_says_so(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="the schedule ends at epoch 2"):
        train(tmp_path, max_steps=8)


def test_figures_are_logged_with_the_modules_own(tmp_path: Path) -> None:
    _, _, record = train(tmp_path)
    assert [at["lbc/live_combinations"] for at in record.figures] == record.live
    assert record.figures[-1]["lbc/density"] == 0.5


@pytest.mark.parametrize(
    "average",
    [
        StochasticWeightAveraging(0.01, swa_epoch_start=1),
        EMAWeightAveraging(decay=0.9),
        WeightAveraging(use_buffers=False),
    ],
    ids=lambda average: type(average).__name__,
)
def test_averages_of_the_weights_obey_the_masks(tmp_path: Path, average: Callback) -> None:
    module = Perceptron()
    sparsifier = sparsify(module, "2:4", scores="per_weight")
    search = SparsityCallback(sparsifier, SCHEDULE, finalize=True)
    trainer(tmp_path, [search, average], max_epochs=4).fit(module, Batches(), Batches())
    assert check(module.net[2].weight, Pattern(2, 4)).density == 0.5


def test_in_half_precision_scores_are_trained_in_single(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="Training is over"):
        _, sparsifier, _ = train(tmp_path, "epoch", max_epochs=1, precision="bf16-true")
    for name, layer in sparsifier.layers.items():
        assert sparsifier.dense_weight(name).dtype == torch.bfloat16
        scores = layer.score_parameter()
        assert scores.dtype == torch.float32
        assert int((scores == scores.flatten().mode().values).sum()) < scores.numel() / 10
