"""Distillation: a trained network, the teacher, whose outputs the loss compares with."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from lbc import config
from lbc.training.placement import place_model
from lbc.training.teacher_copy import TeacherCopy


class Teacher:
    """A trained network in evaluation mode, which is not trained itself.

    It is placed on ``device`` with the memory format of ``settings``. ``copy`` is what it was built
    from.
    """

    def __init__(self, copy: TeacherCopy, settings: config.Training, device: torch.device) -> None:
        self.copy = copy
        self._weight = settings.teacher.weight
        self._temperature = settings.teacher.temperature
        self._network = place_model(copy.build(), device, settings).eval().requires_grad_(False)
        if settings.compile:
            self._network.compile()

    @torch.no_grad()
    def logits(self, images: Tensor) -> Tensor:
        """Logits (B, classes) for ``images`` (B, channels, H, W) on the device.

        Autocast applies to the network as it does where this is called.
        """
        logits: Tensor = self._network(images)
        return logits

    def mix(self, task: Tensor, logits: Tensor, expected: Tensor) -> Tensor:
        """The loss to train on: (1 − w)·task + w·T²·KL(softmax(expected/T) ‖ softmax(logits/T)).

        ``task`` is the mean loss for the labels, ``logits`` (B, classes) are the trained network's
        and ``expected`` the teacher's. The factor T² keeps the gradients of both parts in
        proportion when the temperature T changes (Hinton et al., 2015, section 2).
        """
        ours = F.log_softmax(logits.float() / self._temperature, dim=1)
        theirs = F.log_softmax(expected.float() / self._temperature, dim=1)
        distance = F.kl_div(ours, theirs, reduction="batchmean", log_target=True)
        return (1 - self._weight) * task + self._weight * self._temperature**2 * distance
