"""Convert imagenetHVZ, horses against zebras, with the published split."""

from __future__ import annotations

from pathlib import Path

from common.data.datalist import case_id_from
from common.data.errors import DatalistError
from common.data.sources.finish import finish, split_items
from common.data.tables import read_table, require_columns

CLASSES = ["horse", "zebra"]
TEST = 0.149
VALIDATION_OF_REST = 0.2


def convert(root: str, out: str | None = None, seed: int = 6) -> Path:
    """ImageNet horses (n02389026) and zebras (n02391049) with boxes as masks: 669 images, not redistributable.

    Expects the layout of the xML authors: ROOT/data.csv (columns imageID, label), ROOT/images/<label>/<imageID>,
    ROOT/masks/<label>/<stem>_mask.JPEG. With the published table and seed the split is theirs: 455 training
    (221 horses, 234 zebras), 114 validation (55, 59), 100 test (48, 52). No patients, so cases are split one by one.

    Example:
        python -m scripts.prepare imagenet_hvz --root imagenetHVZ

    Args:
        root: the folder.
        out: the datalist to write; default ROOT/datalist.json.
        seed: seed of the split; 6 is the published one.

    Returns:
        The datalist written.
    """
    folder = Path(root)
    table = folder / "data.csv"
    rows = read_table(table)
    require_columns(rows, ["imageID", "label"], table)
    items = []
    for row in rows:
        label, name = row["label"], row["imageID"]
        if label not in CLASSES:
            raise DatalistError(f"'{table}' has the unknown label '{label}' for '{name}', expected horse or zebra")
        mask = f"masks/{label}/{Path(name).stem}_mask.JPEG"
        item = {
            "case_id": case_id_from(Path(label, name)),
            "image": f"images/{label}/{name}",
            "label": CLASSES.index(label),
        }
        items.append({**item, "mask": mask})
    fractions = ((1 - TEST) * (1 - VALIDATION_OF_REST), (1 - TEST) * VALIDATION_OF_REST, TEST)
    meta = {
        "name": "imagenet_hvz",
        "task": "multiclass",
        "classes": CLASSES,
        "source": "ImageNet n02389026 and n02391049, layout of icrto/xML",
        "licence": "ImageNet terms: research only, not redistributable",
        "split": "stratified by class, in the table's order",
        "seed": seed,
    }
    return finish(folder, out, split_items(items, fractions, seed, group=None), meta)
