"""Findings of each side of an exam, learned from labels; the image encoder may come from a pre-training on reports."""

# No postponed annotations in this file: TorchScript must see the result types.

from collections.abc import Sequence
from pathlib import Path
from typing import Dict, Final  # noqa: UP035 - TorchScript reads this spelling

import torch
from torch import Tensor, nn

from common.networks.exam_encoder import ExamEncoder, load_image_encoder
from common.utils.choices import check_choice
from common.utils.precision import at_least_float32

__all__ = ["ExamClassifier"]

FEATURES = ("pooled", "vector")
LEVELS = ("side", "exam")


class ExamClassifier(nn.Module):
    """Image encoder, fusion of a side's views, and one linear layer for all sides.

    Parts: ``image_encoder``, ``head``.

    Args:
        num_findings: findings F.
        view_side: index of the side of each of the V view slots.
        image: image encoder, see :func:`common.networks.view_trunk.build_view_trunk`.
        feature: what the head sees: the ``"pooled"`` features, or the ``"vector"`` that a pre-training compares with
            sentences, which makes the global head part of the image encoder.
        level: logits for each ``"side"``, or for the ``"exam"``: the largest of its sides.
        fusion: ``"mean"`` or ``"attention"``, see :class:`common.networks.exam_fusion.ViewFusion`.
        shared: one trunk for all views, or one for each kind of view.
        joint_width: length D of the vector.
        dropout: probability of dropping a channel before the head, in [0,1).
        weights: file of a pre-trained network whose image encoder is loaded; None for random weights.
        trunk_weights: start weights of the trunk alone; at most one of the two.
        in_channels: image channels.
        mean: channel means subtracted from the image; None for 0.
        std: channel standard deviations that the image is divided by; None for 1.

    Raises:
        ValueError: if an option is out of range or unknown, or weights do not fit.
        FileNotFoundError: if there is no file of weights.
    """

    pooled: Final[bool]
    per_side: Final[bool]

    def __init__(
        self,
        num_findings: int = 3,
        view_side: Sequence[int] = (0, 0, 1, 1),
        image: str = "tiny",
        feature: str = "pooled",
        level: str = "side",
        fusion: str = "mean",
        shared: bool = True,
        joint_width: int = 128,
        dropout: float = 0.0,
        weights: str | Path | None = None,
        trunk_weights: str | Path | None = None,
        in_channels: int = 1,
        mean: float | Sequence[float] | None = None,
        std: float | Sequence[float] | None = None,
    ) -> None:
        super().__init__()
        check_choice("feature", feature, FEATURES)
        check_choice("level", level, LEVELS)
        if num_findings < 1:
            raise ValueError(f"num_findings is {num_findings}, expected 1 or more")
        if not 0.0 <= dropout < 1.0:
            raise ValueError(f"dropout is {dropout}, expected a probability in [0,1)")
        if weights is not None and trunk_weights is not None:
            raise ValueError("weights and trunk_weights are both given; the first file holds the trunk too, drop one")
        self.pooled, self.per_side = feature == "pooled", level == "side"
        self.image_encoder = ExamEncoder(
            image,
            view_side,
            joint_width,
            fusion,
            shared=shared,
            heads=[] if self.pooled else ["global"],
            in_channels=in_channels,
            weights=trunk_weights,
            mean=mean,
            std=std,
        )
        self.image_encoder.exam_attention = None  # sides are judged one by one
        self.map_stride, self.map_offset = self.image_encoder.last_stride, self.image_encoder.last_offset
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(self.image_encoder.feature_channels if self.pooled else joint_width, num_findings)
        if weights is not None:
            load_image_encoder(self.image_encoder, weights)

    def forward(self, image: Tensor) -> Tensor:
        """Predict for exams (E,V,1,H,W) in [0,1].

        Returns:
            Logits (E,S·F), side by side, 0 for a side without a view; or (E,F) of the exam.
        """
        outputs, _, _ = self.image_encoder(image)
        return self._decide(outputs)

    @torch.jit.export
    def explain(self, image: Tensor) -> Dict[str, Tensor]:  # noqa: UP006
        """Predict and say why.

        Args:
            image: exams (E,V,1,H,W) in [0,1], absent views filled with 0.

        Returns:
            ``logits`` and ``probability``, (E,S·F) or (E,F); ``view_importance`` (E,V), which sums to 1 over the views
            of a side; ``view_mask`` (E,V) and ``side_mask`` (E,S), bool; where the head sees pooled features
            ``contribution`` (E,S·F,V,h,w): what each region adds to the logit of its side, exactly, up to the head's
            bias.
        """
        outputs, features, _ = self.image_encoder(image)
        logits = self._decide(outputs)
        result = {"logits": logits, "probability": torch.sigmoid(logits)}
        for name in ("view_importance", "view_mask", "side_mask"):
            result[name] = outputs[name]
        if self.pooled and not self.training:
            result["contribution"] = self._contribution(features[-1], outputs)
        return result

    def _decide(self, outputs: Dict[str, Tensor]) -> Tensor:  # noqa: UP006
        feature = outputs["side_feature"] if self.pooled else outputs["side_vector"]
        logits = at_least_float32(self.head(self.dropout(feature)))
        present = outputs["side_mask"].unsqueeze(2)
        if self.per_side:
            return (logits * present.to(logits.dtype)).flatten(1)
        return logits.masked_fill(~present, -1e4).amax(1)

    def _contribution(self, feature: Tensor, outputs: Dict[str, Tensor]) -> Tensor:  # noqa: UP006
        """Lay the products of features and weights where the features come from, equal maxima in equal parts."""
        view_weight, view_mask = outputs["view_weight"], outputs["view_mask"]
        V, h, w = view_mask.shape[1], feature.shape[2], feature.shape[3]
        maps = at_least_float32(feature).flatten(2).unflatten(0, [-1, V])  # (E,V,C,R)
        for_maximum, for_mean = at_least_float32(self.head.weight).chunk(2, dim=1)  # (F,C)
        attended = self.image_encoder.fusion.attention is not None
        sides = []
        for side in range(view_weight.shape[1]):
            own = view_mask & self.image_encoder.membership[side].unsqueeze(0)
            own = own.unsqueeze(2).unsqueeze(3).to(maps.dtype)  # (E,V,1,1)
            seen = maps * own
            if attended:
                share = view_weight[:, side].unsqueeze(2).unsqueeze(3)
                highest = seen.amax(3, keepdim=True)
                won = (seen == highest).to(maps.dtype) * own
                won = won / won.sum(3, keepdim=True).clamp_min(1.0)
            else:
                share = own / own.sum(1, keepdim=True).clamp_min(1.0)
                highest = seen.amax(3, keepdim=True).amax(1, keepdim=True)
                won = (seen == highest).to(maps.dtype) * own
                won = won / won.sum(3, keepdim=True).sum(1, keepdim=True).clamp_min(1.0)
            mean = seen * share / maps.shape[3]
            top = won * highest * share if attended else won * highest
            sides.append(torch.matmul(for_maximum, top) + torch.matmul(for_mean, mean))  # (E,V,F,R)
        return torch.stack(sides, 1).permute(0, 1, 3, 2, 4).flatten(1, 2).unflatten(3, [h, w])
