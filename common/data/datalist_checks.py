"""What a datalist must be like before anything is trained or measured on it."""

from __future__ import annotations

import json
import logging
import os
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from common.data.errors import DatalistError
from common.data.structures import structure_problems
from common.utils.messages import did_you_mean

SECTIONS = ("training", "validation", "test")
TASKS = ("multiclass", "multilabel")
SHOWN = 10  # problems listed in one message
# Keys whose values may not be shared by two splits, and what to call them.
SEPARATE = {"case_id": "case", "image": "image", "patient_id": "patient", "group": "group"}

logger = logging.getLogger(__name__)


def check_datalist(datalist: Any, source: str = "datalist") -> None:
    """Check structure, labels and separation of the splits; files are not touched.

    Args:
        datalist: the parsed JSON.
        source: named in the message.

    Raises:
        DatalistError: lists every problem: wrong structure, unknown labels, a training set of one class, repeated
            cases, and cases, images, patients or groups in two splits.
    """
    problems = list(_structure_problems(datalist))
    if not problems:
        sections = {name: items for name, items in datalist.items() if isinstance(items, list)}
        problems = [
            *(problem for name, items in sections.items() for problem in _item_problems(name, items, datalist["meta"])),
            *_training_problems(sections.get("training", []), datalist["meta"]),
            *_overlap_problems(sections),
        ]
    if problems:
        more = [f"... and {len(problems) - SHOWN} more"] if len(problems) > SHOWN else []
        shown = "\n".join(f"  - {problem}" for problem in problems[:SHOWN] + more)
        raise DatalistError(f"'{source}' cannot be used:\n{shown}")


def warn_of_unseen_findings(section: str, items: Sequence[Mapping[str, Any]], meta: Mapping[str, Any]) -> None:
    """Say which classes of a multi-label task no case of a split has.

    Args:
        section: name of the split.
        items: its checked cases.
        meta: of the datalist.
    """
    if meta["task"] != "multilabel" or section not in SECTIONS:
        return
    found = np.any([item["label"] for item in items], axis=0)
    unseen = [name for name, seen in zip(meta["classes"], found, strict=True) if not seen]
    if unseen:
        end = "can never be predicted well" if section == "training" else "has no metrics there"
        logger.warning("no %s case has the class %s, which %s", section, ", ".join(unseen), end)


def suggestion(name: object, known: Sequence[str]) -> str:
    """Return the rest of a sentence about an unknown name: the closest known name, or what there is."""
    return did_you_mean(str(name), known) or f"; there is: {', '.join(known) or 'nothing'}"


def _structure_problems(datalist: Any) -> Iterator[str]:
    if not isinstance(datalist, dict):
        yield f"it holds a {type(datalist).__name__}, expected an object with {', '.join(SECTIONS)} and 'meta'"
        return
    meta = datalist.get("meta")
    if not isinstance(meta, dict):
        yield "there is no 'meta' object; expected meta.task and meta.classes"
        return
    if meta.get("task") not in TASKS:
        yield f"meta.task is {meta.get('task')!r}, expected one of {', '.join(TASKS)}"
    classes = meta.get("classes")
    if not isinstance(classes, list) or not all(isinstance(name, str) for name in classes):
        yield f"meta.classes is {classes!r}, expected a list of names"
    elif len(set(classes)) != len(classes) or len(classes) < (2 if meta.get("task") == "multiclass" else 1):
        yield f"meta.classes is {classes}, expected distinct names, at least two for a multiclass task"
    if meta.get("background") is not None and meta["background"] in (classes if isinstance(classes, list) else []):
        yield f"meta.background is '{meta['background']}', which is a class too; it names cases that have no class"
    if meta.get("structures") is not None:
        yield from (f"meta.structures: {problem}" for problem in structure_problems(meta["structures"]))
    lists = {name: items for name, items in datalist.items() if name != "meta"}
    if not lists:
        yield f"there is no list of cases; expected {', '.join(SECTIONS)}"
    for name, items in lists.items():
        if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
            yield f"section '{name}' is not a list of objects"


