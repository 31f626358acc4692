"""Write a report from facts: another wording for every seed, the same facts for all of them.

A report has the sentences density, left, right, assessment, in this order. Every sentence about a breast names its side
and one type of finding, so that a sentence can be held against one breast.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.random import Generator

from common.text.report_writer_dutch import DUTCH
from common.text.report_writer_english import ENGLISH
from common.text.report_writer_facts import DESCRIPTORS, SIDES, Finding, ReportFacts
from common.text.report_writer_language import Language

__all__ = ["LANGUAGES", "add_typos", "choose_facts", "language_of", "phrase_report", "write_report"]

LANGUAGES: Mapping[str, Language] = {"en": ENGLISH, "nl": DUTCH}
# How often a report says something it could say.
SAID = {"size_mm": 0.6, "place": 0.7, "depth": 0.4, **{name: 0.7 for names in DESCRIPTORS.values() for name in names}}
ABSENCE_SAID = {"mass": 0.5, "calcification": 0.5, "distortion": 0.25, "asymmetry": 0.25}
BY_CLOCK, IN_CENTIMETRES, SIZE_FIRST, AFTER_NOUN, BIRADS_BY_SIDE = 0.4, 0.3, 0.5, 0.4, 0.3
SHORTEST_TYPO = 5  # letters; shorter words stay as they are


def write_report(
    facts: ReportFacts,
    seed: int | Sequence[int],
    language: str = "en",
    omitted: float = 0.05,
    irrelevant: float = 0.1,
    typos: float = 0.0,
) -> str:
    """Write a report.

    Args:
        facts: what is known; a report says a part of it, see :func:`choose_facts`.
        seed: of the wording and the choice; the same one gives the same report.
        language: "en" or "nl".
        omitted: share of the findings that are forgotten, 0 to 1.
        irrelevant: chance of a sentence that says nothing about the breasts, before and again after the findings.
        typos: share of the longer words with a letter lost or two swapped.

    Raises:
        ValueError: for an unknown language.
    """
    words, rng = language_of(language), np.random.default_rng(seed)
    report = phrase_report(choose_facts(facts, rng, omitted), words, rng, irrelevant)
    return add_typos(report, typos, rng) if typos else report


def language_of(name: str) -> Language:
    """Return the words of a language.

    Raises:
        ValueError: if there are none.
    """
    if name not in LANGUAGES:
        raise ValueError(f"language='{name}': expected one of {', '.join(LANGUAGES)}")
    return LANGUAGES[name]


def choose_facts(facts: ReportFacts, rng: Generator, omitted: float = 0.05) -> ReportFacts:
    """Return the part of the facts that a report says: each finding with some of its descriptors, some absences.

    Args:
        facts: all that is known.
        rng: source of randomness.
        omitted: share of findings, absences and normal sides that are left out on top.
    """

    def said(chance: float = 1.0) -> bool:
        return bool(rng.random() < chance * (1 - omitted))

    birads = facts.birads
    if birads and not ("exam" not in birads and len(birads) == 2 and rng.random() < BIRADS_BY_SIDE):
        birads = {"exam": max(birads.values())}
    return ReportFacts(
        tuple(_some_descriptors(finding, rng) for finding in facts.findings if said()),
        tuple((side, kind) for side, kind in facts.absent if said(ABSENCE_SAID[kind])),
        tuple(side for side in facts.normal if said()),
        facts.density,
        birads,
    )


def _some_descriptors(finding: Finding, rng: Generator) -> Finding:
    silent: dict[str, Any] = {}
    for name in ("size_mm", "depth", *DESCRIPTORS[finding.type]):
        if rng.random() >= SAID[name]:
            silent[name] = None
    place = rng.random()
    if place >= SAID["place"]:
        silent["quadrant"] = None
    if place >= SAID["place"] * BY_CLOCK:
        silent["clock"] = None
    return dataclasses.replace(finding, **silent)


def phrase_report(facts: ReportFacts, language: Language, rng: Generator, irrelevant: float = 0.1) -> str:
    """Put every one of the facts into words.

    Args:
        facts: what to say.
        language: of the report.
        rng: source of randomness; chooses among the wordings.
        irrelevant: chance of a sentence that says nothing about the breasts, before and again after the findings.
    """
    sentences = []
    if rng.random() < irrelevant:
        sentences.append(_pick(language.irrelevant, rng))
    if facts.density is not None:
        word = _pick(language.densities[facts.density], rng)
        sentences.append(_pick(language.density, rng).format(density=word))
    for side in SIDES:
        sentences += _side_sentences(facts, side, language, rng)
    if rng.random() < irrelevant:
        sentences.append(_pick(language.irrelevant, rng))
    if facts.birads:
        sentences.append(_assessment(facts.birads, language, rng))
    return " ".join(sentence[0].upper() + sentence[1:] for sentence in sentences)


def _side_sentences(facts: ReportFacts, side: str, language: Language, rng: Generator) -> list[str]:
    """Return what is said about one breast: findings and normality first, then what is absent."""
    names = language.sides[side]
    found = [_finding(finding, language, rng) for finding in facts.findings if finding.side == side]
    if side in facts.normal:
        found.append(_pick(language.normal, rng).format(**names))
    absent = []
    for kind in (kind for where, kind in facts.absent if where == side):
        noun, verb = _noun(kind, language, rng)
        absent.append(_pick(language.absent, rng).format(noun=noun, **{"is": verb}, **names))
    return [part[int(place)] for part in (found, absent) for place in rng.permutation(len(part))]


def _finding(finding: Finding, language: Language, rng: Generator) -> str:
    size = None if finding.size_mm is None else _size(finding.size_mm, language, rng)
    first = rng.random() < SIZE_FIRST
    phrase, verb = _noun_phrase(finding, size if first else None, language, rng)
    clauses = []
    if size is not None and not first:
        clauses.append(_pick(language.sizes, rng).format(size=size))
    if finding.clock is not None:
        clauses.append(_pick(language.clocks, rng).format(hour=finding.clock))
    elif finding.quadrant is not None:
        clauses.append(_pick(language.quadrants[finding.quadrant], rng))
    if finding.depth is not None:
        clauses.append(_pick(language.depths[finding.depth], rng))
    tail = "".join(f", {clauses[int(place)]}" for place in rng.permutation(len(clauses)))
    names = language.sides[finding.side]
    return _pick(language.found, rng).format(np=phrase, clauses=tail, **{"is": verb}, **names)


def _noun_phrase(finding: Finding, size: str | None, language: Language, rng: Generator) -> tuple[str, str]:
    """Return the noun with its article and descriptors, the size if given, and its verb."""
    noun, verb = _noun(finding.type, language, rng)
    before, after = [], ""
    for name in DESCRIPTORS[finding.type]:
        value = getattr(finding, name)
        if value is None:
            continue
        word = _pick(language.words[name][value], rng)
        if not after and name in language.after and rng.random() < AFTER_NOUN:
            after = " " + _pick(language.after[name], rng).format(word)
        else:
            before.append(language.inflections.get(word, word))
    before = [before[int(place)] for place in rng.permutation(len(before))]
    if size is not None:
        before.insert(0, size)
    phrase = " ".join([*before, noun]) + after
    if verb == language.verbs[1]:
        return phrase, verb
    vowel = phrase[0] in "aeiou" or phrase.startswith(("8", "11 ", "18 "))
    return f"{language.articles[vowel]} {phrase}", verb


def _noun(kind: str, language: Language, rng: Generator) -> tuple[str, str]:
    singular, plural = language.nouns[kind]
    noun = _pick([*singular, *plural], rng)
    return noun, language.verbs[noun in plural]


def _size(millimetres: int, language: Language, rng: Generator) -> str:
    if rng.random() < IN_CENTIMETRES:
        return f"{millimetres / 10:.1f} cm".replace(".", language.decimal)
    return f"{millimetres} mm"


def _assessment(birads: Mapping[str, int], language: Language, rng: Generator) -> str:
    if "exam" not in birads and len(birads) == 2:
        return _pick(language.assessment_sides, rng).format(**birads)
    category = max(birads.values())
    meaning = language.meanings[category - 1]
    return _pick(language.assessment, rng).format(category=category, meaning=meaning)


def add_typos(text: str, share: float, rng: Generator) -> str:
    """Return the text with a letter lost, or two swapped, inside some of its words of at least five letters.

    Args:
        text: any.
        share: of those words, 0 to 1.
        rng: source of randomness.
    """
    words = text.split(" ")
    for index, word in enumerate(words):
        letters = word.rstrip(".,;:")
        if len(letters) >= SHORTEST_TYPO and letters.isalpha() and rng.random() < share:
            place = int(rng.integers(1, len(letters) - 1))
            swapped = "" if rng.random() < 0.5 else word[place]
            words[index] = word[:place] + word[place + 1] + swapped + word[place + 2 :]
    return " ".join(words)


def _pick(choices: Sequence[str], rng: Generator) -> str:
    return choices[int(rng.integers(len(choices)))]
