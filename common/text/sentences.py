"""Reports into sentences."""

from __future__ import annotations

import re
from collections.abc import Callable

from common.text.keys import findings_in
from common.text.laterality import side_of
from common.text.normalise import join_lines, plain_lines
from common.text.sections import SECTIONS

__all__ = ["split_sentences"]

_DOTTED = "dr drs mr mrs ms prof ca approx nr no fig e.g i.e vs cf resp bijv bv d.w.z o.a m.n i.v.m t.o.v"
_ABBREVIATIONS = frozenset(_DOTTED.split())
_NAMES = "|".join(re.escape(name) for names in SECTIONS.values() for name in names)
_BARE_SECTION = re.compile(rf"^[ \t]*({_NAMES})[ \t]*$", re.MULTILINE)
_SIDES = ("left", "right")
# A heading is few words before a colon: such that name a side, a section's name, or any that fill their line.
_SIDED = r"[^\n:.]{0,40}\b(?:left|right|both|bilateral|beid\w+)\b[^\n:.]{0,40}:"
_OWN_LINE = r"[^\n:.]{1,60}:(?=\n|$)"
_PARAGRAPH = re.compile(rf"\n(?=\s*(?:(?:[-*]|\d{{1,2}}[.)])\s|{_SIDED}|(?:{_NAMES}) ?:|{_OWN_LINE}))|(?<=[.!?:;])\n")
_OTHER_HEADING = re.compile(rf"{_SIDED}|(?:{_NAMES}) ?:")
_LIST_MARK = re.compile(r"^(?:[-*]+|\d{1,2}[.)])\s+")
_EMPTY_LINE = re.compile(r"\n\s*\n")
_OTHER_SIDE = r"contralateral\w*|(?:other|andere) (?:breast|borst|side)"
_SIDE = re.compile(rf"\b(?:left|right|both|bilateral\w*|beid\w*|bdz|either|each|{_OTHER_SIDE})\b")
_END = re.compile(r"[.!?;]+(?=\s|$)")
_NUMBERED = re.compile(r"(?<=[.!?;:])\s+\d{1,2}[.)]\s+(?=[a-z])")


def split_sentences(text: str, deidentify: Callable[[str], str] | None = None) -> list[str]:
    """Split a report into normalised sentences.

    A sentence ends with a full stop, question or exclamation mark or semicolon before a blank (so "2.1 cm" and
    "birads 4c" stay whole), with an empty line, and before a numbered or dashed item or a heading. Other line breaks do
    not end it: reports are wrapped anywhere. Abbreviations such as "e.g." and "approx." do not end one either. Headings
    on a line of their own are no sentences; one that names a side, such as "LEFT BREAST:", holds until an empty line or
    another heading: sentences below it that name no side begin with it.

    Args:
        text: a report.
        deidentify: see :func:`normalise`.

    Returns:
        The sentences as :func:`normalise` writes them, without the mark at their end; those without a letter are left
        out. Empty for a text without any.
    """
    plain = re.sub(r"[ \t\r]+(?=\n)", "", plain_lines(text, deidentify))
    sentences, heading = [], ""
    for block in _EMPTY_LINE.split(_BARE_SECTION.sub(r"\1:", plain)):
        pieces = [sentence for paragraph in _PARAGRAPH.split(block) for sentence in _sentences(paragraph)]
        for piece in pieces:
            if piece.endswith(":") and not findings_in(piece):
                heading = piece if side_of(piece, _SIDES) >= 0 else ""
                continue
            heading = "" if _OTHER_HEADING.match(piece) else heading
            sentences.append(f"{heading} {piece}" if heading and not _SIDE.search(piece) else piece)
        if pieces and pieces[-1] != heading:  # a heading above an empty line is that of what follows
            heading = ""
    return sentences


def _sentences(paragraph: str) -> list[str]:
    """Split a paragraph, which is one line when its breaks are joined."""
    line = _LIST_MARK.sub("", join_lines(paragraph))
    stripped = (piece.strip(" .!?;-*") for piece in _pieces(_NUMBERED.sub(" ", line)))
    return [sentence for sentence in stripped if re.search(r"[^\W\d_]", sentence)]


def _pieces(line: str) -> list[str]:
    """Cut a line behind every mark that ends a sentence."""
    pieces, start = [], 0
    for match in _END.finditer(line):
        before = line[start : match.start()].rpartition(" ")[2]
        if match[0] == "." and before in _ABBREVIATIONS and match.end() < len(line):
            continue
        pieces.append(line[start : match.end()])
        start = match.end()
    return [*pieces, line[start:]]
