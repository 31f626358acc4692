"""Exams of several images: their views and sides, and how they stand in a datalist.

An item of such a datalist has ``views``, a path for every view that was taken, instead of ``image``::

    {"case_id": "e1", "patient_id": "p1", "views": {"left_cc": "e1/a.dcm", "left_mlo": "e1/b.dcm"},
     "report": ["There is a mass in the left breast."], "label": [1, 0, 0, 0],
     "masks": {"left_cc": {"mass": "e1/a.png"}}}

A mask is a path, or a list of boxes [x0, y0, x1, y1] in pixels of the view; for each finding, or of a view as a whole.
``label`` has one value for each side and finding, side by side: with two sides and two findings "left mass", "left
calcification", "right mass", "right calcification". ``meta`` has ``views``, ``sides``, ``view_side`` and ``findings``.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np

from common.data.datalist import load_datalist
from common.data.datalist_checks import suggestion, warn_of_unseen_findings
from common.data.errors import DatalistError

__all__ = ["ExamLayout", "check_exams", "exam_layout", "load_exams"]

Exam = Mapping[str, Any]

SHOWN = 10  # problems listed in one message


@dataclass(frozen=True)
class ExamLayout:
    """Which images an exam may have, and what may be found on each side.

    Args:
        views: names of the images, such as "left_cc"; their order is that of the network's input.
        sides: names of what is judged, such as the breasts; one name where images have no side.
        view_side: for each view the place of its side in sides.
        findings: names of what may be found on a side.

    Raises:
        DatalistError: if names are missing or repeated, or a view has no side.
    """

    views: tuple[str, ...]
    sides: tuple[str, ...]
    view_side: tuple[int, ...]
    findings: tuple[str, ...]

    def __post_init__(self) -> None:
        for name, given in (("views", self.views), ("sides", self.sides), ("findings", self.findings)):
            if not given or len(set(given)) != len(given) or not all(given):
                raise DatalistError(f"{name} are {list(given)}, expected one or more distinct names")
        if len(self.view_side) != len(self.views) or set(self.view_side) != set(range(len(self.sides))):
            raise DatalistError(
                f"view_side is {list(self.view_side)}, expected for each of the {len(self.views)} views its side, from "
                f"0 to {len(self.sides) - 1}, and each side at least once"
            )

    @classmethod
    def named(cls, views: Sequence[str], sides: Sequence[str], findings: Sequence[str]) -> Self:
        """Return the layout in which a view's name begins with that of its side; a single side has all views.

        Raises:
            DatalistError: if a view's name begins with no side.
        """
        if len(sides) == 1:
            return cls(tuple(views), tuple(sides), (0,) * len(views), tuple(findings))
        view_side = []
        for view in views:
            found = [index for index, side in enumerate(sides) if view.startswith(f"{side}_")]
            if len(found) != 1:
                raise DatalistError(
                    f"the view '{view}' does not begin with one of the sides {', '.join(sides)}; call it for example "
                    f"'{sides[0]}_{view}'"
                )
            view_side.append(found[0])
        return cls(tuple(views), tuple(sides), tuple(view_side), tuple(findings))

    @classmethod
    def of(cls, meta: Mapping[str, Any]) -> Self:
        """Return the layout that a datalist's meta tells.

        Raises:
            DatalistError: if it is not that of exams.
        """
        keys = ("views", "sides", "findings")
        missing = [key for key in keys if not isinstance(meta.get(key), list)]
        if missing:
            raise DatalistError(
                f"meta.{missing[0]} is {meta.get(missing[0])!r}, expected a list of names: this is no datalist of "
                "exams. Make one with `python -m scripts.prepare exams --help`"
            )
        if meta.get("view_side") is None:
            return cls.named(*(meta[key] for key in keys))
        return cls(tuple(meta["views"]), tuple(meta["sides"]), tuple(meta["view_side"]), tuple(meta["findings"]))

    @property
    def classes(self) -> list[str]:
        """Names of the values of a label: "left mass", or "mass" alone where there is one side."""
        if len(self.sides) == 1:
            return list(self.findings)
        return [f"{side} {finding}" for side in self.sides for finding in self.findings]

    def meta(self) -> dict[str, Any]:
        """Return what a datalist's meta needs to know of it, its task and classes too."""
        return {
            "task": "multilabel",
            "classes": self.classes,
            "views": list(self.views),
            "sides": list(self.sides),
            "view_side": list(self.view_side),
            "findings": list(self.findings),
        }

    def label_of(self, item: Mapping[Any, Any], view: str, finding: str) -> int | None:
        """Return whether a view's side has a finding by the label of an exam; None if it has no label."""
        if item.get("label") is None:
            return None
        side = self.view_side[self.views.index(view)]
        return int(item["label"][side * len(self.findings) + self.findings.index(finding)])


def exam_layout(datalist: str | Path) -> ExamLayout:
    """Return which views, sides and findings the exams of a datalist have.

    Raises:
        DatalistError: if it is not one of exams.
    """
    return ExamLayout.of(load_datalist(datalist)["meta"])


