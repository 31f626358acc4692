"""What public sets of mammograms tell about an image besides its label: findings, descriptors, density, assessment."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from common.data.errors import DatalistError
from common.data.sources import cbis_ddsm, cmmd, inbreast, vindr_mammo
from common.data.sources.exam_views import SIDES
from common.data.sources.mammography import side_of
from common.data.tables import Row, read_table, require_columns
from common.text.report_writer_facts import Finding

Item = Mapping[str, Any]
Fact = tuple[str, dict[str, str]]  # type of a finding, and its descriptors

# What the sets call findings and descriptors, and what the report writer calls them. What is not listed is not told.
VINDR: dict[str, Fact] = {
    "Mass": ("mass", {}),
    "Suspicious Calcification": ("calcification", {}),
    "Architectural Distortion": ("distortion", {}),
    "Asymmetry": ("asymmetry", {}),
    "Focal Asymmetry": ("asymmetry", {"extent": "focal"}),
    "Global Asymmetry": ("asymmetry", {"extent": "global"}),
}
INBREAST: dict[str, tuple[set[str], Fact]] = {
    "mass": ({"mass"}, ("mass", {})),
    "spiculated": ({"spiculated region", "espiculated region"}, ("mass", {"margin": "spiculated"})),
    "calcification": ({"cluster", "calcification"}, ("calcification", {})),
    "distortion": ({"distortion"}, ("distortion", {})),
    "asymmetry": ({"asymmetry", "assymetry"}, ("asymmetry", {})),
}
SHAPES = {"ROUND": "round", "OVAL": "oval", "IRREGULAR": "irregular"}
MARGINS = {
    "CIRCUMSCRIBED": "circumscribed", "OBSCURED": "obscured", "MICROLOBULATED": "microlobulated",
    "ILL_DEFINED": "indistinct", "SPICULATED": "spiculated",
}  # fmt: skip
MORPHOLOGIES = {
    "COARSE": "popcorn", "ROUND_AND_REGULAR": "round", "AMORPHOUS": "amorphous", "PLEOMORPHIC": "pleomorphic",
    "FINE_LINEAR_BRANCHING": "branching",
}  # fmt: skip
DISTRIBUTIONS = {"CLUSTERED": "grouped", "REGIONAL": "regional", "LINEAR": "linear", "SEGMENTAL": "segmental"}
OTHER_SHAPES = {"ARCHITECTURAL_DISTORTION": "distortion", "ASYMMETRIC_BREAST_TISSUE": "asymmetry"}
ABNORMALITIES = {"mass": ("mass",), "calcification": ("calcification",), "both": ("mass", "calcification")}


@dataclass
class ImageFacts:
    """What is known of one mammogram.

    Args:
        findings: what is seen there.
        boxes: of findings, by type, in source pixels.
        density: a to d, or None.
        birads: 1 to 6, or None.
    """

    findings: list[Finding] = field(default_factory=list)
    boxes: dict[str, list[list[float]]] = field(default_factory=dict)
    density: str | None = None
    birads: int | None = None

    def by_type(self) -> dict[str, list[list[float]] | None]:
        """Return the types of findings there, each with its boxes, or None."""
        return {finding.type: self.boxes.get(finding.type) for finding in self.findings}


def read_facts(folder: Path, items: Sequence[Item], meta: Mapping[str, Any]) -> dict[str, ImageFacts]:
    """Return what the tables of a data set tell about its images.

    Args:
        folder: the data set's.
        items: images of its datalist.
        meta: of its datalist; ``name`` tells which set it is.

    Returns:
        Facts by the case_id of the image.

    Raises:
        DatalistError: if the set is unknown, or a table lacks a column.
    """
    return _reader(meta)[0](folder, items)


def told_findings(meta: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the types of findings that a set tells of every image; of others, absence would be a guess.

    Raises:
        DatalistError: if the set is unknown.
    """
    kinds = _reader(meta)[1]
    return ABNORMALITIES[meta["abnormality"]] if meta["name"] == "cbis_ddsm" else kinds


def _reader(meta: Mapping[str, Any]) -> tuple[Callable[..., dict[str, ImageFacts]], tuple[str, ...]]:
    if meta.get("name") not in READERS:
        raise DatalistError(
            f"meta.name of the datalist is {meta.get('name')!r}, expected a set whose tables are known: "
            f"{', '.join(READERS)}. For exams of your own write a manifest: `python -m scripts.prepare exams --help`"
        )
    return READERS[meta["name"]]


def _vindr(folder: Path, items: Sequence[Item]) -> dict[str, ImageFacts]:
    sides = {item["case_id"]: SIDES[item["laterality"]] for item in items}
    facts: dict[str, ImageFacts] = defaultdict(ImageFacts)
    for row in read_table(folder / vindr_mammo.BREASTS):
        told = facts[row["image_id"]]
        told.density, told.birads = _density(row.get("breast_density", "")[-1:]), _birads(row["breast_birads"])
    rows = read_table(folder / vindr_mammo.FINDINGS)
    require_columns(rows, ["image_id", "finding_categories", "xmin"], folder / vindr_mammo.FINDINGS)
    for row in rows:
        if row["image_id"] not in sides:
            continue
        for name in ast.literal_eval(row["finding_categories"] or "[]"):
            if name in VINDR:
                kind, words = VINDR[name]
                facts[row["image_id"]].findings.append(Finding(sides[row["image_id"]], kind, **words))  # type: ignore[arg-type]
                if row["xmin"]:
                    box = [float(row[key]) for key in ("xmin", "ymin", "xmax", "ymax")]
                    facts[row["image_id"]].boxes.setdefault(kind, []).append(box)
    return {name: facts[name] for name in sides}


