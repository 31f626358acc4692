"""The shape of ``explanation.json``: what a model says about one case, before anything is drawn.

A record is a plain dictionary that JSON can hold, typed here, checked in :mod:`common.explain.record_check` and
described in ``docs/reference/explanation_json.md``. A method that explains itself in other ways adds kinds of evidence,
numbers under ``details`` and files; the rest stays.
"""

from __future__ import annotations

from typing import NotRequired, TypedDict

SCHEMA = "vitrine.explanation"
SCHEMA_VERSION = 2
TASKS = ("multiclass", "multilabel")
ARRAY_VALUES = ("share", "index", "archive")


class Image(TypedDict):
    """The image that was explained: its file as the datalist gives it, its size in pixels, the part of it looked at.

    Of an exam of several images also what a view is called, and its share in what is said about its side.
    """

    path: str
    rows: int
    columns: int
    crop: NotRequired[list[int]]
    name: NotRequired[str]
    importance: NotRequired[float]


Label = TypedDict(
    "Label",
    {"index": NotRequired[int], "class": NotRequired[str], "classes": NotRequired[list[str]]},
)
"""The true class (``index`` and ``class``), or in a multi-label task all classes that are present (``classes``)."""

Prediction = TypedDict(
    "Prediction",
    {
        "index": NotRequired[int],
        "class": NotRequired[str],
        "classes": NotRequired[list[str]],
        "threshold": NotRequired[float],
        "probabilities": dict[str, float],
        "logits": NotRequired[dict[str, float]],
        "class_logits": NotRequired[dict[str, float]],
    },
)
"""The most probable class, or in a multi-label task every class from ``threshold`` on.

``class_logits`` are those of the classes and of the background; a class's logit is the difference of the two.
"""


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


Evidence = TypedDict(
    "Evidence",
    {
        "kind": str,
        "name": NotRequired[str],
        "class": NotRequired[str],
        "view": NotRequired[int],
        "prompt": NotRequired[str],
        "box": NotRequired[list[int]],
        "peak": NotRequired[list[int]],
        "area": NotRequired[int],
        "share": NotRequired[float],
        "uncertainty": NotRequired[float],
        "contribution": NotRequired[float],
        "source_case": NotRequired[str],
        "details": NotRequired[dict[str, float]],
    },
)
"""One thing the decision rests on: what (kind, name), for which class, where (source pixels), how much, from whom."""


class ArrayFile(TypedDict):
    """An array saved beside the record: shares in 16 bits, or indices in 8 bits with what each index means.

    ``scale`` are the quantities that became 0 and 1, where a share is of something else; ``view`` is the image that the
    array lies over, of several. An archive holds arrays by their ``names``.
    """

    file: str
    values: str
    names: NotRequired[list[str]]
    view: NotRequired[int]
    scale: NotRequired[list[float]]


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
    warning: NotRequired[str]
    case_id: str
    patient_id: NotRequired[str]
    image: Image
    views: NotRequired[list[Image]]
    task: str
    classes: list[str]
    background: NotRequired[str]
    label: NotRequired[Label]
    prediction: Prediction
    uncertainty: NotRequired[dict[str, float]]
    beliefs: NotRequired[dict[str, float]]
    branches: NotRequired[dict[str, dict[str, float]]]
    map: NotRequired[MapSummary]
    files: NotRequired[dict[str, ArrayFile]]
    evidence: list[Evidence]
    roi: NotRequired[RegionOfInterest]
    summary: list[str]
