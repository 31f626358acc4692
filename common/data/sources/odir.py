"""Convert ODIR-5K, colour fundus photographs of both eyes with up to seven diseases each."""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tqdm import tqdm

from common.data.datalist import case_id_from
from common.data.datalist_checks import suggestion
from common.data.errors import CaseError, DatalistError
from common.data.sources.copies import without_copies
from common.data.sources.files import existing_folder
from common.data.sources.finish import finish, split_items
from common.data.sources.fundus_field import field_box
from common.data.sources.odir_keywords import CLASSES, IGNORED, KEYWORDS, NORMAL, OTHER, split_keywords
from common.data.sources.problems import Problems
from common.data.tables import Row, read_table, require_columns
from common.utils.messages import did_you_mean

#: Section of the datalist to folder and name of the table without its ending.
PARTS = {
    "training": ("Training Set", "training annotation (English)"),
    "test": ("On-site Test Set", "on-site test annotation (English)"),
    "test_off_site": ("Off-site Test Set", "off-site test annotation (English)"),
}
SIDES = ("Left", "Right")
ENDINGS = (".xlsx", ".xls", ".csv")
SHOWN = 12  # keywords named in a warning

logger = logging.getLogger(__name__)


def convert(
    root: str,
    out: str | None = None,
    crop: bool = False,
    keywords: str | None = None,
    validation: float = 0.15,
    seed: int = 0,
    on_problem: str = "refuse",
) -> Path:
    """ODIR-5K (OIA-ODIR): fundus photographs of both eyes of 5000 patients, up to seven diseases an eye.

    Expects in ROOT the folders "Training Set", "On-site Test Set" and "Off-site Test Set", each with
    Images/<ID>_left.jpg and Annotation/<part> annotation (English).xlsx; or .csv with the same columns ID, Left-Fundus,
    Right-Fundus, Left-Diagnostic Keywords, Right-Diagnostic Keywords. At least the training set must be there.

    The columns N to O of the tables are about both eyes together, so each eye's label is made from its own keywords:
    diabetic retinopathy, glaucoma, cataract, age-related macular degeneration, hypertensive retinopathy, myopia, other.
    "Normal fundus" beside a disease is dropped; an eye with remarks on the photograph only is left out. Keywords that
    nobody assigned to a disease count as "other" and are listed; --keywords more.json assigns more of them.

    The sections are training, validation (cut off the training set by patient, both eyes together), test (on-site) and
    test_off_site, to be reported apart.

    Example:
        python -m scripts.prepare odir --root ODIR-5K --crop True

    Args:
        root: the folder.
        out: the datalist to write; default ROOT/datalist.json.
        crop: look for the bright field of each photograph and add its box, which the transform CropBoxd cuts out. Reads
            every image once.
        keywords: a JSON file that assigns further keywords to diseases, {"glaucoma": ["glaucoma suspect"]}.
        validation: share of the training set for validation, by patient.
        seed: seed of that split.
        on_problem: what to do with eyes without image or keywords, and photographs that cannot be cropped: "refuse" the
            data set or "skip" them with a warning.

    Returns:
        The datalist written.
    """
    folder = existing_folder(root, f"the folders {', '.join(name for name, _ in PARTS.values())}")
    problems, diseases = Problems(on_problem), _diseases(keywords)
    others: Counter[str] = Counter()
    found = {section: _items(folder, section, diseases, others, problems) for section in PARTS}
    if not found["training"]:
        raise DatalistError(f"'{folder / PARTS['training'][0]}' has no usable image; unpack the training set there")
    places = {item["case_id"]: section for section, items in found.items() for item in items}
    # The test sets first, as the first one of several copies is kept.
    kept = without_copies([item for part in reversed(PARTS) for item in found[part]], folder, problems)
    if crop:
        kept = [
            item for item in tqdm(kept, desc="cropping", unit="image", disable=None) if _crop(item, folder, problems)
        ]
    problems.settle(folder)
    _report_others(others)
    parts = {section: [item for item in kept if places[item["case_id"]] == section] for section in PARTS}
    sections: dict[str, Sequence[Mapping[str, Any]]] = {
        **split_items(parts["training"], (1 - validation, validation, 0), seed),
        "test": parts["test"],
    }
    if parts["test_off_site"]:
        sections["test_off_site"] = parts["test_off_site"]
    meta = {
        "name": "odir",
        "task": "multilabel",
        "classes": CLASSES,
        "background": "normal",
        "source": "ODIR-5K (OIA-ODIR), International Competition on Ocular Disease Intelligent Recognition",
        "licence": "terms of the challenge: research only",
        "split": "official test sets; validation from the training set, by patient",
        "seed": seed,
    }
    return finish(folder, out, sections, meta)