def _cbis(folder: Path, items: Sequence[Item]) -> dict[str, ImageFacts]:
    facts = {item["case_id"]: ImageFacts() for item in items}
    for table in cbis_ddsm.TABLES.values():
        for row in read_table(folder / table) if (folder / table).is_file() else ():
            letter = side_of(row["left or right breast"])
            told = facts.get(f"{row['patient_id']}_{letter}_{row['image view']}")
            if told is None:
                continue
            told.density = _density(row.get("breast density") or row.get("breast_density", ""))
            told.birads = max(told.birads or 0, _birads(row.get("assessment", "")) or 0) or None
            told.findings += [Finding(SIDES[letter], kind, **words) for kind, words in _lesion(row)]  # type: ignore[arg-type]
    return facts


def _lesion(row: Row) -> list[Fact]:
    """Return what a row of CBIS-DDSM describes."""
    if row.get("calc type") or row.get("calc distribution") or row.get("abnormality type") == "calcification":
        words = {"morphology": _first(row.get("calc type", ""), MORPHOLOGIES)}
        words["distribution"] = _first(row.get("calc distribution", ""), DISTRIBUTIONS)
        return [("calcification", {key: word for key, word in words.items() if word})]
    shape = row.get("mass shape", "")
    others: list[Fact] = [(kind, {}) for name, kind in OTHER_SHAPES.items() if name in shape]
    words = {"shape": _first(shape, SHAPES), "margin": _first(row.get("mass margins", ""), MARGINS)}
    return [("mass", {key: word for key, word in words.items() if word}), *others]


def _cmmd(folder: Path, items: Sequence[Item]) -> dict[str, ImageFacts]:
    table = next((folder / name for name in cmmd.SHEETS if (folder / name).is_file()), None)
    if table is None:
        raise DatalistError(f"'{folder}' has no {cmmd.SHEETS[0]} or .csv, which tells the abnormalities")
    rows = read_table(table)
    require_columns(rows, [cmmd.PATIENT, cmmd.SIDE, "abnormality"], table)
    kinds = {(row[cmmd.PATIENT], side_of(row[cmmd.SIDE])): row["abnormality"].strip().lower() for row in rows}
    facts = {}
    for item in items:
        told = ABNORMALITIES.get(kinds.get((item["patient_id"], item["laterality"]), ""), ())
        facts[item["case_id"]] = ImageFacts([Finding(SIDES[item["laterality"]], kind) for kind in told])
    return facts


def _inbreast(folder: Path, items: Sequence[Item]) -> dict[str, ImageFacts]:
    table = next((folder / name for name in inbreast.TABLES if (folder / name).is_file()), folder / inbreast.TABLES[0])
    rows = {row[inbreast.FILE].partition(".")[0]: row for row in read_table(table)}
    facts = {}
    for item in items:
        row, contours = rows.get(item["case_id"], {}), folder / inbreast.CONTOURS / f"{item['case_id']}.xml"
        told = [fact for names, fact in INBREAST.values() if inbreast.read_contours(contours, names)]
        findings = [Finding(SIDES[item["laterality"]], kind, **words) for kind, words in told]  # type: ignore[arg-type]
        facts[item["case_id"]] = ImageFacts(
            findings, {}, _density(row.get("ACR", "")), _birads(row.get(inbreast.BIRADS, ""))
        )
    return facts


def _first(text: str, words: Mapping[str, str]) -> str | None:
    """Return the first of several descriptors, joined by a hyphen, that there is a word for."""
    return next((words[part] for part in text.strip().upper().split("-") if part in words), None)


def _density(text: str) -> str | None:
    """Return a to d for a letter or a number from 1 to 4."""
    text = text.strip().lower().removesuffix(".0")
    return dict(zip("1234", "abcd", strict=True)).get(text, text if text in {*"abcd"} else None)


def _birads(text: str) -> int | None:
    """Return the category in a text such as "BI-RADS 4" or "4a", None if there is none."""
    digits = [int(letter) for letter in text if letter.isdigit()]
    return digits[0] if len(digits) == 1 and 1 <= digits[0] <= 6 else None


# How to read a set's tables, and which findings they tell of every image.
READERS: dict[str, tuple[Callable[..., dict[str, ImageFacts]], tuple[str, ...]]] = {
    "vindr_mammo": (_vindr, ("mass", "calcification", "distortion", "asymmetry")),
    "cbis_ddsm": (_cbis, ("mass", "calcification")),
    "cmmd": (_cmmd, ("mass", "calcification")),
    "inbreast": (_inbreast, ("mass", "calcification", "distortion", "asymmetry")),
}
