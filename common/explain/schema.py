"""The shape of ``explanation.json``: what a model says about one image, before anything is drawn.

A record is a plain dictionary that JSON can hold, typed here and described in ``docs/reference/explanation_json.md``.
A method that explains itself in other ways adds kinds of evidence; the rest stays.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NotRequired, TypedDict, cast

from common.explain.fields import check_fields

SCHEMA = "vitrine.explanation"
SCHEMA_VERSION = 1
KINDS = ("region",)


class Image(TypedDict):
    """The image that was explained: its file as the datalist gives it, and its size in pixels."""

    path: str
    rows: int
    columns: int


Label = TypedDict("Label", {"index": int, "class": str})
Prediction = TypedDict("Prediction", {"index": int, "class": str, "probabilities": dict[str, float]})


class MapSummary(TypedDict):
    """The map itself is a file; these numbers say what is in it, as computed (before resampling to source pixels)."""

    file: str
    computed_at: list[int]
    minimum: float
    maximum: float
    mean: float
    area_above_half: float
    threshold: float
    regions: int


class Evidence(TypedDict):
    """One thing the decision rests on: what (kind), where (source pixels), how much, and from which case."""

    kind: str
    box: list[int]
    peak: list[int]
    share: float
    contribution: NotRequired[float]
    source_case: NotRequired[str]


class RegionOfInterest(TypedDict):
    """How the map agrees with a known mask: area is a share of the image, energy of the map's sum."""

    box: list[int]
    area: float
    energy: float
    pointing_hit: bool


class ExplanationRecord(TypedDict):
    """One explained case."""

    schema: str
    schema_version: int
    method: str
    how_to_read: str
    case_id: str
    patient_id: NotRequired[str]
    image: Image
    classes: list[str]
    label: NotRequired[Label]
    prediction: Prediction
    uncertainty: NotRequired[dict[str, float]]
    map: MapSummary
    evidence: list[Evidence]
    roi: NotRequired[RegionOfInterest]


def check_record(record: Any, source: str) -> ExplanationRecord:
    """Return the record if it is one; ``source`` (a file, a case) begins every message.

    Raises:
        ValueError: naming the first field that is missing, unknown, of another type or out of range.
    """
    if not isinstance(record, dict) or record.get("schema") != SCHEMA:
        raise ValueError(f'{source}: not an explanation record; expected a JSON object with "schema": "{SCHEMA}"')
    if record.get("schema_version") != SCHEMA_VERSION:
        raise ValueError(
            f"{source}: schema_version is {record.get('schema_version')!r}, this version reads {SCHEMA_VERSION}; "
            "write the explanations again with the installed version"
        )
    check_fields(record, ExplanationRecord, source)
    checked = cast(ExplanationRecord, record)
    _check_values(checked, source)
    return checked


def _check_values(record: ExplanationRecord, source: str) -> None:
    """Check what types cannot say: ranges, names that agree, places inside the image."""
    rows, columns = record["image"]["rows"], record["image"]["columns"]
    _expect(rows > 0 and columns > 0, source, "image", f"is {rows} x {columns} pixels", "at least one row and column")
    classes = record["classes"]
    _expect(len(set(classes)) == len(classes) > 0, source, "classes", f"is {classes}", "distinct names")
    prediction = record["prediction"]
    given = list(prediction["probabilities"])
    _expect(given == classes, source, "prediction.probabilities", f"names {given}", f"the classes {classes}")
    for name, value in prediction["probabilities"].items():
        _expect(0 <= value <= 1, source, f"prediction.probabilities.{name}", f"is {value}", "0 to 1")
    _check_class(prediction["index"], prediction["class"], classes, f"{source}: prediction")
    if "label" in record:
        _check_class(record["label"]["index"], record["label"]["class"], classes, f"{source}: label")
    for name, value in record.get("uncertainty", {}).items():
        _expect(math.isfinite(value), source, f"uncertainty.{name}", f"is {value}", "a finite number")
    for name in ("minimum", "maximum", "mean", "area_above_half", "threshold"):
        value = record["map"][name]  # type: ignore[literal-required]
        _expect(0 <= value <= 1, source, f"map.{name}", f"is {value}", "0 to 1")
    computed_at = record["map"]["computed_at"]
    _expect(len(computed_at) == 2, source, "map.computed_at", f"is {computed_at}", "[rows, columns]")
    for index, item in enumerate(record["evidence"]):
        where = f"evidence[{index}]"
        _expect(item["kind"] in KINDS, source, f"{where}.kind", f"is '{item['kind']}'", f"one of {', '.join(KINDS)}")
        _check_box(item["box"], (rows, columns), source, f"{where}.box")
        x, y = item["peak"] if len(item["peak"]) == 2 else (-1, -1)
        inside = 0 <= x < columns and 0 <= y < rows
        _expect(inside, source, f"{where}.peak", f"is {item['peak']}", f"[x, y] inside {columns} x {rows} pixels")
        _expect(0 <= item["share"] <= 1 + 1e-6, source, f"{where}.share", f"is {item['share']}", "0 to 1")
    if "roi" in record:
        _check_box(record["roi"]["box"], (rows, columns), source, "roi.box")


def _check_class(index: int, name: str, classes: Sequence[str], where: str) -> None:
    if not 0 <= index < len(classes):
        raise ValueError(f"{where}.index is {index}, expected 0 to {len(classes) - 1} for the classes {list(classes)}")
    if classes[index] != name:
        raise ValueError(f"{where}.class is '{name}', expected '{classes[index]}', the class with index {index}")


def _check_box(box: Sequence[int], size: tuple[int, int], source: str, where: str) -> None:
    inside = len(box) == 4 and 0 <= box[0] < box[2] <= size[1] and 0 <= box[1] < box[3] <= size[0]
    _expect(inside, source, where, f"is {list(box)}", f"[x0, y0, x1, y1] inside {size[1]} x {size[0]} pixels")


def _expect(holds: bool, source: str, where: str, given: str, expected: str) -> None:
    if not holds:
        raise ValueError(f"{source}: {where} {given}, expected {expected}")
