"""The last layer of a prototype network: each class adds up its own prototypes."""

# No postponed annotations in this file: TorchScript must see the class of the buffer.

import torch
from torch import Tensor, nn

__all__ = ["ClassConnectedLinear"]


class ClassConnectedLinear(nn.Module):
    """logit_c = sum over the prototypes j of class c of w_j s_j, without bias and without connections across classes.

    So every logit is a sum of contributions that can be shown one by one. Weights are to stay at least 0: a prototype
    speaks for its class, never against it; :meth:`clamp_` is to follow every optimiser step.

    Args:
        class_map: class of each prototype (P,), int64.
        num_classes: number of classes C; None takes the highest class plus one.

    Attributes:
        weight: weights (P,), initialised with 1.
        class_map: class of each prototype (P,), int64.

    Raises:
        ValueError: if a class is out of range.
    """

    class_map: Tensor

    def __init__(self, class_map: Tensor, num_classes: int | None = None) -> None:
        super().__init__()
        self.num_classes = int(class_map.max()) + 1 if num_classes is None else num_classes
        if int(class_map.min()) < 0 or int(class_map.max()) >= self.num_classes:
            raise ValueError(
                f"class_map goes from {int(class_map.min())} to {int(class_map.max())}, expected classes from 0 to "
                f"{self.num_classes - 1}"
            )
        self.weight = nn.Parameter(torch.ones(len(class_map)))
        self.register_buffer("class_map", class_map.clone())

    def forward(self, similarity: Tensor) -> Tensor:
        """Add up similarities (B,P) to logits (B,C), in float32 also under autocast."""
        contribution = self.contributions(similarity).unsqueeze(1)
        classes = torch.arange(self.num_classes, device=self.class_map.device)
        member = self.class_map.unsqueeze(0) == classes.unsqueeze(1)
        return torch.where(member, contribution, torch.zeros_like(contribution)).sum(2)

    @torch.jit.export
    def contributions(self, similarity: Tensor) -> Tensor:
        """Return what each prototype adds to its class's logit (B,P): weight times similarity (B,P)."""
        return self.weight * similarity

    def clamp_(self) -> None:
        """Lift negative weights to 0."""
        with torch.no_grad():
            self.weight.clamp_(min=0)
