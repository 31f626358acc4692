"""How well a segmentation agrees with the true one, per case and structure: overlap and distance of the outlines.

MONAI and scipy compute; what is decided here is what happens where a structure is empty:

* Dice and IoU are NaN where neither the prediction nor the truth has the structure, and 0 where only one of them has.
* Distances are NaN where the prediction or the truth, or both, lack the structure: no number would be right.
* ``presence_error`` counts the cases in which exactly one of them has it, so that those left out are never silent.

Means and intervals are :mod:`common.metrics.bootstrap`'s; they leave NaN out and say how many cases were used.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from monai.metrics import compute_dice, compute_iou
from monai.metrics.utils import get_surface_distance
from numpy.typing import NDArray
from scipy.ndimage import binary_erosion
from torch import Tensor

from common.utils.choices import check_choice
from common.utils.messages import did_you_mean

__all__ = [
    "ASSD_RULES",
    "distance_scores",
    "overlap_scores",
    "presence_scores",
    "scored_structures",
    "segmentation_scores",
    "structure_masks",
]

BoolArray = NDArray[np.bool_]

ASSD_RULES = ("pooled", "mean_of_directions")
"""How the average symmetric surface distance joins its two directions."""


def scored_structures(names: Sequence[str], unions: Mapping[str, Sequence[str]] | None = None) -> dict[str, list[int]]:
    """Say which values of a segmentation make up each structure that is scored.

    Args:
        names: the K structures in the order of their values, the background first; it is not scored.
        unions: further structures made of these, such as ``{"disc": ["rim", "cup"]}``.

    Returns:
        ``{structure: values}``, first the single structures, then the unions.

    Raises:
        ValueError: if there is no structure but the background, a union names an unknown structure, or a name is
            given twice.
    """
    if len(names) < 2 or len(set(names)) < len(names):
        raise ValueError(f"structures is {list(names)}, expected the background and at least one more, all different")
    indices = {name: [value] for value, name in enumerate(names) if value > 0}
    for union, parts in (unions or {}).items():
        if union in names:
            raise ValueError(f"the union '{union}' has the name of a structure; choose another one")
        unknown = [part for part in parts if part not in names[1:]]
        if unknown or not parts:
            raise ValueError(
                f"the union '{union}' is made of {list(parts)}, expected some of {list(names[1:])}"
                + (did_you_mean(unknown[0], names[1:]) if unknown else "")
            )
        indices[union] = sorted(names.index(part) for part in parts)
    return indices


def structure_masks(segmentation: Tensor, structures: Mapping[str, Sequence[int]]) -> Tensor:
    """Return one mask per structure.

    Args:
        segmentation: values of structures (B,1,H,W), whole numbers.
        structures: ``{structure: values}`` of S structures, see :func:`scored_structures`.

    Returns:
        Masks (B,S,H,W), bool.

    Raises:
        ValueError: if the shape does not fit.
    """
    if segmentation.ndim != 4 or segmentation.shape[1] != 1:
        raise ValueError(f"segmentation has shape {tuple(segmentation.shape)}, expected whole numbers (B,1,H,W)")
    plain = segmentation.as_subclass(Tensor)
    masks = [torch.stack([plain == value for value in values]).any(dim=0) for values in structures.values()]
    return torch.cat(masks, dim=1)


def overlap_scores(prediction: Tensor, truth: Tensor, structures: Mapping[str, Sequence[int]]) -> dict[str, Tensor]:
    """Compute Dice 2 |P ∩ T| / (|P| + |T|) and IoU |P ∩ T| / |P ∪ T| of every case and structure.

    Args:
        prediction: values of structures (B,1,H,W), whole numbers.
        truth: the same, of the truth.
        structures: ``{structure: values}``, see :func:`scored_structures`.

    Returns:
        ``dice/<structure>`` and ``iou/<structure>``, each (B,) in [0,1]; NaN where both are empty.

    Raises:
        ValueError: if shapes do not fit.
    """
    predicted, true = _masks(prediction, truth, structures)
    neither = ~(predicted | true).flatten(2).any(dim=2)
    dice = compute_dice(predicted.float(), true.float(), ignore_empty=False).masked_fill(neither, torch.nan)
    iou = compute_iou(predicted.float(), true.float(), ignore_empty=False).masked_fill(neither, torch.nan)
    return _named("dice", dice, structures) | _named("iou", iou, structures)


def distance_scores(
    prediction: Tensor, truth: Tensor, structures: Mapping[str, Sequence[int]], assd_rule: str = "pooled"
) -> dict[str, Tensor]:
    """Compute how far the outlines of every case and structure lie apart, in pixels.

    An outline is what a 4-connected erosion takes off. HD95 is the larger of the two directions' 95 % quantiles.

    Args:
        prediction: values of structures (B,1,H,W), whole numbers.
        truth: the same, of the truth.
        structures: ``{structure: values}``, see :func:`scored_structures`.
        assd_rule: ``"pooled"`` takes the mean over the pixels of both outlines, as MONAI does;
            ``"mean_of_directions"`` the mean of the two directed means, as MedPy does.

    Returns:
        ``hd95/<structure>`` and ``assd/<structure>``, each (B,) of 0 or more; NaN where one of the two is empty.

    Raises:
        ValueError: if shapes do not fit or the rule is unknown.
    """
    check_choice("assd_rule", assd_rule, ASSD_RULES)
    predicted, true = (masks.cpu() for masks in _masks(prediction, truth, structures))
    hd95 = torch.full(predicted.shape[:2], torch.nan)
    assd = hd95.clone()
    both = predicted.flatten(2).any(dim=2) & true.flatten(2).any(dim=2)
    for case, place in both.nonzero().tolist():
        there, back = _outline_distances(predicted[case, place].numpy(), true[case, place].numpy())
        hd95[case, place] = max(distances.quantile(0.95) for distances in (there, back))
        pooled = torch.cat([there, back]).mean()
        assd[case, place] = pooled if assd_rule == "pooled" else (there.mean() + back.mean()) / 2
    return _named("hd95", hd95, structures) | _named("assd", assd, structures)


def presence_scores(prediction: Tensor, truth: Tensor, structures: Mapping[str, Sequence[int]]) -> dict[str, Tensor]:
    """Tell whether prediction and truth disagree about a structure being there at all.

    Args:
        prediction: values of structures (B,1,H,W), whole numbers.
        truth: the same, of the truth.
        structures: ``{structure: values}``, see :func:`scored_structures`.

    Returns:
        ``presence_error/<structure>`` (B,): 1 where exactly one of the two has the structure, else 0.

    Raises:
        ValueError: if shapes do not fit.
    """
    predicted, true = (masks.flatten(2).any(dim=2) for masks in _masks(prediction, truth, structures))
    return _named("presence_error", predicted ^ true, structures)


def segmentation_scores(
    prediction: Tensor, truth: Tensor, structures: Mapping[str, Sequence[int]], assd_rule: str = "pooled"
) -> dict[str, Tensor]:
    """Compute all of the above.

    Args:
        prediction: values of structures (B,1,H,W), whole numbers.
        truth: the same, of the truth.
        structures: ``{structure: values}``, see :func:`scored_structures`.
        assd_rule: see :func:`distance_scores`.

    Returns:
        ``{"<measure>/<structure>": (B,)}``.

    Raises:
        ValueError: if shapes do not fit or the rule is unknown.
    """
    return (
        overlap_scores(prediction, truth, structures)
        | distance_scores(prediction, truth, structures, assd_rule)
        | presence_scores(prediction, truth, structures)
    )


def _outline_distances(predicted: BoolArray, true: BoolArray) -> tuple[Tensor, Tensor]:
    """Return the distance of each pixel of either outline to the other outline."""
    outlines = [mask & ~binary_erosion(mask) for mask in (predicted, true)]
    there = get_surface_distance(outlines[0], outlines[1])
    back = get_surface_distance(outlines[1], outlines[0])
    return torch.as_tensor(there).double(), torch.as_tensor(back).double()


def _masks(prediction: Tensor, truth: Tensor, structures: Mapping[str, Sequence[int]]) -> tuple[Tensor, Tensor]:
    if prediction.shape != truth.shape:
        raise ValueError(
            f"the prediction has shape {tuple(prediction.shape)} and the truth {tuple(truth.shape)}, expected "
            "(B,1,H,W) for both; bring the truth to the network's size with nearest neighbours"
        )
    return structure_masks(prediction, structures), structure_masks(truth, structures)


def _named(measure: str, values: Tensor, structures: Mapping[str, Sequence[int]]) -> dict[str, Tensor]:
    """Return the columns (B,) of (B,S) under the structures' names."""
    columns = values.cpu().double().unbind(dim=1)
    return {f"{measure}/{name}": column for name, column in zip(structures, columns, strict=True)}
