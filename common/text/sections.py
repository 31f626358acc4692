"""Parts of a report by their headings."""

from __future__ import annotations

import re
from collections.abc import Sequence

from common.utils.choices import check_choice

__all__ = ["SECTIONS", "pick_sections"]

SECTIONS: dict[str, tuple[str, ...]] = {
    "indication": ("indication", "clinical history", "history", "clinical information", "reason for exam", "indicatie",
                   "klinische gegevens", "vraagstelling"),
    "technique": ("technique", "procedure", "techniek", "onderzoek"),
    "comparison": ("comparison", "comparisons", "prior studies", "vergelijking"),
    "findings": ("findings", "report", "description", "bevindingen", "verslag", "beschrijving"),
    "impression": ("impression", "conclusion", "assessment", "opinion", "conclusie", "beoordeling", "impressie"),
}  # fmt: skip
"""Headings of each section, in English and Dutch."""

_NAME_OF = {heading: name for name, headings in SECTIONS.items() for heading in headings}
_HEADINGS = "|".join(sorted(map(re.escape, _NAME_OF), key=len, reverse=True))
# A heading starts a line and is followed by a colon or stands alone, or is written in capitals before a colon.
_HEADING = re.compile(rf"^[ \t*#]*({_HEADINGS})[ \t*]*(?::|$)", re.IGNORECASE | re.MULTILINE)
_INLINE = re.compile(rf"(?<=[.\s])({_HEADINGS.upper()}):")


def pick_sections(text: str, wanted: Sequence[str] = ("findings", "impression")) -> str:
    """Keep the sections of a report that describe what is seen.

    Args:
        text: a report as it was written: headings are words of :data:`SECTIONS` that begin a line and end with a colon
            or fill the line, or stand in capitals before a colon.
        wanted: names of sections, in :data:`SECTIONS`.

    Returns:
        The text of the wanted sections in the report's order, without their headings, parted by empty lines; the whole
        report if it has none of them.

    Raises:
        ValueError: if a name is unknown.
    """
    for name in wanted:
        check_choice("the section of a report", name, SECTIONS)
    marks = sorted({m.start(1): m for pattern in (_INLINE, _HEADING) for m in pattern.finditer(text)}.items())
    ends = [*(mark.start(0) for _, mark in marks[1:]), len(text)]
    parts = [
        text[mark.end() : end].strip()
        for (_, mark), end in zip(marks, ends, strict=bool(marks))
        if _NAME_OF[mark[1].lower()] in wanted
    ]
    return "\n\n".join(part for part in parts if part) or text.strip()
