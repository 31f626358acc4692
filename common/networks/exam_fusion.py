"""From the views of an exam to its sides, and from the sides to the exam, whichever views there are."""

# No postponed annotations in this file: TorchScript must see the class of the buffers.

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from common.layers.masking import masked_softmax
from common.utils.choices import check_choice
from common.utils.precision import at_least_float32

__all__ = ["FUSIONS", "GatedAttention", "ViewFusion", "kinds_of", "membership_of"]

FUSIONS = ("mean", "attention")
HIDDEN = 64


def membership_of(view_side: Sequence[int]) -> Tensor:
    """Write the sides that views belong to as a matrix.

    Args:
        view_side: index of the side of each of the V view slots, 0 to S-1, each side at least once.

    Returns:
        Matrix (S,V), bool.

    Raises:
        ValueError: if there is no view, or a side without one.
    """
    sides = sorted(set(view_side))
    if not sides or sides != list(range(len(sides))):
        raise ValueError(
            f"view_side is {list(view_side)}, expected for each view the number of its side, 0, 1, ..., each side at "
            "least once, e.g. [0, 0, 1, 1] for left CC, left MLO, right CC, right MLO"
        )
    return torch.tensor([[side == own for own in view_side] for side in sides])


def kinds_of(view_side: Sequence[int]) -> list[int]:
    """Number the views of each side: [0, 0, 1, 1] has the kinds [0, 1, 0, 1], so that both CC views are of one kind.

    Args:
        view_side: index of the side of each view slot.

    Returns:
        Kind of each view slot. It does not tell the side.
    """
    sides = list(view_side)
    return [sides[:slot].count(side) for slot, side in enumerate(sides)]


class GatedAttention(nn.Module):
    """Scores for members of groups, each from the member's own feature: w · (tanh(A x) * sigmoid(B x)).

    Source: Ilse et al., "Attention-based Deep Multiple Instance Learning", ICML 2018.

    Args:
        channels: channels D of a member's feature.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.content = nn.Linear(channels, HIDDEN)
        self.gate = nn.Linear(channels, HIDDEN)
        self.score = nn.Linear(HIDDEN, 1, bias=False)

    def forward(self, feature: Tensor, mask: Tensor) -> Tensor:
        """Weigh members.

        Args:
            feature: features (E,V,D).
            mask: which members each group of an exam has (E,S,V), bool.

        Returns:
            Weights (E,S,V), whose sum over V is 1, or 0 for an empty group.
        """
        score = self.score(torch.tanh(self.content(feature)) * torch.sigmoid(self.gate(feature)))
        return masked_softmax(at_least_float32(score).transpose(1, 2), mask)


class ViewFusion(nn.Module):
    """Joins the features of a side's views.

    A view's feature has two halves, the maximum and the mean of its map. ``mean`` takes the maximum of the first half
    and the mean of the second one over the views; a view's importance is the share of both that comes from it, half of
    it by the channels in which it has the maximum. ``attention`` weighs both halves by a gated attention that sees the
    feature and the kind of the view; the weight is the importance.

    Args:
        channels: channels of a view's feature, 2C.
        view_side: index of the side of each of the V view slots.
        fusion: ``"mean"`` or ``"attention"``.

    Raises:
        ValueError: for an unknown fusion or sides without views.
    """

    membership: Tensor
    kind: Tensor

    def __init__(self, channels: int, view_side: Sequence[int], fusion: str = "mean") -> None:
        super().__init__()
        check_choice("fusion", fusion, FUSIONS)
        kinds = kinds_of(view_side)
        self.register_buffer("membership", membership_of(view_side), persistent=False)
        self.register_buffer("kind", torch.tensor(kinds), persistent=False)
        self.kind_code = nn.Embedding(max(kinds) + 1, channels) if fusion == "attention" else None
        self.attention = GatedAttention(channels) if fusion == "attention" else None
        if self.kind_code is not None:
            nn.init.normal_(self.kind_code.weight, std=0.02)

    def forward(self, feature: Tensor, view_mask: Tensor) -> tuple[Tensor, Tensor]:
        """Join views.

        Args:
            feature: features (E,V,2C), at least 0.
            view_mask: which views exist (E,V), bool.

        Returns:
            side_feature: (E,S,2C), 0 for a side without a view.
            view_weight: share of each view in each side (E,S,V); sums to 1 over the views, 0 for a side without any.
        """
        mask = view_mask.unsqueeze(1) & self.membership.unsqueeze(0)
        feature = at_least_float32(feature)
        if self.attention is not None and self.kind_code is not None:
            weight = self.attention(feature + self.kind_code(self.kind), mask)
            return (weight.unsqueeze(3) * feature.unsqueeze(1)).sum(2), weight
        uniform = mask.to(feature.dtype)
        uniform = uniform / uniform.sum(2, keepdim=True).clamp_min(1.0)
        highest, mean = feature.chunk(2, dim=2)
        # Features are at least 0, so that a view that is not there can count as 0 in the maximum.
        candidates = highest.unsqueeze(1) * mask.unsqueeze(3)
        maximum = candidates.amax(2)
        won = ((candidates == maximum.unsqueeze(2)) & mask.unsqueeze(3)).to(feature.dtype)
        won = (won / won.sum(2, keepdim=True).clamp_min(1.0)).mean(3)
        side_feature = torch.cat([maximum, (uniform.unsqueeze(3) * mean.unsqueeze(1)).sum(2)], dim=2)
        return side_feature, (uniform + won) / 2
