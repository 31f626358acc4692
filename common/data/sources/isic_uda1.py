"""Convert the small export of dermoscopic images from the ISIC archive's UDA-1 collection."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from common.data.datalist import case_id_from
from common.data.errors import DatalistError
from common.data.sources.finish import finish, split_items
from common.data.splits import subset
from common.data.tables import read_table, require_columns

CLASSES = ["benign", "malignant"]
COLUMNS = ["image", "label"]


def convert(
    root: str,
    out: str | None = None,
    fractions: Sequence[float] = (0.6, 0.15, 0.25),
    seed: int = 0,
    fraction: float | None = None,
    max_per_class: int | None = None,
) -> Path:
    """ISIC UDA-1: 556 dermoscopic images, 398 benign (nevi) and 158 malignant (melanomas), at most 320 pixels wide.

    Expects ROOT/labels.csv (columns image, label) and the images it names. Patients are not known, so pictures of one
    patient may be in two splits, and results may look somewhat too good. There are no masks.

    Example:
        python -m scripts.prepare isic_uda1 --root isic_uda1

    Args:
        root: the folder.
        out: the datalist to write; default ROOT/datalist.json.
        fractions: shares of training, validation and test.
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
    unknown = sorted({row["label"] for row in rows} - {*CLASSES})
    if unknown:
        raise DatalistError(f"'{table}' has the unknown label '{unknown[0]}', expected {', '.join(CLASSES)}")
    items = [
        {"case_id": case_id_from(Path(row["image"]).name), "image": row["image"], "label": CLASSES.index(row["label"])}
        for row in rows
    ]
    try:
        sections = subset(split_items(items, fractions, seed), fraction, max_per_class, seed)
    except ValueError as error:
        raise DatalistError(str(error)) from None
    meta = {
        "name": "isic_uda1",
        "task": "multiclass",
        "classes": CLASSES,
        "source": "ISIC archive, collection UDA-1",
        "licence": "CC0 1.0 as stated by the archive",
        "split": "stratified by class; patients are not known",
        "seed": seed,
        "fraction": fraction,
        "max_per_class": max_per_class,
    }
    return finish(folder, out, sections, meta)