def _item_problems(section: str, items: Sequence[Mapping[str, Any]], meta: Mapping[str, Any]) -> Iterator[str]:
    seen: set[str] = set()
    for position, item in enumerate(items):
        case_id = item.get("case_id")
        name = f"{section}[{position}]" + (f" (case '{case_id}')" if case_id else "")
        if not isinstance(case_id, str) or not case_id or case_id in {".", ".."} or set(case_id) & set("/\\"):
            yield f"{name}: case_id is {case_id!r}, expected a text usable as a folder's name"
        elif case_id in seen:
            yield f"{name}: this case_id stands twice in '{section}'; give each case its own"
        else:
            seen.add(case_id)
        if not item.get("image") and not item.get("views"):
            yield f"{name}: neither 'image' nor 'views' is given; expected a path"
        if section in SECTIONS or "label" in item:
            problem = _label_problem(item.get("label"), meta["task"], meta["classes"])
            problem = problem or _box_problem(item, meta)
            if problem:
                yield f"{name}: {problem}"


def _label_problem(label: Any, task: str, classes: Sequence[str]) -> str | None:
    """Return what is wrong with a label, or None."""
    if label is None:
        return "there is no label; leave unlabelled cases out of training, validation and test"
    if task == "multilabel":
        good = isinstance(label, list) and len(label) == len(classes) and all(value in (0, 1) for value in label)
        return None if good else f"label is {label!r}, expected {len(classes)} values 0 or 1, one per class"
    if isinstance(label, str):
        where = f"write its index {classes.index(label)}" if label in classes else suggestion(label, classes)[2:]
        return f"label is the text '{label}', expected an index into meta.classes; {where}"
    if isinstance(label, bool) or not isinstance(label, int) or not 0 <= label < len(classes):
        return f"unknown label {label!r}, expected 0 to {len(classes) - 1} (meta.classes: {', '.join(classes)})"
    return None


def _box_problem(item: Mapping[str, Any], meta: Mapping[str, Any]) -> str | None:
    """Return what is wrong with the classes of an item's boxes, or None."""
    names, classes = item.get("box_labels"), meta["classes"]
    if names is None:
        return None
    boxes = item.get("boxes")
    if not isinstance(names, list) or not isinstance(boxes, list) or len(names) != len(boxes):
        return f"box_labels is {names!r}, expected a list of class names, one for each of the 'boxes'"
    label = item.get("label")
    for name in names:
        if name not in classes:
            return f"a box has the unknown class '{name}'{suggestion(name, classes)}"
        index = classes.index(name)
        if label is not None and not (label[index] if isinstance(label, list) else label == index):
            return f"there is a box of '{name}', which the case does not have by its label"
    return None


def _training_problems(training: Sequence[Mapping[str, Any]], meta: Mapping[str, Any]) -> Iterator[str]:
    """Yield a problem if there is nothing to tell apart; a class that is never seen is only worth a warning."""
    labels = {json.dumps(item.get("label")) for item in training}
    if len(labels) == 1:
        yield (
            f"all {len(training)} training cases have the label {labels.pop()}; a classifier needs at least two "
            f"different ones (meta.classes: {', '.join(meta['classes'])})"
        )
    elif training and meta["task"] == "multiclass":
        unseen = [name for index, name in enumerate(meta["classes"]) if str(index) not in labels]
        if unseen:
            logger.warning("no training case has the class %s; it can never be predicted well", ", ".join(unseen))


def _overlap_problems(sections: Mapping[str, Sequence[Mapping[str, Any]]]) -> Iterator[str]:
    for key, noun in SEPARATE.items():
        places: dict[str, set[str]] = defaultdict(set)
        for section, items in sections.items():
            for item in items:
                if item.get(key):
                    value = os.path.normpath(item[key]) if key == "image" else str(item[key])
                    places[value].add(section)
        # images without labels may show patients of the training set, whose results are not reported
        harmless = {"training", "unlabelled"} if key in ("patient_id", "group") else set()
        shared = {value: sorted(names) for value, names in places.items() if len(names) > 1 and names != harmless}
        if shared:
            first, names = next(iter(shared.items()))
            more = f" and {len(shared) - 1} more" if len(shared) > 1 else ""
            yield (
                f"{noun} '{first}'{more} is in more than one split ({', '.join(names)}); results on the later ones "
                f"would be too good. Keep each {noun} in one split"
            )
