"""LBC in the Trainer of Lightning: see the documentation for an example.

Call ``sparsify`` before ``fit``, which builds the optimisers; in the module's ``__init__`` if
``load_from_checkpoint`` is to read checkpoints of the search. ``fit(…, ckpt_path=…)`` on a module
sparsified in the same way continues the search: masks, live sets and scores are in the state dict.
"""

from __future__ import annotations

from typing import Any

from lbc.integrations.search import Search

try:
    from lightning.pytorch import Callback
except ImportError as error:
    raise ImportError(
        "lbc.integrations.lightning needs lightning: pip install 'lbc-explorer[integrations]'"
    ) from error


class SparsityCallback(Search, Callback):
    """Removes combinations during training, after optimiser steps and before validation.

    ``every`` is ``"epoch"`` or ``"step"``; where the length of the data is unknown, removal goes
    epoch by epoch. Density and live combinations are logged with the module's own metrics.
    ``finalize=True`` makes the modules plain after training: checkpoints written until then hold
    the search, ``trainer.save_checkpoint`` afterwards writes the finished network.

    Raises ValueError at the start of training if no optimiser holds the scores, and
    FloatingPointError as ``Sparsifier.follow`` does.
    """

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        self.find_optimizer(trainer.optimizers)
        self._stepped = trainer.global_step
        self._figures = self.figures()

    def on_train_batch_end(
        self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if trainer.global_step > self._stepped:  # not while gradients are being accumulated
            self._stepped = trainer.global_step
            done = 1 if trainer.is_last_batch else (batch_idx + 1) / trainer.num_training_batches
            if self.advance(trainer.current_epoch + done, trainer.optimizers):
                self._figures = self.figures()
        pl_module.log_dict(self._figures)

    def on_fit_end(self, trainer: Any, pl_module: Any) -> None:
        self.finish()
