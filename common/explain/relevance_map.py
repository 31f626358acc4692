"""Explain by a relevance map: what the network lets through, where it is bright, how it agrees with a known region."""

from __future__ import annotations

from functools import partial

import numpy as np
from numpy.typing import ArrayLike, NDArray

from common.data.placement import Placement
from common.explain.describer import Case, Explanation
from common.explain.record_check import check_record
from common.explain.regions import FloatArray, box_in_source, box_of, covered_share, find_regions, point_in_source
from common.explain.relevance_map_card import draw_relevance_map
from common.explain.schema import ExplanationRecord, RegionOfInterest

HOW_TO_READ = "The classifier sees the image through the map: 1 is left open, 0 is shut out."


class RelevanceMap:
    """Describe cases by the output "explanation" (1, H, W), and by the batch's "mask" (1, H, W) where one is given.

    Args:
        how_to_read: one sentence that tells a reader what the map means.
        threshold: a region is a connected part of the map at or above this value.
        max_regions: the regions with the largest shares are listed, at most so many.
    """

    def __init__(self, how_to_read: str = HOW_TO_READ, threshold: float = 0.5, max_regions: int = 5) -> None:
        if not 0 < threshold <= 1:
            raise ValueError(f"threshold is {threshold}, expected a map value above 0, at most 1")
        if max_regions < 0:
            raise ValueError(f"max_regions is {max_regions}, expected 0 or more")
        self.how_to_read = how_to_read
        self.threshold = threshold
        self.max_regions = max_regions

    def describe(self, case: Case) -> Explanation:
        """Return record, map and card of one case."""
        if "explanation" not in case.output:
            raise ValueError(
                f"case '{case.case_id}': the network's outputs are {', '.join(case.output)}, expected 'explanation' "
                "among them; give ExplanationSaver the describer of this method"
            )
        mask = case.batch["mask"][0] if "mask" in case.batch and bool(case.batch["mask_given"]) else None
        values = case.output["explanation"][0]
        record = case.record(self.how_to_read)
        record = add_map(record, values, mask, self.threshold, self.max_regions, case.placement)
        region = None if mask is None else case.seen(mask)
        draw = partial(draw_relevance_map, record, case.seen(case.image), case.seen(values), region)
        return Explanation(record, {record["map"]["file"]: case.to_source(values)}, draw)


def add_map(
    record: ExplanationRecord,
    explanation: ArrayLike,
    mask: ArrayLike | None = None,
    threshold: float = 0.5,
    max_regions: int = 5,
    placement: Placement | None = None,
) -> ExplanationRecord:
    """Return the record with a map's numbers, its regions as evidence, and the summary in words.

    Args:
        record: what :func:`common.explain.record.case_record` returned.
        explanation: (h, w) in [0, 1], at the resolution at which it was computed.
        mask: (h, w) or source size, above 0.5 inside the region of interest; one without such pixels counts as none.
        threshold: a region is a connected part of the map at or above this value.
        max_regions: the regions with the largest shares are listed, at most so many.
        placement: where in the source image the map lies; None for all over it.

    Raises:
        ValueError: for values outside these ranges, saying what was given and what was expected.
    """
    values = _checked_map(explanation, record["case_id"])
    rows, columns = record["image"]["rows"], record["image"]["columns"]
    where = placement or Placement((rows, columns), (0, 0, columns, rows))
    size = (values.shape[0], values.shape[1])
    regions = find_regions(values, threshold)
    added = record.copy()
    added["map"] = {
        "file": "map.png",
        "computed_at": list(values.shape),
        "minimum": float(values.min()),
        "maximum": float(values.max()),
        "mean": float(values.mean(dtype=np.float64)),
        "area_above_half": float((values > 0.5).mean()),
        "threshold": float(threshold),
        "regions": len(regions),
    }
    added["evidence"] = []
    for region in regions[:max_regions]:
        box, peak = box_in_source(region.box, size, where), point_in_source(region.peak, size, where)
        if box is not None:
            added["evidence"].append({"kind": "region", "box": box, "peak": peak, "share": region.share})
    roi = None if mask is None else _region_of_interest(values, mask, where, record["case_id"])
    if roi is not None:
        added["roi"] = roi
    added["summary"] = facts(added)
    return check_record(added, f"case '{record['case_id']}'")


def facts(record: ExplanationRecord) -> list[str]:
    """Return what the record says about its map, one sentence a line."""
    summary = record["map"]
    lines = [f"{summary['area_above_half']:.0%} of the map is above 0.5; mean {summary['mean']:.2f}"]
    if "roi" in record:
        roi = record["roi"]
        hit = "inside" if roi["pointing_hit"] else "outside"
        lines.append(f"The known region is {roi['area']:.1%} of the image")
        lines.append(f"and holds {roi['energy']:.0%} of the map; the highest point is {hit}")
    shares = [f"{item['share']:.0%}" for item in record["evidence"]]
    if not shares:
        lines.append(f"No part of the map reaches {summary['threshold']:g}")
    elif len(shares) == 1:
        lines.append(f"Box 1 holds {shares[0]} of the map")
    else:
        lines.append(f"Boxes 1 to {len(shares)} hold {', '.join(shares)} of the map")
    rest = summary["regions"] - len(shares)
    if rest > 0:
        lines.append(f"{rest} smaller region{'s have' if rest > 1 else ' has'} no box")
    lines.extend(f"{name.capitalize()} {value:.3g}" for name, value in record.get("uncertainty", {}).items())
    return lines


def _checked_map(explanation: ArrayLike, case_id: str) -> FloatArray:
    values = np.asarray(explanation, dtype=np.float32)
    if values.ndim != 2 or values.size == 0:
        raise ValueError(f"case '{case_id}': the map has shape {values.shape}, expected (rows, columns)")
    if not np.isfinite(values).all() or values.min() < 0 or values.max() > 1:
        raise ValueError(
            f"case '{case_id}': the map holds values from {values.min()} to {values.max()}, expected 0 to 1; "
            "rescale it before the record is built"
        )
    return values


def _region_of_interest(values: FloatArray, mask: ArrayLike, where: Placement, case_id: str) -> RegionOfInterest | None:
    inside: NDArray[np.bool_] = np.asarray(mask) > 0.5
    if inside.shape not in (values.shape, where.source_size):
        raise ValueError(
            f"case '{case_id}': the mask has shape {inside.shape}, expected that of the map {values.shape} "
            f"or of the image {where.source_size}"
        )
    found = box_of(inside)
    box = None if found is None else box_in_source(found, (inside.shape[0], inside.shape[1]), where)
    if box is None:
        return None
    # the share of the map's energy is taken where the map was computed, so that it equals the metric of the same name
    covered = covered_share(inside, (values.shape[0], values.shape[1]))
    brightest = covered[values == values.max()]
    total = float(values.sum(dtype=np.float64))
    return {
        "box": box,
        "area": float(inside.mean()),
        "energy": float((values * covered).sum(dtype=np.float64)) / total if total else 0.0,
        "pointing_hit": bool(total > 0 and brightest.mean() >= 0.5),
    }
