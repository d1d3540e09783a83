"""The callback in the Trainer of transformers, on a tiny BERT with random weights."""

from __future__ import annotations

from math import floor
from pathlib import Path
from typing import Any

import pytest
import torch

from lbc.integrations.search import Every
from lbc.sparsity.compliance import check
from lbc.sparsity.pattern import Pattern
from lbc.sparsity.schedule import Schedule
from lbc.sparsity.sparsification import sparsify
from lbc.sparsity.sparsifier import Sparsifier

pytest.importorskip("transformers")
pytest.importorskip("accelerate")

from transformers import (
    BertConfig,
    BertForSequenceClassification,
    GPT2Config,
    GPT2ForSequenceClassification,
    Trainer,
    TrainerCallback,
    TrainingArguments,
)

from lbc.integrations.transformers import SparsityCallback

pytestmark = [
    # The processes' loaders are the Trainer's, which pins memory also without an accelerator.
    pytest.mark.filterwarnings("ignore:.*pin_memory.*:UserWarning"),
    pytest.mark.filterwarnings("ignore:.*holds the search:UserWarning"),
]

IDS = torch.randint(0, 64, (48, 8), generator=torch.Generator().manual_seed(1))
DATA = [{"input_ids": ids, "labels": int(ids.sum() % 2)} for ids in IDS]  # 6 batches of 8
SCHEDULE = Schedule("linear", end=2)


