"""How a relevance map agrees with a known region of interest, and how much perturbation curves fall.

Everything here is one number per case, (B,); means and intervals are :mod:`common.metrics.bootstrap`'s. The maps of
attribution methods enter as absolute values.
"""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = [
    "aopc_curve",
    "aopc_from_scores",
    "energy_in_roi",
    "localisation_scores",
    "pointing_game",
    "pompom",
    "roi_area",
]

DENOMINATORS = ("outside", "total")


def pompom(explanation: Tensor, mask: Tensor, denominator: str = "outside", eps: float = 1e-6) -> Tensor:
    """Percentage of meaningful pixels outside the mask: how much of the outside the map touches at all; 0 is best.

    POMPOM = #{(1-m) z > eps} / (#{(1-m) > eps} + eps). The map's support counts, not its mass. The formula divides by
    the pixels outside; the text beside it speaks of all pixels, which ``denominator="total"`` follows.

    Source: Rio-Torto, Fernandes, Teixeira, Pattern Recognition Letters 133 (2020) 373-380.

    Args:
        explanation: map z (B,1,H,W), at least 0.
        mask: m (B,1,H,W) in [0,1], 1 inside the region of interest.
        denominator: ``"outside"`` or ``"total"``.
        eps: a pixel above this value counts as meaningful.

    Returns:
        (B,) in [0,1]; 0 where no pixel lies outside.

    Raises:
        ValueError: for another denominator or shapes that do not fit.
    """
    if denominator not in DENOMINATORS:
        raise ValueError(f"denominator is {denominator!r}, expected one of {', '.join(DENOMINATORS)}")
    explanation, inside = _flat(explanation, mask)
    outside = 1 - inside
    touched = (outside * explanation > eps).double().sum(dim=1)
    if denominator == "total":
        return touched / outside.shape[1]
    return touched / ((outside > eps).double().sum(dim=1) + eps)


def energy_in_roi(explanation: Tensor, mask: Tensor) -> Tensor:
    """Share of the map's mass inside the region of interest; a constant map gets the region's area share.

    Source: Wang et al., "Score-CAM", CVPR Workshops 2020 (energy-based pointing game).

    Args:
        explanation: map z (B,1,H,W), at least 0.
        mask: m (B,1,H,W) in [0,1], 1 inside the region of interest.

    Returns:
        (B,) in [0,1]; 0 where the map is 0 everywhere, which is the harshest reading of a map that says nothing.

    Raises:
        ValueError: if shapes do not fit.
    """
    explanation, inside = _flat(explanation, mask)
    total = explanation.sum(dim=1)
    return torch.where(total > 0, (explanation * inside).sum(dim=1) / total, torch.zeros_like(total))


def roi_area(mask: Tensor) -> Tensor:
    """Area share of the region of interest: what :func:`energy_in_roi` and :func:`pointing_game` give by chance.

    Args:
        mask: (B,1,H,W) in [0,1], 1 inside.

    Returns:
        (B,) in [0,1].
    """
    return mask.double().flatten(1).mean(dim=1)


def pointing_game(explanation: Tensor, mask: Tensor) -> Tensor:
    """Hit (1) if the map's maximum lies in the region of interest.

    Where several pixels share the maximum the value is the share of them that lies inside: the chance of a hit if one
    of them is drawn. A constant map thus scores the area share, no matter where a sort would look first.

    Source: Zhang et al., "Top-down neural attention by excitation backprop", ECCV 2016, without its 15-pixel margin.

    Args:
        explanation: map z (B,1,H,W).
        mask: m (B,1,H,W) in [0,1]; above 0.5 is inside.

    Returns:
        (B,) in [0,1].

    Raises:
        ValueError: if shapes do not fit.
    """
    explanation, inside = _flat(explanation, mask)
    maximum = (explanation == explanation.amax(dim=1, keepdim=True)).double()
    return (maximum * (inside > 0.5)).sum(dim=1) / maximum.sum(dim=1)


def localisation_scores(explanation: Tensor, mask: Tensor) -> dict[str, Tensor]:
    """All of the above by their names in metrics.json.

    Args:
        explanation: map z (B,1,H,W), at least 0.
        mask: m (B,1,H,W) in [0,1], 1 inside the region of interest.

    Returns:
        pompom, energy_in_roi, roi_area, pointing_game, pointing_chance (a constant map's pointing game), each (B,);
        NaN in all of them where the region of interest is empty, so that their means are over the same cases
        (:func:`common.metrics.bootstrap.mean_interval` leaves NaN out).

    Raises:
        ValueError: if shapes do not fit.
    """
    scores = {
        "pompom": pompom(explanation, mask),
        "energy_in_roi": energy_in_roi(explanation, mask),
        "roi_area": roi_area(mask),
        "pointing_game": pointing_game(explanation, mask),
        "pointing_chance": pointing_game(torch.ones_like(explanation), mask),
    }
    empty = mask.flatten(1).amax(dim=1) == 0
    return {name: score.masked_fill(empty, torch.nan) for name, score in scores.items()}


def aopc_curve(scores: Tensor) -> Tensor:
    """Area over the most-relevant-first perturbation curve, for every number of steps L.

    AOPC(L) = 1/(L+1) * sum_{k=0..L} (f(x_0) - f(x_k)).

    Source: Samek et al., "Evaluating the visualization of what a deep neural network has learned", IEEE TNNLS 28
    (2017) 2660-2673, eq. 12.

    Args:
        scores: f(x_0) .. f(x_L) along the last axis, (..., L+1).

    Returns:
        AOPC(0) .. AOPC(L), (..., L+1); AOPC(0) is 0, and negative values mean that the score rose.
    """
    fall = scores[..., :1] - scores
    return fall.cumsum(dim=-1) / torch.arange(1, scores.shape[-1] + 1, dtype=scores.dtype, device=scores.device)


def aopc_from_scores(scores: Tensor) -> Tensor:
    """Area over the perturbation curve at its last step: the last value of :func:`aopc_curve`.

    Args:
        scores: f(x_0) .. f(x_L) along the last axis, (..., L+1).

    Returns:
        (...).
    """
    return (scores[..., :1] - scores).mean(dim=-1)


def _flat(explanation: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Check shapes, return both as (B, pixels) in double precision: sums of many small numbers decide here."""
    if explanation.shape != mask.shape or explanation.ndim != 4 or explanation.shape[1] != 1:
        raise ValueError(
            f"explanation has shape {tuple(explanation.shape)} and mask {tuple(mask.shape)}, expected (B,1,H,W) for "
            "both; resample the mask to the map's size with nearest neighbours"
        )
    if bool((explanation < 0).any()):
        raise ValueError(f"explanation holds {float(explanation.min())}, expected values of 0 or more; take absolutes")
    return explanation.double().flatten(1), mask.double().flatten(1)
