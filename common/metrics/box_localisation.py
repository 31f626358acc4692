"""How well the map of a disease finds the boxes that experts have drawn, disease by disease.

Accuracy at T(IoU): Wang et al., "ChestX-ray8", CVPR 2017: the share of the findings whose box is drawn with an IoU
above T. A finding here is one disease of one image; if it has several boxes, the one that is met best counts.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from monai.data.box_utils import box_iou
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage

from common.metrics.bootstrap import bootstrap_weighted

__all__ = ["RULES", "disease_means", "drawn_overlaps"]

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]
Table = dict[str, dict[str, float | int | None]]

RULES = ("part", "all", "mask")
"""What is drawn: a box around the part with the map's maximum, around everything, or everything without a box."""
CONNECTED = np.ones((3, 3), dtype=int)


def drawn_overlaps(heatmap: ArrayLike, level: float, truth: BoolArray) -> dict[str, float]:
    """Compute the IoU of what a map draws at a level with the boxes of a finding.

    Args:
        heatmap: (H,W); what is at or above the level is drawn.
        level: in the map's own values.
        truth: (H,W), true inside the finding's boxes; pixels that share an edge belong to one box.

    Returns:
        IoU by rule: ``part``, the box around the 8-connected part that holds the map's maximum, with the true box that
        it overlaps most (of several maxima the first one); ``all``, the box around everything drawn, likewise;
        ``mask``, the pixels drawn with all of the true boxes' pixels. 0 where nothing is drawn.

    Raises:
        ValueError: if the shapes differ or there is no true box.
    """
    values = np.asarray(heatmap)
    if values.shape != truth.shape or values.ndim != 2 or not truth.any():
        raise ValueError(
            f"the map has shape {values.shape} and the boxes' mask {truth.shape} with {int(truth.sum())} pixels inside,"
            " expected one shape (H,W) and at least one box"
        )
    drawn = values >= level
    if not drawn.any():
        return dict.fromkeys(RULES, 0.0)
    parts, _ = ndimage.label(drawn, structure=CONNECTED)
    boxes = _boxes(ndimage.label(truth)[0])
    return {
        "part": _best_overlap(parts == parts.flat[int(values.argmax())], boxes),
        "all": _best_overlap(drawn, boxes),
        "mask": float((drawn & truth).sum() / (drawn | truth).sum()),
    }


def disease_means(
    name: str,
    values: ArrayLike,
    disease: ArrayLike,
    classes: Sequence[str],
    groups: ArrayLike | None = None,
    seed: int = 0,
    n_resamples: int = 1000,
) -> Table:
    """Compute the mean of each disease's findings and the mean of these means, with 95 % bootstrap intervals.

    Args:
        name: of the metric.
        values: one number for each of M findings.
        disease: (M,) index of its disease.
        classes: names of the diseases.
        groups: (M,) the patient of each finding; whole patients are drawn.
        seed: of the bootstrap.
        n_resamples: number of resamples.

    Returns:
        ``{name: ..., "<name>/<disease>": ...}`` in the form of metrics.json, ``n`` the findings; diseases without any
        are left out, in resamples too. Nothing where there is no finding.
    """
    numbers, owner = np.asarray(values, dtype=np.float64), np.asarray(disease, dtype=np.int64)
    units = np.arange(len(numbers)) if groups is None else np.asarray(groups)
    if not len(numbers):
        return {}
    options = {"seed": seed, "n_resamples": n_resamples}
    member = np.eye(len(classes))[owner]
    table = {name: bootstrap_weighted(_macro, numbers, member, groups=units, **options).as_record()}
    for index in np.unique(owner):
        rows = owner == index
        found = bootstrap_weighted(_macro, numbers[rows], member[rows], groups=units[rows], **options)
        table[f"{name}/{classes[index]}"] = found.as_record()
    return table


def _macro(values: FloatArray, member: FloatArray, weights: FloatArray) -> FloatArray:
    """Mean over the diseases that occur of the mean over their findings: (M,), (M,C) and (R,M) to (R,)."""
    count = weights @ member
    means = np.divide(weights @ (member * values[:, None]), count, out=np.zeros_like(count), where=count > 0)
    return np.asarray(means.sum(axis=1) / (count > 0).sum(axis=1))


def _boxes(parts: NDArray[np.int32]) -> FloatArray:
    windows = ndimage.find_objects(parts)
    return np.array([[at[1].start, at[0].start, at[1].stop, at[0].stop] for at in windows], dtype=np.float64)


def _best_overlap(inside: BoolArray, boxes: FloatArray) -> float:
    return float(np.asarray(box_iou(_boxes(inside.astype(np.int32)), boxes)).max())
