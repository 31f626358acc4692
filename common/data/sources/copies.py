"""Deal with images that a data set holds twice, under two names."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from common.data.duplicates import find_copies
from common.data.sources.problems import Problems

SHOWN = 3  # groups of copies named in a warning

logger = logging.getLogger(__name__)


def without_copies(items: Sequence[Mapping[str, Any]], folder: Path, problems: Problems) -> list[dict[str, Any]]:
    """Return the items whose image stands for itself.

    Of copies with the same label the first is kept, with a warning: the others would leak from one split into another.
    Copies with different labels are all left out and noted as a problem, since nobody knows which label is right.

    Args:
        items: cases with ``case_id``, ``image`` and ``label``; those of a test set first, as the first one is kept.
        folder: where the images' paths start.
        problems: where to note them.
    """
    by_path = {folder / item["image"]: item for item in items}
    dropped: set[str] = set()
    harmless = []
    for group in find_copies(by_path):
        copies = [by_path[path] for path in group]
        names = [item["case_id"] for item in copies]
        if all(item["label"] == copies[0]["label"] for item in copies):
            dropped.update(names[1:])
            harmless.append(" = ".join(names))
        else:
            dropped.update(names)
            problems.add("groups of images with the same content and different labels", " = ".join(names))
    if harmless:
        more = ", ..." if len(harmless) > SHOWN else ""
        logger.warning(
            "%d images stand there more than once with the same label; one of each is kept: %s%s",
            len(harmless),
            ", ".join(harmless[:SHOWN]),
            more,
        )
    return [dict(item) for item in items if item["case_id"] not in dropped]
