"""Convert the brain tumour MR slices of Jun Cheng, in the 256-pixel export with masks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from common.data.errors import DatalistError
from common.data.sources.finish import finish, split_items
from common.data.splits import subset
from common.data.tables import read_table, require_columns

CLASSES = ["meningioma", "glioma", "pituitary"]
# One-bit masks: black and white.
STRUCTURES = [{"name": "background", "values": [0]}, {"name": "tumour", "values": [255]}]
COLUMNS = ["id", "image", "mask", "label", "x1", "y1", "x2", "y2", "split_group"]


def convert(
    root: str,
    out: str | None = None,
    fractions: Sequence[float] = (0.6, 0.2, 0.2),
    seed: int = 0,
    fraction: float | None = None,
    max_per_class: int | None = None,
) -> Path:
    """Contrast-enhanced T1 slices of 233 patients: 708 meningioma, 1426 glioma, 930 pituitary, masks and boxes.

    Expects ROOT/labels.csv (columns id, image, mask, label, x1, y1, x2, y2 in pixels, split_group) and the folders it
    names. Patients are not known in this export: split_group is a block of neighbouring slices, ten for each class.
    Blocks are kept together, which stops neighbouring slices from getting into two splits, but one patient's slices
    may still be in two blocks. Call results "slice-block split", never "patient split".

    Example: everything, then a fixed quarter for trials

        python -m scripts.prepare brain_mr_cheng --root brain_mr
        python -m scripts.prepare brain_mr_cheng --root brain_mr --out quarter.json --fraction 0.25

    Args:
        root: the folder.
        out: the datalist to write; default ROOT/datalist.json.
        fractions: shares of training, validation and test; tenths fit the ten blocks.
        seed: seed of the split and of the part kept.
        fraction: share of each class to keep in each split, after splitting.
        max_per_class: most cases of each class to keep in each split, after splitting.

    Returns:
        The datalist written.
    """
    folder = Path(root)
    table = folder / "labels.csv"
    rows = read_table(table)
    require_columns(rows, COLUMNS, table)
    items: list[dict[str, Any]] = []
    for row in rows:
        if row["label"] not in CLASSES:
            raise DatalistError(f"'{table}' has the unknown label '{row['label']}', expected {', '.join(CLASSES)}")
        items.append(
            {
                "case_id": f"{row['label']}_{int(row['id']):04d}",
                "image": row["image"],
                "label": CLASSES.index(row["label"]),
                "mask": row["mask"],
                "boxes": [[float(row[key]) for key in ("x1", "y1", "x2", "y2")]],
                "group": row["split_group"],
            }
        )
    try:
        sections = subset(split_items(items, fractions, seed, group="group"), fraction, max_per_class, seed)
    except ValueError as error:
        raise DatalistError(str(error)) from None
    meta = {
        "name": "brain_mr_cheng",
        "task": "multiclass",
        "classes": CLASSES,
        "structures": STRUCTURES,
        "source": "Jun Cheng, figshare 1512427",
        "licence": "CC BY 4.0 as stated on figshare",
        "split": "slice-block split (patient ids not available)",
        "seed": seed,
        "fraction": fraction,
        "max_per_class": max_per_class,
    }
    return finish(folder, out, sections, meta)
