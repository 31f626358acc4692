"""Read the facts back out of a report that was written by `report_writer`, whatever its wording, normalised or not."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

from common.text.report_writer import language_of
from common.text.report_writer_facts import DESCRIPTORS, SIDES, Finding, ReportFacts, quadrant_at
from common.text.report_writer_language import Language

__all__ = ["parse_report", "parse_sentence"]

Vocabulary = tuple[re.Pattern[str], Mapping[str, tuple[str, str]]]
"""A pattern that finds phrases, and which fact and value each of them stands for."""

_END = re.compile(r"(?<=[.!?])\s+")
_SIZE = re.compile(r"\b(\d+(?:[.,]\d)?) (mm|cm)\b")
_BIRADS = re.compile(r"BI-?RADS(?: category| categorie)? (\d)", re.IGNORECASE)


def parse_report(text: str, language: str = "en") -> ReportFacts:
    """Return all facts of a report; a sentence that states none is passed over.

    Args:
        text: the report.
        language: "en" or "nl".

    Raises:
        ValueError: for an unknown language, or a report that contradicts itself.
    """
    parts = [parse_sentence(sentence, language) for sentence in _END.split(text.strip())]
    return ReportFacts(
        tuple(finding for part in parts for finding in part.findings),
        tuple(pair for part in parts for pair in part.absent),
        tuple(side for part in parts for side in part.normal),
        next((part.density for part in parts if part.density), None),
        {side: category for part in parts for side, category in part.birads.items()},
    )


def parse_sentence(sentence: str, language: str = "en") -> ReportFacts:
    """Return the facts of one sentence; none if it does not speak of a breast.

    Args:
        sentence: without others.
        language: "en" or "nl".
    """
    words = language_of(language)
    sides = [side for side in SIDES if re.search(words.side_patterns[side], sentence, re.IGNORECASE)]
    if categories := list(_BIRADS.finditer(sentence)):
        return ReportFacts(birads=_birads(sentence, categories, words))
    kinds = [kind for name, kind in _find(sentence, _nouns(language)) if name == "type"]
    if len(sides) == 1 and kinds:
        if re.search(words.negation_pattern, sentence, re.IGNORECASE):
            return ReportFacts(absent=((sides[0], kinds[0]),))
        return ReportFacts(findings=(_finding(sentence, sides[0], kinds[0], language),))
    if len(sides) == 1 and re.search(words.normal_pattern, sentence, re.IGNORECASE):
        return ReportFacts(normal=(sides[0],))
    density = next((value for _, value in _find(sentence, _densities(language))), None)
    return ReportFacts(density=density if not sides else None)


def _finding(sentence: str, side: str, kind: str, language: str) -> Finding:
    described: dict[str, Any] = dict(_find(sentence, _descriptors(language, kind)))
    if size := _SIZE.search(sentence):
        number = float(size[1].replace(",", "."))
        described["size_mm"] = round(number * (10 if size[2] == "cm" else 1))
    if clause := _clock(language).search(sentence):
        described["clock"] = int("".join(filter(str.isdigit, clause[0])))
        described["quadrant"] = quadrant_at(side, described["clock"])
    return Finding(side, kind, **described)


def _birads(sentence: str, categories: list[re.Match[str]], words: Language) -> dict[str, int]:
    """Return the categories by side; where two are given, they stand in the order in which the sides are named."""
    if len(categories) == 1:
        return {"exam": int(categories[0][1])}
    found = ((re.search(words.side_patterns[side], sentence, re.IGNORECASE), side) for side in SIDES)
    order = [side for _, side in sorted((match.start(), side) for match, side in found if match)]
    return {side: int(match[1]) for side, match in zip(order, categories, strict=False)}


def _find(sentence: str, vocabulary: Vocabulary) -> Iterator[tuple[str, str]]:
    pattern, meanings = vocabulary
    return (meanings[match[0].lower()] for match in pattern.finditer(sentence))


def _vocabulary(phrases: Mapping[str, tuple[str, str]]) -> Vocabulary:
    """Join phrases into one pattern, the longest first, so that none is taken for a part of it."""
    lower = {phrase.lower(): meaning for phrase, meaning in phrases.items()}
    options = "|".join(re.escape(phrase) for phrase in sorted(lower, key=len, reverse=True))
    return re.compile(rf"(?<![\w-])(?:{options})(?![\w-])", re.IGNORECASE), lower


@lru_cache
def _nouns(language: str) -> Vocabulary:
    nouns = language_of(language).nouns
    return _vocabulary({noun: ("type", kind) for kind, both in nouns.items() for group in both for noun in group})


@lru_cache
def _densities(language: str) -> Vocabulary:
    densities = language_of(language).densities
    return _vocabulary({word: ("density", grade) for grade, group in densities.items() for word in group})


@lru_cache
def _descriptors(language: str, kind: str) -> Vocabulary:
    words = language_of(language)
    tables = {name: words.words[name] for name in DESCRIPTORS[kind]}
    tables |= {"quadrant": words.quadrants, "depth": words.depths}
    plain = {word: (name, value) for name, table in tables.items() for value, group in table.items() for word in group}
    return _vocabulary({**plain, **{words.inflections.get(word, word): meaning for word, meaning in plain.items()}})


@lru_cache
def _clock(language: str) -> re.Pattern[str]:
    clauses = (re.escape(clause).replace(r"\{hour\}", r"\d+") for clause in language_of(language).clocks)
    return re.compile("|".join(clauses), re.IGNORECASE)
