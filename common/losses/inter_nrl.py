"""The losses of the stages of InterNRL and of its predecessor.

Sources: Wang et al., "An Interpretable and Accurate Deep-Learning Diagnosis Framework Modeled With Fully and
Semi-Supervised Reciprocal Learning", IEEE TMI 43(1), 2024; Wang et al., "Knowledge Distillation to Ensemble Global and
Interpretable Prototype-Based Mammogram Classification Models", MICCAI 2022 (BRAIxProtoPNet++).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from common.losses.consistency import affine_consistency
from common.losses.prototype_loss import PrototypeTerms
from common.losses.pseudo_label import soft_cross_entropy, target_of
from common.losses.targets import check_target, required
from common.utils.precision import at_least_float32

__all__ = ["DistillationLoss", "StudentLoss", "TeacherLoss", "distillation_hinge"]

#: What a training step may add to the terms to have its mean in the history.
MONITORED = ("teacher", "feedback", "pseudo_labels_used", "pseudo_label_accuracy")
METHOD_HINT = "set the stage's method to the one of the network that returns it"


class TeacherLoss:
    """Cross entropy with labels or, where the batch has a ``target``, with pseudo labels."""

    def terms(self, outputs: Mapping[str, Tensor], batch: Mapping[str, Any]) -> dict[str, Tensor]:
        """Compute the cross entropy of each sample times its weight.

        Args:
            outputs: ``logits`` (B,C).
            batch: see :func:`common.losses.pseudo_label.target_of`.

        Returns:
            ``classification`` (B,).
        """
        logits = required(outputs, "logits", METHOD_HINT)
        target, weight = target_of(batch, logits)
        return {"classification": weight * soft_cross_entropy(logits, target)}

    def reduce(self, terms: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the scalars ``loss`` and ``classification``, both the mean, and those a training step added."""
        mean = terms["classification"].mean()
        return {"loss": mean, "classification": mean, **_monitored(terms)}


