"""What there is to find in the cases of a batch: which class is asked for, and where the datalist says it is."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor

from common.data.placement import Placement
from common.data.transforms import RoiMaskd
from common.utils.choices import check_choice

__all__ = ["Finding", "asked_classes", "find_truth", "indices_of"]

READER = RoiMaskd("mask", missing="empty", allow_empty=True)
CONNECTED = np.ones((3, 3), dtype=int)


@dataclass(frozen=True)
class Finding:
    """What the datalist says of one case.

    Attributes:
        case_id: name of the case.
        placement: where in the source image lies what the network saw.
        region: (H,W) of the source image, true inside; empty where there is no finding.
        boxes: (G,4) around the findings, x0, y0, x1, y1 in source pixels.
        outlined: whether the region is an outline, not made of boxes.
    """

    case_id: str
    placement: Placement
    region: NDArray[np.bool_]
    boxes: NDArray[np.float64]
    outlined: bool


def indices_of(findings: Sequence[str] | None, classes: Sequence[str], items: Sequence[Mapping[str, Any]]) -> list[int]:
    """Return the numbers of the classes that have something to point at.

    Args:
        findings: their names; None for the classes of the items that are outlined.
        classes: names of the C classes.
        items: with "label", class index or 0/1 per class, and "mask" or "boxes" where they are outlined.

    Returns:
        The classes; all of them if ``findings`` is None and nothing is outlined.

    Raises:
        ValueError: if a name is no class, or there is none.
    """
    if findings is None:
        labels = [item["label"] for item in items if item.get("mask") is not None or item.get("boxes")]
        shown = {index for label in labels for index in ([label] if np.ndim(label) == 0 else np.flatnonzero(label))}
        return sorted(int(index) for index in shown) or list(range(len(classes)))
    for name in findings:
        check_choice("findings", name, classes)
    if not findings:
        raise ValueError(
            f"findings is empty, expected some of the classes {', '.join(classes)}, or null for the outlined"
        )
    return [list(classes).index(name) for name in findings]


def asked_classes(probability: Tensor, label: Tensor, findings: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Choose the class whose map is asked for.

    Args:
        probability: (B,C).
        label: class indices (B,), or 0/1 per class (B,C).
        findings: the classes that have something to point at.

    Returns:
        Class (B,), int64: of a case with findings the most probable one that it has, of another case the most probable
        of all findings. And whether the case has any (B,), bool.
    """
    columns = torch.tensor(list(findings), device=probability.device)
    has = label[:, None] == columns if label.ndim == 1 else label[:, columns] > 0
    present = has.any(dim=1)
    allowed = has | ~present[:, None]
    best = probability[:, columns].masked_fill(~allowed, -1.0).argmax(dim=1)
    return columns[best], present


def find_truth(
    cases: Sequence[str],
    present: Tensor,
    batch: Mapping[Hashable, Any],
    items: Mapping[str, Mapping[str, Any]],
    asked: Sequence[str],
) -> list[Finding | None]:
    """Read where the findings of a batch's cases are, in source pixels.

    Args:
        cases: names of the B cases.
        present: (B,) whether the case has a finding.
        batch: with "source_size" and, where the transforms note them, "crop" and "flipped".
        items: the datalist's items by case.
        asked: name of the class that is asked for, of each case its own: boxes that "box_labels" gives to others do not
            count.

    Returns:
        What is known of each case; None where a finding is present but not outlined.

    Raises:
        ValueError: if a case is not among the items, or the source's size is not known.
        CaseError: if a mask does not fit its image.
    """
    if "source_size" not in batch:
        raise ValueError("the batch has no 'source_size': put RecordSized into the preprocessing, before any resizing")
    missing = [case for case in cases if case not in items]
    if missing:
        raise ValueError(f"case '{missing[0]}' is not among the items, which hold the outlines: give the split's items")
    return [
        _finding(case, Placement.of(batch, row), _of_class(items[case], name) if has else None)
        for row, (case, has, name) in enumerate(zip(cases, present.tolist(), asked, strict=True))
    ]


def _of_class(item: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Return an item with the boxes of one class alone, where it is known whose they are."""
    if not item.get("box_labels"):
        return dict(item)
    pairs = zip(item["boxes"], item["box_labels"], strict=True)
    return {**item, "boxes": [box for box, owner in pairs if owner == name]}


def _finding(case: str, placement: Placement, item: Mapping[str, Any] | None) -> Finding | None:
    """Return what an item outlines, nothing for a case without a finding (no item), None where it is not known."""
    rows, columns = placement.source_size
    if item is None:
        return Finding(case, placement, np.zeros((rows, columns), dtype=bool), np.zeros((0, 4)), False)
    outline: dict[Hashable, Any] = {key: item[key] for key in ("mask", "boxes") if item.get(key) is not None}
    blank = torch.zeros(1).expand(1, rows, columns)  # RoiMaskd asks the image for its size alone
    found = READER(outline | {"case_id": case, "image": blank})
    region = np.asarray(found["mask"][0].numpy() > 0.5)
    if not region.any():
        return None
    boxes = np.asarray(outline["boxes"], dtype=np.float64) if outline.get("boxes") else _boxes_around(region)
    return Finding(case, placement, region, boxes.reshape(-1, 4), "mask" in outline)


def _boxes_around(region: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return the boxes of the 8-connected parts of a region."""
    parts, _ = ndimage.label(region, structure=CONNECTED)
    windows = ndimage.find_objects(parts)
    return np.array([[part[1].start, part[0].start, part[1].stop, part[0].stop] for part in windows], dtype=np.float64)
