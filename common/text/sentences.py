"""Reports into sentences."""

from __future__ import annotations

import re
from collections.abc import Callable

from common.text.normalise import join_lines, plain_lines

__all__ = ["split_sentences"]

_DOTTED = "dr drs mr mrs ms prof ca approx nr no fig e.g i.e vs cf resp bijv bv d.w.z o.a m.n i.v.m t.o.v"
_ABBREVIATIONS = frozenset(_DOTTED.split())
_PARAGRAPH = re.compile(r"\n\s*\n|\n(?=\s*(?:[-*]|\d{1,2}[.)])\s)|(?<=[.!?:;])\n")
_LIST_MARK = re.compile(r"^(?:[-*]+|\d{1,2}[.)])\s+")
_END = re.compile(r"[.!?;]+(?=\s|$)")
_NUMBERED = re.compile(r"(?<=[.!?;:])\s+\d{1,2}[.)]\s+(?=[a-z])")


def split_sentences(text: str, deidentify: Callable[[str], str] | None = None) -> list[str]:
    """Split a report into normalised sentences.

    A sentence ends with a full stop, question or exclamation mark or semicolon before a blank (so "2.1 cm" and
    "birads 4c" stay whole), with an empty line, and before a numbered or dashed item. Other line breaks do not end it:
    reports are wrapped anywhere. Abbreviations such as "e.g." and "approx." do not end one either.

    Args:
        text: a report.
        deidentify: see :func:`normalise`.

    Returns:
        The sentences as :func:`normalise` writes them, without the mark at their end; those without a letter are left
        out. Empty for a text without any.
    """
    sentences = []
    for paragraph in _PARAGRAPH.split(plain_lines(text, deidentify)):
        line = _LIST_MARK.sub("", join_lines(paragraph))
        for piece in _pieces(_NUMBERED.sub(" ", line)):
            sentence = piece.strip(" .!?;-*")
            if re.search(r"[^\W\d_]", sentence):
                sentences.append(sentence)
    return sentences


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
