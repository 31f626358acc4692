"""Check that a record is one: fields and types, then ranges, names that agree, places inside the image."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any, cast

from common.explain.fields import check_fields
from common.explain.schema import (
    ARRAY_VALUES,
    SCHEMA,
    SCHEMA_VERSION,
    TASKS,
    Evidence,
    ExplanationRecord,
    Image,
    Label,
    Prediction,
)
from common.utils.messages import did_you_mean

NEEDS = {
    "region": ("box", "peak", "share"),
    "structure": ("name", "box", "area", "uncertainty"),
    "uncertain_region": ("box", "peak", "area", "uncertainty"),
    "prototype": ("name", "class", "contribution"),
    "prompt": ("name", "class", "contribution"),
    "word": ("name", "class"),
}
"""What evidence of these kinds must say; a method may add kinds of its own."""

TOLERANCE = 1e-4  # single precision, summed up over many pieces of evidence


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
    _check_decision(checked, source)
    _check_opinion(checked, source)
    _check_map(checked, source)
    _check_evidence(checked, source)
    return checked


def _check_decision(record: ExplanationRecord, source: str) -> None:
    for index, image in enumerate([record["image"], *record.get("views", [])]):
        where = f"views[{index - 1}]" if index else "image"
        size = f"is {image['rows']} x {image['columns']} pixels"
        _expect(image["rows"] > 0 and image["columns"] > 0, source, where, size, "at least one row and column")
        _check_box(image.get("crop", [0, 0, image["columns"], image["rows"]]), image, source, f"{where}.crop")
        importance = image.get("importance", 0.0)
        _expect(0 <= importance <= 1 + 1e-6, source, f"{where}.importance", f"is {importance}", "0 to 1")
    classes, task, prediction = record["classes"], record["task"], record["prediction"]
    _expect(len(set(classes)) == len(classes) > 0, source, "classes", f"is {classes}", "distinct names")
    _expect(task in TASKS, source, "task", f"is '{task}'", f"one of {', '.join(TASKS)}")
    given = list(prediction.get("logits", classes))
    _expect(given == classes, source, "prediction.logits", f"names {given}", f"the classes {classes}")
    _check_background(record, source)
    _check_probabilities(prediction["probabilities"], classes, source, "prediction.probabilities")
    for branch, probabilities in record.get("branches", {}).items():
        _check_probabilities(probabilities, classes, source, f"branches.{branch}")
    _check_classes(prediction, task, classes, f"{source}: prediction")
    if "label" in record:
        _check_classes(record["label"], task, classes, f"{source}: label")
    if task == "multilabel":
        above = prediction["probabilities"]
        named = prediction["classes"]
        present = [name for name in classes if above[name] >= prediction.get("threshold", math.nan)]
        _expect(
            named == present, source, "prediction.classes", f"is {named}", f"{present}, those from the threshold on"
        )


def _check_background(record: ExplanationRecord, source: str) -> None:
    """Where classes are held against a background, each logit is the class's own less that of the background."""
    prediction, classes = record["prediction"], record["classes"]
    if ("background" in record) != ("class_logits" in prediction):
        raise ValueError(f"{source}: 'background' and 'prediction.class_logits' go together, expected both or neither")
    if "background" not in record:
        return
    background, own = record["background"], prediction["class_logits"]
    _expect(background not in classes, source, "background", f"is '{background}'", f"none of the classes {classes}")
    _expect(record["task"] == "multilabel", source, "task", f"is '{record['task']}'", "'multilabel' with a background")
    expected = [*classes, background]
    _expect(list(own) == expected, source, "prediction.class_logits", f"names {list(own)}", f"{expected}")
    for name, logit in prediction.get("logits", {}).items():
        difference = own[name] - own[background]
        agree = abs(difference - logit) <= TOLERANCE * max(1.0, abs(logit))
        less = f"{difference:.6g}, its class_logit less that of '{background}'"
        _expect(agree, source, f"prediction.logits.{name}", f"is {logit:.6g}", less)


def _check_probabilities(probabilities: dict[str, float], classes: Sequence[str], source: str, where: str) -> None:
    _expect(list(probabilities) == classes, source, where, f"names {list(probabilities)}", f"the classes {classes}")
    for name, value in probabilities.items():
        _expect(0 <= value <= 1, source, f"{where}.{name}", f"is {value}", "0 to 1")


def _check_classes(answer: Prediction | Label, task: str, classes: Sequence[str], where: str) -> None:
    """Check the class that is named, or the several of a multi-label task."""
    needed = ("index", "class") if task == "multiclass" else ("classes",)
    for name in ("index", "class", "classes"):
        if (name in answer) != (name in needed):
            raise ValueError(f"{where} has {list(answer)}, expected {' and '.join(needed)} in a {task} task")
    if task == "multilabel":
        unknown = [name for name in answer["classes"] if name not in classes]
        if unknown:
            raise ValueError(f"{where}.classes names '{unknown[0]}'{did_you_mean(unknown[0], classes)}")
        return
    index, name = answer["index"], answer["class"]
    if not 0 <= index < len(classes):
        raise ValueError(f"{where}.index is {index}, expected 0 to {len(classes) - 1} for the classes {list(classes)}")
    if classes[index] != name:
        raise ValueError(f"{where}.class is '{name}', expected '{classes[index]}', the class with index {index}")


