"""Do the prototypes of a disease look at that disease, or at another one that often comes with it?

The best place of a prototype is a cell of the feature map, far larger than a pixel. What counts is the share of the
cell that lies inside a box, so that small boxes are neither always met nor never; places drawn at random have the
box's share of the image, exactly where cells divide the image evenly. This is the project's own measure.

B images, P prototypes, E diseases, C classes: the diseases, then the background where the network has one.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["PrototypePlaces", "prototype_places"]


@dataclass(frozen=True)
class PrototypePlaces:
    """Where the foremost prototypes of each class are found in each image.

    Attributes:
        inside: (B,E,C), the mean share of the cells of class c's foremost prototypes that lies inside the boxes of
            disease e and outside all boxes of c; for c = e inside its own boxes. NaN where e has no box.
        area: (B,E,C), the same of all cells: what places drawn at random have.
        other: (B,C), as ``inside``, of the boxes of all diseases but c together; NaN where there are none.
        other_area: (B,C), the same of all cells.
    """

    inside: Tensor
    area: Tensor
    other: Tensor
    other_area: Tensor


def prototype_places(
    location: Tensor,
    contribution: Tensor,
    class_map: Tensor,
    mask: Tensor,
    size: tuple[int, int],
    foremost: int = 3,
) -> PrototypePlaces:
    """Tell in whose boxes the foremost prototypes of each class are found.

    Args:
        location: best place of each prototype, flat index row · w + column (B,P), int64.
        contribution: of each prototype (B,P): the foremost are those that contribute most to their class.
        class_map: class of each prototype (P,), 0 to C-1, at least one of each.
        mask: (B,E,H,W), above 0 inside the boxes of a disease.
        size: rows h and columns w of the feature map.
        foremost: prototypes of each class, all where it has fewer.

    Returns:
        Shares in [0,1], float64, on the CPU.

    Raises:
        ValueError: if ``foremost`` is below 1, or there are more diseases than classes.
    """
    classes, diseases = int(class_map.max()) + 1, mask.shape[1]
    if foremost < 1:
        raise ValueError(f"foremost is {foremost}, expected 1 prototype or more")
    if not diseases <= classes:
        raise ValueError(f"the mask has {diseases} diseases, the prototypes {classes} classes; expected one each")
    boxes = mask > 0
    columns = [
        _of_class(index, boxes, _foremost(contribution, location, (class_map == index).nonzero()[:, 0], foremost), size)
        for index in range(classes)
    ]
    found, chance = (torch.stack([column[part] for column in columns], dim=2).cpu() for part in (0, 1))
    given = boxes.flatten(2).any(dim=2).cpu()
    others = given.sum(dim=1, keepdim=True) - F.pad(given.long(), (0, classes - diseases))
    return PrototypePlaces(
        found[:, :-1].masked_fill(~given[:, :, None], torch.nan),
        chance[:, :-1].masked_fill(~given[:, :, None], torch.nan),
        found[:, -1].masked_fill(others == 0, torch.nan),
        chance[:, -1].masked_fill(others == 0, torch.nan),
    )


def _foremost(contribution: Tensor, location: Tensor, own: Tensor, count: int) -> Tensor:
    """Return the places (B,F) of the prototypes among ``own`` (M,) that contribute most."""
    own = own.to(location.device)
    chosen = contribution[:, own].topk(min(count, len(own)), dim=1).indices
    return location[:, own].gather(1, chosen).long()


def _of_class(index: int, boxes: Tensor, places: Tensor, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Return the share of a class's cells, and of all cells, inside each disease's boxes and, last, inside any other's.

    Args:
        index: of the class.
        boxes: (B,E,H,W).
        places: flat cells of the class's foremost prototypes (B,F).
        size: rows and columns of the feature map.

    Returns:
        Two (B,E+1).
    """
    asked = boxes
    if index < boxes.shape[1]:
        own = boxes[:, index : index + 1]
        asked = boxes & ~own
        other = asked.any(dim=1, keepdim=True)
        asked = torch.cat([asked[:, :index], own, asked[:, index + 1 :]], dim=1)
    else:
        other = boxes.any(dim=1, keepdim=True)
    shares = F.adaptive_avg_pool2d(torch.cat([asked, other], dim=1).float(), size).double().flatten(2)
    at = places.to(shares.device)[:, None].expand(-1, shares.shape[1], -1)
    return shares.gather(2, at).mean(dim=2), shares.mean(dim=2)