def check_exams(datalist: Mapping[str, Any], source: str = "datalist") -> None:
    """Check the views, masks and reports of a datalist that has passed :func:`common.data.check_datalist`.

    Args:
        datalist: the parsed JSON.
        source: named in the message.

    Raises:
        DatalistError: lists the problems: views or findings that meta does not know, exams without views, a file that
            stands for two views, a report that is no text, classes that are not those of sides and findings.
    """
    layout = ExamLayout.of(datalist["meta"])
    problems = []
    if list(datalist["meta"]["classes"]) != layout.classes:
        problems.append(f"meta.classes is {datalist['meta']['classes']}, expected side by side {layout.classes}")
    places: dict[str, str] = {}
    for section, items in datalist.items():
        for item in items if section != "meta" else ():
            name = f"{section} (case '{item['case_id']}')"
            problems += [f"{name}: {problem}" for problem in _exam_problems(item, layout)]
            for view, path in item["views"].items() if isinstance(item.get("views"), Mapping) else ():
                place = f"{view} of '{item['case_id']}'"
                other = places.setdefault(os.path.normpath(str(path)), place)
                if other != place:
                    problems.append(f"{name}: '{path}' is {other} and {view}; a file can be one view only")
    if problems:
        more = [f"... and {len(problems) - SHOWN} more"] if len(problems) > SHOWN else []
        raise DatalistError(f"'{source}' cannot be used:\n" + "\n".join(f"  - {p}" for p in problems[:SHOWN] + more))


def load_exams(
    datalist: str | Path, section: str, dataset_dir: str | Path | None = None, limit: int | None = None
) -> list[dict[str, Any]]:
    """Return the checked exams of one split, with absolute paths: :func:`common.data.load_section` for exams.

    Args:
        datalist: the JSON file.
        section: "training", "validation", "test", or any other list in the file.
        dataset_dir: the folder that relative paths start from; None takes ``meta.root`` of the datalist.
        limit: keep at most this many exams, spread evenly over the list; for trials.

    Returns:
        Items ready for :class:`common.data.LoadViewsd`. The label is a float32 array (sides * findings,).

    Raises:
        DatalistError: if the section is unknown or empty, files are missing, or exams cannot be used.
        ValueError: if limit is below 1.
    """
    content = load_datalist(datalist)
    check_exams(content, str(datalist))
    known = [name for name in content if name != "meta"]
    if section not in known:
        raise DatalistError(f"datalist '{datalist}' has no section '{section}'{suggestion(section, known)}")
    exams = content[section]
    if not exams:
        raise DatalistError(f"section '{section}' of datalist '{datalist}' is empty; give it a share of the data")
    if limit is not None and limit < 1:
        raise ValueError(f"limit is {limit}, expected 1 or more, or null for all")
    warn_of_unseen_findings(section, exams, content["meta"])
    root = Path(dataset_dir) if dataset_dir is not None else Path(datalist).parent / content["meta"].get("root", ".")
    if limit is not None and limit < len(exams):
        exams = [exams[index * len(exams) // limit] for index in range(limit)]
    items = [_resolved(exam, root.resolve()) for exam in exams]
    _check_files(items, root, datalist)
    return items


def _exam_problems(item: Exam, layout: ExamLayout) -> Iterator[str]:
    views = item.get("views")
    if not isinstance(views, Mapping) or not views:
        yield f"views is {views!r}, expected a path for each view that was taken, such as '{layout.views[0]}'"
        return
    for view in views:
        if view not in layout.views:
            yield f"there is no view '{view}'{suggestion(view, layout.views)}"
    for view, masks in (item.get("masks") or {}).items():
        if view not in views:
            yield f"there is a mask of the view '{view}', which the exam does not have"
        for finding in masks if isinstance(masks, Mapping) else ():
            if finding not in layout.findings:
                yield f"there is a mask of the unknown finding '{finding}'{suggestion(finding, layout.findings)}"
            elif view in layout.views and layout.label_of(item, view, finding) == 0:
                yield f"there is a mask of '{finding}' in {view}, which that side does not have by its label"
    report = item.get("report", "")
    if not isinstance(report, str) and not (isinstance(report, list) and all(isinstance(r, str) for r in report)):
        yield f"report is {report!r}, expected a text, or a list of texts where an exam has several"


def _resolved(exam: Exam, root: Path) -> dict[str, Any]:
    def absolute(value: Any) -> Any:
        if isinstance(value, Mapping):
            return {key: absolute(part) for key, part in value.items()}
        return str(root / value) if isinstance(value, str) else value

    item = dict(exam)
    item |= {key: absolute(exam[key]) for key in ("views", "masks") if exam.get(key) is not None}
    if exam.get("label") is not None:
        item["label"] = np.asarray(exam["label"], dtype=np.float32)
    return item


def _check_files(items: Sequence[Exam], root: Path, datalist: str | Path) -> None:
    paths = [path for item in items for path in _paths([item["views"], item.get("masks") or {}])]
    missing = [path for path in paths if not os.path.isfile(path)]
    if missing:
        shown = ", ".join(f"'{path}'" for path in missing[:3]) + (" ..." if len(missing) > 3 else "")
        raise DatalistError(
            f"{len(missing)} of {len(paths)} files named in '{datalist}' are missing: {shown}. Paths start from "
            f"'{root}'; put the files there, or set dataset_dir to the images' folder"
        )


def _paths(value: Any) -> Iterator[str]:
    """Yield the texts in nested lists and dictionaries; the numbers there are boxes."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping | list):
        for part in value.values() if isinstance(value, Mapping) else value:
            yield from _paths(part)
