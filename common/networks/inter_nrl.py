"""Two branches that taught each other: one accurate, one that shows what it compares with.

Source: Wang et al., "An Interpretable and Accurate Deep-Learning Diagnosis Framework Modeled With Fully and
Semi-Supervised Reciprocal Learning", IEEE TMI 43(1), 2024.
"""

# No postponed annotations in this file: TorchScript must see the return types.

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Dict  # noqa: UP035 - TorchScript reads this spelling

import torch
from torch import Tensor, nn

from common.layers.image_normalisation import ImageNormalisation
from common.networks.global_net import GlobalNet
from common.networks.prototype_net import ProtoPNet
from common.networks.trunks import build_trunk
from common.utils.choices import check_choice
from common.utils.precision import at_least_float32

__all__ = ["OUTPUTS", "InterNRL"]

OUTPUTS = ("ensemble", "student", "teacher")


class InterNRL(nn.Module):
    """A stem, and on it the teacher (:class:`GlobalNet`) and the student (:class:`ProtoPNet`).

    Args:
        backbone: of both branches, see :func:`common.networks.trunks.build_trunk`.
        in_channels: image channels.
        num_classes: number of classes C.
        prototypes_per_class: one number for all classes, or one per class. Published: 200.
        prototype_channels: channels D of the student's feature map and prototypes.
        similarity: ``"exp_l2"``, ``"log_l2"`` or ``"cosine"``, see :func:`common.layers.similarity_from`.
        similarity_scale: what distances are divided by; None takes D for ``exp_l2`` and 1 else.
        top_k: places whose mean similarity counts, see :class:`ProtoPNet`.
        add_on: ``"regular"`` or ``"bottleneck"``, see :class:`ProtoPNet`.
        hidden: width of the teacher's hidden layer.
        output: what :meth:`forward` returns: the mean of both branches' probabilities (``"ensemble"``), or the
            ``"student"`` or the ``"teacher"`` alone, at half the cost.
        shared: what both branches have in common: the ``"stem"`` (published) or the whole ``"trunk"`` (the predecessor,
            BRAIxProtoPNet++).
        mean: channel means subtracted from the image, one number or one per channel; None for 0.
        std: channel standard deviations that the image is divided by; None for 1.
        weights: start weights of the backbones.
        dense: twice as fine a feature map, for localisation.

    Raises:
        ValueError: if an option is out of range or unknown.
    """

    def __init__(
        self,
        backbone: str = "efficientnet-b0",
        in_channels: int = 3,
        num_classes: int = 2,
        prototypes_per_class: int | Sequence[int] = 200,
        prototype_channels: int = 128,
        similarity: str = "exp_l2",
        similarity_scale: float | None = None,
        top_k: int = 1,
        add_on: str = "regular",
        hidden: int = 4096,
        output: str = "ensemble",
        shared: str = "stem",
        mean: float | Sequence[float] | None = None,
        std: float | Sequence[float] | None = None,
        weights: str | Path | None = None,
        dense: bool = False,
    ) -> None:
        super().__init__()
        check_choice("output", output, OUTPUTS)
        check_choice("shared", shared, ("stem", "trunk"))
        trunk = build_trunk(backbone, in_channels, weights, dense)
        parts = [ImageNormalisation(in_channels, mean, std), trunk.stem]
        self.output = output
        self.stem = nn.Sequential(*parts, *([trunk.body] if shared == "trunk" else []))
        common: dict[str, Any] = {"backbone": backbone, "in_channels": in_channels, "num_classes": num_classes}
        start: dict[str, Any] = {"weights": weights, "dense": dense, "shared": shared}
        self.teacher = GlobalNet(**common, hidden=hidden, **start)
        self.student = ProtoPNet(
            **common,
            prototypes_per_class=prototypes_per_class,
            prototype_channels=prototype_channels,
            similarity=similarity,
            similarity_scale=similarity_scale,
            top_k=top_k,
            add_on=add_on,
            **start,
        )

    def forward(self, image: Tensor) -> Tensor:
        """Predict.

        Args:
            image: images (B,3,H,W) in [0,1].

        Returns:
            Logits (B,C); of the ensemble log(½ softmax(student) + ½ softmax(teacher)), whose softmax is the mean.

        Raises:
            ValueError: in eager mode, for a wrong number of channels or too small an image.
        """
        shared = self.stem(image)
        if self.output == "student":
            return self.student(shared)
        if self.output == "teacher":
            return at_least_float32(self.teacher(shared))
        return _mean_of(self.student(shared), at_least_float32(self.teacher(shared)))

    @torch.jit.export
    def explain(self, image: Tensor) -> Dict[str, Tensor]:  # noqa: UP006
        """Predict and say why.

        Args:
            image: images (B,3,H,W) in [0,1].

        Returns:
            ``logits`` and ``probability`` (B,C) of ``output``; ``student_logits``, ``student_probability``,
            ``teacher_logits`` and ``teacher_probability`` (B,C); of the student ``distance``, ``similarity``,
            ``location`` and ``contribution`` (B,P) and ``similarity_map`` (B,P,h,w), see :meth:`ProtoPNet.explain`:
            contributions add up to the student's logits.
        """
        shared = self.stem(image)
        outputs = self.student.explain(shared)
        teacher = self.teacher.explain(shared)
        student_logits, student_probability = outputs["logits"], outputs["probability"]
        outputs["student_logits"], outputs["student_probability"] = student_logits, student_probability
        outputs["teacher_logits"], outputs["teacher_probability"] = teacher["logits"], teacher["probability"]
        if self.output == "teacher":
            outputs["logits"], outputs["probability"] = teacher["logits"], teacher["probability"]
        elif self.output == "ensemble":
            outputs["logits"] = _mean_of(student_logits, teacher["logits"])
            outputs["probability"] = (student_probability + teacher["probability"]) / 2
        return outputs

    @torch.jit.export
    def explain_teacher(self, image: Tensor) -> Dict[str, Tensor]:  # noqa: UP006
        """Return the teacher's ``logits`` and ``probability`` (B,C); the student is not run."""
        return self.teacher.explain(self.stem(image))

    @torch.jit.export
    def explain_student(self, image: Tensor) -> Dict[str, Tensor]:  # noqa: UP006
        """Return what :meth:`ProtoPNet.explain` returns; the teacher is not run."""
        return self.student.explain(self.stem(image))

    @torch.jit.export
    def feature(self, image: Tensor) -> Tensor:
        """Return the student's feature map (B,D,h,w) in (0,1), what prototypes are compared with."""
        return self.student.feature(self.stem(image))


def _mean_of(first: Tensor, second: Tensor) -> Tensor:
    """Return the logarithm of the mean of two softmax distributions, from their logits (B,C)."""
    both = torch.logaddexp(torch.log_softmax(first, dim=1), torch.log_softmax(second, dim=1))
    return both - math.log(2.0)