class Record(TrainerCallback):
    """Combinations left after every step, and how many each evaluation saw."""

    def __init__(self, sparsifier: Sparsifier) -> None:
        self.layer = next(iter(sparsifier.layers.values()))
        self.live: list[int] = []
        self.evaluated: list[tuple[float, int]] = []

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.live.append(self.layer.live_count)

    def on_evaluate(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.evaluated.append((state.epoch, self.layer.live_count))


def network() -> Any:
    torch.manual_seed(0)
    return BertForSequenceClassification(
        BertConfig(
            vocab_size=64,
            hidden_size=16,
            num_hidden_layers=1,
            num_attention_heads=2,
            intermediate_size=32,
            max_position_embeddings=8,
        )
    )


def trainer(model: Any, folder: Path, optimizer: Any = None, **arguments: Any) -> Any:
    defaults = {
        "num_train_epochs": 3,
        "per_device_train_batch_size": 8,
        "learning_rate": 1e-2,
        "weight_decay": 0.1,
        "save_strategy": "no",
        "report_to": "none",
        "use_cpu": True,
        "disable_tqdm": True,
    }
    settings = TrainingArguments(str(folder), **(defaults | arguments))
    return Trainer(
        model, settings, train_dataset=DATA, eval_dataset=DATA, optimizers=(optimizer, None)
    )


def train(folder: Path, every: Every = "step", **arguments: Any) -> tuple[Any, Sparsifier, Record]:
    model = network()
    sparsifier = sparsify(model, "2:4")
    loop = trainer(model, folder, **arguments)
    record = Record(sparsifier)
    loop.add_callback(SparsityCallback(sparsifier, SCHEDULE, every, log=loop.log))
    loop.add_callback(record)
    loop.train()
    return loop, sparsifier, record


@pytest.mark.parametrize("every", ["epoch", "step"])
@pytest.mark.parametrize("accumulated", [1, 2, 4])
def test_combinations_go_as_the_schedule_says(
    tmp_path: Path, every: Every, accumulated: int
) -> None:
    _, sparsifier, record = train(tmp_path, every, gradient_accumulation_steps=accumulated)
    stepped = [n for n in range(1, 7) if n % accumulated == 0 or n == 6]
    positions = [epoch + n / 6 for epoch in range(3) for n in stepped]
    if every == "epoch":
        positions = [floor(position) for position in positions]
    expected = [SCHEDULE.live(Pattern(2, 4), position) for position in positions]
    assert record.live == expected
    for name in sparsifier.layers:
        weight = sparsifier.model.get_submodule(name).weight
        assert isinstance(weight, torch.Tensor)
        assert check(weight, Pattern(2, 4)).valid


def test_evaluation_sees_what_the_schedule_leaves_at_that_step(tmp_path: Path) -> None:
    _, _, record = train(tmp_path, eval_strategy="steps", eval_steps=2)
    assert record.evaluated == [
        (epoch, SCHEDULE.live(Pattern(2, 4), epoch)) for epoch, _ in record.evaluated
    ]
    assert len({live for _, live in record.evaluated}) > 2


@pytest.mark.filterwarnings("ignore:Training is over:UserWarning")
def test_scores_are_trained_and_decay_like_their_weights(tmp_path: Path) -> None:
    loop, sparsifier, _ = train(tmp_path, "epoch", max_steps=5)
    groups = [{id(p) for p in group["params"]} for group in loop.optimizer.param_groups]
    for name, layer in sparsifier.layers.items():
        assert not torch.allclose(layer.scores(), layer.scores()[0, 0])
        weight = sparsifier.model.get_parameter(f"{name}.parametrizations.weight.original")
        for score in layer.score_parameters():
            assert [id(score) in group for group in groups] == [id(weight) in g for g in groups]


@pytest.mark.parametrize("step", [6, 8, 15])
@pytest.mark.parametrize("every", ["epoch", "step"])
def test_a_resumed_search_ends_in_the_same_bits(tmp_path: Path, every: Every, step: int) -> None:
    saving = {"save_strategy": "steps", "save_steps": step}
    whole, *_ = train(tmp_path / "whole", every, **saving)
    model = network()
    sparsifier = sparsify(model, "2:4")
    loop = trainer(model, tmp_path / "resumed")
    loop.add_callback(SparsityCallback(sparsifier, SCHEDULE, every))
    loop.train(resume_from_checkpoint=str(tmp_path / "whole" / f"checkpoint-{step}"))
    resumed = model.state_dict()
    for key, value in whole.model.state_dict().items():
        assert torch.equal(value, resumed[key]), key


def test_an_optimizer_without_the_scores_is_refused(tmp_path: Path) -> None:
    model = network()
    early = torch.optim.AdamW(model.parameters())
    sparsifier = sparsify(model, "2:4")
    loop = trainer(model, tmp_path, early)
    loop.add_callback(SparsityCallback(sparsifier, SCHEDULE))
    with pytest.raises(ValueError, match="call sparsify before the optimiser is built"):
        loop.train()


def test_training_that_ends_within_the_search_says_so(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="the schedule ends at epoch 2"):
        _, _, record = train(tmp_path, max_steps=8)
    assert record.live[-1] == SCHEDULE.live(Pattern(2, 4), 8 / 6) > 1


def test_a_best_checkpoint_from_within_the_search_is_reported(tmp_path: Path) -> None:
    model = network()
    sparsifier = sparsify(model, "2:4")
    steps = {"eval_steps": 4, "save_steps": 4, "eval_strategy": "steps", "save_strategy": "steps"}
    best = {
        "load_best_model_at_end": True,
        "metric_for_best_model": "wrong",
        "greater_is_better": False,
    }
    loop = trainer(model, tmp_path, **steps, **best)
    loop.compute_metrics = lambda _: {"wrong": loop.state.global_step}  # the first is the best
    loop.add_callback(SparsityCallback(sparsifier, SCHEDULE, "step"))
    with pytest.warns(UserWarning, match="a checkpoint from before was loaded as the best"):
        loop.train()
    layer = next(iter(sparsifier.layers.values()))
    assert layer.live_count == SCHEDULE.live(Pattern(2, 4), 4 / 6)


def test_figures_reach_the_log_beside_the_trainers_own(tmp_path: Path) -> None:
    loop, _, record = train(tmp_path, logging_steps=2)
    ours = {at["step"]: at for at in loop.state.log_history if "lbc/density" in at}
    own = [at["step"] for at in loop.state.log_history if "loss" in at]
    assert list(ours) == own == list(range(2, 19, 2))
    assert [at["lbc/live_combinations"] for at in ours.values()] == record.live[1::2]
    assert ours[18]["lbc/density"] == 0.5
    loop, *_ = train(tmp_path, "epoch", logging_strategy="epoch")
    assert [at["step"] for at in loop.state.log_history if "lbc/density" in at] == [6, 12, 18]


def test_finalized_weights_are_what_from_pretrained_reads(tmp_path: Path) -> None:
    model = network()
    sparsifier = sparsify(model, "2:4")
    loop = trainer(model, tmp_path, save_strategy="steps", save_steps=8)
    loop.add_callback(SparsityCallback(sparsifier, SCHEDULE, finalize=True))
    layers = list(sparsifier.layers)
    with pytest.warns(UserWarning, match="checkpoint-8 holds the search"):
        loop.train()
    loop.save_model(str(tmp_path / "finished"))
    read = type(model).from_pretrained(tmp_path / "finished").eval()
    assert torch.equal(read(IDS).logits, model.eval()(IDS).logits)
    assert all(check(read.get_submodule(at).weight, Pattern(2, 4)).valid for at in layers)


@pytest.mark.filterwarnings("ignore:Training is over:UserWarning")
def test_what_the_search_holds_now_can_be_saved_for_from_pretrained(tmp_path: Path) -> None:
    loop, sparsifier, _ = train(tmp_path, max_steps=8)
    assert sparsifier.searching
    model = loop.model.eval()
    model.save_pretrained(tmp_path / "now", state_dict=sparsifier.dense_state_dict())
    read = type(model).from_pretrained(tmp_path / "now").eval()
    assert torch.equal(read(IDS).logits, model(IDS).logits)


def test_gpt2_is_trained_and_saved_with_its_own_kind_of_layer(tmp_path: Path) -> None:
    torch.manual_seed(0)
    sizes = {"vocab_size": 64, "n_positions": 8, "n_embd": 16, "n_layer": 1, "n_head": 2}
    model = GPT2ForSequenceClassification(GPT2Config(**sizes, pad_token_id=0))
    sparsifier = sparsify(model, "2:4")
    assert "transformer.h.0.mlp.c_fc" in sparsifier.layers
    loop = trainer(model, tmp_path)
    loop.add_callback(SparsityCallback(sparsifier, SCHEDULE, finalize=True))
    loop.train()
    loop.save_model(str(tmp_path / "finished"))
    read = GPT2ForSequenceClassification.from_pretrained(tmp_path / "finished").eval()
    assert torch.equal(read(IDS).logits, model.eval()(IDS).logits)
    stored = read.transformer.h[0].mlp.c_fc.weight  # Conv1D keeps (inputs, outputs)
    assert check(stored.T, Pattern(2, 4)).density == 0.5
