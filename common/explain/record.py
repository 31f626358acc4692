"""Write and read ``explanation.json``, the record that cards and reports are drawn from."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from common.explain.regions import (
    FloatArray,
    Size,
    box_of,
    covered_share,
    find_regions,
    scale_box,
    scale_point,
    whole_pixels,
)
from common.explain.schema import SCHEMA, SCHEMA_VERSION, ExplanationRecord, Prediction, RegionOfInterest, check_record
from common.utils.files import write_json

HOW_TO_READ = "The classifier sees the image through the map: 1 is left open, 0 is shut out."


def build_record(
    *,
    method: str,
    case_id: str,
    image_path: str | Path,
    source_size: Size,
    classes: Sequence[str],
    probabilities: ArrayLike,
    explanation: ArrayLike,
    mask: ArrayLike | None = None,
    label: int | None = None,
    patient_id: str | None = None,
    uncertainty: Mapping[str, float] | None = None,
    how_to_read: str = HOW_TO_READ,
    threshold: float = 0.5,
    max_regions: int = 5,
) -> ExplanationRecord:
    """Write down one explained case.

    Args:
        method: name of the bundle that explains.
        case_id: name of the case in the datalist.
        image_path: the image as the datalist gives it.
        source_size: rows and columns of the image file, in pixels.
        classes: names, in the order of the network's outputs.
        probabilities: (K,) in [0, 1].
        explanation: (h, w) in [0, 1], at the resolution at which it was computed.
        mask: (h, w) or source size, above 0.5 inside the region of interest; one without such pixels counts as none.
        label: index of the true class, where known.
        patient_id: only where the user's table gives one.
        uncertainty: named numbers, for methods that know how sure they are.
        how_to_read: one sentence that tells a reader what the map means.
        threshold: a region is a connected part of the map at or above this value.
        max_regions: the regions with the largest shares are listed, at most so many.

    Raises:
        ValueError: for values outside these ranges, saying what was given and what was expected.
    """
    values = _checked_map(explanation, case_id)
    record = ExplanationRecord(
        schema=SCHEMA,
        schema_version=SCHEMA_VERSION,
        method=method,
        how_to_read=how_to_read,
        case_id=case_id,
        image={"path": str(image_path), "rows": int(source_size[0]), "columns": int(source_size[1])},
        classes=list(classes),
        prediction=_prediction(probabilities, classes, case_id),
        map={
            "file": "map.png",
            "computed_at": list(values.shape),
            "minimum": float(values.min()),
            "maximum": float(values.max()),
            "mean": float(values.mean(dtype=np.float64)),
            "area_above_half": float((values > 0.5).mean()),
            "threshold": float(threshold),
            "regions": 0,
        },
        evidence=[],
    )
    if patient_id is not None:
        record["patient_id"] = patient_id
    if label is not None:
        record["label"] = {"index": int(label), "class": classes[label] if 0 <= label < len(classes) else ""}
    if uncertainty is not None:
        record["uncertainty"] = {name: float(value) for name, value in uncertainty.items()}
    check_record(record, f"case '{case_id}'")  # before the geometry, which needs a sensible image size
    regions = find_regions(values, threshold)
    size = (record["image"]["rows"], record["image"]["columns"])
    record["map"]["regions"] = len(regions)
    for region in regions[:max_regions]:
        box = whole_pixels(scale_box(region.box, values.shape, size), size)
        peak = scale_point(region.peak, values.shape, size)
        record["evidence"].append({"kind": "region", "box": box, "peak": peak, "share": region.share})
    roi = None if mask is None else _region_of_interest(values, mask, size, case_id)
    if roi is not None:
        record["roi"] = roi
    return record


def save_record(path: str | Path, record: ExplanationRecord) -> None:
    """Write ``explanation.json``; the record is checked first, so that what is on disk can be read again."""
    write_json(path, check_record(record, str(path)))


def load_record(path: str | Path) -> ExplanationRecord:
    """Read and check ``explanation.json``.

    Raises:
        FileNotFoundError: if it is not there.
        ValueError: if it is not JSON or not a record; the message begins with the path.
    """
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: not readable as JSON ({error}); explain this case again") from error
    return check_record(content, str(path))


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


def _prediction(probabilities: ArrayLike, classes: Sequence[str], case_id: str) -> Prediction:
    values = np.asarray(probabilities, dtype=np.float64)
    if values.shape != (len(classes),):
        raise ValueError(
            f"case '{case_id}': probabilities have shape {values.shape}, expected ({len(classes)},), "
            f"one for each class of {list(classes)}"
        )
    index = int(values.argmax())
    named = {name: float(value) for name, value in zip(classes, values, strict=True)}
    return {"index": index, "class": classes[index], "probabilities": named}


def _region_of_interest(values: FloatArray, mask: ArrayLike, size: Size, case_id: str) -> RegionOfInterest | None:
    inside: NDArray[np.bool_] = np.asarray(mask) > 0.5
    if inside.shape not in (values.shape, size):
        raise ValueError(
            f"case '{case_id}': the mask has shape {inside.shape}, expected that of the map {values.shape} "
            f"or of the image {size}"
        )
    box = box_of(inside)
    if box is None:
        return None
    # the share of the map's energy is taken where the map was computed, so that it equals the metric of the same name
    covered = covered_share(inside, (values.shape[0], values.shape[1]))
    brightest = covered[values == values.max()]
    total = float(values.sum(dtype=np.float64))
    return {
        "box": whole_pixels(scale_box(box, inside.shape, size), size),
        "area": float(inside.mean()),
        "energy": float((values * covered).sum(dtype=np.float64)) / total if total else 0.0,
        "pointing_hit": bool(total > 0 and brightest.mean() >= 0.5),
    }
