"""Train the teacher on what the student says: the last stage of InterNRL."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from common.engines.gradients import apply_gradients, gradients_of
from common.losses.pseudo_label import pseudo_label
from common.utils.checkpoint import load_state

__all__ = ["PseudoLabelStep", "check_pseudo_label_options"]


class PseudoLabelStep:
    """A step of the teacher on an unlabelled batch, whose labels the frozen student gives.

    The stage trains "teacher" alone; its loss takes ``logits`` and a batch with ``target`` and ``target_weight``
    (:class:`common.losses.TeacherLoss`). Of the true labels nothing is used.

    Args:
        threshold: images for which the student's largest probability is below it do not count.
        temperature: None takes hard pseudo labels; a number makes them softmax(logits / temperature).
        restart_from: weights that the teacher starts the stage with, such as those it was built with (published: of
            ImageNet); None goes on from the stage before.

    Raises:
        ValueError: if an option is out of range.
    """

    streams = ("unlabelled",)

    def __init__(
        self,
        threshold: float = 0.0,
        temperature: float | None = None,
        restart_from: Mapping[str, Tensor] | None = None,
    ) -> None:
        check_pseudo_label_options(threshold, temperature)
        self.threshold, self.temperature = threshold, temperature
        self.epoch = 0
        # copies: the weights given may be the ones that train meanwhile
        self._start = None if restart_from is None else {key: value.clone() for key, value in restart_from.items()}

    def state_dict(self) -> dict[str, Any]:
        """Return the epochs done."""
        return {"epoch": self.epoch}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on after the epochs of :meth:`state_dict`."""
        self.epoch = state["epoch"]

    def begin_epoch(self, trainer: Any) -> None:
        """Give the teacher its start weights, if the stage begins."""
        if self.epoch == 0 and self._start is not None:
            load_state(trainer.network_def.teacher, self._start, "restart_from")

    def __call__(self, trainer: Any, batch: dict[str, Any]) -> dict[str, Any]:
        """Take a step; see :class:`common.types.TrainingStep`."""
        network, loss = trainer.network_def, trainer.stage.loss
        parameters = [parameter for parameter in network.teacher.parameters() if parameter.requires_grad]
        with trainer.autocast():
            with torch.no_grad():
                shared = network.stem(batch["image"])
                student = network.student(shared)
            logits = network.teacher(shared)
        target, weight = pseudo_label(student, self.threshold, self.temperature)
        terms = loss.terms({"logits": logits}, {"target": target, "target_weight": weight})
        reduced = loss.reduce(terms)
        gradients = gradients_of(trainer, reduced["loss"], parameters)
        apply_gradients(trainer, trainer.optimizer, parameters, gradients)
        trainer.grad_scaler.update()
        given = batch.get("label_given", torch.ones_like(batch["label"], dtype=torch.bool))
        monitored = {
            "pseudo_labels_used": weight,
            "pseudo_label_accuracy": (target.argmax(1) == batch["label"])[given].float(),
        }
        return {
            "loss": reduced["loss"].item(),
            "terms": {name: value.detach() for name, value in {**terms, **monitored}.items()},
            "logits": logits.detach()[given],
            "probability": logits.detach().float().softmax(1)[given],
            "label": batch["label"][given],
        }

    def end_epoch(self, trainer: Any) -> None:
        """Count the epoch."""
        self.epoch += 1


def check_pseudo_label_options(threshold: float, temperature: float | None) -> None:
    """Refuse a threshold that is no probability and a temperature that is not positive.

    Raises:
        ValueError: naming the option.
    """
    if not 0 <= threshold < 1:
        raise ValueError(f"threshold is {threshold}, expected a probability from 0 (all count) up to, not including, 1")
    if temperature is not None and temperature <= 0:
        raise ValueError(f"temperature is {temperature}, expected a positive number, or null for hard labels")
