"""LBC in the Trainer of Hugging Face transformers: see the documentation for an example.

``trainer.train(resume_from_checkpoint=True)`` on a model sparsified in the same way continues the
search exactly: masks, live sets and scores are in the checkpoint's state dict.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch import nn

from lbc.integrations.search import Every, Search
from lbc.sparsity.schedule import Schedule
from lbc.sparsity.sparsifier import Sparsifier

try:
    from transformers import TrainerCallback
except ImportError as error:
    raise ImportError(
        "lbc.integrations.transformers needs transformers: pip install 'lbc-explorer[integrations]'"
    ) from error


class SparsityCallback(Search, TrainerCallback):
    """Removes combinations during training, after optimiser steps and before evaluation.

    ``schedule`` counts the Trainer's epochs; where the length of the data is unknown, the Trainer
    calls the whole training one epoch. ``every`` is ``"epoch"`` or ``"step"``. ``log`` receives
    density and live combinations whenever the Trainer logs: pass ``trainer.log``, which hands them
    to every reporter. ``finalize=True`` makes the modules plain when training ends, so that
    ``save_model`` then writes weights that ``from_pretrained`` reads.

    Raises ValueError at the start of training if the Trainer's optimiser lacks the scores, and
    FloatingPointError as ``Sparsifier.follow`` does.
    """

    def __init__(
        self,
        sparsifier: Sparsifier,
        schedule: Schedule,
        every: Every = "epoch",
        log: Callable[[dict[str, float]], object] | None = None,
        finalize: bool = False,
    ) -> None:
        super().__init__(sparsifier, schedule, every, finalize)
        self._log = log
        self._warned = False
        self._hooks = _load_without_freezing(sparsifier)

    def on_train_begin(
        self, args: Any, state: Any, control: Any, *, optimizer: Any, **kwargs: Any
    ) -> None:
        while self._hooks:
            self._hooks.pop().remove()
        self.find_optimizer([optimizer])

    def on_step_end(
        self, args: Any, state: Any, control: Any, *, optimizer: Any, **kwargs: Any
    ) -> None:
        self.advance(state.epoch, [optimizer])
        self._report(control)

    def on_epoch_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._report(control)

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if self._warned or not state.is_world_process_zero:
            return
        self._warned = True
        folder = Path(args.output_dir) / f"checkpoint-{state.global_step}"
        warnings.warn(
            f"{folder} holds the search, to be resumed from. from_pretrained does not know its "
            "names and would start from random weights: save after finalizing, or in the meantime "
            "with model.save_pretrained(FOLDER, state_dict=sparsifier.dense_state_dict()).",
            stacklevel=2,
        )

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.finish()

    def _report(self, control: Any) -> None:
        if self._log is not None and control.should_log:
            self._log(self.figures())
            control.should_log = True  # cleared by logging; the Trainer's own figures follow


def _load_without_freezing(sparsifier: Sparsifier) -> list[Any]:
    """Let scores require gradients as before when a state dict with decided layers is loaded.

    The Trainer loads its checkpoint first and then builds the optimiser from what requires
    gradients, which must be the parameters that the checkpoint's optimiser had. Returns the hooks.
    """
    trained: list[nn.Parameter] = []

    def remember(*_: Any) -> None:
        trained[:] = [score for score in sparsifier.score_parameters() if score.requires_grad]

    def restore(*_: Any) -> None:
        for score in trained:
            score.requires_grad_(True)

    model = sparsifier.model
    return [
        model.register_load_state_dict_pre_hook(remember),  # type: ignore[no-untyped-call]
        model.register_load_state_dict_post_hook(restore),  # type: ignore[no-untyped-call]
    ]
