"""The words and sentences of one language, from which reports are written and by which they are read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

__all__ = ["Language"]

Words = Mapping[str, Sequence[str]]


@dataclass(frozen=True)
class Language:
    """A language. Every sentence about a breast names its side, and one type of finding at most.

    Args:
        sides: words for left and right as the templates need them: {side} before a noun, {on} after a preposition.
        side_patterns: regular expressions that find a side in a sentence.
        articles: before a consonant and before a vowel; none before a plural.
        verbs: singular and plural of "is".
        nouns: singular and plural names, by type: [singular...], [plural...].
        words: how the values of each descriptor are called, in the form that stands alone.
        inflections: the form before a noun, where it differs.
        after: what makes a clause after the noun of such a word, by descriptor; {} is the word.
        quadrants: clauses, by quadrant.
        clocks: clauses with {hour}.
        depths: clauses, by depth.
        sizes: clauses with {size}.
        decimal: sign between millimetres and their tenths.
        found: sentences with {np}, {side}, {on}, {is}, {clauses}.
        absent: sentences with {noun}, {side}, {on}, {is}.
        normal: sentences with {side}, {on}.
        normal_pattern: finds those.
        negation_pattern: finds what makes a sentence about a finding one about its absence.
        density: sentences with {density}.
        densities: words for a to d.
        assessment: sentences with {category} and {meaning}.
        assessment_sides: sentences with {left} and {right}, numbers of categories.
        meanings: of the categories 1 to 5.
        irrelevant: sentences that say nothing about this exam's breasts.
    """

    sides: Mapping[str, Mapping[str, str]]
    side_patterns: Mapping[str, str]
    articles: tuple[str, str]
    verbs: tuple[str, str]
    nouns: Mapping[str, tuple[Sequence[str], Sequence[str]]]
    words: Mapping[str, Words]
    after: Mapping[str, Sequence[str]]
    quadrants: Words
    clocks: Sequence[str]
    depths: Words
    sizes: Sequence[str]
    decimal: str
    found: Sequence[str]
    absent: Sequence[str]
    normal: Sequence[str]
    normal_pattern: str
    negation_pattern: str
    density: Sequence[str]
    densities: Words
    assessment: Sequence[str]
    assessment_sides: Sequence[str]
    meanings: Sequence[str]
    irrelevant: Sequence[str]
    inflections: Mapping[str, str] = field(default_factory=dict)
