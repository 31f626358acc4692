"""Explain by evidence: how much is believed of each class, how much is not known, and which pixels are uncertain."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from common.explain.describer import Case, Explanation
from common.explain.evidential_segmentation_card import draw_evidential_segmentation
from common.explain.record_check import check_record
from common.explain.regions import FloatArray, box_of, find_regions
from common.explain.schema import ArrayFile, Evidence, ExplanationRecord

HOW_TO_READ = (
    "Beliefs and uncertainty add up to 1; without evidence all is uncertainty. Pixel uncertainty is high where there "
    "is little evidence of any structure; it guides the outlines and does not draw them."
)
WARNING = (
    "Evidential uncertainty is not guaranteed to be epistemic: an image unlike any in the training may still get a low "
    "one. Validate it on each data set."
)
NEEDED = ("probability", "belief", "uncertainty", "segmentation_probability", "pixel_uncertainty")
RELIABLE_MASK = "reliable_mask_fine"

LabelMap = NDArray[np.uint8]


class EvidentialSegmentation:
    """Describe cases by class beliefs, a segmentation and the uncertainty of both.

    Reads from the output "belief" (C,), "uncertainty" (1,), "segmentation_probability" (K, h, w), "pixel_uncertainty"
    (1, h, w) and, where the network has one, "reliable_mask_fine" (K, h, w); from the batch, where they are known, the
    true structures "segmentation" (1, h, w).

    Args:
        structures: names of the K pixel classes, the background first.
        most_uncertain: the share of the pixels that count as the most uncertain ones, in (0, 1].
        max_regions: of the connected regions that these form, the ones with the largest shares are listed, at most so
            many.
    """

    def __init__(self, structures: Sequence[str], most_uncertain: float = 0.05, max_regions: int = 3) -> None:
        if len(structures) < 2 or len(set(structures)) < len(structures):
            raise ValueError(f"structures is {list(structures)}, expected different names, the background's first")
        if max_regions < 0:
            raise ValueError(f"max_regions is {max_regions}, expected 0 or more")
        if not 0 < most_uncertain <= 1:
            raise ValueError(f"most_uncertain is {most_uncertain}, expected a share of the pixels above 0, at most 1")
        self.structures = list(structures)
        self.most_uncertain = most_uncertain
        self.max_regions = max_regions

    def describe(self, case: Case) -> Explanation:
        """Return record, arrays and card of one case."""
        self._check(case)
        labels = case.to_source(case.output["segmentation_probability"]).argmax(axis=0).astype(np.uint8)
        uncertainty = case.to_source(case.output["pixel_uncertainty"][0])
        arrays: dict[str, NDArray[Any]] = {"segmentation": labels, "pixel_uncertainty": uncertainty}
        if RELIABLE_MASK in case.output:
            arrays["reliable_mask"] = case.to_source(foreground_share(case.output[RELIABLE_MASK]))
        known = case.batch["segmentation"][0] if _is_known(case) else None
        record = self._record(case, labels, uncertainty, known)
        record["files"] = {name: self._file(name, values) for name, values in arrays.items()}
        files = {record["files"][name]["file"]: values for name, values in arrays.items()}
        x0, y0, x1, y1 = case.window()
        drawn = {name: values[y0:y1, x0:x1] for name, values in arrays.items()}
        true = None if known is None else case.seen(known, "nearest-exact")
        draw = partial(draw_evidential_segmentation, record, case.seen(case.image), known=true, **drawn)
        return Explanation(check_record(record, f"case '{case.case_id}'"), files, draw)

    def _check(self, case: Case) -> None:
        missing = [name for name in NEEDED if name not in case.output]
        if missing:
            raise ValueError(
                f"case '{case.case_id}': the network's outputs are {', '.join(case.output)}, expected '{missing[0]}' "
                "among them; this describer is for networks with evidence and a segmentation"
            )
        channels = len(case.output["segmentation_probability"])
        if channels != len(self.structures):
            raise ValueError(
                f"case '{case.case_id}': the network segments {channels} structures, and {len(self.structures)} are "
                f"named: {self.structures}; name all, the background first"
            )

    def _record(
        self, case: Case, labels: LabelMap, uncertainty: FloatArray, known: NDArray[Any] | None
    ) -> ExplanationRecord:
        x0, y0, x1, y1 = case.window()
        seen = uncertainty[y0:y1, x0:x1]
        numbers = {"class": float(case.output["uncertainty"][0]), "pixel_mean": float(seen.mean(dtype=np.float64))}
        record = case.record(HOW_TO_READ, numbers)
        record["warning"] = WARNING
        record["beliefs"] = dict(zip(case.classes, case.output["belief"].astype(float).tolist(), strict=True))
        predicted = case.output["segmentation_probability"].argmax(axis=0)
        for index, name in enumerate(self.structures[1:], 1):
            dice = None if known is None else _dice(predicted == index, known == index)
            item = _structure(name, labels == index, uncertainty, dice)
            record["evidence"] += [] if item is None else [item]
        threshold = float(np.quantile(seen, 1 - self.most_uncertain))
        for region in find_regions(seen, threshold)[: self.max_regions]:
            left, top, right, bottom = region.box
            box, peak = [left + x0, top + y0, right + x0, bottom + y0], [region.peak[0] + x0, region.peak[1] + y0]
            item = Evidence(kind="uncertain_region", box=box, peak=peak, area=region.area)
            record["evidence"].append({**item, "share": region.share, "uncertainty": region.mean})
        record["summary"] = facts(record, self.structures[1:], self.most_uncertain)
        return record

    def _file(self, name: str, values: NDArray[Any]) -> ArrayFile:
        if np.issubdtype(values.dtype, np.integer):
            return {"file": f"{name}.png", "values": "index", "names": self.structures}
        return {"file": f"{name}.png", "values": "share"}


def foreground_share(scores: FloatArray) -> FloatArray:
    """Return what softmax leaves to the structures, all but the first, of scores (K, h, w); (h, w) in [0, 1]."""
    exponents = np.exp(scores - scores.max(axis=0))
    return np.asarray(1 - exponents[0] / exponents.sum(axis=0), dtype=np.float32)


def facts(record: ExplanationRecord, structures: Sequence[str], most_uncertain: float) -> list[str]:
    """Return what the record says, one sentence a line."""
    numbers = record.get("uncertainty", {})
    lines = [f"Uncertainty of the decision {numbers['class']:.2f}, mean of the pixels {numbers['pixel_mean']:.2f}"]
    pixels = record["image"]["rows"] * record["image"]["columns"]
    found = {item["name"]: item for item in record["evidence"] if item["kind"] == "structure"}
    for name in structures:
        if name not in found:
            lines.append(f"{name}: not found")
            continue
        item = found[name]
        agreement = f", Dice {item['details']['dice']:.2f}" if "details" in item else ""
        share = item["area"] / pixels
        lines.append(f"{name}: {share:.1%} of the image, uncertainty {item['uncertainty']:.2f}{agreement}")
    regions = [item for item in record["evidence"] if item["kind"] == "uncertain_region"]
    if regions:
        boxes = "Box 1" if len(regions) == 1 else f"Boxes 1 to {len(regions)}"
        means = ", ".join(f"{item['uncertainty']:.2f}" for item in regions)
        lines.append(f"{boxes} in the most uncertain {most_uncertain:.0%}: mean {means}")
    return lines


def _structure(name: str, inside: NDArray[np.bool_], uncertainty: FloatArray, dice: float | None) -> Evidence | None:
    """Return where a structure is and how uncertain its pixels are, or None where it was not found."""
    box = box_of(inside)
    if box is None:
        return None
    mean = float(uncertainty[inside].mean(dtype=np.float64))
    item = Evidence(kind="structure", name=name, box=list(box), area=int(inside.sum()), uncertainty=mean)
    if dice is not None:
        item["details"] = {"dice": dice}
    return item


def _dice(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> float:
    """Return 2 |A and B| / (|A| + |B|), 1 for two empty masks."""
    total = int(one.sum() + other.sum())
    return 2 * int((one & other).sum()) / total if total else 1.0


def _is_known(case: Case) -> bool:
    return "segmentation" in case.batch and bool(case.batch.get("segmentation_given", True))