def _diseases(extra: str | None) -> dict[str, str]:
    """Return the disease of each keyword, those of an extra file included."""
    known = {keyword: disease for disease, keywords in KEYWORDS.items() for keyword in keywords}
    if extra is None:
        return known
    try:
        content = json.loads(Path(extra).read_text(encoding="utf-8"))
        more = {split_keywords(keyword)[0]: disease for disease, given in content.items() for keyword in given}
    except (OSError, ValueError, AttributeError, TypeError, IndexError) as error:
        raise DatalistError(f"keywords '{extra}' is no JSON file of diseases and their keywords ({error})") from None
    for disease in more.values():
        if disease not in CLASSES:
            raise DatalistError(f"keywords '{extra}' has the unknown disease '{disease}'{suggestion(disease, CLASSES)}")
    return known | more


def _items(
    folder: Path, section: str, diseases: Mapping[str, str], others: Counter[str], problems: Problems
) -> list[dict[str, Any]]:
    """Return the eyes of a part, none where it is absent, and count the keywords that became "other"."""
    part, stem = PARTS[section]
    if not (folder / part).is_dir():
        return []
    table = _table(folder / part / "Annotation", stem)
    rows = read_table(table)
    columns = [f"{side}-{what}" for side in SIDES for what in ("Fundus", "Diagnostic Keywords")]
    require_columns(rows, ["ID", *columns], table)
    items = []
    for row in rows:
        for side in SIDES:
            item = _eye(folder, Path(part, "Images"), row, side, diseases, others, problems)
            if item is not None:
                items.append(item)
    return items


def _table(folder: Path, stem: str) -> Path:
    for ending in ENDINGS:
        if (folder / f"{stem}{ending}").is_file():
            return folder / f"{stem}{ending}"
    raise DatalistError(f"there is no '{folder / stem}' with the ending {', '.join(ENDINGS)}; unpack the archive again")


def _eye(
    folder: Path,
    images: Path,
    row: Row,
    side: str,
    known: Mapping[str, str],
    others: Counter[str],
    problems: Problems,
) -> dict[str, Any] | None:
    """Return the case of one eye; None if it has no image or label, which is noted unless it is meant so."""
    name = row[f"{side}-Fundus"]
    keywords = split_keywords(row[f"{side}-Diagnostic Keywords"])
    if not keywords:
        problems.add("eyes without keywords", name)
        return None
    telling = [keyword for keyword in keywords if keyword not in IGNORED]
    if not telling:
        logger.info("left out: %s, as its keywords are about the photograph only (%s)", name, ", ".join(keywords))
        return None
    if not (folder / images / name).is_file():
        problems.add("eyes whose image is missing", (images / name).as_posix())
        return None
    diseases = {known.get(keyword, OTHER) for keyword in telling if keyword != NORMAL}
    others.update(keyword for keyword in telling if keyword != NORMAL and keyword not in known)
    return {
        "case_id": case_id_from(name),
        "image": (images / name).as_posix(),
        "label": [int(disease in diseases) for disease in CLASSES],
        "patient_id": row["ID"],
        "laterality": side[0],
    }


def _crop(item: dict[str, Any], folder: Path, problems: Problems) -> bool:
    """Add the box of the photograph's bright field; return whether it was found."""
    try:
        item["crop"] = field_box(folder / item["image"])
    except CaseError as error:
        problems.add("images that cannot be cropped", str(error))
        return False
    return True


def _report_others(others: Mapping[str, int]) -> None:
    """List the keywords that nobody assigned to a disease, with those that look misspelt first."""
    if not others:
        return
    hints = {keyword: did_you_mean(keyword, _diseases(None)).removeprefix("; ") for keyword in others}
    order = sorted(others, key=lambda keyword: (not hints[keyword], -others[keyword], keyword))
    told = [f"{keyword} ({others[keyword]}{hints[keyword] and ', ' + hints[keyword]})" for keyword in order[:SHOWN]]
    more = f" and {len(order) - SHOWN} more" if len(order) > SHOWN else ""
    logger.warning("%d keywords count as 'other': %s%s", len(order), ", ".join(told), more)
