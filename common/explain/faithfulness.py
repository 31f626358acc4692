"""Does the prediction depend on the map, and on what in it?

A sparse map is no proof of faithfulness: the classifier might read the class off the map's values or layout instead of
looking at the image through it. So the map is changed and the image is not: a prediction that survives another
image's map, or a map of zeros, does not rest on what this map shows.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from common.explain.interfaces import MapClassifier, check_evaluating

__all__ = ["MAP_VARIANTS", "map_dependence", "map_variants", "shuffle_patches"]

MAP_VARIANTS = ("own", "binarised", "swapped", "scattered", "inverted", "ones", "zeros")


@torch.inference_mode()
def map_dependence(
    model: MapClassifier,
    image: Tensor,
    label: Tensor,
    others: Tensor | None = None,
    threshold: float = 0.5,
    patch: int = 16,
    seed: int = 0,
) -> dict[str, Tensor]:
    """Classify images with changed maps.

    Args:
        model: in evaluation mode.
        image: images (B,C,H,W) in [0,1].
        label: (B,) true classes.
        others: maps (B,1,H,W) of other images, for ``swapped``; None takes the next image's of the batch, which
            should then mix classes.
        threshold: of ``binarised``.
        patch: side in pixels of the patches that ``scattered`` moves.
        seed: of the scattering.

    Returns:
        For each of ``MAP_VARIANTS`` whether the case was classified correctly, (B,) float 0 or 1; their means are
        accuracies, ``own`` the unchanged one. NaN for ``swapped`` where there is no other image.

    Raises:
        ValueError: if the model is in training mode or shapes do not fit.
    """
    check_evaluating(model)
    if label.shape != (len(image),):
        raise ValueError(f"label has shape {tuple(label.shape)}, expected ({len(image)},), one class per image")
    variants = map_variants(model.explanation(image), others, threshold, patch, seed)
    correct = {name: (model.classify(image, z).argmax(dim=1) == label).float() for name, z in variants.items()}
    if others is None and len(image) == 1:
        correct["swapped"] = torch.full_like(correct["own"], torch.nan)
    return correct


def map_variants(
    explanation: Tensor, others: Tensor | None = None, threshold: float = 0.5, patch: int = 16, seed: int = 0
) -> dict[str, Tensor]:
    """Change maps in the ways of :func:`map_dependence`.

    Args:
        explanation: maps (B,1,H,W) in [0,1].
        others: maps of other images; None takes the next map of the batch.
        threshold: of ``binarised``.
        patch: side in pixels of the patches that ``scattered`` moves.
        seed: of the scattering.

    Returns:
        Maps (B,1,H,W): ``own`` unchanged; ``binarised`` 1 from the threshold on, else 0; ``swapped`` another
        image's; ``scattered`` own patches in random places; ``inverted`` 1 - z; ``ones``, which shows everything;
        ``zeros``, which shows nothing.

    Raises:
        ValueError: if ``others`` has another shape.
    """
    if others is not None and others.shape != explanation.shape:
        raise ValueError(f"others has shape {tuple(others.shape)}, expected the maps' {tuple(explanation.shape)}")
    return {
        "own": explanation,
        "binarised": (explanation >= threshold).to(explanation),
        "swapped": explanation.roll(1, dims=0) if others is None else others,
        "scattered": shuffle_patches(explanation, patch, seed),
        "inverted": 1 - explanation,
        "ones": torch.ones_like(explanation),
        "zeros": torch.zeros_like(explanation),
    }


def shuffle_patches(explanation: Tensor, patch: int, seed: int = 0) -> Tensor:
    """Move patches of a map to random places, the same places in every map.

    Args:
        explanation: maps (B,1,H,W); where the size is no multiple of the patch, border pixels are repeated to make
            one and the excess is cut off again.
        patch: side of a patch in pixels.
        seed: of the permutation.

    Returns:
        Maps (B,1,H,W).
    """
    height, width = explanation.shape[-2:]
    padded = F.pad(explanation, [0, -width % patch, 0, -height % patch], mode="replicate")
    columns = F.unfold(padded, patch, stride=patch)
    order = torch.randperm(columns.shape[-1], generator=torch.Generator().manual_seed(seed))
    moved = F.fold(columns[..., order.to(columns.device)], padded.shape[-2:], patch, stride=patch)
    return moved[..., :height, :width]