def _check_opinion(record: ExplanationRecord, source: str) -> None:
    uncertainty = record.get("uncertainty", {})
    for name, value in uncertainty.items():
        _expect(math.isfinite(value), source, f"uncertainty.{name}", f"is {value}", "a finite number")
    if "beliefs" not in record:
        return
    beliefs = record["beliefs"]
    _expect(list(beliefs) == record["classes"], source, "beliefs", f"names {list(beliefs)}", "the classes")
    total = sum(beliefs.values()) + uncertainty.get("class", math.nan)
    _expect(min(beliefs.values()) >= 0, source, "beliefs", f"is {beliefs}", "numbers from 0 on")
    _expect(abs(total - 1) <= TOLERANCE, source, "beliefs", f"and uncertainty.class add up to {total:.6g}", "1")


def _check_map(record: ExplanationRecord, source: str) -> None:
    if "map" in record:
        for name in ("minimum", "maximum", "mean", "area_above_half", "threshold"):
            value = record["map"][name]  # type: ignore[literal-required]
            _expect(0 <= value <= 1, source, f"map.{name}", f"is {value}", "0 to 1")
        computed_at = record["map"]["computed_at"]
        _expect(len(computed_at) == 2, source, "map.computed_at", f"is {computed_at}", "[rows, columns]")
    if "roi" in record:
        _check_box(record["roi"]["box"], record["image"], source, "roi.box")
    views = record.get("views", [record["image"]])
    for name, array in record.get("files", {}).items():
        over = array.get("view", 0)
        _expect(0 <= over < len(views), source, f"files.{name}.view", f"is {over}", f"0 to {len(views) - 1}")
        given, known = array["values"], ", ".join(ARRAY_VALUES)
        _expect(given in ARRAY_VALUES, source, f"files.{name}.values", f"is '{given}'", f"one of {known}")
        scale = array.get("scale", [0.0, 1.0])
        rising = len(scale) == 2 and scale[0] < scale[1]
        _expect(rising, source, f"files.{name}.scale", f"is {scale}", "two rising numbers")


def _check_evidence(record: ExplanationRecord, source: str) -> None:
    views = record.get("views", [record["image"]])
    for index, item in enumerate(record["evidence"]):
        where = f"evidence[{index}]"
        plain = re.fullmatch(r"[a-z_]+", item["kind"]) is not None
        _expect(plain, source, f"{where}.kind", f"is '{item['kind']}'", "a name of small letters and underscores")
        for field in NEEDS.get(item["kind"], ()):
            if field not in item:
                raise ValueError(f"{source}: the field '{where}.{field}' is missing, which evidence of this kind needs")
        view = item.get("view", 0)
        _expect(0 <= view < len(views), source, f"{where}.view", f"is {view}", f"0 to {len(views) - 1}")
        _check_place(item, views[view], source, where)
        for field in ("share", "uncertainty"):
            value = cast(float, item.get(field, 0.0))
            _expect(0 <= value <= 1 + 1e-6, source, f"{where}.{field}", f"is {value}", "0 to 1")
        for field, value in {"contribution": item.get("contribution", 0.0), **item.get("details", {})}.items():
            _expect(math.isfinite(value), source, f"{where}, {field}", f"is {value}", "a finite number")
        known = [*record["classes"], *([record["background"]] if "background" in record else [])]
        name = item.get("class", known[0])
        _expect(name in known, source, f"{where}.class", f"is '{name}'", f"one of {known}")
    _check_sums(record, source)


def _check_place(item: Evidence, image: Image, source: str, where: str) -> None:
    rows, columns = image["rows"], image["columns"]
    if "box" in item:
        _check_box(item["box"], image, source, f"{where}.box")
    if "peak" in item:
        x, y = item["peak"] if len(item["peak"]) == 2 else (-1, -1)
        inside = 0 <= x < columns and 0 <= y < rows
        _expect(inside, source, f"{where}.peak", f"is {item['peak']}", f"[x, y] inside {columns} x {rows} pixels")
    area = item.get("area", 0)
    _expect(0 <= area <= rows * columns, source, f"{where}.area", f"is {area}", f"0 to {rows * columns} pixels")


def _check_sums(record: ExplanationRecord, source: str) -> None:
    """Where logits are given, the contributions for a class add up to its logit, before the background's is taken."""
    prediction = record["prediction"]
    logits = prediction.get("class_logits", prediction.get("logits", {}))
    sums: dict[str, float] = {}
    for item in record["evidence"]:
        if "contribution" in item and "class" in item:
            sums[item["class"]] = sums.get(item["class"], 0.0) + item["contribution"]
    for name, total in sums.items():
        if name not in logits:
            continue
        logit = logits[name]
        agree = abs(total - logit) <= TOLERANCE * max(1.0, abs(logit))
        _expect(agree, source, f"the contributions for '{name}'", f"add up to {total:.6g}", f"its logit {logit:.6g}")


def _check_box(box: Sequence[int], image: Image, source: str, where: str) -> None:
    rows, columns = image["rows"], image["columns"]
    inside = len(box) == 4 and 0 <= box[0] < box[2] <= columns and 0 <= box[1] < box[3] <= rows
    _expect(inside, source, where, f"is {list(box)}", f"[x0, y0, x1, y1] inside {columns} x {rows} pixels")


def _expect(holds: bool, source: str, where: str, given: str, expected: str) -> None:
    if not holds:
        raise ValueError(f"{source}: {where} {given}, expected {expected}")
