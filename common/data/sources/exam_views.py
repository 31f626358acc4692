"""Tell which view of an exam a file shows: by the column of a table, by its DICOM tags, by its name."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from common.data.datalist import IMAGE_SUFFIXES
from common.data.errors import CaseError, DatalistError
from common.data.exams import ExamLayout
from common.data.sources.mammography import MammogramTags, is_dicom_name, read_tags, side_of
from common.data.sources.problems import Problems

TRUSTED = ("none", "tags", "names")
SIDES = {"L": "left", "R": "right"}
# Views of the chest as DICOM calls them (ViewPosition).
CHEST = {"PA": "frontal", "AP": "frontal", "LL": "lateral", "RL": "lateral", "LAT": "lateral", "LATERAL": "lateral"}
# "R_CC", "left mlo", "LCC", "cc-left"; a letter alone is a side only beside a view.
PLACE = re.compile(
    r"(?<![a-z])(?:(left|right|l|r)[ _.-]*(cc|mlo)|(cc|mlo)[ _.-]*(left|right|l|r))(?![a-z])", re.IGNORECASE
)
SIDE = re.compile(r"(?<![a-z])(left|right)(?![a-z])", re.IGNORECASE)
NO_TAGS = MammogramTags("", "", "", 0, 0)
SHOWN = 3  # files named in a warning

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class ViewFinder:
    """Puts files into the views of an exam and notes what contradicts itself.

    Args:
        root: the folder that paths start from.
        layout: the views that there are.
        trust: what decides where DICOM tags and names (of a column, or in a file's name) differ: "none": the exam
            cannot be used; "tags" or "names": with a warning.
        problems: where to note what cannot be used.

    Raises:
        DatalistError: if trust is none of these.
    """

    root: Path
    layout: ExamLayout
    trust: str
    problems: Problems

    def __post_init__(self) -> None:
        if self.trust not in TRUSTED:
            raise DatalistError(f"trust is '{self.trust}', expected {' or '.join(TRUSTED)}")

    def find(self, exam: str, columns: Mapping[str, str], folder: str = "") -> dict[str, str] | None:
        """Return the path of each view of an exam, in the order of the layout.

        Args:
            exam: its name, for messages.
            columns: paths by the name of their column, which is that of a view; empty ones are left out.
            folder: a folder with further images, in any depth.

        Returns:
            Paths relative to the root, or None after noting why the exam cannot be used.
        """
        claimed = [(path, view) for view, path in columns.items() if path]
        place = self.root / folder
        if folder and not place.is_dir():
            self.problems.add("exams whose folder does not exist", f"{exam}: {folder}")
            return None
        images = [path for path in sorted(place.rglob("*")) if _is_image(path)] if folder else []
        claimed += [(path.relative_to(self.root).as_posix(), "") for path in images]
        found: dict[str, str] = {}
        unused, good = [], True
        for path, column in claimed:
            view = self._view(exam, path, column)
            if view is None:
                good = False
            elif not view:
                unused.append(path)
            elif found.setdefault(view, path) != path:
                self.problems.add("exams with two files for a view", f"{exam}: {found[view]} and {path} for {view}")
                good = False
        if unused:
            logger.warning(
                "exam %s: %d files show none of the views %s and are not used: %s",
                exam,
                len(unused),
                ", ".join(self.layout.views),
                ", ".join(unused[:SHOWN]),
            )
        if good and not found:
            self.problems.add("exams without any view", exam)
        return {view: found[view] for view in self.layout.views if view in found} if good and found else None

    def _view(self, exam: str, path: str, column: str) -> str | None:
        """Return the view that a file shows, empty if it is none of the layout's; None after noting a problem."""
        file = self.root / path
        if not file.is_file():
            self.problems.add("views whose file is missing", f"{exam}: {path}")
            return None
        try:
            tags = read_tags(file) if is_dicom_name(file) else NO_TAGS
        except CaseError as error:
            self.problems.add("files that cannot be read", str(error))
            return None
        side, view = view_in_name(file.stem)
        named = slot_of(side, view, self.layout)
        by_name = column or slot_of(side or tags.laterality, view or tags.view, self.layout)
        by_tags = slot_of(tags.laterality or side, tags.view or view, self.layout) or by_name
        other_side = bool(side) and tags.laterality in SIDES and tags.laterality != side
        if by_name == by_tags and not other_side and (not column or named in ("", column)):
            return by_tags
        told = {
            "column": column,
            "name": named or SIDES.get(side, ""),
            "tags": f"{tags.laterality} {tags.view}".strip(),
        }
        words = ", ".join(f"{key} {value}" for key, value in told.items() if value)
        if self.trust == "none":
            self.problems.add("files whose view or side differs between table, name and tags", f"{path} ({words})")
            return None
        logger.warning("exam %s: %s is taken by its %s where these differ (%s)", exam, path, self.trust, words)
        return by_tags if self.trust == "tags" else by_name


def slot_of(side: str, view: str, layout: ExamLayout) -> str:
    """Return the view of a layout, such as "left_cc", or "" if there is none.

    Args:
        side: "L", "R" or "".
        view: as DICOM calls it, such as "CC" or "PA", in any case.
        layout: the views that there are.
    """
    names = (f"{SIDES.get(side, '')}_{view.lower()}", view.lower(), CHEST.get(view.upper(), ""))
    return next((name for name in names if name in layout.views), "")


def view_in_name(stem: str) -> tuple[str, str]:
    """Return the side, "L", "R" or "", and the view, such as "CC" or "", in a file's name.

    Nothing is returned of what a name says twice and differently.
    """
    places = {(first or fourth, second or third) for first, second, third, fourth in PLACE.findall(stem)}
    sides = {side_of(side) for side, _ in places} | {side_of(side) for side in SIDE.findall(stem)}
    views = {view.upper() for _, view in places} | {name for name in CHEST.values() if name in stem.lower()}
    return next(iter(sides)) if len(sides) == 1 else "", next(iter(views)) if len(views) == 1 else ""


def _is_image(path: Path) -> bool:
    if not path.is_file() or path.stem.lower().endswith("mask"):
        return False
    return path.name.lower().endswith(IMAGE_SUFFIXES) or is_dicom_name(path)
