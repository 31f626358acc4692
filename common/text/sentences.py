"""Reports into sentences."""

from __future__ import annotations

import re
from collections.abc import Callable

from common.text.normalise import join_lines, plain_lines
from common.text.sections import SECTIONS

__all__ = ["split_sentences"]

_DOTTED = "bdz dr drs mr mrs ms prof ca approx nr no fig e.g i.e vs cf resp bijv bv d.w.z o.a m.n i.v.m t.o.v"
_ABBREVIATIONS = frozenset(_DOTTED.split())
_PART = r"(?:breasts?|borst(?:en)?|mamma|lungs?|long|side|zijde|view|mammogram)"
_OF_SIDE = rf"(?:{_PART} )?(?:left|right|both|bilateral)(?: {_PART})? ?: *"
_OF_SECTION = rf"(?:{'|'.join(re.escape(name) for names in SECTIONS.values() for name in names)}) ?:"
_SIDE_HEADING, _SECTION = re.compile(_OF_SIDE), re.compile(_OF_SECTION)
_BREAK = rf"\n(?=\s*(?:(?:[-*]|\d{{1,2}}[.)])\s|{_OF_SIDE}|{_OF_SECTION}))"
_PARAGRAPH = re.compile(rf"{_BREAK}|(?<=[.!?:;])\n")
_LIST_MARK = re.compile(r"^(?:[-*]+|\d{1,2}[.)])\s+")
_EMPTY_LINE = re.compile(r"\n\s*\n")
_SIDE = re.compile(r"\b(?:left|right|both|bilateral\w*|beide|bdz)\b")
_END = re.compile(r"[.!?;]+(?=\s|$)")
_NUMBERED = re.compile(r"(?<=[.!?;:])\s+\d{1,2}[.)]\s+(?=[a-z])")


def split_sentences(text: str, deidentify: Callable[[str], str] | None = None) -> list[str]:
    """Split a report into normalised sentences.

    A sentence ends with a full stop, question or exclamation mark or semicolon before a blank (so "2.1 cm" and
    "birads 4c" stay whole), with an empty line, and before a numbered or dashed item or a heading. Other line breaks do
    not end it: reports are wrapped anywhere. Abbreviations such as "e.g." and "approx." do not end one either. A
    line of its own such as "LEFT BREAST:" holds until an empty line or another heading: sentences below it that name no
    side begin with it.

    Args:
        text: a report.
        deidentify: see :func:`normalise`.

    Returns:
        The sentences as :func:`normalise` writes them, without the mark at their end; those without a letter are left
        out. Empty for a text without any.
    """
    sentences, heading = [], ""
    for block in _EMPTY_LINE.split(plain_lines(text, deidentify)):
        plain = [sentence for paragraph in _PARAGRAPH.split(block) for sentence in _sentences(paragraph)]
        for sentence in plain:
            found = _SIDE_HEADING.match(f"{sentence} ")
            alone = found is not None and found.end() >= len(sentence)
            if found or _SECTION.match(sentence):
                heading = sentence if alone else ""
            if not alone:
                sentences.append(sentence if not heading or _SIDE.search(sentence) else f"{heading} {sentence}")
        heading = heading if plain[-1:] == [heading] else ""  # nothing stands below it yet
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
