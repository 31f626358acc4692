"""Put the single mammograms of a datalist together into exams."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from common.data.datalist_checks import SECTIONS
from common.data.errors import DatalistError
from common.data.exams import ExamLayout
from common.data.sources.exam_views import SIDES, slot_of

VIEWS = ("left_cc", "left_mlo", "right_cc", "right_mlo")
SHOWN = 3  # cases named in a warning

Item = Mapping[str, Any]
Findings = Mapping[str, Mapping[str, Any]]

logger = logging.getLogger(__name__)


def group_into_exams(
    datalist: Mapping[str, Any], findings: Sequence[str] | None = None, found: Findings | None = None
) -> dict[str, Any]:
    """Return a datalist of exams made of one of single mammograms.

    The images of a patient are an exam. Where there are several of a view, the second one begins a further exam,
    "..._2". A breast has a finding if one of its images has it.

    Args:
        datalist: items with ``patient_id``, ``laterality`` (L, R), ``view`` (CC, MLO) and, of two classes, ``label``;
            such as :func:`common.data.load_datalist` returns. Only training, validation and test are taken.
        findings: what the exams' labels are about: names in ``found``, and the name of the second class, which is told
            by the images' labels. Default that class alone.
        found: for the case_id of an image the findings there, each with its boxes, or None where these are unknown.

    Returns:
        The datalist; its items have ``images`` too, the case_id of the image behind each view. Their masks are the
        boxes of the findings, or the image's mask if its side has a single finding.

    Raises:
        DatalistError: if the classes are not two, or no image has a side and a view.
    """
    meta = datalist["meta"]
    if meta["task"] != "multiclass" or len(meta["classes"]) != 2:
        raise DatalistError(f"meta.classes is {meta['classes']}, expected two classes of single mammograms")
    positive = meta["classes"][1]
    layout = ExamLayout.named(VIEWS, tuple(SIDES.values()), tuple(findings or [positive]))
    sections: dict[str, list[dict[str, Any]]] = {}
    unused: list[str] = []
    for section in SECTIONS:
        exams: dict[str, dict[str, Item]] = defaultdict(dict)
        for item in datalist.get(section, []):
            view = slot_of(item.get("laterality", ""), item.get("view", ""), layout)
            if not view:
                unused.append(item["case_id"])
                continue
            _put(exams, item.get("patient_id") or item["case_id"], view, item)
        sections[section] = [_exam(name, images, layout, positive, found or {}) for name, images in exams.items()]
    if unused:
        shown = ", ".join(unused[:SHOWN])
        logger.warning("left out: %d images that are none of %s: %s", len(unused), ", ".join(VIEWS), shown)
    if not any(sections.values()):
        raise DatalistError("no image has a laterality (L, R) and a view (CC, MLO), so there are no exams")
    return {**sections, "meta": {**meta, **layout.meta()}}


def _put(exams: dict[str, dict[str, Item]], patient: str, view: str, item: Item) -> None:
    """Add an image to the first exam of its patient where the view is free."""
    number = 1
    while view in exams[name := patient if number == 1 else f"{patient}_{number}"]:
        number += 1
    exams[name][view] = item


def _exam(name: str, images: Mapping[str, Item], layout: ExamLayout, positive: str, found: Findings) -> dict[str, Any]:
    ordered = {view: images[view] for view in layout.views if view in images}
    label = [0] * len(layout.classes)
    for view, image in ordered.items():
        there = {*found.get(image["case_id"], {})} | ({positive} if image["label"] else set())
        first = layout.view_side[layout.views.index(view)] * len(layout.findings)
        for index, finding in enumerate(layout.findings):
            label[first + index] |= int(finding in there)
    exam: dict[str, Any] = {
        "case_id": name,
        "views": {view: image["image"] for view, image in ordered.items()},
        "label": label,
        "images": {view: image["case_id"] for view, image in ordered.items()},
    }
    patient = next(iter(ordered.values())).get("patient_id")
    exam |= {"patient_id": patient} if patient else {}
    masks = {view: _masks(view, image, exam, layout, found) for view, image in ordered.items()}
    masks = {view: mask for view, mask in masks.items() if mask}
    return exam | ({"masks": masks} if masks or not any(label) else {})


def _masks(view: str, image: Item, exam: Item, layout: ExamLayout, found: Findings) -> dict[str, Any]:
    """Return the masks of a view: boxes by finding, or the image's mask where it is clear what it shows."""
    boxes = {name: box for name, box in found.get(image["case_id"], {}).items() if box and name in layout.findings}
    present = [finding for finding in layout.findings if layout.label_of(exam, view, finding)]
    region = image.get("mask") or image.get("boxes")
    return boxes or ({present[0]: region} if region and len(present) == 1 else {})
