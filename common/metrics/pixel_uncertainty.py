"""Does the uncertainty of pixels sit on the wrong ones?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.metrics import roc_auc_score
from torch import Tensor

from common.metrics.bootstrap import bootstrap_weighted
from common.metrics.segmentation import structure_masks

__all__ = [
    "REMOVED",
    "THRESHOLDS",
    "overlap_at_thresholds",
    "overlap_curve",
    "overlap_interval",
    "pixel_error_auroc",
    "retention_scores",
]

FloatArray = NDArray[np.float64]

THRESHOLDS: tuple[float, ...] = tuple(np.geomspace(1e-3, 1, 61).tolist())
"""Uncertainties from which on a pixel counts as uncertain, evenly spaced ratios: evidence has no natural scale."""
REMOVED = (0.0, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 0.9)
"""Shares of the most uncertain pixels that are taken away; dense at the start, where the errors should be."""


def overlap_at_thresholds(uncertainty: Tensor, error: Tensor, thresholds: Sequence[float] = THRESHOLDS) -> Tensor:
    """Compute Dice of the uncertain and the wrong pixels of every case at every threshold.

    Args:
        uncertainty: (B,1,H,W).
        error: (B,1,H,W), true where the segmentation is wrong.
        thresholds: T of them; a pixel is uncertain from the threshold on.

    Returns:
        (B,T) in [0,1]; NaN for cases without a wrong pixel.

    Raises:
        ValueError: if shapes do not fit.
    """
    values, wrong = _flat(uncertainty, error)
    edges = torch.tensor(list(thresholds), dtype=torch.float64)
    rows = []
    for value, mark in zip(values, wrong, strict=True):
        level = torch.bucketize(value, edges, right=True)  # how many thresholds the pixel reaches
        flagged, hit = (
            torch.bincount(chosen, minlength=len(edges) + 1).flip(0).cumsum(0).flip(0)[1:].double()
            for chosen in (level, level[mark])
        )
        rows.append(2 * hit / (flagged + mark.sum()) if mark.any() else torch.full_like(edges, torch.nan))
    return torch.stack(rows)


def overlap_interval(
    overlap: ArrayLike, groups: ArrayLike | None = None, seed: int = 0, n_resamples: int = 1000
) -> dict[str, float | int | None]:
    """Compute the uncertainty-error overlap: the mean over cases, at the one threshold that suits them best.

    Source: uncertainty-error overlap as in Zou et al., "TBraTS", MICCAI 2022, with one threshold for all cases.

    Args:
        overlap: (N,T) of :func:`overlap_at_thresholds`; cases of NaN are left out.
        groups: (N,) the patient of each case; whole patients are drawn.
        seed: of the bootstrap.
        n_resamples: number of resamples.

    Returns:
        ``{"value", "low", "high", "n"}``, ``n`` the cases that have a wrong pixel; None where there is none.
    """
    array = np.asarray(overlap, dtype=np.float64)
    kept = ~np.isnan(array).any(axis=1)
    if not kept.any():
        return {"value": None, "low": None, "high": None, "n": 0}
    return bootstrap_weighted(
        lambda rows, weights: (weights @ rows / weights.sum(axis=1, keepdims=True)).max(axis=1),
        array[kept],
        groups=None if groups is None else np.asarray(groups)[kept],
        seed=seed,
        n_resamples=n_resamples,
    ).as_record()


def overlap_curve(overlap: ArrayLike, thresholds: Sequence[float] = THRESHOLDS) -> dict[str, list[float]]:
    """Compute the mean overlap at every threshold, over the cases that have a wrong pixel.

    Args:
        overlap: (N,T) of :func:`overlap_at_thresholds`.
        thresholds: the T thresholds.

    Returns:
        ``{"threshold", "overlap"}``; empty where no case has a wrong pixel.
    """
    array = np.asarray(overlap, dtype=np.float64)
    kept = array[~np.isnan(array).any(axis=1)]
    if not len(kept):
        return {"threshold": [], "overlap": []}
    return {"threshold": list(thresholds), "overlap": kept.mean(axis=0).tolist()}


def pixel_error_auroc(uncertainty: Tensor, error: Tensor) -> Tensor:
    """Compute, for every case, the chance that a wrong pixel is more uncertain than a right one, ties half.

    Args:
        uncertainty: (B,1,H,W).
        error: (B,1,H,W), true where the segmentation is wrong.

    Returns:
        (B,) in [0,1]; NaN for cases whose pixels are all right or all wrong.

    Raises:
        ValueError: if shapes do not fit.
    """
    values, wrong = (flat.numpy() for flat in _flat(uncertainty, error))
    return torch.tensor(
        [
            roc_auc_score(mark, value) if mark.any() and not mark.all() else np.nan
            for value, mark in zip(values, wrong, strict=True)
        ],
        dtype=torch.float64,
    )


def retention_scores(
    uncertainty: Tensor,
    prediction: Tensor,
    truth: Tensor,
    structures: Mapping[str, Sequence[int]],
    removed: Sequence[float] = REMOVED,
) -> dict[str, Tensor]:
    """Compute the share of wrong pixels, and Dice, among the pixels that are left when the most uncertain are removed.

    Source: the filtering of Mehta et al., "QU-BraTS", MELBA 2022, by shares of pixels in place of thresholds.

    Args:
        uncertainty: (B,1,H,W).
        prediction: values of structures (B,1,H,W), whole numbers.
        truth: the same, of the truth.
        structures: ``{structure: values}``, see :func:`common.metrics.segmentation.scored_structures`.
        removed: F shares of the pixels, each from 0 up to, not including, 1.

    Returns:
        ``error`` and ``dice/<structure>``, each (B,F); Dice is NaN where nothing of the structure is left in both.

    Raises:
        ValueError: if shapes do not fit or a share is out of range.
    """
    if not all(0 <= share < 1 for share in removed):
        raise ValueError(f"removed is {list(removed)}, expected shares from 0 up to, not including, 1")
    values, wrong = _flat(uncertainty, prediction != truth)
    order = values.argsort(dim=1, stable=True)
    kept = torch.tensor([max(1, round((1 - share) * order.shape[1])) for share in removed])

    def sums(marks: Tensor) -> Tensor:
        """Count marked pixels (B, pixels) among the kept ones, (B,F)."""
        return marks.gather(1, order).cumsum(dim=1)[:, kept - 1].double()

    scores = {"error": sums(wrong) / kept}
    predicted, true = (structure_masks(labels.cpu(), structures).flatten(2) for labels in (prediction, truth))
    for place, name in enumerate(structures):
        ours, theirs = predicted[:, place], true[:, place]
        scores[f"dice/{name}"] = 2 * sums(ours & theirs) / (sums(ours) + sums(theirs))
    return scores


def _flat(uncertainty: Tensor, error: Tensor) -> tuple[Tensor, Tensor]:
    """Check shapes, return both as (B, pixels), float64 and bool, on the CPU: not every device has float64."""
    if uncertainty.shape != error.shape or uncertainty.ndim != 4 or uncertainty.shape[1] != 1:
        raise ValueError(
            f"uncertainty has shape {tuple(uncertainty.shape)} and error {tuple(error.shape)}, expected (B,1,H,W) for "
            "both"
        )
    return uncertainty.cpu().double().flatten(1), error.cpu().bool().flatten(1)
