"""Train student and teacher by each other: the second stage of InterNRL.

Source: Wang et al., "An Interpretable and Accurate Deep-Learning Diagnosis Framework Modeled With Fully and
Semi-Supervised Reciprocal Learning", IEEE TMI 43(1), 2024. What their code leaves to chance is decided here: modules
that do not train stay as they are to the last bit, and statistics of batch norms are those of images as they are
predicted, not moved, wherever the step sees such images.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.optim import Optimizer

from common.engines.gradients import apply_gradients, gradients_of
from common.engines.pseudo_label_step import check_pseudo_label_options
from common.layers.last_layer_fit import fit_last_layer
from common.losses.feedback import FEEDBACKS, cosine_feedback, difference_feedback, product_feedback
from common.losses.pseudo_label import pseudo_label, soft_cross_entropy
from common.utils.batch_norm import keep_statistics
from common.utils.checkpoint import load_state
from common.utils.choices import check_choice
from common.utils.distributed import gather

__all__ = ["PHASES", "ReciprocalStep"]

FEATURES = ("trunk", "add_on", "prototypes")
#: What of the student trains in each phase of a cycle.
PHASES = {"features": FEATURES, "last_layer": ("last_layer",), "joint": (*FEATURES, "last_layer")}
PUBLISHED_CYCLE = {"features": 6, "last_layer": 1, "joint": 1}


class ReciprocalStep:
    """A step of the student on the teacher's pseudo labels, then one of the teacher, which learns how that went.

    1. The teacher labels the moved view of an unlabelled batch.
    2. The student takes a step on the stage's loss (:class:`common.losses.StudentLoss`) with these labels.
    3. The feedback h says whether that step helped on a labelled batch, see :mod:`common.losses.feedback`.
    4. The teacher takes a step on h · CE(pseudo labels) + CE(labels) + teacher_consistency · U.
    5. Negative weights of the student's last layer become 0.

    Epochs go through a cycle of phases. In "last_layer" the student's features are fixed: the epoch only collects
    similarities and pseudo labels, and at its end the last layer is fitted to them; the teacher, meanwhile without
    feedback, learns from the labelled batches. The stage trains "student" and "teacher"; its optimiser is that of the
    student.

    An unlabelled batch has ``image``, ``original`` and ``affine`` (:class:`common.data.AffineViewd`), ``label`` and
    ``label_given``; known labels serve the prototype terms of the loss.

    Args:
        teacher_optimizer: over the teacher's parameters.
        phases: epochs of each phase of a cycle, in order.
        feedback: form of h, one of ``common.losses.feedback.FEEDBACKS``: ``"published"``, ``"cross_entropy"``,
            ``"finite_difference"`` or ``"cosine"``.
        feedback_scale: factor of h; None takes the usual one of the form.
        threshold: images for which the teacher's largest probability is below it do not count; 0 counts all.
        temperature: None takes hard pseudo labels; a number makes them softmax(logits / temperature).
        known_labels: let the student learn true labels instead of pseudo labels where they are given.
        teacher_consistency: weight of U, the cross entropy of the teacher on the moved view with what it says of the
            original one.
        last_layer_passes: passes over the collected similarities. Published: 3 passes over the images.
        copy_trunk: let the student's trunk begin the stage as a copy of the teacher's. Published: both begin with
            weights of ImageNet; without any, the student is spared to learn to see anew.

    Raises:
        ValueError: if an option is out of range or unknown.
    """

    streams = ("labelled", "unlabelled")

    def __init__(
        self,
        teacher_optimizer: Optimizer,
        phases: Mapping[str, int] | None = None,
        feedback: str = "published",
        feedback_scale: float | None = None,
        threshold: float = 0.0,
        temperature: float | None = None,
        known_labels: bool = False,
        teacher_consistency: float = 0.0,
        last_layer_passes: int = 3,
        copy_trunk: bool = False,
    ) -> None:
        check_choice("feedback", feedback, FEEDBACKS)
        check_pseudo_label_options(threshold, temperature)
        cycle = PUBLISHED_CYCLE if phases is None else phases
        for name in cycle:
            check_choice("phase", name, PHASES)
        if not cycle or min(cycle.values()) < 1:
            raise ValueError(f"phases are {dict(cycle)}, expected a positive number of epochs for each of some phases")
        if teacher_consistency < 0 or last_layer_passes < 1:
            raise ValueError(
                f"teacher_consistency is {teacher_consistency} and last_layer_passes is {last_layer_passes}, expected "
                "0 or more and 1 or more"
            )
        self.teacher_optimizer = teacher_optimizer
        self.cycle = [name for name, epochs in cycle.items() for _ in range(epochs)]
        self.feedback = feedback
        self.feedback_scale = FEEDBACKS[feedback] if feedback_scale is None else feedback_scale
        self.threshold, self.temperature = threshold, temperature
        self.known_labels = known_labels
        self.teacher_consistency = teacher_consistency
        self.last_layer_passes = last_layer_passes
        self.copy_trunk = copy_trunk
        self.epoch = 0
        self._collected: list[dict[str, Tensor]] = []

    @property
    def phase(self) -> str:
        """The phase of the epoch in progress."""
        return self.cycle[self.epoch % len(self.cycle)]

    def state_dict(self) -> dict[str, Any]:
        """Return the epochs done and the teacher's optimiser."""
        return {"epoch": self.epoch, "teacher_optimizer": self.teacher_optimizer.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Return to the moment of :meth:`state_dict`."""
        self.epoch = state["epoch"]
        self.teacher_optimizer.load_state_dict(state["teacher_optimizer"])

    def begin_epoch(self, trainer: Any) -> None:
        """Free what trains in this epoch's phase, and nothing else of the student."""
        self._collected = []
        network = trainer.network_def
        if self.copy_trunk and self.epoch == 0:
            load_state(network.student.trunk, network.teacher.trunk.state_dict(), "the teacher's trunk")
        for name, part in network.student.named_children():
            part.requires_grad_(name in PHASES[self.phase])

    def end_epoch(self, trainer: Any) -> None:
        """Fit the last layer, if this was its phase."""
        if self._collected:
            every = {name: gather(torch.cat([one[name] for one in self._collected])) for name in self._collected[0]}
            counts = every["weight"] > 0
            layer = trainer.network_def.student.last_layer
            if counts.any():
                fit_last_layer(
                    layer,
                    trainer.optimizer,
                    every["similarity"][counts],
                    every["target"][counts],
                    lambda logits, target: soft_cross_entropy(logits, target).mean(),
                    passes=self.last_layer_passes,
                    seed=self.epoch,
                )
        self._collected = []
        self.epoch += 1

    def __call__(self, trainer: Any, batch: dict[str, Any]) -> dict[str, Any]:
        """Take a step; see :class:`common.types.TrainingStep`."""
        network, unlabelled = trainer.network_def, batch["unlabelled"]
        for name, part in network.student.named_children():
            if name not in PHASES[self.phase]:
                part.eval()
        with trainer.autocast():
            shared = network.stem(unlabelled["image"])
            said = network.teacher(shared)
        target, weight = pseudo_label(said, self.threshold, self.temperature)
        targets = self._student_targets(unlabelled, target, weight)
        if self.phase == "last_layer":
            terms, outputs = self._collect(trainer, shared, targets)
            feedback, loss = 0.0, trainer.stage.loss.reduce(terms)["loss"]
        else:
            terms, outputs, loss, feedback = self._student_step(trainer, shared, targets, batch)
        own = weight * ~unlabelled["label_given"] if self.known_labels else weight
        teacher = self._teacher_step(trainer, batch, said, feedback * (own * soft_cross_entropy(said, target)).mean())
        trainer.grad_scaler.update()
        network.student.last_layer.clamp_()
        given = unlabelled["label_given"]
        monitored = {
            "teacher": teacher,
            "feedback": torch.full_like(weight, feedback),
            "pseudo_labels_used": weight,
            "pseudo_label_accuracy": (target.argmax(1) == unlabelled["label"])[given].float(),
        }
        return {
            "loss": loss.item(),
            "terms": {name: value.detach() for name, value in {**terms, **monitored}.items()},
            "logits": outputs["logits"].detach()[given],
            "probability": outputs["logits"].detach().softmax(1)[given],
            "label": unlabelled["label"][given],
        }

    def _student_targets(self, unlabelled: Mapping[str, Tensor], target: Tensor, weight: Tensor) -> dict[str, Tensor]:
        """Return the unlabelled batch with what the student is to learn."""
        if self.known_labels:
            given = unlabelled["label_given"]
            truth = F.one_hot(unlabelled["label"], target.shape[1]).to(target.dtype)
            target = torch.where(given.unsqueeze(1), truth, target)
            weight = torch.where(given, 1.0, weight)
        return {**unlabelled, "target": target, "target_weight": weight}

    def _student_step(
        self, trainer: Any, shared: Tensor, targets: dict[str, Tensor], labelled: Mapping[str, Tensor]
    ) -> tuple[dict[str, Tensor], dict[str, Tensor], Tensor, float]:
        """Let the student learn; return the terms of its loss, its outputs, the loss, and the feedback."""
        network, loss, optimizer = trainer.network_def, trainer.stage.loss, trainer.optimizer
        parameters = [parameter for parameter in network.student.parameters() if parameter.requires_grad]
        measured = self.feedback == "finite_difference"
        before = self._measure(trainer, labelled) if measured else None
        outputs = self._student_outputs(trainer, shared, targets)
        terms = loss.terms(outputs, targets)
        reduced = loss.reduce(terms)
        pseudo = None
        if self.feedback == "cross_entropy":
            pseudo = gradients_of(trainer, reduced["classification"], parameters, retain_graph=True)
        gradients = gradients_of(trainer, reduced["loss"], parameters)
        apply_gradients(trainer, optimizer, parameters, gradients)
        if before is not None:
            feedback = difference_feedback(before, self._measure(trainer, labelled), self.feedback_scale)
        else:
            after = gradients_of(trainer, self._labelled_loss(trainer, labelled), parameters)
            form = cosine_feedback if self.feedback == "cosine" else product_feedback
            scale = 1.0 if self.feedback == "cosine" else trainer.grad_scaler.get_scale() ** 2
            feedback = form(gradients if pseudo is None else pseudo, after, self.feedback_scale / scale)
        # under mixed precision a gradient may overflow; its step is left out, and so is what it would say
        return terms, outputs, reduced["loss"], feedback.nan_to_num(0.0, 0.0, 0.0).item()

    def _student_outputs(self, trainer: Any, shared: Tensor, targets: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Run the student on the moved view and, where consistency counts, draw some maps of both views.

        The batch norms' statistics are then taken from the original view, since images to be predicted are not moved.
        """
        network = trainer.network_def
        student = network.student
        with trainer.autocast():
            if trainer.stage.loss.consistency == 0:
                outputs: dict[str, Tensor] = student.classify(student.feature(shared))
                return outputs
            with keep_statistics(student):
                feature = student.feature(shared)
            with torch.no_grad():
                original = student.feature(network.stem(targets["original"]))
            chosen = _one_of_each_class(student.prototypes.class_map, student.last_layer.num_classes, len(feature))
            return {
                **student.classify(feature),
                "moved_map": student.prototypes.similarity_maps(feature, chosen),
                "original_map": student.prototypes.similarity_maps(original, chosen),
            }

    def _collect(
        self, trainer: Any, shared: Tensor, targets: dict[str, Tensor]
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Keep a batch's similarities and targets; return the terms of the student's loss and its outputs."""
        with torch.no_grad(), trainer.autocast():
            outputs = trainer.network_def.student.classify(trainer.network_def.student.feature(shared))
        kept = {"similarity": outputs["similarity"], "target": targets["target"], "weight": targets["target_weight"]}
        self._collected.append(kept)
        with torch.no_grad():
            return trainer.stage.loss.terms(outputs, targets), outputs

    def _labelled_loss(self, trainer: Any, labelled: Mapping[str, Tensor]) -> Tensor:
        """Return the student's cross entropy on the labelled batch."""
        network = trainer.network_def
        with trainer.autocast(), keep_statistics(network.student):
            logits = network.student(network.stem(labelled["image"]))
        return F.cross_entropy(logits, labelled["label"])

    def _measure(self, trainer: Any, labelled: Mapping[str, Tensor]) -> Tensor:
        """Return the same without dropout, whose chance would outweigh the difference of two of them."""
        student = trainer.network_def.student
        modes = [(module, module.training) for module in student.modules()]
        student.eval()
        with torch.no_grad():
            loss = self._labelled_loss(trainer, labelled)
        for module, training in modes:
            module.training = training
        return gather(loss[None]).mean()

    def _teacher_step(self, trainer: Any, batch: Mapping[str, Any], said: Tensor, own: Tensor) -> Tensor:
        """Let the teacher learn from its pseudo labels' loss, feedback included, and the labels; return CE (B,)."""
        network, unlabelled = trainer.network_def, batch["unlabelled"]
        parameters = [parameter for parameter in network.teacher.parameters() if parameter.requires_grad]
        with trainer.autocast():
            logits = network.teacher(network.stem(batch["image"]))
            if self.teacher_consistency > 0:
                with torch.no_grad(), keep_statistics(network.teacher):
                    original = network.teacher(network.stem(unlabelled["original"]))
        supervised = F.cross_entropy(logits.float(), batch["label"], reduction="none")
        loss = own + supervised.mean()
        if self.teacher_consistency > 0:
            target, weight = pseudo_label(original, self.threshold, self.temperature or 1.0)
            loss = loss + self.teacher_consistency * (weight * soft_cross_entropy(said, target)).mean()
        apply_gradients(trainer, self.teacher_optimizer, parameters, gradients_of(trainer, loss, parameters))
        return supervised.detach()


def _one_of_each_class(class_map: Tensor, num_classes: int, batch: int) -> Tensor:
    """Draw one prototype of each class for each image (B,C)."""
    member = class_map == torch.arange(num_classes, device=class_map.device).unsqueeze(1)
    drawn = torch.rand(batch, 1, len(class_map), device=class_map.device)
    return torch.where(member, drawn, -1.0).argmax(2)
