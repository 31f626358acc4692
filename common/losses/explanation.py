"""How good a relevance map is by itself: sparse, contiguous and, where a region of interest is known, inside it.

Source: Rio-Torto, Fernandes, Teixeira, "Understanding the decisions of CNNs: An in-model approach",
Pattern Recognition Letters 133 (2020) 373-380. All per-sample functions return float32 (float64 for float64 maps),
also under autocast.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from common.utils.choices import check_choice

__all__ = ["ExplanationLoss", "contiguity", "roi_leakage", "sparsity"]

TV_NORMALISATIONS = ("code", "paper")
REDUCTIONS = ("mean", "sum")


def sparsity(explanation: Tensor) -> Tensor:
    """Mean absolute value of each map.

    Args:
        explanation: relevance map (B,1,H,W) in [0,1].

    Returns:
        Sparsity (B,) in [0,1]; 1 for a map of ones.
    """
    return _check_map(explanation).abs().mean(dim=(1, 2, 3))


def contiguity(explanation: Tensor, normalisation: str = "code") -> Tensor:
    """Total variation of each map: absolute differences between vertical and horizontal neighbours.

    Args:
        explanation: relevance map (B,1,H,W) in [0,1], at least 2x2.
        normalisation: ``"code"`` divides each sum by its own number of differences, (H-1)W and H(W-1), as the
            reference's code does; ``"paper"`` divides both by HW, as its formula says.

    Returns:
        Contiguity (B,) in [0,2]; 0 for a constant map.

    Raises:
        ValueError: for an unknown normalisation or a map without neighbours.
    """
    check_choice("tv_normalisation", normalisation, TV_NORMALISATIONS)
    z = _check_map(explanation)
    height, width = z.shape[2:]
    if height < 2 or width < 2:
        raise ValueError(
            f"got a map of {height}x{width} pixels, expected at least 2x2: it has no neighbours to compare"
        )
    rows = (z[:, :, 1:, :] - z[:, :, :-1, :]).abs()
    columns = (z[:, :, :, 1:] - z[:, :, :, :-1]).abs()
    if normalisation == "code":
        return rows.mean(dim=(1, 2, 3)) + columns.mean(dim=(1, 2, 3))
    return (rows.sum(dim=(1, 2, 3)) + columns.sum(dim=(1, 2, 3))) / (height * width)


def roi_leakage(explanation: Tensor, mask: Tensor, eps: float = 1e-6) -> Tensor:
    """Mean of each map outside its region of interest: |Σ(1-m)z / (Σ(1-m) + eps)|, the weak term.

    Args:
        explanation: relevance map (B,1,H,W) in [0,1].
        mask: region of interest (B,1,H,W), bool, integer or float in [0,1], 1 inside. An all-ones mask says nothing
            and costs 0.
        eps: keeps the quotient finite for an all-ones mask.

    Returns:
        Leakage (B,) in [0,1].

    Raises:
        ValueError: if the mask has another shape than the map or values outside [0,1].
    """
    z = _check_map(explanation)
    if mask.shape != z.shape:
        raise ValueError(
            f"got a mask of shape {tuple(mask.shape)} for a map of shape {tuple(z.shape)}, expected the same; "
            "give every mask one channel and resize it together with its image"
        )
    outside = 1 - mask.to(z.dtype)
    low, high = outside.aminmax()
    if not (0 <= low <= high <= 1):
        raise ValueError(
            f"got mask values from {1 - float(high):g} to {1 - float(low):g}, expected [0,1] with 1 inside the region "
            "of interest; threshold the mask (an 8-bit mask at 128)"
        )
    return ((outside * z).sum(dim=(1, 2, 3)) / (outside.sum(dim=(1, 2, 3)) + eps)).abs()


class ExplanationLoss(nn.Module):
    """beta · sparsity + (1 - beta) · contiguity + gamma · roi; unsupervised for gamma = 0, else hybrid.

    Args:
        beta: weight of sparsity against contiguity, in [0,1]; published 0.9.
        gamma: weight of the leakage out of the region of interest, at least 0; published 1.0 for the hybrid loss.
        tv_normalisation: see :func:`contiguity`.
        reduction: ``"mean"`` or ``"sum"`` over the batch.

    Raises:
        ValueError: if an option is out of range or unknown.

    Example:
        >>> ExplanationLoss(beta=0.9)(torch.full((1, 1, 4, 4), 0.5))
        tensor(0.4500)
    """

    def __init__(
        self, beta: float = 0.9, gamma: float = 0.0, tv_normalisation: str = "code", reduction: str = "mean"
    ) -> None:
        super().__init__()
        if not 0.0 <= beta <= 1.0:
            raise ValueError(f"beta is {beta}, expected a weight in [0,1]: 1 is sparsity alone, 0 contiguity alone")
        if not 0.0 <= gamma < float("inf"):
            raise ValueError(f"gamma is {gamma}, expected a finite weight of at least 0; 0 needs no masks")
        check_choice("tv_normalisation", tv_normalisation, TV_NORMALISATIONS)
        check_choice("reduction", reduction, REDUCTIONS)
        self.beta = beta
        self.gamma = gamma
        self.tv_normalisation = tv_normalisation
        self.reduction = reduction

    def terms(self, explanation: Tensor, mask: Tensor | None = None) -> dict[str, Tensor]:
        """Compute the terms of each sample.

        Args:
            explanation: relevance map (B,1,H,W) in [0,1].
            mask: region of interest (B,1,H,W), 1 inside; needed for gamma > 0 only.

        Returns:
            ``sparsity`` (B,), ``contiguity`` (B,) and, for gamma > 0, ``roi`` (B,).

        Raises:
            ValueError: if gamma > 0 and no mask is given.
        """
        terms = {
            "sparsity": sparsity(explanation),
            "contiguity": contiguity(explanation, self.tv_normalisation),
        }
        if self.gamma > 0:
            if mask is None:
                raise ValueError(
                    f"gamma is {self.gamma} but no mask was given; add 'mask' to every item of the datalist "
                    "or set gamma to 0 for the unsupervised loss"
                )
            terms["roi"] = roi_leakage(explanation, mask)
        return terms

    def combine(self, terms: dict[str, Tensor]) -> Tensor:
        """Weigh the terms of :meth:`terms` into one loss (B,) per sample."""
        loss = self.beta * terms["sparsity"] + (1 - self.beta) * terms["contiguity"]
        return loss + self.gamma * terms["roi"] if self.gamma > 0 else loss

    def forward(self, explanation: Tensor, mask: Tensor | None = None) -> Tensor:
        """Compute the loss of a batch.

        Args:
            explanation: relevance map (B,1,H,W) in [0,1].
            mask: region of interest (B,1,H,W), 1 inside; needed for gamma > 0 only.

        Returns:
            The scalar loss.
        """
        loss = self.combine(self.terms(explanation, mask))
        return loss.mean() if self.reduction == "mean" else loss.sum()


def _check_map(explanation: Tensor) -> Tensor:
    """Refuse what is not a one-channel map and lift half precision to float32."""
    if explanation.ndim != 4 or explanation.shape[1] != 1:
        raise ValueError(f"got a map of shape {tuple(explanation.shape)}, expected (B,1,H,W)")
    return explanation if explanation.dtype == torch.float64 else explanation.float()