class StudentLoss:
    """classification + cluster · C + separation · max(0, margin - E) + orthogonality · O + consistency · A.

    The defaults are published, as 0.1 · 0.02 · C + 0.1 · max(0, 10 - 0.02 · E) + 200 · A.
    With D = 128 and features in (0,1) distances are below 128: that hinge always pulls.

    Args:
        class_map: class of each prototype (P,), int64.
        cluster: weight of C, see :class:`common.losses.PrototypeTerms`.
        separation: weight of the hinge on E.
        margin: see :class:`common.losses.PrototypeTerms`.
        orthogonality: weight of O.
        prototype: the vectors (P,D) themselves, asked for by ``orthogonality``.
        consistency: weight of A, :func:`common.losses.affine_consistency` of two views. It exists in training only: a
            validation has one view. It goes with the similarity's scale, for which 128 is meant: with a smaller one
            maps differ more, and this weight, unless divided by (128 / scale)², flattens them all.

    Raises:
        ValueError: if a weight is negative, or the prototypes are missing.
    """

    def __init__(
        self,
        class_map: Tensor,
        cluster: float = 0.002,
        separation: float = 0.002,
        margin: float = 500.0,
        orthogonality: float = 0.0,
        prototype: Tensor | None = None,
        consistency: float = 200.0,
    ) -> None:
        if consistency < 0:
            raise ValueError(f"consistency is {consistency}, expected 0 or more")
        self.prototypes = PrototypeTerms(class_map, cluster, separation, margin, orthogonality, prototype)
        self.consistency = consistency

    def terms(self, outputs: Mapping[str, Tensor], batch: Mapping[str, Any]) -> dict[str, Tensor]:
        """Compute the terms of each sample.

        Args:
            outputs: ``logits`` (B,C) and ``distance`` (B,P) of the student and, for consistency, ``moved_map`` and
                ``original_map`` (B,N,h,w), similarity maps of the two views.
            batch: ``label`` (B,) and optionally ``label_given`` (B,) bool; optionally ``target`` and ``target_weight``,
                see :func:`common.losses.pseudo_label.target_of`; for consistency ``affine`` (B,2,3).

        Returns:
            ``classification`` (B,), those of :meth:`common.losses.PrototypeTerms.terms`, and ``consistency`` (B,)
            where there are two views.
        """
        logits = required(outputs, "logits", METHOD_HINT)
        target, weight = target_of(batch, logits)
        terms = {"classification": weight * soft_cross_entropy(logits, target)}
        distance = required(outputs, "distance", METHOD_HINT)
        label = required(batch, "label", "add it to the items of the datalist")
        terms |= self.prototypes.terms(distance, label, batch.get("label_given"), logits.shape[1])
        if self.consistency > 0 and "moved_map" in outputs:
            affine = required(
                batch, "affine", "end the transforms of the unlabelled stream with common.data.AffineViewd"
            )
            terms["consistency"] = affine_consistency(outputs["moved_map"], outputs["original_map"], affine)
        return terms

    def reduce(self, terms: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Make one loss of the terms of a batch or a data set.

        Returns:
            Scalars ``loss``, ``classification``, those of :meth:`common.losses.PrototypeTerms.reduce`, ``consistency``
            where there are two views, and those a training step added.
        """
        parts = {"classification": terms["classification"].mean(), **self.prototypes.reduce(terms)}
        loss = parts["classification"] + parts["prototypes"]
        if "consistency" in terms:
            parts["consistency"] = terms["consistency"].mean()
            loss = loss + self.consistency * parts["consistency"]
        return {"loss": loss, **parts, **_monitored(terms)}


class DistillationLoss:
    """Both branches at once, as in BRAIxProtoPNet++: student + teacher + distillation · hinge + prototype terms.

    The teacher's probability is a constant for the hinge, so the student learns from the teacher and not the reverse.

    Args:
        class_map: class of each prototype (P,), int64.
        cluster: weight of C, see :class:`common.losses.PrototypeTerms`.
        separation: weight of the hinge on E.
        margin: see :class:`common.losses.PrototypeTerms`.
        distillation: weight of :func:`distillation_hinge`.
        lead: by how much the student should be surer of the true class than the teacher.

    Raises:
        ValueError: if a weight is negative.
    """

    def __init__(
        self,
        class_map: Tensor,
        cluster: float = 0.1,
        separation: float = 0.1,
        margin: float = 10.0,
        distillation: float = 0.5,
        lead: float = 0.2,
    ) -> None:
        if distillation < 0 or lead < 0:
            raise ValueError(f"distillation is {distillation} and lead is {lead}, expected 0 or more")
        self.prototypes = PrototypeTerms(class_map, cluster, separation, margin)
        self.distillation, self.lead = distillation, lead

    def terms(self, outputs: Mapping[str, Tensor], batch: Mapping[str, Any]) -> dict[str, Tensor]:
        """Compute the terms of each sample.

        Args:
            outputs: ``student_logits`` and ``teacher_logits`` (B,C), ``distance`` (B,P).
            batch: ``label`` (B,).

        Returns:
            ``student``, ``teacher`` and ``distillation`` (B,), and those of
            :meth:`common.losses.PrototypeTerms.terms`.
        """
        student, teacher = (required(outputs, f"{branch}_logits", METHOD_HINT) for branch in ("student", "teacher"))
        target, _ = target_of({"label": batch["label"]} if "label" in batch else {}, student)
        distance = required(outputs, "distance", METHOD_HINT)
        return {
            "student": soft_cross_entropy(student, target),
            "teacher": soft_cross_entropy(teacher, target),
            "distillation": distillation_hinge(student, teacher, batch["label"], self.lead),
            **self.prototypes.terms(distance, batch["label"], None, student.shape[1]),
        }

    def reduce(self, terms: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the scalars ``loss``, ``student``, ``teacher``, ``distillation`` and those of the prototypes."""
        parts = {name: terms[name].mean() for name in ("student", "teacher", "distillation")}
        prototypes = self.prototypes.reduce(terms)
        loss = parts["student"] + parts["teacher"] + self.distillation * parts["distillation"]
        return {"loss": loss + prototypes["prototypes"], **parts, **prototypes}


def distillation_hinge(student: Tensor, teacher: Tensor, label: Tensor, lead: float = 0.2) -> Tensor:
    """Compute max(0, p_teacher(y) - p_student(y) + lead) for the true class y.

    Args:
        student: logits (B,C).
        teacher: logits (B,C); no gradient flows into them.
        label: true class (B,).
        lead: by how much the student should be surer.

    Returns:
        Hinge (B,), in [0, 1 + lead].

    Raises:
        ValueError: if labels do not fit.
    """
    index = check_target(label, student).unsqueeze(1)
    ahead = at_least_float32(teacher.detach()).softmax(1) - at_least_float32(student).softmax(1)
    return (ahead.gather(1, index).squeeze(1) + lead).clamp(min=0)


def _monitored(terms: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: torch.as_tensor(terms[name]).mean() for name in MONITORED if name in terms}
